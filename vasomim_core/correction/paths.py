"""Minimal paths from one start: from a click, or from all that is drawn already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.graph import MCP_Geometric

from vasomim_core.correction.cost import VesselCost
from vasomim_core.correction.mask_tools import Mask, anchors
from vasomim_core.correction.points import Point
from vasomim_core.errors import InputError

WINDOW = 256
"""Side in px of the window around a start in which paths are known at full resolution from the beginning."""
SNAP = 3
"""Distance in px, along each axis, within which a click on a trace is moved to the best ridge."""


class MinimalPaths:
    """The cheapest paths from a start to any pixel: those of the least sum of cost × length (see `VesselCost`).

    Made by `from_point` or `from_mask`. Another start is another object, on the same cost.

    Attributes:
        cost: of the frame on which the paths run.
    """

    @classmethod
    def from_point(cls, cost: VesselCost, point: Point, snap: int = SNAP) -> Self:
        """Paths along the vessel that was clicked; those within a window around the click are computed at once.

        Args:
            cost: of the frame.
            point: (row, column).
            snap: move the point to the best ridge within so many px; 0 = not at all.
        """
        return cls(cost, cost.trace, np.array([cost.snap(point, snap)]), WINDOW // 2)

    @classmethod
    def from_mask(cls, cost: VesselCost, mask: Mask) -> Self:
        """Paths from all vessels that are drawn already, so that one click joins a branch to the nearest of them.

        Nearest is meant along the vessels: a path begins at that pixel of the mask, islets left out (see `anchors`),
        from which it is cheapest.

        Args:
            cost: of the frame.
            mask: bool (H, W).

        Raises:
            InputError: the mask is of another shape, or empty.
        """
        if np.shape(mask) != cost.frame.shape or not np.any(mask):
            raise InputError("there is no drawn vessel to join: click where a vessel begins first")
        return cls(cost, cost.join, np.argwhere(anchors(mask)))

    def __init__(
        self, cost: VesselCost, pixel_cost: NDArray[np.float32], seeds: NDArray[np.intp], radius: int = 0
    ) -> None:
        """Paths from seeds (n, 2), n ≥ 1, at this cost of a pixel; within the radius in px of the first at once."""
        self.cost, self._pixel_cost, self._seeds = cost, pixel_cost, seeds
        self._corner = np.maximum(seeds[0] - radius, 0)
        (top, left), (bottom, right) = self._corner, seeds[0] + radius
        window = pixel_cost[top:bottom, left:right]
        self._extent = window.shape
        self._near = _field(window, seeds - self._corner) if radius else None
        # Of a grid about as large as the window, with a row and a column at least.
        self._step = min(-(-max(cost.frame.shape) // WINDOW), *cost.frame.shape)
        self._far: MCP_Geometric = None

    def look_ahead(self) -> None:
        """Compute what the first path beyond the window needs, when nobody waits for it."""
        if self._far is None:
            step = self._step
            # The least of each block, so that thin vessels go on.
            least = cv2.erode(self._pixel_cost, np.ones((step, step), np.uint8))
            coarse = least[step // 2 :: step, step // 2 :: step]
            self._last = np.array(coarse.shape) - 1
            self._far = _field(coarse, np.unique(np.minimum(self._seeds // step, self._last), axis=0))

    def to(self, point: Point, snap: int = SNAP) -> NDArray[np.intp]:
        """The minimal path to a point.

        Within the window it is read off the field of costs around the start. Beyond, a coarse field of the whole frame
        (computed by `look_ahead`, or at the first such point) gives a corridor, in which, and on the straight line,
        the path is sought again.

        Args:
            point: (row, column).
            snap: as in `from_point`.

        Returns:
            int (n, 2), n ≥ 1: the pixels (row, column) from start to point, each an 8-neighbour of the last.
        """
        end = np.array(self.cost.snap(point, snap))
        inside = end - self._corner
        if self._near is not None and (inside >= 0).all() and (inside < self._extent).all():
            return np.array(self._near.traceback(inside)) + self._corner
        return self._to_beyond(end)

    def _to_beyond(self, end: NDArray[np.intp]) -> NDArray[np.intp]:
        self.look_ahead()
        step = self._step
        coarse = np.array(self._far.traceback(np.minimum(end // step, self._last))) * step + step // 2
        seed = self._seeds[np.abs(self._seeds - coarse[0]).sum(axis=1).argmin()]
        corridor = np.zeros(self._pixel_cost.shape, np.uint8)
        cv2.polylines(corridor, [np.vstack([seed, coarse, end])[:, ::-1].astype(np.int32)], False, 1, 4 * step + 1)
        cv2.line(corridor, seed[::-1].tolist(), end[::-1].tolist(), 1)
        rows, columns = (np.flatnonzero(corridor.any(axis=axis)) for axis in (1, 0))
        corner = np.array([rows[0], columns[0]])
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        field = _field(np.where(corridor[box], self._pixel_cost[box], -1), [seed - corner], end - corner)
        return np.array(field.traceback(end - corner)) + corner


def _field(cost: NDArray[np.floating], seeds: Iterable[Point], end: Point | None = None) -> MCP_Geometric:
    """The cost of the cheapest path from the seeds to every pixel, or up to the end; negative costs are walls."""
    field = MCP_Geometric(cost)
    field.find_costs([tuple(seed) for seed in seeds], None if end is None else [tuple(end)])
    return field
