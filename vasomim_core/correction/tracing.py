"""The vessel tools of a person who corrects a mask: trace, remove a piece or branch, cut, grow. Arrays in and out.

Points are (row, column) in pixels of the frame; a click beside the frame counts as one on its edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.graph import MCP_Geometric
from skimage.morphology import skeletonize

from vasomim_core.anatomy import lines, sato
from vasomim_core.anatomy.vesselness import Ridges, as_frames
from vasomim_core.correction.lumen import lumen
from vasomim_core.errors import InputError

Point = Sequence[float]
Mask = NDArray[np.bool_]

WINDOW = 256
"""Side in px of the window in which a trace has its cost field at full resolution."""
LEAST_ANCHOR, ANCHOR_SHARE = 16, 0.01
"""Area in px², and share of the largest piece's, from which on a piece is more than an islet."""
SNAP = 3
"""Distance in px, along each axis, within which a click on a trace is moved to the best ridge."""

# Tuned on ARCADE training frames and synthetic ones; lengths in px of a frame of 512², which grow with the frame.
REFERENCE = 512
SIGMAS = (2.0, 3.0, 4.0, 6.0)  # finer ones answer to the noise,
THIN = 1.5, 6.0  # which a filter along the line takes for less: its standard deviations across and along,
THIN_GAIN = 2  # and its weight: with 3, paths follow the walls of wide vessels
LOCAL = 80  # side of the square whose mean vesselness, with the frame's, makes faint and strong vessels alike
SHRUNK_FROM = 2.0  # times the reference's side
TRACE = 0.1, 2  # ε and p of a path whose ends are on one vessel: a long way round is not what was meant
JOIN = 0.03, 3  # the same of one that has to find its vessel: rather far along it than a little way across


class Tracer:
    """Minimal paths along the vessels of one frame, and the local width of the vessel under them.

    A path minimises the sum of cost × length from the last `start` (Cohen & Kimmel, "Global Minimum for Active
    Contour Models: A Minimal Path Approach", IJCV 24(1), 1997: E = ∫ (w + P) ds), here with w + P = (ε + v)⁻ᵖ,
    v in [0, 1] the larger one of vesselness and line filter, relative to its usual level nearby, raised half of the way
    where the probability is larger.

    Args:
        frame: uint8 (H, W), or any other real dtype.
        probability: vessel probability, float (H, W) in [0, 1]; None = vesselness alone.
        ridges: "dark" (contrast agent absorbs) or "bright".

    Raises:
        InputError: the frame has no pixel or is not two-dimensional, or the probability is of another shape.
    """

    def __init__(
        self, frame: NDArray[np.uint8], probability: NDArray[np.float32] | None = None, ridges: Ridges = "dark"
    ) -> None:
        if np.ndim(frame) != 2:
            raise InputError(f"a trace needs one frame (height, width), not an array of shape {np.shape(frame)}")
        if probability is not None and np.shape(probability) != np.shape(frame):
            raise InputError(
                f"the probability {np.shape(probability)} and the frame {np.shape(frame)} differ in size: "
                "segment this very frame"
            )
        self._frame = as_frames(frame)[0] * (1 if ridges == "dark" else -1)
        self._seen = None
        if probability is not None:
            self._seen = np.nan_to_num(probability, posinf=1, neginf=0).clip(0, 1).astype(np.float32)
        self._step = -(-max(frame.shape) // WINDOW)  # of a grid about as large as the window
        self._scale = max(1.0, float(np.sqrt(frame.size)) / REFERENCE)
        self._seeds = np.empty((0, 2), int)
        self._far: MCP_Geometric = None  # computed when needed
        self._joins = False

    def start(self, point: Point, snap: int = SNAP) -> None:
        """Begin a path: compute the cost field in a window around the point.

        Args:
            point: (row, column).
            snap: move the point to the best ridge within so many px; 0 = not at all.
        """
        row, column = self._snapped(point, snap)
        self._seeds, self._far, self._joins = np.array([[row, column]]), None, False
        self._corner = np.array([max(0, row - WINDOW // 2), max(0, column - WINDOW // 2)])
        window = self._cost[self._corner[0] : row + WINDOW // 2, self._corner[1] : column + WINDOW // 2]
        self._near = _field(window, self._seeds - self._corner)
        self._window = window.shape

    def start_from(self, mask: Mask) -> None:
        """Begin at all vessels that are drawn already, so that one click joins a branch to the nearest of them.

        Nearest is meant along the vessels: `path_to` gives the cheapest path from any pixel of the mask, islets left
        out (see `anchors`).

        Args:
            mask: bool (H, W).

        Raises:
            InputError: the mask is of another shape, or empty.
        """
        if np.shape(mask) != self._frame.shape or not np.any(mask):
            raise InputError("there is no drawn vessel to join: click where a vessel begins first")
        self._seeds, self._far, self._joins, self._window = np.argwhere(anchors(mask)), None, True, (0, 0)
        self._corner = np.zeros(2, int)

    def look_ahead(self) -> None:
        """Compute what the first start, or the first path beyond its window, needs, when nobody waits for it."""
        cost, step = self._cost, self._step
        if self._far is None and len(self._seeds):
            # The least of each block, so that thin vessels go on.
            coarse = cv2.erode(cost, np.ones((step, step), np.uint8))[step // 2 :: step, step // 2 :: step]
            self._last = np.array(coarse.shape) - 1
            self._far = _field(coarse, np.unique(np.minimum(self._seeds // step, self._last), axis=0))

    def path_to(self, point: Point, snap: int = SNAP) -> NDArray[np.intp]:
        """The minimal path from the last start to a point.

        Within the window it is read off the cost field. Beyond, a coarse field of the whole frame (computed by
        `look_ahead`, or at the first such point) gives a corridor, in which, and on the straight line, the path is
        sought again.

        Args:
            point: (row, column).
            snap: as for `start`.

        Returns:
            int (n, 2), n ≥ 1: the pixels (row, column) from start to point, each an 8-neighbour of the last.

        Raises:
            InputError: there was no start.
        """
        if not len(self._seeds):
            raise InputError("a trace needs a first point: click where the vessel begins")
        end = np.array(self._snapped(point, snap))
        inside = end - self._corner
        if (inside >= 0).all() and (inside < self._window).all():
            return np.array(self._near.traceback(inside)) + self._corner
        return self._path_beyond(end)

    def width_along(self, path: NDArray[np.intp]) -> NDArray[np.float32]:
        """The vessel's width from wall to wall at each pixel of a path (n, 2): float32 (n,), px, ≥ 1."""
        _, width = lumen(self._frame, self._seen, np.asarray(path), self._scale)
        return width.astype(np.float32)

    def painted(self, path: NDArray[np.intp]) -> Mask:
        """The pixels that a trace paints: discs from wall to wall, along a path.

        Args:
            path: int (n, 2), from `path_to`; empty paints nothing.

        Returns:
            bool (H, W).
        """
        centre, width = lumen(self._frame, self._seen, np.asarray(path), self._scale)
        canvas = np.zeros(self._frame.shape, np.uint8)
        bits = 4  # of a fraction of a pixel
        discs = np.rint(np.column_stack([centre, width / 2]) * (1 << bits)).astype(int)
        for row, column, radius in discs.tolist():
            cv2.circle(canvas, (column, row), radius, 1, cv2.FILLED, shift=bits)
        return canvas.astype(bool)

    @cached_property
    def _evidence(self) -> NDArray[np.float32]:
        # The scales grow with the frame: a large one shows the same vessels, and many times sooner, at a smaller size.
        shrink = self._scale if self._scale >= SHRUNK_FROM else 1.0
        frame, scale = self._frame, self._scale / shrink
        if shrink > 1:
            frame = cv2.resize(frame, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        wide = sato(frame, [scale * sigma for sigma in SIGMAS])
        thin = lines(frame, *(scale * sigma for sigma in THIN))
        response = np.maximum(wide, THIN_GAIN * thin)
        side = round(LOCAL * scale)
        usual = 3 * (cv2.blur(response, (side, side), borderType=cv2.BORDER_REFLECT) + response.mean())
        v = np.divide(response, usual, out=np.zeros_like(response), where=usual > 0).clip(0, 1)
        if shrink > 1:
            v = cv2.resize(v, self._frame.shape[::-1], interpolation=cv2.INTER_LINEAR)
        if self._seen is not None:
            v = (v + np.maximum(v, self._seen)) / 2  # a model that does not know this kind of frame takes nothing away
        return v.astype(np.float32)

    @cached_property
    def _trace_cost(self) -> NDArray[np.float32]:
        return _cost_of(self._evidence, *TRACE)

    @cached_property
    def _join_cost(self) -> NDArray[np.float32]:
        return _cost_of(self._evidence, *JOIN)

    @property
    def _cost(self) -> NDArray[np.float32]:
        return self._join_cost if self._joins else self._trace_cost

    def _path_beyond(self, end: NDArray[np.intp]) -> NDArray[np.intp]:
        self.look_ahead()
        step = self._step
        coarse = np.array(self._far.traceback(np.minimum(end // step, self._last))) * step + step // 2
        seed = self._seeds[np.abs(self._seeds - coarse[0]).sum(axis=1).argmin()]
        corridor = np.zeros(self._frame.shape, np.uint8)
        cv2.polylines(corridor, [np.vstack([seed, coarse, end])[:, ::-1].astype(np.int32)], False, 1, 4 * step + 1)
        cv2.line(corridor, seed[::-1].tolist(), end[::-1].tolist(), 1)
        rows, columns = (np.flatnonzero(corridor.any(axis=axis)) for axis in (1, 0))
        corner = np.array([rows[0], columns[0]])
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        field = _field(np.where(corridor[box], self._cost[box], -1), [seed - corner], end - corner)
        return np.array(field.traceback(end - corner)) + corner

    def _snapped(self, point: Point, radius: int) -> tuple[int, int]:
        row, column = _pixel(point, self._frame.shape)
        top, left = max(0, row - radius), max(0, column - radius)
        near = self._evidence[top : row + radius + 1, left : column + radius + 1]
        # Where no pixel is better than the one that was clicked, it stays.
        if radius <= 0 or near.max() <= self._evidence[row, column]:
            return row, column
        best = np.unravel_index(near.argmax(), near.shape)
        return top + int(best[0]), left + int(best[1])


def anchors(mask: Mask) -> Mask:
    """The pieces of a mask that something can be joined to: all but the islets that a model leaves about.

    Args:
        mask: bool (H, W).

    Returns:
        bool (H, W), the 8-connected components of at least 16 px and 1 % of the largest one, which is always there.
    """
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(np.asarray(mask, np.uint8), connectivity=8)
    area = statistics[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0  # what is around them
    if not area.any():
        return np.zeros(np.shape(mask), bool)
    kept = area >= min(area.max(), max(LEAST_ANCHOR, ANCHOR_SHARE * area.max()))
    return np.asarray(kept[pieces])


def piece_at(mask: Mask, point: Point, within: int = 5) -> Mask:
    """The connected piece of a mask under a click.

    Args:
        mask: bool (H, W).
        point: (row, column).
        within: distance in px up to which a piece beside the click is taken, the nearest one.

    Returns:
        bool (H, W), one 8-connected component; empty if there is none.
    """
    mask = np.asarray(mask, bool)
    if not mask.any():
        return np.zeros_like(mask)
    clicked = np.array(_pixel(point, mask.shape))
    corner = np.maximum(clicked - within, 0)
    vessel = np.argwhere(mask[corner[0] : clicked[0] + within + 1, corner[1] : clicked[1] + within + 1]) + corner
    distance = np.linalg.norm(vessel - clicked, axis=1)
    if not (distance <= within).any():
        return np.zeros_like(mask)
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    row, column = vessel[distance.argmin()]
    return pieces == pieces[row, column]


def branch_at(mask: Mask, point: Point, within: int = 5) -> Mask:
    """The branch of a piece under a click, from where it leaves the rest, with what hangs on it alone.

    A branch is a line of the skeleton between two of its forks, or from a fork to an end. What stays keeps its whole
    width: a pixel in a disc of the mask around another branch's centreline is not taken.

    Args:
        mask: bool (H, W).
        point: (row, column).
        within: as in `piece_at`.

    Returns:
        bool (H, W), part of one piece, or all of one that has no fork; empty if there is none.
    """
    piece = piece_at(mask, point, within)
    if not piece.any():
        return piece
    rows, columns = (np.flatnonzero(piece.any(axis=axis)) for axis in (1, 0))
    corner = np.array([rows[0], columns[0]])
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shape = np.pad(piece[box], 1).astype(np.uint8)
    lines = skeletonize(shape > 0).astype(np.uint8)
    forks = (cv2.filter2D(lines, -1, np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT) > 3) & (lines > 0)
    forks = cv2.dilate(forks.astype(np.uint8), np.ones((3, 3), np.uint8)) & lines
    _, branches = cv2.connectedComponents(lines & ~forks, connectivity=8)
    if branches.max() < 2:
        return piece
    pixels = np.argwhere(branches)
    clicked = pixels[np.linalg.norm(pixels - 1 + corner - np.array(point), axis=1).argmin()]
    rest = (lines > 0) & (branches != branches[tuple(clicked)])
    _, parts = cv2.connectedComponents(rest.astype(np.uint8), connectivity=8)
    stays = parts == 1 + np.bincount(parts[rest])[1:].argmax()
    radius = cv2.distanceTransform(shape, cv2.DIST_L2, 5)
    kept = np.zeros(shape.shape, np.uint8)
    for row, column in np.argwhere(stays).tolist():
        cv2.circle(kept, (column, row), round(float(radius[row, column])), 1, cv2.FILLED)
    to_stay = cv2.distanceTransform((~stays).astype(np.uint8), cv2.DIST_L2, 5)
    to_go = cv2.distanceTransform(((lines == 0) | stays).astype(np.uint8), cv2.DIST_L2, 5)
    taken = np.zeros_like(piece)
    taken[box] = ((shape > 0) & (kept == 0) & (to_go < to_stay))[1:-1, 1:-1]
    return taken


def cut(mask: Mask, a: Point, b: Point, width: float = 3) -> Mask:
    """The pixels of a mask that a cut from a to b erases.

    Args:
        mask: bool (H, W).
        a: one end, (row, column).
        b: other end.
        width: of the cut in px; from 2 on, it parts what it crosses.

    Returns:
        bool (H, W), within the mask.
    """
    mask = np.asarray(mask, bool)
    pixels = np.argwhere(mask)
    start, end = (np.array(_pixel(point, mask.shape)) for point in (a, b))
    way = end - start
    # Where along the segment, from 0 to 1, each pixel is closest to it.
    along = ((pixels - start) @ way / max(way @ way, 1)).clip(0, 1)
    distance = np.linalg.norm(pixels - start - along[:, None] * way, axis=1)
    erased = np.zeros_like(mask)
    erased[tuple(pixels[distance <= width / 2].T)] = True
    return erased


def grow(mask: Mask, probability: NDArray[np.float32], threshold: float = 0.5, reach: int | None = None) -> Mask:
    """The pixels that a mask gains when it grows over all that is probable and connected to it.

    Args:
        mask: bool (H, W).
        probability: float (H, W) in [0, 1].
        threshold: probability from which a pixel counts.
        reach: distance in px from the mask up to which it grows; None = as far as it goes.

    Returns:
        bool (H, W), none of it in the mask.

    Raises:
        InputError: the probability is of another shape.
    """
    mask = np.asarray(mask, bool)
    if np.shape(probability) != mask.shape:
        raise InputError(
            f"the probability {np.shape(probability)} and the mask {mask.shape} differ in size: segment this very frame"
        )
    if not mask.any():
        return np.zeros_like(mask)
    allowed = np.asarray(probability) >= threshold
    if reach is not None:
        allowed &= cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) <= reach
    _, pieces = cv2.connectedComponents((mask | allowed).astype(np.uint8), connectivity=8)
    return np.isin(pieces, np.unique(pieces[mask])) & ~mask


def _pixel(point: Point, shape: tuple[int, ...]) -> tuple[int, int]:
    row, column = (int(np.clip(round(float(x)), 0, n - 1)) for x, n in zip(point, shape, strict=True))
    return row, column


def _cost_of(evidence: NDArray[np.float32], floor: float, power: int) -> NDArray[np.float32]:
    return ((floor + evidence) ** -power).astype(np.float32)


def _field(cost: NDArray[np.floating], seeds: Iterable[Point], end: Point | None = None) -> MCP_Geometric:
    """The cost of the cheapest path from the seeds to every pixel, or up to the end; negative costs are walls."""
    field = MCP_Geometric(cost)
    field.find_costs([tuple(seed) for seed in seeds], None if end is None else [tuple(end)])
    return field
