"""Random views: where they lie, what they keep, that chance comes from the generator alone."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vasomim_core.data.augment import finetuning_crop, pretraining_crop
from vasomim_core.data.codes import UNKNOWN


def frame(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return ((x * 7 + y * 13) % 251).astype(np.uint8)


def test_a_view_of_the_whole_frame_is_the_frame():
    image = frame(96, 96)
    view, mask = finetuning_crop(image, image, np.random.default_rng(0), 96, augment=False)
    np.testing.assert_array_equal(view, image)
    np.testing.assert_array_equal(mask, image)


@given(st.integers(0, 10_000))
def test_an_unaugmented_view_is_a_piece_of_the_frame(seed):
    y, x = np.mgrid[:64, :80]
    view, rows = finetuning_crop(x.astype(np.uint8), y.astype(np.uint8), np.random.default_rng(seed), 32, False)
    left, top = int(view[0, 0]), int(rows[0, 0])
    assert 0 <= left <= 80 - 32
    assert 0 <= top <= 64 - 32
    np.testing.assert_array_equal(view, x[top : top + 32, left : left + 32])
    np.testing.assert_array_equal(rows, y[top : top + 32, left : left + 32])


@given(st.integers(0, 10_000), st.sampled_from([(64, 64), (50, 90), (200, 64)]), st.sampled_from([1, 2, 3]))
def test_frame_and_codes_move_together(seed, shape, detail):
    """Grey levels are changed by rules that never swap dark and bright: the disc stays where its codes are."""

    def disc(scale: int) -> np.ndarray:
        y, x = (np.mgrid[: scale * shape[0], : scale * shape[1]] + 0.5) / scale
        return np.hypot(y - shape[0] / 2, x - shape[1] / 2) < 14

    image = np.where(disc(1), 40, 200).astype(np.uint8)
    view, codes = finetuning_crop(image, disc(detail).astype(np.uint8) * 7, np.random.default_rng(seed), 64, True)
    assert view.shape == (64, 64)
    assert codes.shape == (detail * 64, detail * 64)
    assert set(np.unique(codes)) <= {0, 7, UNKNOWN}
    share = (codes == 7).reshape(64, detail, 64, detail).mean(axis=(1, 3))
    outside = (codes == 0).reshape(64, detail, 64, detail).mean(axis=(1, 3))
    if (share == 1).sum() > 50 and (outside == 1).sum() > 50:
        assert view[share == 1].max() < view[outside == 1].mean() + 40
        assert view[share == 1].mean() < view[outside == 1].mean()


@given(st.integers(0, 10_000))
def test_the_border_of_the_codes_is_that_of_the_frame(seed):
    """A bar of 12 px, turned and scaled, is as wide in the codes as in the frame, and in the same place."""
    image = np.full((120, 120), 200, np.uint8)
    image[54:66] = 40
    codes = np.zeros((240, 240), np.uint8)
    codes[108:132] = 1
    with patch("vasomim_core.data.augment.grey_levels", lambda view, rng: view):
        view, found = finetuning_crop(image, codes, np.random.default_rng(seed), 64, True)
    share = (found == 1).reshape(64, 2, 64, 2).mean(axis=(1, 3))
    known = (found != UNKNOWN).reshape(64, 2, 64, 2).all(axis=(1, 3))
    seen = (200 - view) / 160
    # Half a pixel off, it would be twice as much; of 3,000 views none came above 0.0064.
    assert abs((share - seen)[known]).mean() < 0.009


def test_a_wide_view_is_upside_down_at_times_and_a_usual_one_never():
    rows = np.repeat(np.linspace(20, 230, 96, dtype=np.uint8)[:, None], 96, axis=1)
    codes = (rows > 125).astype(np.uint8)

    def turned(variety: str) -> float:
        views = [finetuning_crop(rows, codes, np.random.default_rng(n), 96, True, variety)[1] == 1 for n in range(200)]
        return float(np.mean([view[:24].mean() > view[-24:].mean() for view in views]))

    assert turned("usual") == 0
    assert 0.25 < turned("wide") < 0.45
    assert 0.1 < turned("mixed") < 0.25


def test_beyond_the_edge_of_a_frame_nothing_is_known():
    view, codes = finetuning_crop(frame(32, 32), np.zeros((32, 32), np.uint8), np.random.default_rng(0), 64, False)
    assert (codes == UNKNOWN).mean() == 0.75
    assert view.shape == (64, 64)


@pytest.mark.parametrize("crop", [pretraining_crop, lambda *a: finetuning_crop(*a, augment=True)])
def test_the_same_generator_gives_the_same_view(crop):
    image = frame(100, 120)
    views = [crop(image, image, np.random.default_rng(seed), 64)[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(views[0], views[1])
    assert (views[0] != views[2]).any()


@given(st.integers(0, 10_000), st.sampled_from([(64, 64), (31, 17), (40, 400)]))
def test_pretraining_crops_have_the_asked_size_and_binary_masks(seed, shape):
    mask = (frame(*shape) > 200).astype(np.uint8) * 255
    view, anatomy = pretraining_crop(frame(*shape), mask, np.random.default_rng(seed), 48)
    assert view.shape == anatomy.shape == (48, 48)
    assert set(np.unique(anatomy)) <= {0, 255}
