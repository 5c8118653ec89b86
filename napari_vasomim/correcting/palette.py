"""What the values on a correction mean: its classes, and the one that is drawn in. Arrays in and out, no Qt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vasomim_core.classes import VESSEL, ClassMask, LabelClass, of_value, vessel_of
from vasomim_core.correction.mask_tools import Mask, branch_at, nearest_at, piece_at

Point = tuple[float, float]
"""(row, column) in px of the frame."""


@dataclass(frozen=True)
class Palette:
    """The classes of a correction. In one class alone, whatever is not 0 is that class.

    Attributes:
        classes: in the order of their values.
        chosen: the one that is drawn in.
    """

    classes: tuple[LabelClass, ...] = VESSEL
    chosen: LabelClass = VESSEL[0]

    @property
    def several(self) -> bool:
        """Whether there is another class than the chosen one."""
        return len(self.classes) > 1

    def name(self, value: int) -> str:
        """What a value is called, also one of no class."""
        known = of_value(self.classes, value) if self.several else self.chosen
        return known.name if known is not None else f"value {value}"

    def values(self, plane: ClassMask) -> ClassMask:
        """A plane (H, W) with the values of classes alone."""
        return plane if self.several else (plane != 0) * np.uint8(self.chosen.value)

    def of(self, plane: ClassMask, value: int) -> Mask:
        """The pixels of one class, bool (H, W)."""
        return plane == value if self.several else plane != 0

    def mine(self, plane: ClassMask) -> Mask:
        """The pixels of the chosen class, bool (H, W)."""
        return self.of(plane, self.chosen.value)

    def others(self, plane: ClassMask) -> Mask:
        """The pixels of all other classes, which no tool may take unasked, bool (H, W)."""
        return (plane != 0) & ~self.mine(plane)

    def tree(self, plane: ClassMask, value: int) -> Mask:
        """What a class hangs on: all that counts as vessel, or the class alone if it does not, bool (H, W)."""
        own = of_value(self.classes, value)
        return vessel_of(plane, self.classes) if self.several and own and own.vessel else self.of(plane, value)

    def value_at(self, plane: ClassMask, point: Point) -> int:
        """The value of what a click means, 0 beside everything."""
        pixel = nearest_at(plane != 0, point)
        return 0 if pixel is None else int(plane[pixel])

    def piece_at(self, plane: ClassMask, point: Point) -> Mask:
        """The piece of one class under a click, bool (H, W); where another class begins, it ends."""
        return piece_at(self.of(plane, self.value_at(plane, point)), point)

    def branch_at(self, plane: ClassMask, point: Point) -> Mask:
        """The branch under a click, as far as it is of the class there, bool (H, W).

        What is a branch is seen in the whole tree: a fork stays one when its branches are of different classes.
        """
        value = self.value_at(plane, point)
        return branch_at(self.tree(plane, value), point) & self.of(plane, value)
