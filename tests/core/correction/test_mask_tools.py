"""The tools that need no path."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial import cKDTree

from vasomim_core.correction.mask_tools import anchors, branch_at, cut, grow, piece_at
from vasomim_core.correction.points import pixel_at

few = settings(max_examples=25, deadline=None)
coordinate = st.floats(-20, 80)
point = st.tuples(coordinate, coordinate)
masks = arrays.arrays(bool, (40, 50))


@few
@given(masks, point)
def test_a_piece_is_one_component_and_stays_what_it_is(mask, click):
    piece = piece_at(mask, click)
    assert not (piece & ~mask).any()
    assert cv2.connectedComponents(piece.astype(np.uint8), connectivity=8)[0] <= 2
    assert (piece_at(piece, click) == piece).all()
    row, column = pixel_at(click, mask.shape)
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


@pytest.mark.parametrize(("largest", "least"), [(1000, 16), (1600, 16), (2500, 25)])
def test_an_anchor_has_sixteen_pixels_and_a_hundredth_of_the_largest(largest, least):
    mask = np.zeros((60, 60), bool)
    mask[:50].flat[:largest] = True  # rows of 60 px
    mask[52, :least] = mask[54, : least - 1] = True
    found = anchors(mask)
    assert found[:50].sum() == largest
    assert found[52].sum() == least
    assert not found[54].any()
    mask[:50] = False  # the largest is `least` px itself
    assert anchors(mask)[52].sum() == least
    assert anchors(mask)[54].any() == (least > 16)
    assert not anchors(np.zeros((4, 5), bool)).any()


@pytest.mark.parametrize(("click", "taken"), [((3, 4), True), ((0, 5), True), ((4, 4), False), ((6, 0), False)])
def test_a_click_reaches_five_pixels_as_the_crow_flies(click, taken):
    mask = np.zeros((20, 30), bool)
    for corner in (0, 0), (19, 29):
        mask[:] = False
        mask[corner] = True
        assert piece_at(mask, np.abs(np.subtract(corner, click))).any() == taken
        assert branch_at(mask, np.abs(np.subtract(corner, click))).any() == taken
    assert piece_at(mask, (19, 28), within=1).any()
    assert not piece_at(mask, (19, 28), within=0).any()


def test_what_touches_at_a_corner_is_one_piece():
    mask = np.eye(12, dtype=bool)
    assert piece_at(mask, (0, 0)).sum() == 12
    assert grow(np.eye(1, 12, dtype=bool).repeat(12, 0) & mask, mask.astype(np.float32)).sum() == 11


@few
@given(point, point, st.sampled_from([0, 1, 2, 3, 5.0]))
@example((5, 5), (5, 6), 3)
@example((5, 5), (5, 5), 3)
@example((2, 3), (30, 44), 2)
def test_a_cut_erases_what_is_half_its_width_from_the_segment(a, b, width):
    shape = (40, 50)
    start, end = (np.array(pixel_at(end, shape), float) for end in (a, b))
    ways = start + np.linspace(0, 1, 2001)[:, None] * (end - start)
    pixels = np.argwhere(np.ones(shape, bool))
    near, _ = cKDTree(ways).query(pixels)
    near = near.reshape(shape)
    erased = cut(np.ones(shape, bool), a, b, width)
    clear = np.abs(near - width / 2) > 0.04  # the points of the way are 1/30 px apart
    assert (erased == (near <= width / 2))[clear].all()
    if width == 3:
        assert (cut(np.ones(shape, bool), a, b) == erased).all()


def test_a_cut_takes_what_is_at_just_half_its_width():
    assert cut(np.ones((9, 9), bool), (4, 2), (4, 6), width=2).sum() == 5 * 3 + 2


def test_growing_takes_the_threshold_and_the_reach_themselves():
    mask, probability = np.zeros((5, 30), bool), np.zeros((5, 30), np.float32)
    mask[2, 0] = True
    probability[2, 1:12] = 0.5
    assert grow(mask, probability).sum() == 11
    assert grow(mask, probability, reach=0).sum() == 0
    assert grow(mask, probability, reach=3).sum() == 3
    assert grow(mask, probability, threshold=0.50001).sum() == 0


def tree() -> np.ndarray:
    """A trunk with branches of several widths, one of them with a twig and one that comes back as a loop."""
    mask = np.zeros((160, 220), np.uint8)
    for a, b, width in (
        ((0, 60), (219, 90), 9), ((60, 68), (90, 159), 6), ((77, 120), (130, 150), 3), ((150, 80), (190, 0), 4),
    ):  # fmt: skip
        cv2.line(mask, a, b, 1, width)
    cv2.ellipse(mask, (185, 110), (18, 24), 0, 0, 360, 1, 3)
    return mask > 0


# Pixels that each click takes, and the mean of their rows and of their columns.
BRANCHES = {
    (62, 20): (646, 63.8, 28.5),
    (95, 68): (897, 123.6, 85.8),
    (130, 80): (222, 144.4, 85.3),
    (135, 105): (260, 137.8, 108.4),
    (40, 170): (410, 36.8, 171.6),
    (130, 185): (525, 116.2, 184.5),
    (88, 210): (150, 89.1, 212.7),
    (77, 130): (2529, 89.0, 77.0),
}


@pytest.mark.parametrize("click", BRANCHES)
def test_the_branches_of_a_tree_stay_what_they_were(click):
    taken = branch_at(tree(), click)
    count, row, column = BRANCHES[click]
    assert taken.sum() == pytest.approx(count, abs=2)
    assert np.argwhere(taken).mean(axis=0) == pytest.approx((row, column), abs=0.3)


def test_a_loop_at_the_end_of_a_line_and_the_line_are_two_branches():
    mask = np.zeros((60, 90), np.uint8)
    cv2.circle(mask, (65, 30), 18, 1, 1)
    cv2.line(mask, (3, 30), (47, 30), 1, 1)
    line = branch_at(mask > 0, (30, 10))
    assert 35 <= line.sum() <= 46
    assert not line[:, 50:].any()
    loop = branch_at(mask > 0, (12, 65))
    assert not loop[:, :40].any()
    assert loop.sum() > 90
