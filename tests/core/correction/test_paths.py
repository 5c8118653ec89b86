"""Minimal paths: where they go, and what they start from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.graph import MCP_Geometric

from vasomim_core.anatomy import sato
from vasomim_core.correction import cost as costs
from vasomim_core.correction.cost import VesselCost
from vasomim_core.correction.lumen import lumen, painted
from vasomim_core.correction.mask_tools import anchors, grow
from vasomim_core.correction.paths import WINDOW, MinimalPaths
from vasomim_core.correction.points import pixel_at
from vasomim_core.errors import InputError
from vasomim_core.synthetic import synthesize

from .frames import bar, straight, trace

few = settings(max_examples=25, deadline=None)
coordinate = st.floats(-20, 80)
point = st.tuples(coordinate, coordinate)


@st.composite
def frames(draw):
    shape = draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
    frame = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape, dtype=np.uint8)
    return frame if draw(st.booleans()) else np.full(shape, 7, np.uint8)


def cost_of(cost, path):
    """As the minimal path counts it: each step costs its length times the mean of both pixels."""
    each = cost.trace[tuple(path.T)].astype(float)
    return float((np.linalg.norm(np.diff(path, axis=0), axis=1) * (each[1:] + each[:-1]) / 2).sum())


@few
@given(frames(), point, point)
def test_a_path_goes_from_click_to_click_in_single_steps_within_the_frame(frame, a, b):
    cost = VesselCost(frame)
    path = trace(cost, a, b, snap=0)
    assert tuple(path[0]) == pixel_at(a, frame.shape)
    assert tuple(path[-1]) == pixel_at(b, frame.shape)
    assert (np.abs(np.diff(path, axis=0)).max(axis=1, initial=0) == 1).all()
    assert (path >= 0).all()
    assert (path < frame.shape).all()
    assert cost_of(cost, path) <= cost_of(cost, straight(path[0], path[-1])) * (1 + 1e-6)
    (centre, width), pixels = lumen(cost, path), painted(cost, path)
    assert centre.shape == (len(path), 2)
    assert width.shape == (len(path),)
    assert np.isfinite(width).all()
    assert (width >= 1).all()
    assert pixels.shape == frame.shape
    assert pixels.any()


@pytest.mark.parametrize("shape", [(400, 600), (700, 30), (1000, 1000)])
def test_beyond_the_window_too_a_path_is_whole_and_no_dearer_than_the_straight_line(shape):
    frame = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    cost = VesselCost(frame)
    a, b = (5, 5), (shape[0] - 1, shape[1] - 1)
    assert max(b) > WINDOW
    path = trace(cost, a, b, snap=0)
    assert path[0].tolist() == list(a)
    assert path[-1].tolist() == list(b)
    assert (np.abs(np.diff(path, axis=0)).max(axis=1) == 1).all()
    assert cost_of(cost, path) <= cost_of(cost, straight(a, b)) * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(1000, 1), (2, 1000), (4, 1000)])
def test_a_frame_of_a_few_rows_has_far_paths_too(shape):
    cost = VesselCost(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8))
    end = (shape[0] - 1, shape[1] - 1)
    path = trace(cost, (0, 0), end, snap=0)
    assert path[[0, -1]].tolist() == [[0, 0], list(end)]


def noisy(shape):
    """A flat frame with another probability at each pixel: no path is as cheap as another one."""
    return VesselCost(np.zeros(shape, np.uint8), np.random.default_rng(2).random(shape, np.float32))


@pytest.mark.parametrize("end", [(427, 427), (172, 300), (310, 180)])
def test_within_the_window_no_path_is_cheaper(end):
    cost = noisy((600, 600))
    start, corner = np.array([300, 300]), np.array([300 - WINDOW // 2] * 2)
    window = cost.trace[corner[0] : corner[0] + WINDOW, corner[1] : corner[1] + WINDOW]
    least = MCP_Geometric(window).find_costs([start - corner])[0][tuple(end - corner)]
    assert cost_of(cost, trace(cost, start, end, snap=0)) == pytest.approx(least)


def test_beyond_the_window_rows_and_columns_are_treated_alike():
    cost = noisy((1000, 800))
    turned = VesselCost(cost.frame.T, cost.probability.T)
    for end in ((999, 799), (3, 790), (990, 5)):
        there, again = trace(cost, (500, 400), end, snap=0), trace(turned, (400, 500), end[::-1], snap=0)
        assert there.tolist() == again[:, ::-1].tolist()


def test_after_a_far_path_a_near_one_comes_from_the_same_start():
    paths = MinimalPaths.from_point(VesselCost(bar(shape=(600, 600), row=300)), (300, 40))
    far, near = paths.to((300, 590)), paths.to((300, 100))
    assert far[0].tolist() == near[0].tolist()


def test_two_starts_on_one_frame_keep_apart_and_share_what_the_frame_costs(monkeypatch):
    computed = []
    monkeypatch.setattr(costs, "sato", lambda frame, sigmas: computed.append(1) or sato(frame, sigmas))
    frame = np.minimum(bar(9, (200, 200), 60), bar(7, (200, 200), 100).T)
    cost, drawn = VesselCost(frame), np.zeros(frame.shape, bool)
    drawn[56:65] = True
    trace, join = MinimalPaths.from_point(cost, (60, 10)), MinimalPaths.from_mask(cost, drawn)
    for _ in range(2):
        assert np.abs(trace.to((190, 100))[0] - (60, 10)).max() <= 3
        assert drawn[tuple(join.to((190, 100))[:3].T)].any()
        assert len(join.to((190, 100))) < len(trace.to((190, 100)))
    assert computed == [1]


def test_bright_ridges_and_other_grey_levels_give_the_same_path():
    frame = bar()
    paths = []
    for version, ridges in ((frame, "dark"), (255 - frame, "bright"), (frame.astype(np.uint16) * 100, "dark")):
        paths.append(trace(VesselCost(version, ridges=ridges), (50, 5), (52, 190)).tolist())
    assert paths[0] == paths[1] == paths[2]


def test_a_click_beside_the_ridge_snaps_to_it_unless_told_not_to():
    cost = VesselCost(bar(5))
    assert abs(trace(cost, (54, 20), (46, 150))[[0, -1], 0] - 50).max() <= 3
    assert trace(cost, (54, 20), (46, 150), snap=0)[[0, -1], 0].tolist() == [54, 46]


@pytest.mark.parametrize("ridge", [(0, 30), (30, 0), (59, 30), (30, 59)])
def test_a_click_snaps_to_a_ridge_on_the_border(ridge):
    probability = np.zeros((60, 60), np.float32)
    probability[ridge] = 1
    cost = VesselCost(np.zeros((60, 60), np.uint8), probability)
    assert cost.snap(np.clip(ridge, 2, 57), 3) == ridge


def test_a_probability_that_is_no_number_counts_as_none_and_an_infinite_one_is_cut():
    probability = np.array([[np.nan, -np.inf, np.inf, -1, 2, 0.25]], np.float32)
    assert VesselCost(np.zeros((1, 6), np.uint8), probability).probability.tolist() == [[0, 0, 1, 0, 1, 0.25]]


def test_the_probability_leads_where_the_frame_shows_nothing():
    probability = np.zeros((120, 120), np.float32)
    probability[20:100, 20] = probability[100, 20:100] = 1
    cost = VesselCost(np.full((120, 120), 128, np.uint8), probability)
    path = trace(cost, (20, 20), (100, 100))
    assert probability[tuple(path.T)].mean() > 0.95


def test_a_branch_joins_what_is_drawn_with_one_click():
    frame = np.minimum(bar(9, (200, 200), 60), bar(7, (200, 200), 100).T)
    drawn = np.zeros(frame.shape, bool)
    drawn[56:65] = True
    path = MinimalPaths.from_mask(VesselCost(frame), drawn).to((190, 100))
    assert drawn[tuple(path[0])]
    assert not drawn[tuple(path[3:].T)].any()
    assert abs(path[:, 1] - 100).max() <= 4


@pytest.mark.parametrize("turned", [False, True])
def test_a_branch_along_the_last_rows_begins_where_it_meets_what_is_drawn(turned):
    probability, drawn = np.zeros((1024, 1024), np.float32), np.zeros((1024, 1024), bool)
    probability[1022, 500:] = 1
    drawn[300:, 500:510] = True
    if turned:
        probability, drawn = probability.T, drawn.T
    cost = VesselCost(np.zeros(drawn.shape, np.uint8), probability)
    path = MinimalPaths.from_mask(cost, drawn).to((1000, 1022) if turned else (1022, 1000))
    assert path[0].tolist() == ([509, 1022] if turned else [1022, 509])


def test_islets_are_no_anchor_for_a_branch_that_is_joined():
    mask = np.zeros((100, 200), bool)
    mask[48:54, 10:120] = True  # the tree
    mask[20, 60:64] = True  # a speck, nearer to the click
    found = anchors(mask)
    assert found[50, 60]
    assert not found[20, 60]
    first = MinimalPaths.from_mask(VesselCost(bar(width=5, row=20)), mask).to((20, 90))[0]
    assert mask[tuple(first)]
    assert first[0] >= 48


def test_most_thin_vessels_of_synthetic_angiograms_are_traced_within_two_pixels():
    close = []
    for seed in range(6):
        angiogram = synthesize([5, seed])
        away = cv2.distanceTransform((~angiogram.centreline).astype(np.uint8), cv2.DIST_L2, 5)
        width = 2 * cv2.distanceTransform(angiogram.mask.astype(np.uint8), cv2.DIST_L2, 5)
        _, pieces = cv2.connectedComponents((angiogram.centreline & (width < 9)).astype(np.uint8), connectivity=8)
        longest = np.argwhere(pieces == 1 + np.bincount(pieces.ravel())[1:].argmax())
        path = trace(VesselCost(angiogram.frame), longest[0], longest[-1])
        close.append(np.median(away[tuple(path.T)]) <= 2)
    assert sum(close) >= 5


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: VesselCost(np.zeros((4, 5, 6), np.uint8)),
        lambda: VesselCost(np.zeros((0, 5), np.uint8)),
        lambda: VesselCost(np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.float32)),
        lambda: MinimalPaths.from_mask(VesselCost(np.zeros((4, 5), np.uint8)), np.zeros((4, 5), bool)),
        lambda: MinimalPaths.from_mask(VesselCost(np.zeros((4, 5), np.uint8)), np.ones((5, 4), bool)),
        lambda: grow(np.zeros((4, 5), bool), np.zeros((5, 4), np.float32)),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(wrong):
    with pytest.raises(InputError):
        wrong()
