"""Reading angiograms: every kind of file, lazily, and no name out of any header."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import traceback
import tracemalloc
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import compress, pixel_array
from pydicom.uid import (
    MPEG4HP41,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
    RLELossless,
    XRayAngiographicImageStorage,
    generate_uid,
)

from vasomim_core.errors import CodecError, InputError
from vasomim_core.reading import Frames, find_angiograms, patient_group, read_angiogram, to_uint8

# tifffile says so when it takes three frames for the planes of a colour image; that we do not is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:.*are stored as RGB:DeprecationWarning")

NAMING = {
    "PatientName": "Doeling^Janette",
    "PatientID": "ID-4711-XY",
    "PatientBirthDate": "19500102",
    "StudyDate": "20240203",
    "AcquisitionDateTime": "20240203101112",
    "InstitutionName": "Saint Elsewhere",
    "OperatorsName": "Nurse^Ratched",
    "ReferringPhysicianName": "House^Gregory",
    "StationName": "CATHLAB7",
    "AccessionNumber": "ACC998877",
}
GDCM_SYNTAXES = {
    "jpeg-lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "jpeg-2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "jpeg-ls": gdcm.TransferSyntax.JPEGLSLossless,
}


def cine(frames: int = 5, dtype: str = "uint8", bits: int = 8, shape: tuple[int, int] = (31, 17)) -> np.ndarray:
    low, high = (-(1 << bits - 1), 1 << bits - 1) if dtype.startswith("int") else (0, 1 << bits)
    return np.random.default_rng(0).integers(low, high, (frames, *shape)).astype(dtype)


def write_dicom(path: Path, frames: np.ndarray, syntax: str = ExplicitVRLittleEndian, **header: Any) -> Path:
    """Write grey frames (t, y, x) or colour frames (t, y, x, 3), with a header that names people."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = XRayAngiographicImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    colour = frames.ndim == 4
    ds.Rows, ds.Columns = frames.shape[1:3]
    ds.NumberOfFrames = len(frames)
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = 8 * frames.itemsize
    ds.PixelRepresentation = int(frames.dtype.kind == "i")
    for keyword, value in (NAMING | header).items():
        setattr(ds, keyword, value)
    if "HighBit" not in header:
        ds.HighBit = ds.BitsStored - 1
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data = frames.astype(frames.dtype.newbyteorder(order)).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OB" if frames.itemsize == 1 else "OW"
    if syntax == RLELossless:
        compress(ds, RLELossless, encoding_plugin="pydicom")
    ds.save_as(path, enforce_file_format=True)
    return path


def compress_with_gdcm(path: Path, syntax: int) -> Path:
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return path


def sentence(path: Path, kind: type[InputError] = InputError) -> str:
    """The one sentence that a person reads when `path` is opened and its frames are decoded."""
    with pytest.raises(kind) as caught:
        read_angiogram(path).frames[:]
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert text.endswith(".")
    shown = "".join(traceback.format_exception(caught.value))
    assert not [value for value in NAMING.values() if value in shown]
    return text


# --- stills --------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_a_still_keeps_its_values_and_type(tmp_path: Path, suffix: str, dtype: str) -> None:
    if suffix == ".png" and dtype in ("int16", "float32"):
        pytest.skip("PNG has no such type")
    frame = cine(1, dtype)[0]
    path = tmp_path / f"frame{suffix}"
    {".npy": np.save, ".tif": tifffile.imwrite}.get(suffix, lambda p, x: Image.fromarray(x).save(p))(path, frame)
    angiogram = read_angiogram(path)
    assert angiogram.frames.shape == (1, 31, 17)
    assert angiogram.frames[0].dtype == angiogram.frames.dtype == dtype
    assert_array_equal(angiogram.frames[0], frame)
    assert angiogram.source == path
    assert not angiogram.inverted


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGB", ".png"),
        ("RGBA", ".png"),
        ("RGB", ".jpg"),
        ("RGB", ".tif"),
        ("RGBA", ".tif"),
        ("P", ".png"),
        ("LA", ".png"),
        ("CMYK", ".jpg"),
    ],
)
def test_colour_is_one_frame_of_luminance_and_alpha_is_ignored(tmp_path: Path, mode: str, suffix: str) -> None:
    smooth = np.stack(np.broadcast_arrays(np.arange(40)[:, None] * 6, np.arange(24) * 9, 80), -1).astype(np.uint8)
    image = Image.fromarray(smooth).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(np.arange(960, dtype=np.uint8).reshape(40, 24)))
    image.save(tmp_path / f"x{suffix}", **({"quality": 98} if suffix == ".jpg" else {}))
    frames = read_angiogram(tmp_path / f"x{suffix}").frames
    assert frames.shape == (1, 40, 24)
    expected = np.asarray(image.convert("RGB")) @ [0.299, 0.587, 0.114]
    assert_allclose(frames[0], expected, atol=6 if suffix == ".jpg" else 1)


@pytest.mark.parametrize("shape", [(4096, 4096), (31, 17), (1, 1)])
def test_any_size_reads(tmp_path: Path, shape: tuple[int, int]) -> None:
    frame = np.arange(shape[0] * shape[1], dtype=np.uint32).astype(np.uint8).reshape(shape)
    Image.fromarray(frame).save(tmp_path / "x.png", compress_level=1)
    assert_array_equal(read_angiogram(tmp_path / "x.png").frames[0], frame)
    assert_array_equal(read_angiogram(write_dicom(tmp_path / "x.dcm", frame[None])).frames[0], frame)


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    frame = cine(1)[0]
    Image.fromarray(frame).save(tmp_path / "x", format="PNG")
    (tmp_path / "x").rename(tmp_path / "x.dcm")
    assert_array_equal(read_angiogram(tmp_path / "x.dcm").frames[0], frame)


# --- stacks --------------------------------------------------------------------------


def write_stack(path: Path, stack: np.ndarray, how: str) -> None:
    if how == "npy":
        with path.open("wb") as file:
            np.save(file, stack)
    elif how == "npy-fortran":
        with path.open("wb") as file:
            np.save(file, np.asfortranarray(stack))
    elif how == "pages":
        with tifffile.TiffWriter(path) as writer:
            for frame in stack:
                writer.write(frame, metadata=None, contiguous=False)
    elif how.startswith("tiff_"):
        first, *rest = map(Image.fromarray, stack)
        first.save(path, format="TIFF", save_all=True, append_images=rest, compression=how)
    else:
        options = {
            "plain": {},
            "big-endian": {"byteorder": ">"},
            "imagej": {"imagej": True},
            "bigtiff": {"bigtiff": True},
            "zlib": {"compression": "zlib"},
            "tiled": {"tile": (16, 16)},
        }[how]
        tifffile.imwrite(path, stack, **options)  # fmt: skip


STACKS = [
    "npy",
    "npy-fortran",
    "pages",
    "plain",
    "big-endian",
    "imagej",
    "bigtiff",
    "zlib",
    "tiled",
    "tiff_lzw",
]


@pytest.mark.parametrize("how", STACKS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_stack_is_t_y_x(tmp_path: Path, how: str, dtype: str, count: int) -> None:
    stack = cine(count, dtype, 8, (33, 29))
    write_stack(tmp_path / "stack", stack, how)
    frames = read_angiogram(tmp_path / "stack").frames
    assert (frames.shape, frames.dtype) == (stack.shape, stack.dtype)
    assert_array_equal(frames, stack)
    assert_array_equal(frames[count - 1], stack[-1])


def test_pages_in_colour_are_frames(tmp_path: Path) -> None:
    grey = cine(4)
    tifffile.imwrite(tmp_path / "x.tif", np.stack([grey] * 3, -1), photometric="rgb")
    assert_array_equal(read_angiogram(tmp_path / "x.tif").frames, grey)


def test_a_wide_colour_tiff_without_a_tag_is_one_frame(tmp_path: Path) -> None:
    grey = cine(1)[0]
    tifffile.imwrite(tmp_path / "x.tif", np.stack([grey] * 3, -1))
    assert_array_equal(read_angiogram(tmp_path / "x.tif").frames, grey[None])


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_white_is_zero_tiff_is_inverted(tmp_path: Path, compression: str | None) -> None:
    frame = cine(1)[0]
    Image.fromarray(frame).save(tmp_path / "x.tif", compression=compression, tiffinfo={262: 0})
    angiogram = read_angiogram(tmp_path / "x.tif")
    with Image.open(tmp_path / "x.tif") as image:
        assert angiogram.inverted
        assert_array_equal(angiogram.frames[0], np.asarray(image))


@given(hnp.basic_indices((5, 31, 17), allow_newaxis=False) | st.lists(st.integers(-5, 4)) | st.just(np.arange(5) > 2))
def test_indexing_is_numpys(key: Any) -> None:
    stack = cine(5)
    frames = Frames(stack.__getitem__, stack.shape, stack.dtype, Path("x"))
    key = np.array(key, dtype=int) if isinstance(key, list) else key
    assert_array_equal(frames[key], stack[key], strict=True)


def test_frames_are_an_array_for_others() -> None:
    stack = cine(5)
    frames = Frames(stack.__getitem__, stack.shape, stack.dtype, Path("x"))
    assert (len(frames), frames.ndim, frames.size) == (5, 3, stack.size)
    assert_array_equal(np.stack(list(frames)), stack)
    assert np.asarray(frames, dtype=np.float32).dtype == np.float32
    for wrong in (5, -6, (0, 0, 0, 0), (..., ...)):
        with pytest.raises(IndexError):
            frames[wrong]
    frames[0][:] = 0
    assert_array_equal(frames[0], stack[0])


def test_one_index_decodes_one_frame() -> None:
    stack, decoded = cine(5), []
    frames = Frames(lambda i: decoded.append(i) or stack[i], stack.shape, stack.dtype, Path("x"))  # type: ignore[func-returns-value]
    frames[3], frames[1:3, 4:, 2], next(iter(frames))
    assert decoded == [3, 1, 2, 0]


# --- DICOM ---------------------------------------------------------------------------


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


# --- what cannot be read -------------------------------------------------------------


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


def test_pages_of_different_sizes_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(cine(1)[0])
        writer.write(cine(1)[0, :9])
    assert "different sizes" in sentence(tmp_path / "x.tif")


# --- find_angiograms and to_uint8 ----------------------------------------------------


def test_find_angiograms(tmp_path: Path) -> None:
    for name in (
        "10.png",
        "2.png",
        "b/1.TIF",
        "a10/1.npy",
        "a9/1.jpg",
        ".hidden.png",
        ".cache/1.png",
        "notes.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    write_dicom(tmp_path / "IM0", cine())
    write_dicom(tmp_path / "DICOMDIR", cine())
    found = [p.relative_to(tmp_path).as_posix() for p in find_angiograms(tmp_path)]
    assert found == ["2.png", "10.png", "a9/1.jpg", "a10/1.npy", "b/1.TIF", "IM0"]
    assert find_angiograms(str(tmp_path / "2.png")) == [tmp_path / "2.png"]
    for wrong in (tmp_path / "notes.txt", tmp_path / "none", tmp_path / ".git"):
        with pytest.raises(InputError, match=re.escape(str(wrong))):
            find_angiograms(wrong)
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError, match="no angiogram"):
        find_angiograms(tmp_path / "void")


GREY = st.sampled_from([np.uint16, np.int16, np.float32])
PLANE = hnp.array_shapes(min_dims=2, max_dims=2)


@given(hnp.arrays(GREY, PLANE).filter(lambda x: np.isfinite(x).all()))
def test_to_uint8_keeps_the_order_and_spans_the_range(frame: np.ndarray) -> None:
    shown = to_uint8(frame)
    assert (shown.dtype, shown.shape) == (np.uint8, frame.shape)
    order = np.argsort(frame, axis=None)
    assert (np.diff(shown.ravel()[order].astype(int)) >= 0).all()
    if frame.min() == frame.max():
        assert not shown.any()
    else:
        assert (shown.min(), shown.max()) == (0, 255)


def test_to_uint8_leaves_uint8_alone() -> None:
    frame = np.full((3, 4), 77, np.uint8)
    assert_array_equal(to_uint8(frame, (10, 5)), frame)


def test_to_uint8_is_dicoms_linear_window() -> None:
    # PS3.3 C.11.2.1.2.1: ((x − (c − 0.5)) / (w − 1) + 0.5) · 255, clipped.
    x = np.arange(0, 4096, 7, dtype=np.uint16).reshape(1, -1)
    expected = np.clip(((x - (2048 - 0.5)) / (1000 - 1) + 0.5) * 255, 0, 255)
    assert_allclose(to_uint8(x, (2048, 1000)), expected, atol=0.5)
    assert_array_equal(to_uint8(np.array([[4, 5]], np.uint16), (5, 1)), [[0, 255]])


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((3, 3, 3)),
        np.zeros((0, 3)),
        np.full((3, 3), np.nan),
        np.full((3, 3), np.inf),
        np.zeros((3, 3), complex),
    ],
)
def test_to_uint8_refuses(frame: np.ndarray) -> None:
    with pytest.raises(InputError):
        to_uint8(frame)
    with pytest.raises(InputError, match="width"):
        to_uint8(np.zeros((3, 3)), (5, 0))


def test_real_frames_read_as_pillow_reads_them(arcade: Path) -> None:
    paths = find_angiograms(arcade / "val")
    assert len(paths) == 200
    for path in paths[::40]:
        with Image.open(path) as image:
            assert_array_equal(read_angiogram(path).frames[0], np.asarray(image.convert("L")))
    assert [p.stem for p in paths] == sorted((p.stem for p in paths), key=int)


def test_pydicom_agrees_on_a_whole_run(tmp_path: Path) -> None:
    path = compress_with_gdcm(
        write_dicom(tmp_path / "x", cine(4, "uint16", 12), BitsStored=12), GDCM_SYNTAXES["jpeg-2000"]
    )
    assert_array_equal(read_angiogram(path).frames, pixel_array(path))


@pytest.mark.parametrize("kind", ["tif", "npy", "dcm"])
def test_frames_of_a_file_that_has_changed_are_refused(tmp_path, kind):
    """A file that was replaced is another angiogram: its frames must not come under the name of the one on show."""
    one, two = np.full((3, 8, 9), 10, np.uint8), np.full((3, 8, 9), 200, np.uint8)
    path = tmp_path / f"run.{kind}"

    def write(frames):
        if kind == "tif":
            tifffile.imwrite(path, frames, photometric="minisblack")
        elif kind == "npy":
            np.save(path, frames)
        else:
            write_dicom(path, frames)
        os.utime(path, ns=(0, int(frames[0, 0, 0])))

    write(one)
    frames = read_angiogram(path).frames
    assert (frames[1] == 10).all()
    write(two)
    with pytest.raises(InputError, match="has changed since it was opened"):
        frames[1]
    assert (read_angiogram(path).frames[1] == 200).all()
