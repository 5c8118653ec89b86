"""What is drawn into a view, and what its codes say then."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vasomim_core.data.clutter import with_clutter
from vasomim_core.data.codes import LIKELY, NO_VESSEL, SOME_VESSEL, UNKNOWN

SIDE = 96


def drawn(code: int, count: int = 300) -> list[tuple[np.ndarray, np.ndarray]]:
    view = np.full((SIDE, SIDE), 200, np.uint8)
    codes = np.full((2 * SIDE, 2 * SIDE), code, np.uint8)
    return [with_clutter(view, codes, np.random.default_rng(seed), empty=True) for seed in range(count)]


def test_the_same_generator_draws_the_same_and_the_input_stays():
    view, codes = np.full((SIDE, SIDE), 200, np.uint8), np.zeros((2 * SIDE, 2 * SIDE), np.uint8)
    pairs = [with_clutter(view, codes, np.random.default_rng(seed)) for seed in (3, 3)]
    np.testing.assert_array_equal(pairs[0][0], pairs[1][0])
    np.testing.assert_array_equal(pairs[0][1], pairs[1][1])
    assert (view == 200).all()
    assert not codes.any()


def test_each_kind_comes_and_many_views_stay_as_they_are():
    views = drawn(0)
    changed = [np.unique(codes) for _, codes in views]
    assert sum(SOME_VESSEL in found for found in changed) * 300 / 60 * 0.2 + 60 > 60  # tubes come at all
    assert any(SOME_VESSEL in found for found in changed)
    assert any(NO_VESSEL in found for found in changed)
    assert sum((view == 200).all() for view, _ in views) > 100


def test_what_is_drawn_is_darker_and_what_is_vessel_is_dark():
    for view, codes in drawn(0):
        assert view.max() <= 200
        tube = (codes == SOME_VESSEL).reshape(SIDE, 2, SIDE, 2).all(axis=(1, 3))
        if tube.sum() > 200:
            assert view[tube].mean() < 195


@pytest.mark.parametrize("code", [1, 26, SOME_VESSEL, LIKELY, UNKNOWN])
def test_metal_upon_a_vessel_leaves_it_one(code):
    """Only a tube, which is vessel, and a collimator, behind which nothing is seen, change what is known of it."""
    kept = 0
    for view, codes in drawn(code):
        count, regions = cv2.connectedComponents((codes == NO_VESSEL).astype(np.uint8))
        edge = {int(n) for side in (regions[0], regions[-1], regions[:, 0], regions[:, -1]) for n in np.unique(side)}
        assert edge >= set(range(1, count))  # a collimator comes from the edge
        kept += int((view < 150).any() and count == 1)
    assert kept > 20
