from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.morphology import skeletonize

from vasomim_core.correction.tracing import WINDOW, Tracer, anchors, branch_at, cut, grow, piece_at
from vasomim_core.errors import InputError
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.synthetic import synthesize

few = settings(max_examples=25, deadline=None)
coordinate = st.floats(-20, 80)
point = st.tuples(coordinate, coordinate)
masks = arrays.arrays(bool, (40, 50))


@st.composite
def frames(draw):
    shape = draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
    frame = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape, dtype=np.uint8)
    return frame if draw(st.booleans()) else np.full(shape, 7, np.uint8)


def clamped(point, shape):
    return [int(np.clip(round(x), 0, n - 1)) for x, n in zip(point, shape, strict=True)]


def cost_of(tracer, path):
    """As the minimal path counts it: each step costs its length times the mean of both pixels."""
    cost = tracer._cost[tuple(path.T)].astype(float)
    return float((np.linalg.norm(np.diff(path, axis=0), axis=1) * (cost[1:] + cost[:-1]) / 2).sum())


def straight(a, b):
    n = int(max(abs(np.subtract(a, b)))) + 1
    return np.rint(np.linspace(a, b, n)).astype(int)


def bar(width=9, shape=(100, 200), row=50.0, slope=0.0):
    """A dark bar on a bright ground, blurred as by a detector, with its centreline's rows."""
    rows, columns = np.indices(shape)
    distance = np.abs(rows - row - slope * (columns - shape[1] / 2)) / np.hypot(1, slope)
    frame = np.where(distance <= width / 2, 80, 180).astype(np.float32)
    return cv2.GaussianBlur(frame, (0, 0), 0.8).astype(np.uint8)


@few
@given(frames(), point, point)
def test_a_path_goes_from_click_to_click_in_single_steps_within_the_frame(frame, a, b):
    tracer = Tracer(frame)
    tracer.start(a, snap=0)
    path = tracer.path_to(b, snap=0)
    assert path[0].tolist() == clamped(a, frame.shape)
    assert path[-1].tolist() == clamped(b, frame.shape)
    assert (np.abs(np.diff(path, axis=0)).max(axis=1, initial=0) == 1).all()
    assert (path >= 0).all()
    assert (path < frame.shape).all()
    assert cost_of(tracer, path) <= cost_of(tracer, straight(path[0], path[-1])) * (1 + 1e-6)
    width, painted = tracer.width_along(path), tracer.painted(path)
    assert width.dtype == np.float32
    assert width.shape == (len(path),)
    assert np.isfinite(width).all()
    assert (width >= 1).all()
    assert painted.shape == frame.shape
    assert painted.any()


@pytest.mark.parametrize("shape", [(400, 600), (700, 30), (1000, 1000)])
def test_beyond_the_window_too_a_path_is_whole_and_no_dearer_than_the_straight_line(shape):
    frame = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    tracer = Tracer(frame)
    a, b = (5, 5), (shape[0] - 1, shape[1] - 1)
    assert max(b) > WINDOW
    tracer.start(a, snap=0)
    path = tracer.path_to(b, snap=0)
    assert path[0].tolist() == list(a)
    assert path[-1].tolist() == list(b)
    assert (np.abs(np.diff(path, axis=0)).max(axis=1) == 1).all()
    assert cost_of(tracer, path) <= cost_of(tracer, straight(a, b)) * (1 + 1e-6)


def test_after_a_far_path_a_near_one_comes_from_the_same_start():
    tracer = Tracer(bar(shape=(600, 600), row=300))
    tracer.start((300, 40))
    far, near = tracer.path_to((300, 590)), tracer.path_to((300, 100))
    assert far[0].tolist() == near[0].tolist()


@pytest.mark.parametrize("width", [5, 9, 15, 25])
@pytest.mark.parametrize("slope", [0.0, 0.7])
def test_the_width_of_a_bar_is_measured(width, slope):
    frame = bar(width, (200, 240), 100, slope)
    tracer = Tracer(frame)
    tracer.start((100 - 80 * slope, 40))
    path = tracer.path_to((100 + 80 * slope, 200))
    measured = tracer.width_along(path)[10:-10]
    assert np.median(measured) == pytest.approx(width, abs=1)
    assert np.abs(measured - width).mean() <= 1


def test_a_faint_thin_vessel_beside_a_wide_dark_one_keeps_its_own_width():
    frame = np.full((120, 240), 180.0)
    frame[60:64] -= 9  # no more than the noise at a pixel
    frame[76:92] -= 90
    noise = np.random.default_rng(0).normal(0, 9, frame.shape)
    tracer = Tracer((cv2.GaussianBlur(frame, (0, 0), 0.8) + noise).clip(0, 255).astype(np.uint8))
    width = tracer.width_along(straight((62, 20), (62, 220)))[10:-10]
    assert np.median(width) == pytest.approx(4, abs=1.5)
    assert width.max() <= 8


def test_a_trace_paints_the_bar_it_was_drawn_along():
    truth = np.zeros((100, 200), bool)
    truth[46:55] = True
    tracer = Tracer(bar(9))
    tracer.start((47, 0))
    painted = tracer.painted(tracer.path_to((53, 199)))
    assert 2 * (painted & truth).sum() / (painted.sum() + truth.sum()) > 0.93


def test_bright_ridges_and_other_grey_levels_give_the_same_path():
    frame = bar()
    paths = []
    for version, ridges in ((frame, "dark"), (255 - frame, "bright"), (frame.astype(np.uint16) * 100, "dark")):
        tracer = Tracer(version, ridges=ridges)
        tracer.start((50, 5))
        paths.append(tracer.path_to((52, 190)).tolist())
    assert paths[0] == paths[1] == paths[2]


def test_a_click_beside_the_ridge_snaps_to_it_unless_told_not_to():
    tracer = Tracer(bar(5))
    tracer.start((54, 20))
    assert abs(tracer.path_to((46, 150))[[0, -1], 0] - 50).max() <= 3
    tracer.start((54, 20), snap=0)
    assert tracer.path_to((46, 150), snap=0)[[0, -1], 0].tolist() == [54, 46]


def test_the_probability_leads_where_the_frame_shows_nothing():
    probability = np.zeros((120, 120), np.float32)
    probability[20:100, 20] = probability[100, 20:100] = 1
    tracer = Tracer(np.full((120, 120), 128, np.uint8), probability)
    tracer.start((20, 20))
    path = tracer.path_to((100, 100))
    assert probability[tuple(path.T)].mean() > 0.95


def test_a_model_that_sees_nothing_changes_nothing():
    blind = Tracer(bar(), np.zeros((100, 200), np.float32))
    for tracer in (blind, alone := Tracer(bar())):
        tracer.start((50, 5))
    path = alone.path_to((52, 190))
    assert (blind.path_to((52, 190)) == path).all()
    assert (blind.painted(path) == alone.painted(path)).all()


def test_where_the_frame_is_flat_the_walls_are_where_the_probability_falls():
    truth = np.zeros((100, 200), np.float32)
    truth[46:57] = 1
    tracer = Tracer(np.full(truth.shape, 128, np.uint8), truth)
    assert np.median(tracer.width_along(straight((51, 20), (51, 180)))) == pytest.approx(11, abs=1)


def test_a_branch_joins_what_is_drawn_with_one_click():
    frame = np.minimum(bar(9, (200, 200), 60), bar(7, (200, 200), 100).T)
    drawn = np.zeros(frame.shape, bool)
    drawn[56:65] = True
    tracer = Tracer(frame)
    tracer.start_from(drawn)
    path = tracer.path_to((190, 100))
    assert drawn[tuple(path[0])]
    assert not drawn[tuple(path[3:].T)].any()
    assert abs(path[:, 1] - 100).max() <= 4


def test_most_thin_vessels_of_synthetic_angiograms_are_traced_within_two_pixels():
    close = []
    for seed in range(6):
        angiogram = synthesize([5, seed])
        away = cv2.distanceTransform((~angiogram.centreline).astype(np.uint8), cv2.DIST_L2, 5)
        width = 2 * cv2.distanceTransform(angiogram.mask.astype(np.uint8), cv2.DIST_L2, 5)
        _, pieces = cv2.connectedComponents((angiogram.centreline & (width < 9)).astype(np.uint8), connectivity=8)
        longest = np.argwhere(pieces == 1 + np.bincount(pieces.ravel())[1:].argmax())
        tracer = Tracer(angiogram.frame)
        tracer.start(longest[0])
        close.append(np.median(away[tuple(tracer.path_to(longest[-1]).T)]) <= 2)
    assert sum(close) >= 5


@few
@given(masks, point)
def test_a_piece_is_one_component_and_stays_what_it_is(mask, click):
    piece = piece_at(mask, click)
    assert not (piece & ~mask).any()
    assert cv2.connectedComponents(piece.astype(np.uint8), connectivity=8)[0] <= 2
    assert (piece_at(piece, click) == piece).all()
    row, column = clamped(click, mask.shape)
    assert piece[row, column] == mask[row, column]


def test_the_nearest_piece_within_reach_is_taken():
    mask = np.zeros((30, 30), bool)
    mask[5, 5:10] = mask[12, 5:10] = True
    assert piece_at(mask, (8, 6))[5].any()
    assert piece_at(mask, (10, 6))[12].any()
    assert not piece_at(mask, (25, 25)).any()


@few
@given(masks, point, point, st.floats(0, 9))
def test_a_cut_erases_nothing_but_mask(mask, a, b, width):
    assert not (cut(mask, a, b, width) & ~mask).any()


@few
@given(masks, point)
def test_a_branch_is_part_of_one_piece(mask, click):
    branch = branch_at(mask, click)
    assert not (branch & ~piece_at(mask, click)).any()


def test_a_branch_goes_with_what_hangs_on_it_and_leaves_the_vessel_as_wide_as_it_was():
    trunk, branch, twig = (np.zeros((120, 200), bool) for _ in range(3))
    trunk[40:52, 10:190] = True
    branch[52:110, 96:102] = True
    twig[80:84, 102:140] = True
    everything = trunk | branch | twig
    taken = branch_at(everything, (65, 99))
    assert (taken & twig).sum() == twig.sum()
    assert (taken & branch).sum() > 0.9 * branch.sum()
    assert not (taken & trunk).any()
    assert np.count_nonzero(branch_at(everything, (82, 130)) & ~twig) <= 6
    assert (branch_at(trunk, (45, 50)) == trunk).all()


def test_a_cut_across_a_vessel_makes_two_pieces():
    mask = np.zeros((40, 80), bool)
    mask[15:25] = True
    left = mask & ~cut(mask, (12, 40), (28, 42))
    assert cv2.connectedComponents(left.astype(np.uint8), connectivity=8)[0] == 3
    assert cut(mask, (12, 40), (28, 40), width=3).sum() == 30


@few
@given(masks, arrays.arrays(np.float32, (40, 50), elements=st.floats(0, 1, width=32)), st.floats(0, 1))
def test_growing_adds_only_what_is_probable_and_nothing_twice(mask, probability, threshold):
    gained = grow(mask, probability, threshold)
    assert not (gained & mask).any()
    assert (probability[gained] >= np.float32(threshold)).all()
    assert not grow(mask | gained, probability, threshold).any()
    near = grow(mask, probability, threshold, reach=1)
    assert not (near & ~gained).any()


def test_growing_follows_the_connection():
    mask, probability = np.zeros((20, 40), bool), np.zeros((20, 40), np.float32)
    mask[5, :5] = True
    probability[5, :20] = probability[15, :20] = 0.8
    assert grow(mask, probability).sum() == 15
    assert grow(mask, probability, reach=4).sum() == 4
    assert not grow(mask, probability, threshold=0.9).any()
    assert not grow(np.zeros_like(mask), probability).any()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Tracer(np.zeros((4, 5, 6), np.uint8)),
        lambda: Tracer(np.zeros((0, 5), np.uint8)),
        lambda: Tracer(np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.float32)),
        lambda: Tracer(np.zeros((4, 5), np.uint8)).path_to((1, 1)),
        lambda: Tracer(np.zeros((4, 5), np.uint8)).start_from(np.zeros((4, 5), bool)),
        lambda: grow(np.zeros((4, 5), bool), np.zeros((5, 4), np.float32)),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(wrong):
    with pytest.raises(InputError):
        wrong()


def test_islets_are_no_anchor_for_a_branch_that_is_joined():
    mask = np.zeros((100, 200), bool)
    mask[48:54, 10:120] = True  # the tree
    mask[20, 60:64] = True  # a speck, nearer to the click
    found = anchors(mask)
    assert found[50, 60]
    assert not found[20, 60]
    tracer = Tracer(bar(width=5, row=20))
    tracer.start_from(mask)
    first = tracer.path_to((20, 90))[0]
    assert mask[tuple(first)]
    assert first[0] >= 48


@few
@given(masks)
def test_anchors_are_whole_pieces_and_the_largest_is_one(mask):
    found = anchors(mask)
    assert (found <= mask).all()
    assert found.any() == mask.any()
    count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    for piece in range(1, count):
        of_piece = found[pieces == piece]
        assert of_piece.all() or not of_piece.any()
    sizes = np.bincount(pieces[mask], minlength=1)
    if mask.any():
        assert found[pieces == sizes.argmax()].all()


def test_a_branch_that_is_all_there_is_can_be_joined_to():
    mask = np.zeros((40, 50), bool)
    mask[20, 20:24] = True
    assert (anchors(mask) == mask).all()


def test_a_large_frame_is_traced_like_the_same_frame_at_a_smaller_size():
    small = synthesize(3, side="left", size=512)
    large = cv2.resize(small.frame, (2048, 2048), interpolation=cv2.INTER_CUBIC)
    ends = [point for point in np.argwhere(skeletonize(small.mask))[[100, 400]]]
    paths = []
    for frame, factor in ((small.frame, 1), (large, 4)):
        tracer = Tracer(frame)
        tracer.start(ends[0] * factor)
        drawn = tracer.painted(tracer.path_to(ends[1] * factor)).astype(np.float32)
        paths.append(cv2.resize(drawn, (512, 512), interpolation=cv2.INTER_AREA) >= 0.5)
    assert dsc(*paths) > 0.85
