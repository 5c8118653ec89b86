"""Random views: where they lie, what they keep, that chance comes from the generator alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vasomim_core.data.augment import finetuning_crop, pretraining_crop


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


@given(st.integers(0, 10_000), st.sampled_from([(64, 64), (50, 90), (200, 64)]))
def test_frame_and_mask_move_together(seed, shape):
    """Grey levels are changed by rules that never swap dark and bright: the disc stays where its mask is."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    disc = np.hypot(y - shape[0] / 2, x - shape[1] / 2) < 14
    image = np.where(disc, 40, 200).astype(np.uint8)
    view, mask = finetuning_crop(image, disc.astype(np.uint8) * 255, np.random.default_rng(seed), 64, True)
    assert view.shape == mask.shape == (64, 64)
    inside, outside = mask == 255, mask == 0
    if inside.sum() > 50 and outside.sum() > 50:
        assert view[inside].mean() < view[outside].mean()


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
