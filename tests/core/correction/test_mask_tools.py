"""The tools that need no path."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

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
