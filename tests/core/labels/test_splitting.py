from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.labels.made import invented
from vasomim_core.errors import LabelError
from vasomim_core.labels.splitting import (
    split_by_group,
    split_validation,
    take_fraction,
    training_and_validation,
    validation_count,
)

some_groups = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60)
some_fraction = st.floats(0.01, 0.99)
some_seed = st.integers(0, 2**31 - 1)


@given(some_groups, some_fraction, some_seed)
def test_a_split_keeps_groups_whole_and_neither_side_empty(groups: list[str], fraction: float, seed: int) -> None:
    frames = invented(groups)
    if len(set(groups)) < 2:
        with pytest.raises(LabelError, match=r"give --val, or label frames of a second patient"):
            split_by_group(frames, fraction, seed)
        return
    training, validation = split_by_group(frames, fraction, seed)
    assert training
    assert validation
    assert sorted(training + validation, key=lambda f: int(f.name)) == frames
    assert not {f.group for f in training} & {f.group for f in validation}
    smallest = min(groups.count(g) for g in set(groups))
    assert len(validation) <= max(round(fraction * len(frames)), smallest)
    again = split_by_group(frames[::-1], fraction, seed)
    assert {f.name for f in again[1]} == {f.name for f in validation}, "the order of files does not matter"


def test_single_frames_split_exactly_and_by_the_seed() -> None:
    frames = invented([f"g{i}" for i in range(100)])
    parts = [tuple(f.name for f in split_by_group(frames, 0.1, seed)[1]) for seed in range(5)]
    assert {len(part) for part in parts} == {10}
    assert len(set(parts)) == 5


@pytest.mark.parametrize(("frames", "validated"), [(2, 1), (5, 1), (6, 2), (9, 3), (10, 3), (30, 3), (100, 10)])
def test_three_frames_are_held_out_as_soon_as_enough_are_left_to_learn_from(frames: int, validated: int) -> None:
    assert validation_count(frames) == validated
    training, validation = split_validation(invented([f"g{i}" for i in range(frames)]), 0)
    assert (len(training), len(validation)) == (frames - validated, validated)


@given(some_groups, some_fraction, some_fraction, some_seed)
def test_subsets_have_the_exact_size_and_are_nested(groups: list[str], p: float, q: float, seed: int) -> None:
    frames = invented(groups)
    small, large = (take_fraction(frames, fraction, seed) for fraction in sorted((p, q)))
    assert set(small) <= set(large)
    assert small == [f for f in frames if f in small], "order kept"
    assert len(small) - 1 < min(p, q) * len(frames) <= len(small) + 1e-6
    cut = [g for g in set(groups) if 0 < sum(f.group == g for f in small) < groups.count(g)]
    assert len(cut) <= 1, "at most the last group is cut"
    assert take_fraction(frames, 1, seed) == frames


def test_subsets_change_with_the_seed_and_are_the_same_on_every_machine() -> None:
    frames = invented([f"g{i:02}" for i in range(20)])
    subsets = [tuple(f.name for f in take_fraction(frames, 0.2, seed)) for seed in range(6)]
    assert len(set(subsets)) == 6
    assert subsets[0] == ("4", "7", "10", "18")
    assert len(take_fraction(invented(["g"] * 100), 0.07, 0)) == 7, "0.07 · 100 is a little more than 7 in binary"


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, float("nan")])
def test_fractions_out_of_range(fraction: float) -> None:
    for use in (take_fraction, split_by_group):
        with pytest.raises(LabelError, match="fraction"):
            use(invented(["a", "b"]), fraction, 0)


def test_a_split_is_the_same_on_every_machine() -> None:
    frames = invented([f"g{i:02}" for i in range(20)])
    assert [f.name for f in split_by_group(frames, 0.2, 0)[1]] == ["2", "3", "11", "13"]


def test_a_tenth_of_the_labels_is_split_in_turn_and_frames_to_choose_on_stay_whole() -> None:
    frames, other = invented([f"g{i}" for i in range(1000)]), invented(["v"] * 5)
    training, validation = training_and_validation(frames, None, 0.1, 0)
    assert (len(training), len(validation)) == (90, 10)
    assert sorted(training + validation, key=lambda f: int(f.name)) == take_fraction(frames, 0.1, 0)
    assert training_and_validation(frames, None, 1, 0) == split_validation(frames, 0)
    assert training_and_validation(frames, other, 0.1, 0) == (take_fraction(frames, 0.1, 0), other)
    assert training_and_validation(frames, other, 1, 0) == (frames, other)


def test_groups_fill_the_share_of_validation_and_the_smallest_goes_where_none_fits() -> None:
    big = invented(["a"] * 5 + ["b"] * 4 + ["c"] * 4)
    for seed in range(5):
        assert {f.group for f in split_by_group(big, 0.1, seed)[1]} == {"b"}, "the first by alphabet of equal ones"
        assert len(split_by_group(invented(["a", "b", "c"]), 0.99, seed)[0]) == 1, "one group is learned from"
        assert {f.group for f in split_by_group(big, 5 / 13, seed)[1]} < {"a", "b", "c"}
        assert len(split_by_group(invented(["a"] * 5 + ["b"] * 5), 0.5, seed)[1]) == 5, "as long as they fit exactly"


def test_of_no_frames_nothing_is_split_or_taken() -> None:
    for use in (take_fraction, split_by_group):
        with pytest.raises(LabelError, match="no labelled frames"):
            use([], 0.5, 0)
    with pytest.raises(LabelError, match="fraction 1 "):
        split_by_group(invented(["a", "b"]), 1, 0)
