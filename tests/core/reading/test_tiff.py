"""TIFF in every encoding and photometric interpretation: as Pillow and tifffile, which are independent, show it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageOps

from vasomim_core.errors import CodecError, InputError
from vasomim_core.reading import read_angiogram, to_grey

SMOOTH = np.stack(np.broadcast_arrays(np.arange(40)[:, None] * 6, np.arange(24) * 9, 80), -1).astype(np.uint8)
ENCODINGS = [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"]
LSB_FIRST = 2


def photometric(name: str) -> tuple[Image.Image, dict[int, Any]]:
    """A picture in one of Pillow's modes, and the tags that it needs."""
    tags: dict[int, Any] = {}
    if name == "white is zero":
        name, tags = "L", {262: 0}
    if name == "indexed":
        return Image.fromarray(SMOOTH).quantize(64), tags
    if name == "indexed grey":  # as ImageJ and scanners write grey pictures, with the levels in the map
        image = Image.fromarray(SMOOTH[..., 0]).copy()
        image.putpalette([level for i in range(256) for level in (255 - i,) * 3])
        return image, tags
    return Image.fromarray(SMOOTH).convert(name), tags


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "name", ["1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "indexed", "indexed grey", "white is zero"]
)
def test_every_encoding_of_every_photometric_interpretation_is_one_picture(
    tmp_path: Path, name: str, encoding: str | None
) -> None:
    image, tags = photometric(name)
    image.save(tmp_path / "x.tif", compression=encoding, tiffinfo=tags)
    with Image.open(tmp_path / "x.tif") as stored:
        shown = np.asarray(stored.convert("RGB"))
    frames = read_angiogram(tmp_path / "x.tif").frames
    assert_array_equal(frames[0], to_grey(shown))
    assert frames.shape == (1, 40, 24)


@pytest.mark.parametrize("encoding", [None, "zlib", "tiff_lzw"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_every_type_in_every_encoding(tmp_path: Path, dtype: str, encoding: str | None, byteorder: str) -> None:
    info = np.iinfo(dtype) if not dtype.startswith("f") else np.iinfo(np.int16)
    frame = np.linspace(info.min, info.max, 40 * 24).astype(dtype).reshape(40, 24)
    path = tmp_path / "x.tif"
    if encoding == "tiff_lzw":
        if dtype in ("int8", "int16", "uint32") or byteorder == ">":
            pytest.skip("Pillow does not write it")
        Image.fromarray(frame).save(path, compression=encoding)
    else:
        tifffile.imwrite(path, frame, compression=encoding, byteorder=byteorder)
    assert_allclose(read_angiogram(path).frames[0], to_grey(frame))


@pytest.mark.parametrize("encoding", [None, "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_upright(tmp_path: Path, orientation: int, encoding: str | None) -> None:
    frame = np.arange(40 * 24, dtype=np.uint16).reshape(40, 24)
    image = Image.fromarray(frame)
    image.save(tmp_path / "x.tif", compression=encoding, tiffinfo={274: orientation})
    image.getexif()[274] = orientation
    frames = read_angiogram(tmp_path / "x.tif").frames
    assert_array_equal(frames[0], np.asarray(ImageOps.exif_transpose(image)))


def test_pages_written_one_by_one_are_frames_in_their_order(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (5, 31, 17), np.uint8)
    for number, options in enumerate(
        (
            [{}] * 5,  # each announces itself as a whole picture
            [{"compression": "zlib"}, {}, {"compression": "zlib"}, {}, {}],
            [{"description": f"frame {i}", "metadata": None, "resolution": (i + 1, 1)} for i in range(5)],
            [{"rowsperstrip": 3 + i, "metadata": None} for i in range(5)],
        )
    ):
        path = tmp_path / f"{number}.tif"
        for frame, option in zip(stack, options, strict=True):
            tifffile.imwrite(path, frame, append=True, **option)
        assert_array_equal(read_angiogram(path).frames, stack)


def test_pillow_and_opencv_runs_are_frames(tmp_path: Path) -> None:
    import cv2

    stack = np.random.default_rng(0).integers(0, 255, (4, 31, 17), np.uint8)
    cv2.imwritemulti(str(tmp_path / "a.tif"), list(stack))
    first, *rest = (Image.fromarray(frame).quantize(256) for frame in stack)
    first.save(tmp_path / "b.tif", save_all=True, append_images=rest)
    assert_array_equal(read_angiogram(tmp_path / "a.tif").frames, stack)
    assert_array_equal(read_angiogram(tmp_path / "b.tif").frames, stack)


def test_an_indexed_run_behind_one_page(tmp_path: Path) -> None:
    indices = np.random.default_rng(0).integers(0, 255, (4, 31, 17), np.uint8)
    colours = np.stack([np.arange(255, -1, -1, dtype=np.uint16) * 257] * 3)
    tifffile.imwrite(tmp_path / "x.tif", indices, photometric="palette", colormap=colours)
    assert_array_equal(read_angiogram(tmp_path / "x.tif").frames, 255 - indices)


def test_the_first_bit_may_be_last(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).random((40, 24)) < 0.5
    Image.fromarray(bits).save(tmp_path / "x.tif")
    data = tmp_path.joinpath("x.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "x.tif") as tif:
        (start,), (size,) = tif.pages[0].dataoffsets, tif.pages[0].databytecounts
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data[start : start + size])
    image = Image.fromarray(bits)
    image.save(tmp_path / "x.tif", tiffinfo={266: LSB_FIRST})
    data = bytearray(tmp_path.joinpath("x.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "x.tif") as tif:
        (start,), (size,) = tif.pages[0].dataoffsets, tif.pages[0].databytecounts
        assert tif.pages[0].fillorder == LSB_FIRST
    data[start : start + size] = turned
    tmp_path.joinpath("x.tif").write_bytes(data)
    assert_array_equal(read_angiogram(tmp_path / "x.tif").frames[0] > 0, bits)


@pytest.mark.parametrize("encoding", [None, "zlib"])
def test_alpha_is_left_out_or_read_alone(tmp_path: Path, encoding: str | None) -> None:
    rng = np.random.default_rng(0)
    for photometric, samples in (("rgb", 4), ("minisblack", 2)):
        pixels = rng.integers(0, 255, (2, 31, 17, samples), np.uint8)
        tifffile.imwrite(
            tmp_path / "x.tif", pixels, photometric=photometric, extrasamples=["unassalpha"], compression=encoding
        )
        angiogram = read_angiogram(tmp_path / "x.tif")
        assert angiogram.has_alpha
        assert_array_equal(angiogram.frames[1], to_grey(pixels[1]))
        assert_array_equal(read_angiogram(tmp_path / "x.tif", alpha=True).frames, pixels[..., -1])


def test_what_is_not_read_is_told_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(SMOOTH).convert("RGB").save(path)
    tifffile.imwrite(path, SMOOTH, photometric="cielab")
    with pytest.raises(InputError, match=r"stores its pixels as CIELAB"):
        read_angiogram(path)
    tifffile.imwrite(path, np.zeros((31, 17, 6), np.uint8), photometric="minisblack", planarconfig="contig")
    with pytest.raises(InputError, match="neither grey"):
        read_angiogram(path).frames[0]
    tifffile.imwrite(path, SMOOTH[..., 0])
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        place = tif.pages[0].tags["Compression"].valueoffset
    data[place : place + 2] = (50002).to_bytes(2, "little")  # JPEG XL
    path.write_bytes(data)
    with pytest.raises(CodecError, match=r"JPEGXL.*imagecodecs"):
        read_angiogram(path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("bigtiff", [False, True])
def test_pages_that_lead_back_to_an_earlier_one_end_in_a_sentence(tmp_path: Path, bigtiff: bool) -> None:
    path = tmp_path / "x.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        for _ in range(3):
            writer.write(SMOOTH[..., 0], metadata=None, contiguous=False)
    with tifffile.TiffFile(path) as tif:
        first, last = tif.pages[1].offset, tif.pages[2].offset
        (tags,) = struct.unpack(tif.tiff.tagnoformat, path.read_bytes()[last : last + tif.tiff.tagnosize])
        link = last + tif.tiff.tagnosize + tags * tif.tiff.tagsize
        data = bytearray(path.read_bytes())
        data[link : link + tif.tiff.offsetsize] = first.to_bytes(tif.tiff.offsetsize, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="lead back"):
        read_angiogram(path)
