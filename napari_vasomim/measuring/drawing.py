"""The measures of an angiogram on its frames: walls, centreline, narrowest place, reference, what can be dragged.

Both layers have the frame in their coordinates: napari itself shows each measure on its own frame alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Points, Shapes
from numpy.typing import NDArray

from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.measuring.entry import Entry
from napari_vasomim.measuring.handles import nearest
from vasomim_core.correction.points import Point
from vasomim_core.measures.measuring import Measure
from vasomim_core.measures.report import CENTRE, MLD, REFERENCE, WALL

LINES, POINTS = "measure", "measure points"
ROLES = (LINES, POINTS)
EVERY = 2
"""Points of a wall, half a pixel apart, of which one is drawn."""
CLICK, PLACE = "#ffffff", "#ff9d3c"
Look = tuple[str, float, str]
"""Symbol, size in px and colour of a point."""
CLICKED: Look = ("disc", 5.0, CLICK)
MARKED: Look = ("diamond", 6.0, REFERENCE)
AT_POINTER: Look = ("cross", 7.0, PLACE)
Floats = NDArray[np.floating]


class Drawing:
    """What is drawn of the measures of one angiogram; layers that were deleted are made anew.

    Args:
        viewer: where.
        source: the angiogram.
    """

    def __init__(self, viewer: ViewerModel, source: Image):
        self._viewer, self._source = viewer, source

    @property
    def points(self) -> Points:
        """The layer of what can be dragged, which gets mouse and keys while one measures."""
        layer = layers.find(self._viewer, POINTS, self._source)
        if layer is None:
            layer = Points(ndim=self._source.ndim, name=self._name("measure points"), **self._placed())
            self._add(layer, POINTS)
        return layer

    def show(self, entries: Sequence[Entry], current: Entry | None) -> None:
        """Draw measures: all of them by their walls, the one that is looked at with all that is read of it."""
        layer = layers.find(self._viewer, LINES, self._source)
        if layer is None:
            if not entries:
                return
            layer = Shapes(ndim=self._source.ndim, name=self._name("measures"), **self._placed())
            self._add(layer, LINES)
            if (points := layers.find(self._viewer, POINTS, self._source)) is not None:
                self._viewer.layers.move(self._viewer.layers.index(layer), self._viewer.layers.index(points))
        drawn = [line for entry in entries if entry.measure is not None for line in _lines(entry, entry is current)]
        layer.data = []
        if drawn:
            layer.add_paths(
                [self._on_frame(index, line) for index, line, _, _ in drawn],
                edge_width=[width for _, _, width, _ in drawn],
                edge_color=[colour for _, _, _, colour in drawn],
            )
        layer.editable = False

    def show_points(self, index: int, points: Sequence[tuple[Point, Look]]) -> None:
        """Draw points of a frame, in place of those that were drawn before."""
        layer = layers.find(self._viewer, POINTS, self._source)
        if layer is None and not points:
            return
        layer = self.points
        places = np.array([point for point, _ in points], float).reshape(-1, 2)
        layer.data = self._on_frame(index, places)
        if points:
            layer.symbol = [look[0] for _, look in points]
            layer.size = [look[1] for _, look in points]
            layer.face_color = [look[2] for _, look in points]
        layer.selected_data = set()
        layer.editable = False

    def close(self) -> None:
        """Take the layers out of the viewer."""
        for role in ROLES:
            if (layer := layers.find(self._viewer, role, self._source)) is not None:
                layers.remove(self._viewer, layer)

    def _add(self, layer: Any, role: str) -> None:
        layers.tag(layer, role, self._source)
        layers.add(self._viewer, layer)
        layer.editable = False

    def _name(self, what: str) -> str:
        return results.result_name(what, self._source)

    def _placed(self) -> dict[str, Any]:
        return frames.placed_like(self._source)

    def _on_frame(self, index: int, places: Floats) -> Floats:
        """Places (n, 2) of a frame in the coordinates of the layers."""
        if self._source.ndim == 2:
            return places
        return np.concatenate([np.full((len(places), 1), float(index)), places], axis=1)


def across(measure: Measure, place: int, width: float | None = None) -> Floats:
    """The ends (2, 2) of a line across the vessel at a point of the centreline: wall to wall, or of a width in px."""
    left, right = measure.segment.left[place], measure.segment.right[place]
    if width is None:
        return np.stack([left, right])
    middle, along = (left + right) / 2, (right - left) / max(float(np.linalg.norm(right - left)), 1e-9)
    return np.stack([middle - along * width / 2, middle + along * width / 2])


def _lines(entry: Entry, current: bool) -> list[tuple[int, Floats, float, str]]:
    """Frame, points (n, 2), width and colour of each line of a measure."""
    measure = entry.measure
    if measure is None:
        return []
    segment, narrowest = measure.segment, measure.narrowest
    found: list[tuple[Floats, float, str]] = [(wall, 0.6, WALL) for wall in _thinned(segment.left, segment.right)]
    if current:
        found += [(line, 0.5, CENTRE) for line in _thinned(segment.centreline)]
        found += [(across(measure, nearest(measure, place)), 0.8, REFERENCE) for place in measure.markers]
        found.append((across(measure, narrowest, measure.reference_px), 0.8, REFERENCE))
    found.append((across(measure, narrowest), 1.6, MLD))
    return [(entry.index, line, width, colour) for line, width, colour in found]


def _thinned(*lines: Floats) -> list[Floats]:
    return [np.concatenate([line[:-1:EVERY], line[-1:]]) for line in lines]
