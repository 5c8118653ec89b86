"""Grey levels: luminance in whole numbers, windows that are advice, and no more memory than needed."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from tests.core.reading.files import (
    write_dicom,
)
from vasomim_core.errors import InputError
from vasomim_core.reading import read_angiogram, to_grey, to_uint8
from vasomim_core.reading.grey import hides, limits_window, percentiles, window_limits

COLOUR = hnp.arrays(st.sampled_from([np.uint8, np.uint16, np.int16]), st.tuples(*[st.integers(1, 5)] * 2, st.just(3)))
FRAME = hnp.arrays(
    st.sampled_from([np.uint16, np.int16, np.float32, np.float64, bool]), hnp.array_shapes(min_dims=2, max_dims=2)
).filter(lambda x: np.isfinite(x).all())


@given(COLOUR)
def test_colour_becomes_luminance_rounded_half_up(colour: np.ndarray) -> None:
    grey = to_grey(colour)
    assert grey.dtype == colour.dtype
    for place in np.ndindex(grey.shape):
        exact = sum(Fraction(w, 1000) * int(v) for w, v in zip((299, 587, 114), colour[place], strict=True))
        assert grey[place] == (exact + Fraction(1, 2)).__floor__()


def test_equal_channels_are_their_level_and_alpha_is_left_out() -> None:
    for dtype in (np.uint8, np.uint16, np.float32):
        level = np.arange(256, dtype=dtype).reshape(8, 32)
        assert_array_equal(to_grey(np.stack([level] * 3, -1)), level)
        assert_array_equal(to_grey(np.stack([level] * 3 + [level * 0], -1)), level)
        assert_array_equal(to_grey(np.stack([level, level * 0], -1)), level)
    with pytest.raises(InputError):
        to_grey(np.zeros((4, 5, 6)))


@given(FRAME)
def test_percentiles_are_those_of_numpy(frame: np.ndarray) -> None:
    assert percentiles(frame) == tuple(np.percentile(frame.astype(np.float64), (0.5, 99.5)))


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_a_window_and_its_limits_are_one_another(low: float, width: float) -> None:
    centre, span = limits_window(low, low + width)
    assert span >= 1
    assert window_limits((centre, span)) == pytest.approx((low, low + width), abs=1e-6)


def test_a_window_is_set_aside_where_it_hides_the_picture(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(900, 1400, (5, 40, 40)).astype(np.uint16)
    plain = to_uint8(stack[0])
    for centre, width in ((128, 256), (40_000, 500), (1100, 1)):
        path = write_dicom(tmp_path / "x", stack, WindowCenter=centre, WindowWidth=width)
        angiogram = read_angiogram(path)
        assert angiogram.window is None
        assert angiogram.stated_window == (centre, width)
        (note,) = angiogram.notes
        assert str(path) in note
        assert "set aside" in note
        assert_array_equal(angiogram.grey(0), plain)
        assert_array_equal(angiogram.stored(0), stack[0])


def test_a_window_that_shows_the_picture_is_taken(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(900, 1400, (5, 40, 40)).astype(np.uint16)
    stack[:, :28] = 0  # behind the collimator
    stack[0] = 0  # before the beam is on
    angiogram = read_angiogram(write_dicom(tmp_path / "x", stack, WindowCenter=1150, WindowWidth=400))
    assert angiogram.window == (1150, 400)
    assert angiogram.notes == ()
    shown = to_uint8(stack[3], (1150, 400))
    assert_array_equal(angiogram.stored(3), shown)
    assert not hides((128, 256), [np.where(stack[3] > 1000, 255, 0)])  # a mask has nothing but its ends


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_memory_of_to_uint8_is_about_that_of_the_frame(dtype: type) -> None:
    frame = np.random.default_rng(0).integers(0, 4096, (3000, 2000)).astype(dtype)
    tracemalloc.start()
    to_uint8(frame)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * frame.nbytes + (48 << 20)


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
