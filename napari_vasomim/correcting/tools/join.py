"""Join: a missed branch to what is drawn, with one click at its far end."""

from __future__ import annotations

import numpy as np

from napari_vasomim.correcting.tools.shown_frame import Point, ShownFrame
from napari_vasomim.correcting.tools.spec import JOIN
from napari_vasomim.correcting.tools.tool import Tool
from vasomim_core.correction.lumen import painted
from vasomim_core.correction.mask_tools import Mask
from vasomim_core.correction.paths import MinimalPaths


class Join(Tool):
    """A click paints the vessel that leads to it from what is drawn already: a branch may be of another class."""

    spec = JOIN

    def __init__(self, frame: ShownFrame):
        super().__init__(frame)
        self._from: tuple[Mask, MinimalPaths] | None = None

    def hover(self, point: Point, shift: bool = False) -> Mask | None:
        """The vessel from what is drawn to a point; nothing where nothing is drawn."""
        return self._path_to(point) if self._drawn().any() else None

    def click(self, point: Point, shift: bool = False) -> int:
        """Paint the vessel from what is drawn to a point."""
        return self.frame.paint(self._path_to(point))

    def look_ahead(self) -> None:
        """What the first path from here needs."""
        if self._drawn().any():
            self._paths().look_ahead()

    def _path_to(self, point: Point) -> Mask:
        paths = self._paths()
        return self.frame.free(painted(paths.cost, paths.to(point)))

    def _drawn(self) -> Mask:
        return self.frame.palette.tree(self.frame.plane, self.frame.palette.chosen.value)

    def _paths(self) -> MinimalPaths:
        """The paths from all that is drawn, kept until that or what the frame costs changes."""
        cost, mask = self.frame.cost(), self._drawn()
        if self._from is None or self._from[1].cost is not cost or not np.array_equal(self._from[0], mask):
            self._from = mask, MinimalPaths.from_mask(cost, mask)
        return self._from[1]
