"""What of a measure can be taken hold of: the points that were clicked, and the two markers of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from vasomim_core.correction.points import Point
from vasomim_core.measures.measuring import Measure
from vasomim_core.measures.reference import APART


class Handle(NamedTuple):
    """Something that can be dragged.

    Attributes:
        kind: a click, or a marker.
        place: which of the clicks (from, via …, to), or which of the two markers.
        point: where it is, (row, column).
    """

    kind: Literal["click", "marker"]
    place: int
    point: Point


def handles(measure: Measure) -> list[Handle]:
    """Those of a measure; where two lie on each other, the click comes first."""
    clicks = [Handle("click", place, point) for place, point in enumerate(measure.segment.clicks)]
    markers = [
        Handle("marker", which, tuple(measure.segment.centreline[nearest(measure, px)]))
        for which, px in enumerate(measure.markers)
    ]
    return clicks + markers


def handle_at(known: Sequence[Handle], point: Point, reach: float) -> Handle | None:
    """The nearest handle within a distance of a point; None where there is none."""
    away = [float(np.hypot(*np.subtract(handle.point, point))) for handle in known]
    return known[int(np.argmin(away))] if away and min(away) <= reach else None


def nearest(measure: Measure, px: float) -> int:
    """The point of the centreline at a distance along it."""
    return int(np.abs(measure.distance - px).argmin())


def place_of(measure: Measure, point: Point) -> tuple[float, float]:
    """Where along a measure a point of the frame is, in px, and how far beside the centreline."""
    away = np.hypot(*(measure.segment.centreline - np.asarray(point, float)).T)
    place = int(away.argmin())
    return float(measure.distance[place]), float(away[place])


def with_marker(measure: Measure, which: int, px: float) -> Measure:
    """The measure with one marker moved, as far as the end of the segment and the other marker let it."""
    first, last = measure.markers
    if which == 0:
        first = float(np.clip(px, 0, last - APART))
    else:
        last = float(np.clip(px, first + APART, measure.length_px))
    return measure.with_(markers=(first, last))


def with_via(clicks: Sequence[Point], point: Point) -> list[Point]:
    """Clicks with one more between those two where the way by it is the least longer."""
    known = np.asarray(clicks, float)
    there = np.hypot(*(known - np.asarray(point, float)).T)
    longer = there[:-1] + there[1:] - np.hypot(*np.diff(known, axis=0).T)
    place = int(longer.argmin()) + 1
    return [*clicks[:place], point, *clicks[place:]]
