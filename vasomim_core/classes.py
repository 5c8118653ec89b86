"""Named classes of a mask: what its values mean, how they are called and coloured, and which of them are vessel.

A class mask is uint8 (H, W): 0 is background, every other value that of one class. "Vessel" is never a class of its
own among several but the union of those that count as vessel, and can always be asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vasomim_core.errors import ConfigError

__all__ = [
    "CATHETER",
    "COLOURS",
    "LARGEST_VALUE",
    "MAIN",
    "MOST_CLASSES",
    "OTHER",
    "VESSEL",
    "ClassMask",
    "LabelClass",
    "check_classes",
    "inherited",
    "new_class",
    "of_value",
    "recoded",
    "unknown_values",
    "vessel_of",
    "what_changes",
]

ClassMask = NDArray[np.uint8]
"""(H, W), 0 = background, else the value of a class."""
MOST_CLASSES = 26
LONGEST_NAME = 40
LARGEST_VALUE = 99
COLOURS = (
    "#e8413c", "#3ca0e8", "#f2b134", "#4cc26e", "#b06be0", "#f08bbd", "#39c6c0", "#c98a4b", "#a9d13f",
)  # fmt: skip
"""Of the first classes of a set, one after the other, then from the beginning again."""
_COLOUR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class LabelClass:
    """One class of a label set or of a model.

    Attributes:
        value: of its pixels in a class mask, 1 … `LARGEST_VALUE`.
        name: for people, up to `LONGEST_NAME` characters on one line; unique in its set, capitals aside.
        colour: "#rrggbb" in small letters.
        vessel: whether its pixels count as vessel.

    Raises:
        ConfigError: a field that is not so.
    """

    value: int
    name: str
    colour: str = COLOURS[0]
    vessel: bool = True

    def __post_init__(self) -> None:
        if type(self.value) is not int or not 1 <= self.value <= LARGEST_VALUE:
            raise ConfigError(f"a class has the value {self.value!r:.40}; give a number from 1 to {LARGEST_VALUE}")
        if not isinstance(self.name, str) or self.name != self.name.strip() or not self.name.isprintable():
            raise ConfigError(f"a class is called {self.name!r:.80}; give one line without spaces around it")
        if not 0 < len(self.name) <= LONGEST_NAME:
            raise ConfigError(f"a class is called {self.name!r:.80}; give a name of 1 to {LONGEST_NAME} characters")
        if not isinstance(self.colour, str) or not _COLOUR.fullmatch(self.colour):
            raise ConfigError(f"class {self.name} has the colour {self.colour!r:.40}; give one like #e8413c")
        if type(self.vessel) is not bool:
            raise ConfigError(f"class {self.name} counts as vessel {self.vessel!r:.40}; give true or false")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as red, green and blue, 0-255 each."""
        red, green, blue = (int(self.colour[place : place + 2], 16) for place in (1, 3, 5))
        return red, green, blue


VESSEL = (LabelClass(1, "vessel"),)
"""The classes of a label set, and of a model, that says nothing else."""
MAIN, OTHER, CATHETER = "main branch", "other branch", "catheter"
"""Names of the classes that a model tells apart whose labels held main branches alone."""


def check_classes(classes: Iterable[LabelClass]) -> tuple[LabelClass, ...]:
    """The classes in the order of their values.

    Raises:
        ConfigError: there are none or more than `MOST_CLASSES`, none counts as vessel, or two share a value or a name.
    """
    found = tuple(sorted(classes, key=lambda c: c.value))
    if not 1 <= len(found) <= MOST_CLASSES:
        raise ConfigError(f"there are {len(found)} classes; give from 1 to {MOST_CLASSES}")
    keys: tuple[list[object], ...] = ([c.value for c in found], [c.name.casefold() for c in found])
    for names in keys:
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"two classes are {twice!r}; give each a value and a name of its own")
    if not any(c.vessel for c in found):
        raise ConfigError("no class counts as vessel; let at least one do so")
    return found


def new_class(classes: Sequence[LabelClass], name: str, vessel: bool = True) -> LabelClass:
    """A further class: the smallest value that is free, and the first colour that is."""
    values = {c.value for c in classes}
    colours = [c.colour for c in classes]
    value = next(n for n in range(1, LARGEST_VALUE + 1) if n not in values)
    colour = min(COLOURS, key=colours.count)  # the first of those that are taken least often
    return LabelClass(value, name, colour, vessel)


def of_value(classes: Iterable[LabelClass], value: int) -> LabelClass | None:
    """The class of a value; None = there is none."""
    return next((c for c in classes if c.value == value), None)


def vessel_of(mask: ClassMask, classes: Iterable[LabelClass]) -> NDArray[np.bool_]:
    """The union of all classes that count as vessel, bool (H, W)."""
    table = np.zeros(256, bool)
    table[[c.value for c in classes if c.vessel]] = True
    return table[mask]


def unknown_values(mask: ArrayLike, classes: Iterable[LabelClass]) -> list[int]:
    """Values of a class mask that are neither 0 nor of a class, ascending."""
    known = {0, *(c.value for c in classes)}
    return [int(value) for value in np.unique(np.asarray(mask)) if int(value) not in known]


def recoded(mask: ClassMask, classes: Sequence[LabelClass], to: Sequence[LabelClass]) -> ClassMask:
    """A mask of some classes as one of others: by name, capitals aside.

    A vessel class that the others do not have becomes their first vessel class, what is no vessel and has no name
    there becomes background.

    Args:
        mask: uint8 (H, W), values of `classes`.
        classes: its own.
        to: the others.

    Returns:
        uint8 (H, W), values of `to`.
    """
    by_name = {one.name.casefold(): one.value for one in to}
    vessel = next((one.value for one in to if one.vessel), 0)
    table = np.zeros(256, np.uint8)
    for one in classes:
        table[one.value] = by_name.get(one.name.casefold(), vessel if one.vessel else 0)
    return table[mask]


def inherited(model: Sequence[LabelClass], classes: Sequence[LabelClass]) -> list[tuple[LabelClass, ...]]:
    """For each class that is to be learned, the classes of a model that it goes on from.

    That is the one of the same name, capitals aside; a vessel class which the model does not know goes on from those of
    its vessel classes that are not learned by name, or from its only class.

    Args:
        model: classes of the model to start from.
        classes: to be learned.

    Returns:
        As many as `classes`; () = it is learned from nothing.
    """
    by_name = {one.name.casefold(): one for one in model}
    names = {one.name.casefold() for one in classes}
    left = tuple(one for one in model if one.vessel and (one.name.casefold() not in names or len(model) == 1))
    return [
        (by_name[one.name.casefold()],) if one.name.casefold() in by_name else left if one.vessel else ()
        for one in classes
    ]


def what_changes(model: Sequence[LabelClass], classes: Sequence[LabelClass]) -> str:
    """What becomes of a model's classes when it learns others, in one sentence; empty = they are the same."""
    if [one.name.casefold() for one in model] == [one.name.casefold() for one in classes]:
        return ""
    sources = inherited(model, classes)
    renamed = [
        f"{_listed([one.name for one in old])} {'goes' if len(old) == 1 else 'go'} on as {new.name}"
        for old, new in zip(sources, classes, strict=True)
        if old and [one.name.casefold() for one in old] != [new.name.casefold()]
    ]
    fresh = [new.name for old, new in zip(sources, classes, strict=True) if not old]
    lost = [one.name for one in model if not any(one in old for old in sources)]
    parts = list(renamed)
    if fresh:
        parts.append(f"{_listed(fresh)} {_are(fresh)} learned from nothing")
    if lost:
        parts.append(f"{_listed(lost)} {_are(lost)} forgotten")
    known, wanted = (_listed([one.name for one in of]) for of in (model, classes))
    return f"The model knows {known} and learns {wanted}: {', '.join(parts) or 'in another order'}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
