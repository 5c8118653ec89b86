"""The pixels of DICOM: every syntax and depth gives the frames that were written."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from tests.core.reading.files import (
    GDCM_SYNTAXES,
    cine,
    compress_with_gdcm,
    sentence,
    write_dicom,
)
from vasomim_core.reading import find_angiograms, read_angiogram

# tifffile says so when it takes three frames for the planes of a colour image; that we do not is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:.*are stored as RGB:DeprecationWarning")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
@pytest.mark.parametrize(
    ("dtype", "bits"), [("uint8", 8), ("uint16", 16), ("uint16", 10), ("int16", 16), ("int16", 12)]
)
@pytest.mark.parametrize("count", [1, 5])
def test_dicom_frames(tmp_path: Path, syntax: str, dtype: str, bits: int, count: int) -> None:
    stack = cine(count, dtype, bits)
    frames = read_angiogram(write_dicom(tmp_path / "x", stack, syntax, BitsStored=bits)).frames
    assert frames.dtype == dtype
    assert_array_equal(frames, stack)


@pytest.mark.parametrize("codec", GDCM_SYNTAXES)
@pytest.mark.parametrize(("dtype", "bits"), [("uint8", 8), ("uint16", 16), ("uint16", 12), ("int16", 16)])
@pytest.mark.parametrize("count", [1, 5])
def test_compressed_dicom_frames(tmp_path: Path, codec: str, dtype: str, bits: int, count: int) -> None:
    if codec == "jpeg-ls" and dtype == "int16":
        pytest.skip("gdcm's encoder refuses signed JPEG-LS")
    stack = cine(count, dtype, bits, (32, 17))
    path = compress_with_gdcm(write_dicom(tmp_path / "x", stack, BitsStored=bits), GDCM_SYNTAXES[codec])
    assert_array_equal(read_angiogram(path).frames, stack)


@pytest.mark.parametrize("table", ["basic", "extended", "none", "wrong"])
@pytest.mark.parametrize("fragments", [1, 3])
def test_frames_are_found_with_and_without_an_offset_table(tmp_path: Path, table: str, fragments: int) -> None:
    if fragments > 1 and table == "extended":
        pytest.skip("an extended offset table allows one fragment per frame")
    stack = cine(6, shape=(64, 64))
    path = compress_with_gdcm(write_dicom(tmp_path / "x", stack), GDCM_SYNTAXES["jpeg-lossless"])
    ds = dcmread(path)
    codes = list(generate_frames(ds.PixelData, number_of_frames=6))
    data = encapsulate(codes, fragments_per_frame=fragments, has_bot=table == "basic")
    if table == "wrong":  # a table with the first frame's offset only
        data = data[:4] + b"\4\0\0\0" + b"\0\0\0\0" + data[8:]
    ds.PixelData = data
    if table == "extended":
        sizes = [len(code) + len(code) % 2 for code in codes]
        ds.ExtendedOffsetTable = np.cumsum([0, *(n + 8 for n in sizes[:-1])]).astype("<u8").tobytes()
        ds.ExtendedOffsetTableLengths = np.array(sizes, "<u8").tobytes()
    ds.save_as(path)
    if table == "wrong" and fragments > 1:
        sentence(path)
    else:
        assert_array_equal(read_angiogram(path).frames[4], stack[4])


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("dtype", "bits", "total"),
    [("uint8", 8, 255), ("uint16", 12, 4095), ("int16", 16, -1), ("int16", 12, -1)],
)
def test_monochrome1_is_inverted_within_its_stored_bits(
    tmp_path: Path, dtype: str, bits: int, total: int, compressed: bool
) -> None:
    stack = cine(3, dtype, bits)
    path = write_dicom(tmp_path / "x", stack, PhotometricInterpretation="MONOCHROME1", BitsStored=bits)
    if compressed and not (dtype == "int16" and bits == 12):
        compress_with_gdcm(path, GDCM_SYNTAXES["jpeg-lossless"])
    angiogram = read_angiogram(path)
    assert angiogram.inverted
    assert angiogram.frames.dtype == dtype
    assert_array_equal(angiogram.frames, total - stack.astype(int))


def test_bits_above_and_below_the_stored_ones_are_dropped(tmp_path: Path) -> None:
    stack = cine(2, "uint16", 10)
    path = write_dicom(
        tmp_path / "high", (stack << 4) | 0b1000_0000_0000_1111 & ~0x8000 | 0x8000, BitsStored=10, HighBit=13
    )
    assert_array_equal(read_angiogram(path).frames, stack)
    path = write_dicom(tmp_path / "overlay", stack | 0x8000, BitsStored=10)
    assert_array_equal(read_angiogram(path).frames, stack)


def test_rescale_gives_float32(tmp_path: Path) -> None:
    stack = cine(2, "uint16", 12)
    frames = read_angiogram(write_dicom(tmp_path / "x", stack, RescaleSlope=0.5, RescaleIntercept=-7)).frames
    assert frames.dtype == np.float32
    assert_allclose(frames, stack * 0.5 - 7)
    same = read_angiogram(write_dicom(tmp_path / "y", stack, RescaleSlope=1, RescaleIntercept=0)).frames
    assert same.dtype == np.uint16


def test_colour_dicom_becomes_luminance(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (2, 20, 30, 3), np.uint8)
    frames = read_angiogram(write_dicom(tmp_path / "x", colour)).frames
    assert_allclose(frames, colour @ [0.299, 0.587, 0.114], atol=0.5)


@pytest.mark.parametrize("preamble", [True, False])
def test_dicom_without_extension_or_without_preamble(tmp_path: Path, preamble: bool) -> None:
    stack = cine()
    path = write_dicom(tmp_path / "IM_0001.1.2", stack)
    if not preamble:
        ds = dcmread(path)
        del ds.preamble
        ds.file_meta = FileMetaDataset()
        path = tmp_path / "bare.dcm"
        ds.save_as(path, enforce_file_format=False, implicit_vr=True, little_endian=True)
    assert_array_equal(read_angiogram(path).frames, stack)
    assert path in find_angiograms(tmp_path)


@pytest.mark.parametrize("codec", [None, "jpeg-lossless"])
def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path, codec: str | None) -> None:
    peaks = []
    for count in (10, 80):
        path = write_dicom(tmp_path / f"{count}", cine(count, shape=(128, 128)))
        if codec:
            compress_with_gdcm(path, GDCM_SYNTAXES[codec])
        read_angiogram(path).frames[0]
        tracemalloc.start()
        for _ in read_angiogram(path).frames:
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2 * 128 * 128


def test_pydicom_agrees_on_a_whole_run(tmp_path: Path) -> None:
    path = compress_with_gdcm(
        write_dicom(tmp_path / "x", cine(4, "uint16", 12), BitsStored=12), GDCM_SYNTAXES["jpeg-2000"]
    )
    assert_array_equal(read_angiogram(path).frames, pixel_array(path))
