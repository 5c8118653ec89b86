"""Trace: from click to click along a vessel."""

from __future__ import annotations

from typing import NamedTuple

from napari_vasomim.correcting.tools.shown_frame import Point, ShownFrame
from napari_vasomim.correcting.tools.spec import TRACE
from napari_vasomim.correcting.tools.tool import Tool
from vasomim_core.correction.lumen import painted
from vasomim_core.correction.mask_tools import Mask
from vasomim_core.correction.paths import MinimalPaths


class Anchor(NamedTuple):
    """Where a trace stands after a click.

    Attributes:
        point: (row, column).
        painted: whether the piece that leads here changed a pixel, and so is a step of the undo history.
    """

    point: Point
    painted: bool


class Trace(Tool):
    """The first click begins a trace, each further one paints the vessel from where it stands."""

    spec = TRACE

    def __init__(self, frame: ShownFrame):
        super().__init__(frame)
        self._anchors: list[Anchor] = []
        self._paths: MinimalPaths | None = None

    def hover(self, point: Point, shift: bool = False) -> Mask | None:
        """The vessel from where the trace stands to a point; nothing before the first click."""
        paths = self._paths_on()
        return None if paths is None else self.frame.free(painted(paths.cost, paths.to(point)))

    def click(self, point: Point, shift: bool = False) -> int:
        """Begin a trace, or paint the vessel from where it stands to a point."""
        changed = 0
        if paths := self._paths_on():
            path = paths.to(point)
            changed = self.frame.paint(painted(paths.cost, path))
            point = float(path[-1][0]), float(path[-1][1])
        self._paths = MinimalPaths.from_point(self.frame.cost(), point)
        self._anchors.append(Anchor(point, changed > 0))
        return changed

    def end(self) -> None:
        """The next click begins another trace."""
        self._anchors, self._paths = [], None

    def step_back(self) -> None:
        """Take the last traced piece back and go on from where it began."""
        if len(self._anchors) < 2:
            self.end()
            return
        if self._anchors.pop().painted:
            self.frame.layer.undo()
        self._paths = None

    def look_ahead(self) -> None:
        """Before the first click, what every path on the frame needs; after it, that of a far one."""
        if paths := self._paths_on():
            paths.look_ahead()
        else:
            self.frame.cost().prepare()

    def _paths_on(self) -> MinimalPaths | None:
        """The paths from where the trace stands, on what the frame costs now; None before the first click."""
        if self._anchors and (self._paths is None or self._paths.cost is not self.frame.cost()):
            self._paths = MinimalPaths.from_point(self.frame.cost(), self._anchors[-1].point)
        return self._paths
