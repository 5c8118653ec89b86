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
from vasomim_core.reading import grey, read_angiogram, to_grey, to_uint8
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


def test_a_window_hides_what_leaves_less_than_a_twentieth_inside() -> None:
    frame = np.zeros((10, 10), np.uint16)
    frame.flat[:5] = 10
    assert not hides((10.5, 11), [frame])
    frame.flat[0] = 0
    assert hides((10.5, 11), [frame])
    assert not hides((10.5, 11), [frame, np.full((2, 2), 10)])  # one that shows is enough
    for level, hidden in ((4, True), (5, False), (15, False), (16, True)):  # the limits themselves are inside
        assert hides((10.5, 11), [np.full((3, 3), level)]) == hidden


@pytest.mark.parametrize("window", [(np.nan, 5), (np.inf, 5), (5, np.inf), (5, np.nan), (5, 0.99), (5, -1)])
def test_a_window_that_is_none_is_refused(window: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="give a width of at least 1"):
        to_uint8(np.zeros((3, 3)), window)


def test_a_window_of_one_level_is_a_threshold() -> None:
    assert to_uint8(np.array([[4.4, 4.5, 4.6]]), (5, 1)).tolist() == [[0, 0, 255]]
    assert to_uint8(np.full((2, 2), 4.5), (5, 2)).tolist() == [[128, 128]] * 2


def test_where_the_percentiles_are_equal_the_extremes_are_black_and_white() -> None:
    frame = np.full((40, 40), 7.0)
    frame[0, 0], frame[0, 1], frame[0, 2] = 5, 9, 6
    assert to_uint8(frame)[0, :4].tolist() == [0, 255, 64, 128]


@pytest.mark.parametrize("shape", [(1, 1), (5, 4), (7, 3), (6, 6), (3, 20), (8, 1)])
def test_blocks_of_rows_cover_a_frame_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    frame, colour = rng.integers(0, 4096, shape, np.uint16), rng.integers(0, 256, (*shape, 3), np.uint8)
    whole = to_uint8(frame), to_uint8(frame, (2000, 900)), to_grey(colour)
    monkeypatch.setattr(grey, "_BLOCK", 6)
    rows = [row for block in grey._blocks(frame) for row in range(shape[0])[block]]
    assert rows == list(range(shape[0]))
    assert all(block.stop - block.start == max(1, 6 // shape[1]) for block in grey._blocks(frame))
    for ours, theirs in zip((to_uint8(frame), to_uint8(frame, (2000, 900)), to_grey(colour)), whole, strict=True):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("stored", "seen"),
    [
        ("bool", "uint8"), ("uint8", "uint8"), ("int8", "int16"), ("uint16", "uint16"), (">u2", "uint16"),
        ("int16", "int16"), (">i2", "int16"), ("uint32", "float32"), ("int32", "float32"), ("int64", "float32"),
        ("float16", "float32"), ("float64", "float32"),
    ],
)  # fmt: skip
def test_types_of_grey_levels(stored: str, seen: str) -> None:
    dtype = grey.grey_dtype(stored)
    assert dtype == np.dtype(seen)
    assert dtype.isnative
    frame = np.array([[0, 1], [1, 0]]).astype(stored)
    assert_array_equal(to_grey(frame), (frame * (255 if stored == "bool" else 1)).astype(seen), strict=True)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 0), (2, 3, 5), (1, 2, 3, 4)])
def test_what_is_neither_grey_nor_in_colour_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="neither grey"):
        to_grey(np.zeros(shape))


def test_colour_in_real_numbers_is_not_rounded() -> None:
    assert_allclose(to_grey(np.array([[[0.25, 0.5, 0.75]]])), [[0.299 * 0.25 + 0.587 * 0.5 + 0.114 * 0.75]], rtol=1e-6)
