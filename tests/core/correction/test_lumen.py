"""The vessel under a path: its width, and what is painted."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.morphology import skeletonize

from vasomim_core.correction.cost import VesselCost
from vasomim_core.correction.lumen import lumen, painted
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.synthetic import synthesize

from .frames import bar, straight, trace


@pytest.mark.parametrize("width", [5, 9, 15, 25])
@pytest.mark.parametrize("slope", [0.0, 0.7])
def test_the_width_of_a_bar_is_measured(width, slope):
    frame = bar(width, (200, 240), 100, slope)
    cost = VesselCost(frame)
    path = trace(cost, (100 - 80 * slope, 40), (100 + 80 * slope, 200))
    measured = lumen(cost, path)[1][10:-10]
    assert np.median(measured) == pytest.approx(width, abs=1)
    assert np.abs(measured - width).mean() <= 1


def test_a_path_of_two_pixels_is_wide_as_its_vessel_and_one_of_a_pixel_is_a_pixel():
    cost = VesselCost(bar(9))
    two, one = straight((50, 100), (50, 101)), np.array([[50, 100]])
    assert lumen(cost, two)[1] == pytest.approx([9, 9], abs=1)
    assert lumen(cost, one)[1].tolist() == [1]


def test_a_faint_thin_vessel_beside_a_wide_dark_one_keeps_its_own_width():
    frame = np.full((120, 240), 180.0)
    frame[60:64] -= 9  # no more than the noise at a pixel
    frame[76:92] -= 90
    noise = np.random.default_rng(0).normal(0, 9, frame.shape)
    cost = VesselCost((cv2.GaussianBlur(frame, (0, 0), 0.8) + noise).clip(0, 255).astype(np.uint8))
    width = lumen(cost, straight((62, 20), (62, 220)))[1][10:-10]
    assert np.median(width) == pytest.approx(4, abs=1.5)
    assert width.max() <= 8


def test_a_trace_paints_the_bar_it_was_drawn_along():
    truth = np.zeros((100, 200), bool)
    truth[46:55] = True
    cost = VesselCost(bar(9))
    pixels = painted(cost, trace(cost, (47, 0), (53, 199)))
    assert 2 * (pixels & truth).sum() / (pixels.sum() + truth.sum()) > 0.93


def test_a_model_that_sees_nothing_changes_nothing():
    alone, blind = VesselCost(bar()), VesselCost(bar(), np.zeros((100, 200), np.float32))
    path = trace(alone, (50, 5), (52, 190))
    assert (trace(blind, (50, 5), (52, 190)) == path).all()
    assert (painted(blind, path) == painted(alone, path)).all()


def test_where_the_frame_is_flat_the_walls_are_where_the_probability_falls():
    truth = np.zeros((100, 200), np.float32)
    truth[46:57] = 1
    cost = VesselCost(np.full(truth.shape, 128, np.uint8), truth)
    assert np.median(lumen(cost, straight((51, 20), (51, 180)))[1]) == pytest.approx(11, abs=1)


def test_a_large_frame_is_traced_like_the_same_frame_at_a_smaller_size():
    small = synthesize(3, side="left", size=512)
    large = cv2.resize(small.frame, (2048, 2048), interpolation=cv2.INTER_CUBIC)
    ends = [point for point in np.argwhere(skeletonize(small.mask))[[100, 400]]]
    paths = []
    for frame, factor in ((small.frame, 1), (large, 4)):
        cost = VesselCost(frame)
        drawn = painted(cost, trace(cost, ends[0] * factor, ends[1] * factor)).astype(np.float32)
        paths.append(cv2.resize(drawn, (512, 512), interpolation=cv2.INTER_AREA) >= 0.5)
    assert dsc(*paths) > 0.85
