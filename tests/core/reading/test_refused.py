"""What cannot be read ends in one sentence, and takes neither memory nor process with it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    MPEG4HP41,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEGExtended12Bit,
    RLELossless,
)

from tests.core.reading.files import (
    GDCM_SYNTAXES,
    STACKS,
    cine,
    compress_with_gdcm,
    sentence,
    write_dicom,
    write_stack,
)
from vasomim_core.errors import CodecError, InputError
from vasomim_core.reading import read_angiogram

# tifffile says so when it takes three frames for the planes of a colour image; that we do not is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:.*are stored as RGB:DeprecationWarning")


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    assert "does not exist" in sentence(tmp_path / "none.png")
    assert "is a folder" in sentence(tmp_path)
    (tmp_path / "empty.png").touch()
    assert "is empty" in sentence(tmp_path / "empty.png")
    for name in ("foreign.txt", "foreign.png", "foreign"):
        (tmp_path / name).write_text("Vessels, but only in words. " * 20)
        assert "unknown kind" in sentence(tmp_path / name)
    (tmp_path / "foreign.dcm").write_text("Vessels, but only in words. " * 20)
    sentence(tmp_path / "foreign.dcm")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
@pytest.mark.parametrize("kind", ["png", "jpg", *STACKS, "raw", "rle", *GDCM_SYNTAXES])
def test_truncated_files_are_refused(tmp_path: Path, kind: str, share: float) -> None:
    stack, path = cine(5, shape=(64, 64)), tmp_path / "x"
    if kind in ("png", "jpg"):
        Image.fromarray(stack[0]).save(path, format={"png": "PNG", "jpg": "JPEG"}[kind])
    elif kind in STACKS:
        write_stack(path, stack, kind)
    else:
        write_dicom(path, stack, RLELossless if kind == "rle" else ExplicitVRLittleEndian)
        if kind in GDCM_SYNTAXES:
            compress_with_gdcm(path, GDCM_SYNTAXES[kind])
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    sentence(path)


@pytest.mark.parametrize("codec", GDCM_SYNTAXES)
@pytest.mark.parametrize("place", [-1, 6, 7, 8, 9, 10, 11, 15, 42])
def test_damaged_codestreams_are_refused(tmp_path: Path, codec: str, place: int) -> None:
    path = compress_with_gdcm(write_dicom(tmp_path / "x", cine(5, "uint16", 16, (64, 64))), GDCM_SYNTAXES[codec])
    ds = dcmread(path)
    codes = [bytearray(code) for code in generate_frames(ds.PixelData, number_of_frames=5)]
    if place < 0:
        del codes[3][20:]
    else:
        codes[3][place] ^= 0x7F  # in the codestream's own header, where it upsets decoders in C most
    ds.PixelData = encapsulate([bytes(code) for code in codes])
    ds.save_as(path)
    frames = read_angiogram(path).frames
    assert len(frames[2]) == 64
    if place < 0:
        assert "Frame 3" in sentence(path)
    else:  # some of these the decoder reads over: what counts is that the process lives to tell
        with contextlib.suppress(InputError):
            assert frames[3].shape == (64, 64)


def test_unknown_codecs_name_the_syntax_and_the_package(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x", cine())
    for syntax, words in {
        HTJ2KLossless: ["High-Throughput JPEG 2000", HTJ2KLossless, "pylibjpeg-openjpeg"],
        MPEG4HP41: ["MPEG-4", MPEG4HP41, "python-gdcm"],
        "1.2.3.4": ["1.2.3.4", "python-gdcm"],
    }.items():
        ds = dcmread(path)
        ds.file_meta.TransferSyntaxUID = syntax
        ds.PixelData = encapsulate([b"\0\0"] * 5)
        ds["PixelData"].VR = "OB"
        ds.save_as(tmp_path / "y", implicit_vr=False, little_endian=True)
        text = sentence(tmp_path / "y", CodecError)
        assert all(word in text for word in words)
    ds.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.save_as(tmp_path / "y", implicit_vr=False, little_endian=True)
    assert "12 bits" in sentence(tmp_path / "y", CodecError)


def test_a_missing_decoder_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compress_with_gdcm(write_dicom(tmp_path / "x", cine()), GDCM_SYNTAXES["jpeg-lossless"])
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    text = sentence(path, CodecError)
    assert "JPEG Lossless" in text
    assert "python-gdcm" in text


def test_dicom_without_an_image_says_so(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x", cine())
    ds = dcmread(path)
    del ds.PixelData
    ds.save_as(path)
    assert "holds no image" in sentence(path)


@pytest.mark.parametrize(
    "header",
    [
        {"Rows": 0},
        {"NumberOfFrames": 99},
        {"PhotometricInterpretation": "PALETTE COLOR"},
        {"BitsAllocated": 12},
    ],
)
def test_impossible_headers_are_refused(tmp_path: Path, header: dict[str, Any]) -> None:
    sentence(write_dicom(tmp_path / "x", cine(), **header))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_frames_that_are_not_finite_are_refused(tmp_path: Path, suffix: str, value: float) -> None:
    stack = cine(3).astype(np.float32)
    stack[1, 2, 3] = value
    path = tmp_path / f"x{suffix}"
    (np.save if suffix == ".npy" else tifffile.imwrite)(path, stack)
    assert "Frame 1" in sentence(path)
    assert "not finite" in sentence(path)
    assert np.isfinite(read_angiogram(path).frames[2]).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 5)),
        np.zeros((3, 0, 5)),
        np.zeros(9),
        np.zeros((2, 2, 2, 2)),
        np.zeros((9, 9), complex),
        np.zeros((9, 9, 3)),
        np.array([{"a": 1}]),
    ],
    ids=["zero", "zero-width", "1-D", "4-D", "complex", "colour", "objects"],
)
def test_arrays_that_are_no_angiogram_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", array)
    sentence(tmp_path / "x.npy")


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(cine(1)[0]).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert "pixels" in sentence(tmp_path / "x.png")
    np.save(tmp_path / "x.npy", cine(2))
    monkeypatch.setattr("vasomim_core.reading.angiogram.MAX_PIXELS", 31 * 17 - 1)
    assert "beyond the limit" in sentence(tmp_path / "x.npy")
    assert "beyond the limit" in sentence(write_dicom(tmp_path / "x.dcm", cine()))
