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
from vasomim_core.reading import Frames, find_angiograms, read_angiogram


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
