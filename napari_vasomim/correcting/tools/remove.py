"""Remove: a piece of the mask, or a branch of it."""

from __future__ import annotations

from napari_vasomim.correcting.tools.shown_frame import Point
from napari_vasomim.correcting.tools.spec import REMOVE
from napari_vasomim.correcting.tools.tool import Tool
from vasomim_core.correction.mask_tools import Mask, branch_at, piece_at


class Remove(Tool):
    """A click erases the connected piece under it; with Shift only the branch there."""

    spec = REMOVE

    def hover(self, point: Point, shift: bool = False) -> Mask:
        """The piece at a point, or its branch there."""
        return (branch_at if shift else piece_at)(self.frame.mask, point)

    def click(self, point: Point, shift: bool = False) -> int:
        """Erase it."""
        return self.frame.erase(self.hover(point, shift))
