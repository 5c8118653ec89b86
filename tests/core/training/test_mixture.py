"""Which store a row of a batch comes from."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vasomim_core.data.store import FrameStore, build_store
from vasomim_core.training.mixture import Ingredient, Mixture


def store(folder, value: int, count: int) -> FrameStore:
    pairs = ((np.full((8, 8), value + n, np.uint8), np.full((8, 8), 1, np.uint8)) for n in range(count))
    return build_store(folder, pairs, count, None)


def whole(frame, codes, rng):
    return frame, codes


@pytest.fixture
def mixture(tmp_path):
    others = (
        Ingredient(store(tmp_path / "b", 100, 4), 0.3, whole),
        Ingredient(store(tmp_path / "c", 200, 2), 0.2, whole),
    )
    return Mixture(store(tmp_path / "a", 0, 50), whole, others, seed=5)


def value(item) -> int:
    return int(item["frame"][0, 0])


def test_shares_are_those_that_were_asked_for(mixture):
    kinds = Counter(value(mixture[epoch, index]) // 100 for epoch in range(40) for index in range(50))
    assert kinds[1] / 2000 == pytest.approx(0.3, abs=0.03)
    assert kinds[2] / 2000 == pytest.approx(0.2, abs=0.03)


def test_a_row_is_the_same_whenever_it_is_asked_for_and_all_frames_come(mixture):
    again = [value(mixture[3, index]) for index in range(50)]
    assert again == [value(mixture[3, index]) for index in range(50)]
    assert again != [value(mixture[4, index]) for index in range(50)]
    seen = {value(mixture[epoch, index]) for epoch in range(20) for index in range(50)}
    assert seen == {*range(50), *range(100, 104), 200, 201}


def test_a_labelled_row_is_the_frame_that_was_asked_for(mixture):
    rows = [(index, value(mixture[0, index])) for index in range(50)]
    assert all(index == found for index, found in rows if found < 100)
    assert len(mixture) == 50


def test_without_others_the_view_is_drawn_from_the_first_number(tmp_path):
    """So that runs of labelled frames alone are what they were."""
    plain = Mixture(store(tmp_path / "a", 0, 3), lambda f, c, rng: (np.full((1, 1), rng.integers(99)), c), (), seed=7)
    assert value(plain[2, 1]) == int(np.random.default_rng([7, 2, 1]).integers(99))
