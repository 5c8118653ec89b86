"""DICOM as it comes: enhanced, deflated, written otherwise than declared, on a disc beside reports."""

from __future__ import annotations

import re
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydicom import Dataset, Sequence, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedXAImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from tests.core.reading.files import NAMING, cine, sentence, write_dicom
from vasomim_core.errors import InputError
from vasomim_core.reading import patient_group, read_angiogram


def group(**sequences: dict[str, Any]) -> Dataset:
    """An item of functional groups: one sequence of one item for each."""
    item = Dataset()
    for keyword, values in sequences.items():
        part = Dataset()
        for name, value in values.items():
            setattr(part, name, value)
        setattr(item, keyword, Sequence([part]))
    return item


def enhanced(path: Path, frames: np.ndarray, shared: Dataset, each: list[Dataset]) -> Path:
    write_dicom(path, frames)
    ds = dcmread(path)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = EnhancedXAImageStorage
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence(each)
    ds.save_as(path)
    return path


def test_an_enhanced_file_says_how_it_was_taken_in_its_functional_groups(tmp_path: Path) -> None:
    stack = cine(4, "uint16", 12)
    shared = group(
        FramePixelDataPropertiesSequence={"ImagerPixelSpacing": [0.2, 0.3]},
        PositionerPositionSequence={"PositionerPrimaryAngle": -30.5, "PositionerSecondaryAngle": 20.0},
        FrameVOILUTSequence={"WindowCenter": 2048, "WindowWidth": 4096},
        PixelValueTransformationSequence={"RescaleSlope": 2, "RescaleIntercept": -10, "RescaleType": "US"},
    )
    times = ["20240203101112.000000", "20240203101112.066700", "20240203101112.133400", "20240203101112.200100"]
    each = [group(FrameContentSequence={"FrameAcquisitionDateTime": time}) for time in times]
    angiogram = read_angiogram(enhanced(tmp_path / "x", stack, shared, each))
    assert angiogram.spacing == (0.2, 0.3)
    assert angiogram.angles == (-30.5, 20)
    assert angiogram.stated_window == (2048, 4096)
    assert angiogram.frame_time_ms == pytest.approx(66.7)
    assert_allclose(angiogram.frames, 2 * stack.astype(np.float32) - 10)
    kept = repr(vars(angiogram)) + repr(vars(angiogram.frames))
    assert not any(value in kept for value in [*NAMING.values(), *times])


def test_facts_of_each_frame_are_those_of_the_first(tmp_path: Path) -> None:
    each = [
        group(
            PositionerPositionSequence={"PositionerPrimaryAngle": 10.0 * i, "PositionerSecondaryAngle": 5.0},
            FrameVOILUTSequence={"WindowCenter": 100 + i, "WindowWidth": 200},
            FrameContentSequence={"FrameReferenceDateTime": f"2024020310111{i}"},
        )
        for i in range(3)
    ]
    angiogram = read_angiogram(enhanced(tmp_path / "x", cine(3), Dataset(), each))
    assert angiogram.angles == (0, 5)
    assert angiogram.stated_window == (100, 200)
    assert angiogram.frame_time_ms == 1000


def test_frames_that_are_rescaled_differently_are_refused(tmp_path: Path) -> None:
    each = [group(PixelValueTransformationSequence={"RescaleSlope": 1 + i, "RescaleIntercept": 0}) for i in range(2)]
    assert "rescales each frame differently" in sentence(enhanced(tmp_path / "x", cine(2), Dataset(), each))


def test_broken_functional_groups_count_as_absent(tmp_path: Path) -> None:
    each = [group(FrameContentSequence={"FrameAcquisitionDateTime": "yesterday"}) for _ in range(2)]
    path = enhanced(tmp_path / "x", cine(2), group(FrameVOILUTSequence={}), each)
    with warnings.catch_warnings(record=True) as told:
        angiogram = read_angiogram(path)
    assert not any("yesterday" in str(warning.message) for warning in told)  # a time may not be told
    assert (angiogram.frame_time_ms, angiogram.window, angiogram.angles) == (None, None, None)


def as_declared(path: Path, ds: Dataset, declared: str, implicit: bool) -> Path:
    """Write a data set in one encoding under meta information that declares another."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = declared
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    head = DicomBytesIO()
    head.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(head, meta)
    body = DicomBytesIO()
    body.is_little_endian, body.is_implicit_VR = True, implicit
    write_dataset(body, ds)
    content = body.getvalue()
    if declared == DeflatedExplicitVRLittleEndian:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = deflate.compress(content) + deflate.flush()
    path.write_bytes(head.getvalue() + content)
    return path


@pytest.mark.filterwarnings("ignore:Expected (im|ex)plicit VR")
@pytest.mark.parametrize("implicit", [True, False])
def test_a_file_may_be_written_otherwise_than_it_declares(tmp_path: Path, implicit: bool) -> None:
    stack = cine(3, "uint16", 12)
    ds = dcmread(write_dicom(tmp_path / "x", stack, BitsStored=12, WindowCenter=2048, WindowWidth=4096))
    declared = ExplicitVRLittleEndian if implicit else ImplicitVRLittleEndian
    angiogram = read_angiogram(as_declared(tmp_path / "y", ds, declared, implicit))
    assert_array_equal(angiogram.frames, stack)
    assert angiogram.window == (2048, 4096)


@pytest.mark.filterwarnings("ignore:Expected (im|ex)plicit VR")
def test_so_may_a_compressed_one(tmp_path: Path) -> None:
    stack = cine(3)
    ds = dcmread(write_dicom(tmp_path / "x", stack, RLELossless))
    assert_array_equal(read_angiogram(as_declared(tmp_path / "y", ds, RLELossless, True)).frames, stack)


@pytest.fixture
def deflated(tmp_path: Path) -> tuple[Path, np.ndarray]:
    stack = cine(5, "uint16", 12)
    ds = dcmread(write_dicom(tmp_path / "x", stack, BitsStored=12, ImagerPixelSpacing=[0.2, 0.2]))
    return as_declared(tmp_path / "y.dcm", ds, DeflatedExplicitVRLittleEndian, False), stack


def test_a_deflated_file_is_read(deflated: tuple[Path, np.ndarray]) -> None:
    path, stack = deflated
    angiogram = read_angiogram(path)
    assert_array_equal(angiogram.frames, stack)
    assert_array_equal(angiogram.frames[3], stack[3])
    assert angiogram.spacing == (0.2, 0.2)
    assert patient_group(path, b"key") == patient_group(path.with_name("x"), b"key") is not None
    path.write_bytes(path.read_bytes()[:-200])
    assert "truncated" in sentence(path)


def test_a_deflated_file_is_inflated_within_bounds(
    deflated: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = deflated
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = b"".join([deflate.compress(bytes(1 << 24)) for _ in range(64)]) + deflate.flush()
    head = path.read_bytes()
    monkeypatch.setattr("vasomim_core.reading.dicom.data_set.MOST_INFLATED", 1 << 22)
    path.write_bytes(head[: head.index(b"1.2.840.10008.1.2.1.99") + 22] + bomb)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"deflated.*dcmconv"):
        read_angiogram(path)
    assert patient_group(path, b"key") is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 25


def test_what_is_refused_is_told_as_what_it_is(tmp_path: Path) -> None:
    ds = dcmread(write_dicom(tmp_path / "x", cine()))
    del ds.Rows
    ds.save_as(tmp_path / "y")
    assert "Rows is missing" in sentence(tmp_path / "y")
    text = sentence(write_dicom(tmp_path / "z", cine(), NumberOfFrames=99))
    assert "announces 99 frames" in text
    assert "truncated" not in text
    encapsulated = dcmread(write_dicom(tmp_path / "x", cine(), RLELossless))
    encapsulated.PixelData = encapsulate([b"\0" * 80] * 5)
    encapsulated.save_as(tmp_path / "w")
    assert re.search("cannot be decoded", sentence(tmp_path / "w"))
