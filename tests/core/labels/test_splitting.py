from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.labels.made import invented
from vasomim_core.errors import LabelError
from vasomim_core.labels.splitting import split_by_group, split_validation, take_fraction, validation_count

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
