"""What every vessel tool is: something that shows what a click would do, and does it."""

from __future__ import annotations

from typing import ClassVar

from napari_vasomim.correcting.tools.shown_frame import Point, ShownFrame
from napari_vasomim.correcting.tools.spec import ToolSpec
from vasomim_core.correction.mask_tools import Mask


class Tool:
    """One vessel tool while it is up; taken up again, it is a new one, which knows of no click before.

    Args:
        frame: that it works on.
    """

    spec: ClassVar[ToolSpec]
    drags: ClassVar[bool] = False
    """Whether it is dragged: from a press, which `press` tells, to a release, which is its click."""

    def __init__(self, frame: ShownFrame):
        self.frame = frame

    def hover(self, point: Point, shift: bool = False) -> Mask | None:
        """What the preview shows at a point (row, column): the pixels, bool (H, W), or None for nothing."""
        raise NotImplementedError

    def click(self, point: Point, shift: bool = False) -> int:
        """Do what `hover` shows; returns how many pixels changed.

        Args:
            point: (row, column).
            shift: whether Shift is held.

        Raises:
            InputError: it cannot be done on this frame.
        """
        raise NotImplementedError

    def words(self, point: Point) -> str:
        """What a click at a point does to which class, in a few words; said where there are several."""
        return f"Draws {self.frame.palette.chosen.name}."

    def press(self, point: Point) -> None:
        """A drag begins at a point."""

    def end(self) -> None:
        """Forget what earlier clicks have begun."""

    def step_back(self) -> None:
        """Take the last click back."""

    def look_ahead(self) -> None:
        """Compute what the next hover needs, while nobody waits for it."""
