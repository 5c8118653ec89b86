"""Remove: a piece of what is drawn, or a branch of it."""

from __future__ import annotations

from napari_vasomim.correcting.tools.shown_frame import Point
from napari_vasomim.correcting.tools.spec import REMOVE
from napari_vasomim.correcting.tools.tool import Tool
from vasomim_core.correction.mask_tools import Mask


class Remove(Tool):
    """A click erases the connected piece under it, of the class that is there; with Shift only the branch."""

    spec = REMOVE

    def hover(self, point: Point, shift: bool = False) -> Mask:
        """The piece at a point, or its branch there."""
        palette = self.frame.palette
        return (palette.branch_at if shift else palette.piece_at)(self.frame.plane, point)

    def click(self, point: Point, shift: bool = False) -> int:
        """Erase it."""
        return self.frame.erase(self.hover(point, shift))

    def words(self, point: Point) -> str:
        """Which class is under the pointer: it need not be the chosen one."""
        value = self.frame.value_at(point)
        return f"Removes {self.frame.palette.name(value)}." if value else "Removes what is under the pointer."
