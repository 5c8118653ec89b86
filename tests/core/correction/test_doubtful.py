"""Doubtful branches of a frame, worst first."""

from __future__ import annotations

import numpy as np
import pytest

from vasomim_core.correction.doubtful import doubt_of, doubtful_branches
from vasomim_core.errors import InputError


@pytest.fixture
def frame():
    """A sure vessel, a false branch on it that is half believed, a true one, and a faint one that is not drawn."""
    probability = np.full((120, 160), 0.02, np.float32)
    probability[50:60, 10:150] = 0.97  # the vessel
    probability[60:100, 40:45] = 0.55  # the false branch
    probability[10:50, 90:95] = 0.9  # a true one
    probability[80:84, 100:140] = 0.4  # missed
    return probability


def test_a_branch_that_is_half_believed_comes_first(frame):
    found = doubtful_branches(frame, frame >= 0.5)
    assert [one.drawn for one in found] == [True, False]
    false, missed = found
    assert abs(false.centre[0] - 80) <= 4
    assert abs(false.centre[1] - 42) <= 1
    assert false.doubt > 0.98
    assert false.probability == pytest.approx(0.55, abs=0.01)
    assert 25 <= false.length <= 42
    assert missed.pixels[80:84, 100:140].mean() > 0.9
    assert 0.9 < missed.doubt < false.doubt


def test_what_goes_is_the_branch_and_nothing_of_the_vessel(frame):
    mask = frame >= 0.5
    false = doubtful_branches(frame, mask)[0]
    assert not (false.pixels & ~mask).any()
    assert not false.pixels[50:60].any()
    assert false.pixels[66:100, 40:45].all()


def test_the_threshold_is_where_a_model_is_undecided(frame):
    assert doubt_of(np.float32([[0.3]]), 0.3)[0, 0] == pytest.approx(1)
    low = doubtful_branches(frame, frame >= 0.3, 0.3)
    assert [round(one.probability, 2) for one in low] == [0.4, 0.55]
    assert all(one.drawn for one in low)


def test_most_and_nothing(frame):
    assert len(doubtful_branches(frame, frame >= 0.5, most=1)) == 1
    assert doubtful_branches(np.zeros((20, 20), np.float32), np.zeros((20, 20), bool)) == []
    sure = np.where(frame > 0.8, np.float32(0.99), np.float32(0.01))
    assert doubtful_branches(sure, sure > 0.5) == []


def test_the_edges_of_a_sure_vessel_are_no_branches():
    import cv2

    sure = cv2.GaussianBlur((np.indices((60, 60))[0] // 10 == 2).astype(np.float32), (0, 0), 2)
    assert doubtful_branches(sure, sure >= 0.5) == []


def test_another_size_is_refused(frame):
    with pytest.raises(InputError, match="differ in size"):
        doubtful_branches(frame, np.zeros((8, 8), bool))
