"""PNG, JPEG, BMP, PGM and NPY: upright, whatever else is in the file, and one frame where one is meant."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageOps, PngImagePlugin

from tests.core.reading.files import (
    cine,
)
from vasomim_core.errors import InputError
from vasomim_core.reading import read_angiogram, to_grey

FRAME = np.random.default_rng(0).integers(0, 256, (31, 17), np.uint8)
SMOOTH = np.stack(np.broadcast_arrays(np.arange(40)[:, None] * 6, np.arange(24) * 9, 80), -1).astype(np.uint8)


def read(path: Path) -> np.ndarray:
    return read_angiogram(path).frames[0]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x{suffix}"
    Image.fromarray(FRAME).save(path, exif=exif)
    with Image.open(path) as image:
        shown = np.asarray(ImageOps.exif_transpose(image))
    assert read_angiogram(path).frames.shape == (1, *shown.shape)
    assert_array_equal(read(path), shown)


def test_an_orientation_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    Image.fromarray(FRAME).save(tmp_path / "x.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken")
    assert_array_equal(read(tmp_path / "x.png"), FRAME)


def test_texts_and_profiles_of_any_size_do_not_keep_a_png_from_being_read(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "a" * (2 << 20), zip=True)
    text.add_itxt("XML:com.adobe.xmp", "b" * (3 << 20))
    Image.fromarray(FRAME).save(path, pnginfo=text)
    assert_array_equal(read(path), FRAME)
    Image.fromarray(FRAME).save(path, icc_profile=bytes(3 << 20))
    assert_array_equal(read(path), FRAME)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_of_every_mode(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(FRAME.astype(np.uint16) * 200)
        expected = FRAME.astype(np.uint16) * 200
    else:
        image = Image.fromarray(SMOOTH).convert(mode)
        expected = to_grey(np.asarray(image.convert("RGB")))
    image.save(tmp_path / "x.png")
    assert_array_equal(read(tmp_path / "x.png"), expected)


def test_alpha_is_left_out_or_read_alone(tmp_path: Path) -> None:
    alpha = np.arange(960, dtype=np.uint8).reshape(40, 24)
    for mode in ("LA", "RGBA"):
        image = Image.fromarray(SMOOTH).convert(mode)
        image.putalpha(Image.fromarray(alpha))
        image.save(tmp_path / "x.png")
        assert read_angiogram(tmp_path / "x.png").has_alpha
        assert_array_equal(read_angiogram(tmp_path / "x.png", alpha=True).frames[0], alpha)
    Image.fromarray(SMOOTH).quantize(4).save(tmp_path / "x.png", transparency=0)
    assert set(np.unique(read_angiogram(tmp_path / "x.png", alpha=True).frames[0])) == {0, 255}
    Image.fromarray(SMOOTH).save(tmp_path / "x.png")
    assert not read_angiogram(tmp_path / "x.png").has_alpha
    with pytest.raises(InputError, match="no alpha channel"):
        read_angiogram(tmp_path / "x.png", alpha=True)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(SMOOTH).convert(mode)
    image.save(tmp_path / "x.bmp")
    assert_array_equal(read(tmp_path / "x.bmp"), to_grey(np.asarray(image.convert("RGB"))))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.pgm", b"P5 3 2 255\n\x00\x01\x02\xfd\xfe\xff", np.array([[0, 1, 2], [253, 254, 255]], np.uint8)),
        ("b.pgm", b"P2\n# drawn by hand\n3 2\n255\n0 1 2\n253 254 255\n", np.array([[0, 1, 2], [253, 254, 255]])),
        ("c.pgm", b"P5 2 1 65535\n\x01\x00\xff\xfe", np.array([[256, 65534]], np.uint16)),
        ("d.pbm", b"P1 3 1\n1 0 1\n", np.array([[0, 255, 0]], np.uint8)),
        ("e.ppm", b"P6 1 1 255\n\x0a\x14\x1e", np.array([[18]], np.uint8)),
    ],
)
def test_pgm_and_its_kin(tmp_path: Path, name: str, content: bytes, expected: np.ndarray) -> None:
    (tmp_path / name).write_bytes(content)
    assert_array_equal(read(tmp_path / name), expected)


def test_texts_that_begin_like_a_picture_are_none(tmp_path: Path) -> None:
    for content in (b"BM is what the operator wrote, and more.", b"P5ychology is no picture.", b"P7 \n"):
        (tmp_path / "x.txt").write_bytes(content)
        with pytest.raises(InputError, match="unknown kind"):
            read_angiogram(tmp_path / "x.txt")


def test_a_still_saved_with_its_channels_is_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, FRAME[..., np.newaxis])
    assert_array_equal(read_angiogram(path).frames, FRAME[np.newaxis])
    np.save(path, np.stack([FRAME, 255 - FRAME], -1))
    assert_array_equal(read_angiogram(path).frames, FRAME[np.newaxis])
    assert_array_equal(read_angiogram(path, alpha=True).frames, 255 - FRAME[np.newaxis])
    for count in (1, 3):
        np.save(path, np.stack([FRAME] * count))
        assert_array_equal(read_angiogram(path).frames, np.stack([FRAME] * count))


@pytest.mark.parametrize("shape", [(3, 40, 1), (1, 40, 2), (4, 1, 1), (40, 30, 3), (40, 30, 4), (2, 3, 4, 5)])
def test_an_array_that_may_be_two_things_is_refused_with_the_way_to_say_it(tmp_path: Path, shape: tuple) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match=r"\(y, x\).*\(t, y, x\)"):
        read_angiogram(tmp_path / "x.npy")


def jpeg_of_12_bits() -> bytes:
    start = b"\xff\xd8" + b"\xff\xc1" + struct.pack(">HBHHB3B", 11, 12, 16, 16, 1, 1, 0x11, 0)
    return start + b"\xff\xda" + struct.pack(">H6B", 8, 1, 1, 0, 0, 63, 0) + bytes(20) + b"\xff\xd9"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rare.jpg", jpeg_of_12_bits(), "12 bits.*convert it to PNG"),
        ("objects.npy", None, "Python objects"),
        ("cut.npy", None, "is truncated"),
        ("cut.png", None, "is truncated"),
        ("odd.png", None, "cannot be decoded"),
    ],
)
def test_what_is_refused_is_told_as_what_it_is(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    path = tmp_path / name
    if name == "objects.npy":
        np.save(path, np.array([{"a": 1}]), allow_pickle=True)
    elif name == "cut.npy":
        np.save(path, FRAME)
        content = path.read_bytes()[:-9]
    elif name == "cut.png":
        Image.fromarray(FRAME).save(path)
        content = path.read_bytes()[:200]
    elif name == "odd.png":
        Image.fromarray(FRAME).save(path)
        content = path.read_bytes().replace(b"IDAT", b"tEXt")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read(path)
    assert ("truncated" in str(caught.value)) == ("truncated" in says)


def announcing(rows: int, columns: int) -> bytes:
    """A PNG of 16 bits that announces a size, and has no pixels."""
    header = struct.pack(">IIBBBBB", columns, rows, 16, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def test_a_frame_too_large_is_refused_before_its_memory_is_taken(tmp_path: Path) -> None:
    side = 8193
    (tmp_path / "x.png").write_bytes(announcing(side, side))
    (tmp_path / "x.pgm").write_bytes(b"P5 %d %d 255\n" % (side, side))
    (tmp_path / "x.bmp").write_bytes(b"")
    Image.new("1", (8, 8)).save(tmp_path / "x.bmp")
    data = bytearray((tmp_path / "x.bmp").read_bytes())
    data[18:26] = struct.pack("<ii", side, side)
    (tmp_path / "x.bmp").write_bytes(data)
    for name in ("x.png", "x.pgm", "x.bmp"):
        with pytest.raises(InputError, match="beyond the limit of 33,554,432"):
            read_angiogram(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(InputError, match="pipe"):
        read_angiogram(tmp_path / "x.png")


def test_a_colour_jpeg_is_the_luminance_of_what_pillow_decodes(tmp_path: Path) -> None:
    for mode in ("RGB", "CMYK", "L"):
        Image.fromarray(SMOOTH).convert(mode).save(tmp_path / "x.jpg")
        with Image.open(tmp_path / "x.jpg") as image:
            assert_allclose(read(tmp_path / "x.jpg"), to_grey(np.asarray(image.convert("RGB"))))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16"])
def test_a_netpbm_file_of_several_pictures_is_refused(tmp_path, dtype):
    """Pillow reads the first and says nothing of the others."""
    frame = (np.arange(35).reshape(5, 7) % 2).astype(dtype)
    Image.fromarray(frame).save(tmp_path / "one.ppm", "PPM")
    one = (tmp_path / "one.ppm").read_bytes()
    assert read_angiogram(tmp_path / "one.ppm").frames.shape == (1, 5, 7)
    (tmp_path / "two.pgm").write_bytes(one + one)
    with pytest.raises(InputError, match="holds several pictures"):
        read_angiogram(tmp_path / "two.pgm")


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
