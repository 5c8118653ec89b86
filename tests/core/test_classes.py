"""Named classes: what a class may be, and the vessel union."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vasomim_core.classes import (
    COLOURS,
    VESSEL,
    LabelClass,
    check_classes,
    new_class,
    of_value,
    unknown_values,
    vessel_of,
)
from vasomim_core.errors import ConfigError

THREE = (LabelClass(1, "main"), LabelClass(2, "catheter", "#3ca0e8", vessel=False), LabelClass(7, "twig", "#4cc26e"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": 0}, {"value": 100}, {"value": True}, {"value": 1.0}, {"name": ""}, {"name": " a"}, {"name": "a\nb"},
        {"name": "x" * 41}, {"colour": "red"}, {"colour": "#E8413C"}, {"colour": "#e8413c0"}, {"vessel": 1},
    ],
)  # fmt: skip
def test_a_class_that_cannot_be_is_refused_in_a_sentence(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="class"):
        LabelClass(**{"value": 1, "name": "a"} | wrong)  # type: ignore[arg-type]


def test_the_largest_value_and_the_longest_name_are_taken() -> None:
    assert LabelClass(99, "x" * 40).value == 99


def test_classes_come_in_the_order_of_their_values() -> None:
    assert check_classes(reversed(THREE)) == THREE


@pytest.mark.parametrize(
    "classes",
    [
        (),
        tuple(LabelClass(n, f"c{n}") for n in range(1, 28)),
        (LabelClass(1, "a"), LabelClass(1, "b")),
        (LabelClass(1, "a"), LabelClass(2, "A")),
        (LabelClass(1, "a", vessel=False),),
    ],
)
def test_sets_of_classes_that_contradict_themselves_are_refused(classes: tuple[LabelClass, ...]) -> None:
    with pytest.raises(ConfigError):
        check_classes(classes)


def test_twenty_six_classes_are_a_set() -> None:
    assert len(check_classes(LabelClass(n, f"c{n}") for n in range(1, 27))) == 26


def test_a_new_class_takes_the_first_free_value_and_a_colour_of_its_own() -> None:
    new = new_class(THREE, "new")
    assert (new.value, new.colour, new.vessel) == (3, COLOURS[2], True)
    many = tuple(LabelClass(n + 1, f"c{n}", colour) for n, colour in enumerate(COLOURS))
    assert new_class(many, "again").colour == COLOURS[0]


@given(st.lists(st.sampled_from([0, 1, 2, 7]), min_size=1, max_size=30))
def test_vessel_is_the_union_of_the_classes_that_count_as_one(values: list[int]) -> None:
    mask = np.array([values], np.uint8)
    assert vessel_of(mask, THREE).tolist() == [[value in (1, 7) for value in values]]


def test_values_of_no_class_are_named() -> None:
    assert unknown_values(np.array([[0, 1, 9, 3, 9]]), THREE) == [3, 9]
    assert unknown_values(np.array([[0, 1]]), VESSEL) == []


def test_a_class_is_found_by_its_value() -> None:
    assert of_value(THREE, 7) == THREE[2]
    assert of_value(THREE, 3) is None
