"""Runs in one file: every way to write a stack is (t, y, x)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image

from tests.core.reading.files import (
    STACKS,
    cine,
    sentence,
    write_stack,
)
from vasomim_core.reading import read_angiogram

# tifffile says so when it takes three frames for the planes of a colour image; that we do not is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:.*are stored as RGB:DeprecationWarning")


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


def test_pages_of_different_sizes_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(cine(1)[0])
        writer.write(cine(1)[0, :9])
    assert "different sizes" in sentence(tmp_path / "x.tif")
