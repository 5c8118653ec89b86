"""Frames on the disk as an array: any of them alone, as the file was when it was opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from PIL import Image

from tests.core.reading.files import (
    cine,
    write_dicom,
)
from vasomim_core.errors import InputError
from vasomim_core.reading import Angiogram, Frames, GreyLevels, find_angiograms, read_angiogram
from vasomim_core.reading.angiogram import check_size


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


def test_real_frames_read_as_pillow_reads_them(arcade: Path) -> None:
    paths = find_angiograms(arcade / "val")
    assert len(paths) == 200
    for path in paths[::40]:
        with Image.open(path) as image:
            assert_array_equal(read_angiogram(path).frames[0], np.asarray(image.convert("L")))
    assert [p.stem for p in paths] == sorted((p.stem for p in paths), key=int)


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


def made(stack: np.ndarray, path: Path = Path("x"), **more: Any) -> Frames:
    return Frames(stack.__getitem__, stack.shape, stack.dtype, path, **more)


def test_a_frame_has_a_pixel_and_no_more_than_a_laptop_survives() -> None:
    for rows, columns in ((1, 1), (1, 33_554_432), (8192, 4096)):
        check_size(Path("x"), rows, columns)
    for rows, columns in ((0, 5), (5, 0), (1, 33_554_433), (8193, 4096)):
        with pytest.raises(InputError):
            check_size(Path("x"), rows, columns)


def test_what_holds_no_frames_is_refused() -> None:
    with pytest.raises(InputError, match="holds no frames"):
        made(np.zeros((0, 4, 5), np.uint8))
    with pytest.raises(InputError, match="holds no pixels"):
        made(np.zeros((1, 0, 5), np.uint8))
    with pytest.raises(InputError, match="x cannot be used"):
        made(np.zeros((1, 4, 5), complex))


def test_frames_that_are_in_memory_do_not_mind_the_file(tmp_path: Path) -> None:
    stack, path = cine(2), tmp_path / "x"
    path.write_bytes(b"one")
    kept, read = made(stack, path), made(stack, path, from_file=True)
    assert_array_equal(read[1], stack[1])
    path.write_bytes(b"another")
    assert_array_equal(kept[1], stack[1])
    with pytest.raises(InputError, match="has changed"):
        read[1]


def test_an_array_of_frames_is_a_copy() -> None:
    frames = made(cine(2))
    assert np.asarray(frames).dtype == frames.dtype
    assert_array_equal(frames.__array__(copy=True), cine(2))
    with pytest.raises(ValueError, match="always a copy"):
        frames.__array__(copy=False)


@pytest.mark.parametrize("level", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(level: float) -> None:
    stack = np.ones((2, 3, 4), np.float32)
    stack[1, 2, 3] = level
    assert made(stack)[0].all()
    with pytest.raises(InputError, match="Frame 1 of x has values that are not finite"):
        made(stack)[1]


def test_why_a_frame_is_not_there_is_said_without_what_was_read() -> None:
    def fail(error: Exception) -> Frames:
        def read(index: int) -> np.ndarray:
            raise error

        return Frames(read, (1, 2, 2), np.uint8, Path("x"))

    for error, words in (
        (InputError("own words"), "own words"),
        (MemoryError(), "needs more memory"),
        (ValueError("Jane Doe"), "cannot be decoded"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            fail(error)[0]
        assert "Jane" not in str(caught.value)
    with pytest.raises(InputError, match="another size"):
        Frames(lambda _: np.zeros((2, 3), np.uint8), (1, 2, 2), np.uint8, Path("x"))[0]


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_the_first_middle_and_last_frame_say_whether_a_window_hides(count: int) -> None:
    decoded: list[int] = []
    stack = np.full((count, 4, 4), 1000, np.uint16)
    frames = Frames(lambda i: decoded.append(i) or stack[i], stack.shape, stack.dtype, Path("x"))  # type: ignore[func-returns-value]
    angiogram = Angiogram(frames, Path("x"), stated_window=(1000, 50))
    assert angiogram.window == (1000, 50)
    assert angiogram.notes == ()
    assert decoded == sorted({0, count // 2, count - 1})
    assert Angiogram(made(stack), Path("x"), stated_window=(128, 256)).window is None
    assert Angiogram(made(stack), Path("x")).window is None


@pytest.mark.parametrize(("broken", "window"), [({0}, None), ({1}, None), ({0, 1, 2}, (128, 256))])
def test_what_cannot_be_decoded_says_nothing_of_a_window(broken: set[int], window: Any) -> None:
    def read(index: int) -> np.ndarray:
        if index in broken:
            raise ValueError
        return np.full((4, 4), 1000, np.uint16)

    angiogram = Angiogram(Frames(read, (3, 4, 4), np.uint16, Path("x")), Path("x"), stated_window=(128, 256))
    assert angiogram.window == window
    assert [("centre 128, width 256" in note) for note in angiogram.notes] == ([True] if window is None else [])


def test_of_an_angiogram_nothing_is_known_that_its_file_does_not_say() -> None:
    plain = Angiogram(made(cine(1)), Path("x"))
    known = (plain.spacing, plain.frame_time_ms, plain.angles, plain.stated_window, plain.inverted, plain.has_alpha)
    assert known == (None, None, None, None, False, False)
    assert GreyLevels() == GreyLevels(None, False)
    assert repr(plain.frames) == f"Frames(shape={plain.frames.shape}, dtype={plain.frames.dtype})"
