"""A piece of vessel between clicks: the path of the trace, recentred, and its walls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vasomim_core.correction.cost import VesselCost
from vasomim_core.correction.lumen import lumen
from vasomim_core.correction.paths import MinimalPaths
from vasomim_core.correction.points import Point
from vasomim_core.errors import InputError
from vasomim_core.measures.belief import belief_of
from vasomim_core.measures.centreline import Centreline, from_path
from vasomim_core.measures.wall_fit import Belief
from vasomim_core.measures.walls import find_walls

Floats = NDArray[np.floating]

SHORTEST = 8.0  # px between the ends: less says nothing of a diameter
SEEN = 0.35, 0.2  # how much of a vessel a path must be (1 = a clear one), and the share of it that may be less


@dataclass(frozen=True)
class Segment:
    """A piece of vessel of n points, half a pixel apart, in px of the frame; pixel centres are whole numbers.

    Attributes:
        clicks: what was asked for, (row, column) each: from, via …, to.
        centreline: (n, 2).
        left: one wall, (n, 2).
        right: the other, (n, 2).
        blur: σ in px of the point spread that was found.
    """

    clicks: tuple[tuple[float, float], ...]
    centreline: Floats
    left: Floats
    right: Floats
    blur: float

    @property
    def distance(self) -> Floats:
        """Distance along the centreline from its start in px, (n,)."""
        return Centreline(self.centreline).distance

    @property
    def diameter(self) -> Floats:
        """From wall to wall in px, (n,)."""
        return np.linalg.norm(self.left - self.right, axis=1)


def find_segment(cost: VesselCost, clicks: Sequence[Point], belief: Belief | None = None) -> Segment:
    """The vessel between clicks.

    The path is that of the trace tool; model and vesselness end there. The walls are found in the grey levels.

    Args:
        cost: of the frame, with the probability of a model or without.
        clicks: (row, column) of the start, of what lies between, and of the end; two or more.
        belief: blur and contrast of the frame; None = looked for in it.

    Returns:
        The segment, from the first click to the last.

    Raises:
        InputError: fewer than two clicks, one outside the frame or twice the same, or no vessel between them.
    """
    points = [_checked(point, cost.frame.shape) for point in clicks]
    if len(points) < 2:
        raise InputError("a measure needs two points: click where it begins and where it ends")
    pieces = []
    for start, end in pairwise(points):
        if np.hypot(*np.subtract(start, end)) < SHORTEST:
            raise InputError(
                f"{_told(start)} and {_told(end)} are less than {SHORTEST:g} px apart: take points farther along"
            )
        pieces.append(_vessel_between(cost, start, end))
    path = np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])])
    centre, width = lumen(cost, path)
    line = from_path(centre, cost.scale)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(centre, axis=0), axis=1))])
    guess = np.interp(line.distance / line.distance[-1], along / along[-1], width)
    grey = cost.frame.astype(np.float64)
    if belief is None:
        belief = belief_of(grey.clip(0, 255).astype(np.uint8))
    walls = find_walls(grey, line, np.zeros(len(guess)), guess, belief)
    half = walls.diameter / 2
    return Segment(
        tuple(points), line.aside(walls.centre), line.aside(walls.centre - half), line.aside(walls.centre + half),
        walls.blur,
    )  # fmt: skip


def _vessel_between(cost: VesselCost, start: Point, end: Point) -> NDArray[np.intp]:
    """The trace's path."""
    path = MinimalPaths.from_point(cost, start).to(end)
    seen = cost.trace[tuple(path.T)] ** -0.5 - 0.1  # v of the cost (0.1 + v)⁻²
    if len(path) < 3 or np.quantile(seen, SEEN[1]) < SEEN[0]:
        raise InputError(
            f"no vessel leads from {_told(start)} to {_told(end)}: click on the vessel, or give points between (via)"
        )
    return path


def _checked(point: Point, shape: tuple[int, ...]) -> tuple[float, float]:
    try:
        row, column = (float(x) for x in point)
    except (TypeError, ValueError):
        raise InputError(f"{point!r} is no point: give row and column in px") from None
    if not (-0.5 <= row <= shape[0] - 0.5 and -0.5 <= column <= shape[1] - 0.5):
        raise InputError(
            f"{_told((row, column))} is outside the frame, which has {shape[0]} rows and {shape[1]} columns: "
            "click on the vessel"
        )
    return row, column


def _told(point: Point) -> str:
    return f"row {point[0]:g}, column {point[1]:g}"
