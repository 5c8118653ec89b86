"""How a frame is seen: one choice for the engine and for label sets, from a file as from pixels in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from tests.core.reading.files import cine, write_dicom
from vasomim_core.errors import InputError
from vasomim_core.reading import Angiogram, Frames, GreyLevels, read_angiogram, to_grey, to_uint8

PIXELS = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16, np.int16, np.float32, bool]), st.tuples(*[st.integers(2, 6)] * 2)
).filter(lambda x: np.isfinite(x).all())
WINDOWS = st.none() | st.tuples(st.floats(-1e4, 1e4), st.floats(1, 1e4))


@given(PIXELS, WINDOWS, st.booleans())
def test_the_engine_sees_bytes_and_a_label_set_keeps_what_needs_no_window(pixels, window, bright) -> None:
    levels = GreyLevels(window, bright)
    grey, stored = levels.grey(pixels), levels.stored(pixels)
    shown = to_uint8(to_grey(pixels), window)
    assert_array_equal(grey, 255 - shown if bright else shown, strict=True)
    if window is None and pixels.dtype in (np.uint8, np.uint16):
        assert_array_equal(stored, np.iinfo(pixels.dtype).max - pixels if bright else pixels, strict=True)
    else:
        assert_array_equal(stored, grey, strict=True)


@given(PIXELS, WINDOWS, WINDOWS, st.booleans())
def test_a_frame_of_a_file_is_seen_as_a_person_says_or_else_as_the_file_says(pixels, own, said, bright) -> None:
    frames = Frames(lambda _: pixels, (1, *pixels.shape), pixels.dtype, Path("x"))
    angiogram = Angiogram(frames, Path("x"), stated_window=own)
    levels = GreyLevels(said, bright)
    meant = GreyLevels(angiogram.window if said is None else said, bright)
    assert_array_equal(angiogram.grey(0, levels), meant.grey(pixels), strict=True)
    assert_array_equal(angiogram.stored(0, levels), meant.stored(pixels), strict=True)
    assert_array_equal(angiogram.grey(0), GreyLevels(angiogram.window).grey(pixels), strict=True)
    assert_array_equal(angiogram.stored(0), GreyLevels(angiogram.window).stored(pixels), strict=True)


def test_the_frame_that_is_asked_for(tmp_path: Path) -> None:
    stack = cine(3, "uint16", 12)
    angiogram = read_angiogram(write_dicom(tmp_path / "x", stack, WindowCenter=2048, WindowWidth=3000))
    assert_array_equal(angiogram.grey(1), to_uint8(stack[1], (2048, 3000)))
    assert_array_equal(angiogram.stored(2), to_uint8(stack[2], (2048, 3000)))
    with pytest.raises(IndexError):
        angiogram.grey(3)


@pytest.mark.parametrize("pixels", [np.full((3, 3), np.nan), np.zeros((0, 3)), np.zeros((2, 3, 4, 5))])
def test_what_is_no_frame_is_refused(pixels: np.ndarray) -> None:
    for see in (GreyLevels().grey, GreyLevels().stored):
        with pytest.raises(InputError):
            see(pixels)
