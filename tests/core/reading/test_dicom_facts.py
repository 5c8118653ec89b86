"""What a DICOM file says about how it was taken, and nothing of whom."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from tests.core.reading.files import (
    NAMING,
    cine,
    write_dicom,
)
from vasomim_core.errors import InputError
from vasomim_core.reading import patient_group, read_angiogram, to_uint8

# tifffile says so when it takes three frames for the planes of a colour image; that we do not is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:.*are stored as RGB:DeprecationWarning")


def test_the_window_follows_the_inversion(tmp_path: Path) -> None:
    stack = cine(1, "uint16", 12)
    header = {
        "BitsStored": 12,
        "WindowCenter": 900,
        "WindowWidth": 1000,
        "RescaleSlope": 2,
        "RescaleIntercept": -100,
    }
    plain = read_angiogram(write_dicom(tmp_path / "a", stack, **header))
    inverse = read_angiogram(write_dicom(tmp_path / "b", stack, PhotometricInterpretation="MONOCHROME1", **header))
    assert plain.window == (900, 1000)
    shown = to_uint8(plain.frames[0], plain.window)
    assert 0 < shown.mean() < 255
    assert_allclose(to_uint8(inverse.frames[0], inverse.window), 255 - shown.astype(int), atol=1)


def test_how_the_run_was_taken_is_kept(tmp_path: Path) -> None:
    header = {
        "ImagerPixelSpacing": [0.2, 0.3],
        "FrameTime": "66.7",
        "PositionerPrimaryAngle": "-30.5",
        "PositionerSecondaryAngle": "20",
        "WindowCenter": [128, 90],
        "WindowWidth": [200, 50],
    }
    angiogram = read_angiogram(write_dicom(tmp_path / "x", cine(), **header))
    assert angiogram.spacing == (0.2, 0.3)
    assert angiogram.frame_time_ms == 66.7
    assert angiogram.angles == (-30.5, 20)
    assert angiogram.window == (128, 200)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({}, None),
        ({"FrameTimeVector": [0, 40, 40, 80, 40]}, 40),
        ({"CineRate": 15}, 1000 / 15),
        ({"FrameTime": 0}, None),
    ],
)
def test_frame_time(tmp_path: Path, header: dict[str, Any], expected: float | None) -> None:
    assert read_angiogram(write_dicom(tmp_path / "x", cine(), **header)).frame_time_ms == expected


def test_absent_or_senseless_facts_are_none(tmp_path: Path) -> None:
    header = {
        "ImagerPixelSpacing": [0, 0.3],
        "WindowCenter": 3,
        "WindowWidth": 0,
        "PositionerPrimaryAngle": 5,
        "FrameTime": "",
    }
    angiogram = read_angiogram(write_dicom(tmp_path / "x", cine(), PixelSpacing=[0.1, 0.1], **header))
    facts = (angiogram.spacing, angiogram.window, angiogram.angles, angiogram.frame_time_ms)
    assert facts == (None, None, None, None)


def test_nothing_that_names_anyone_is_kept(tmp_path: Path) -> None:
    angiogram = read_angiogram(write_dicom(tmp_path / "x.dcm", cine(), ImagerPixelSpacing=[0.2, 0.2]))
    angiogram.frames[0]
    frames = angiogram.frames
    kept = [
        repr(angiogram),
        str(angiogram),
        repr(vars(angiogram)),
        repr(vars(frames)),
        repr(vars(frames._read.__self__)),
    ]  # type: ignore[attr-defined]
    pickled = pickle.dumps(angiogram)
    for value in NAMING.values():
        assert not any(value in text for text in kept)
        assert value.encode() not in pickled
    assert_array_equal(pickle.loads(pickled).frames, frames)


def test_patient_group(tmp_path: Path) -> None:
    a, b = write_dicom(tmp_path / "a", cine()), write_dicom(tmp_path / "b", cine(), PatientName="Other")
    c = write_dicom(tmp_path / "c", cine(), PatientID="ID-4712")
    group = patient_group(a, b"key")
    assert group is not None
    assert re.fullmatch("[0-9a-f]{16}", group)
    assert group == patient_group(b, b"key")
    assert group not in (patient_group(c, b"key"), patient_group(a, b"another key"))
    assert patient_group(write_dicom(tmp_path / "d", cine(), PatientID=""), b"key") is None
    Image.fromarray(cine()[0]).save(tmp_path / "x.png")
    assert patient_group(tmp_path / "x.png", b"key") is None
    with pytest.raises(InputError):
        patient_group(a, b"")
