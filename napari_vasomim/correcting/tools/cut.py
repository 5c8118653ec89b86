"""Cut: across a vessel, from press to release."""

from __future__ import annotations

import numpy as np

from napari_vasomim.correcting.tools.shown_frame import Point, ShownFrame
from napari_vasomim.correcting.tools.spec import CUT
from napari_vasomim.correcting.tools.tool import Tool
from vasomim_core.correction.mask_tools import Mask, cut


class Cut(Tool):
    """A drag erases what it crosses, of the chosen class; it may begin and end beside the frame."""

    spec = CUT
    drags = True

    def __init__(self, frame: ShownFrame):
        super().__init__(frame)
        self._start: Point | None = None

    def press(self, point: Point) -> None:
        """Where the cut begins."""
        self._start = point

    def hover(self, point: Point, shift: bool = False) -> Mask | None:
        """The cut from where the drag began to a point; nothing without a drag."""
        everywhere = self.frame.free(np.ones(self.frame.plane.shape, bool))
        return None if self._start is None else cut(everywhere, self._start, point)

    def click(self, point: Point, shift: bool = False) -> int:
        """Erase along it."""
        start, self._start = self._start, None
        mine = self.frame.palette.mine(self.frame.plane)
        return 0 if start is None else self.frame.erase(cut(mine, start, point))

    def words(self, point: Point) -> str:
        """Which class it cuts."""
        return f"Cuts {self.frame.palette.chosen.name} alone."

    def end(self) -> None:
        """Give a cut up that was begun."""
        self._start = None
