"""The vessel tools of a person who corrects a mask: trace, remove a piece, cut, grow. Arrays in, arrays out.

Points are (row, column) in pixels of the frame; a click beside the frame counts as one on its edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from skimage.graph import MCP_Geometric

from vasomim_core.anatomy import sato
from vasomim_core.anatomy.vesselness import Ridges, as_frames
from vasomim_core.errors import InputError

Point = Sequence[float]
Mask = NDArray[np.bool_]

WINDOW = 256
"""Side in px of the window in which a trace has its cost field at full resolution."""
SNAP = 3
"""Distance in px, along each axis, within which a click on a trace is moved to the best ridge."""

# Tuned on 48 ARCADE training frames; lengths in px of a frame of 512², which grow with the frame.
REFERENCE = 512
SIGMAS = (1.5, 2.5, 4.0, 6.0)
LOCAL = 80  # side of the square whose mean vesselness, with the frame's, makes faint and strong vessels alike
FLOOR = 0.03  # of the vesselness: keeps the cost finite, and the path short where there is no vessel
REACH, STEP = 20.0, 0.5  # of the search for the wall on either side of the path
SMOOTH_PATH, SMOOTH_WALL, BLUR = 3.0, 2.0, 1.0
STIFFNESS = 0.1  # what a wall pays for each step away from or towards the path, in units of a clear wall
NEARNESS = 0.1  # what a wall pays for the logarithm of its distance from the path: another vessel's is farther


class Tracer:
    """Minimal paths along the vessels of one frame, and the local width of the vessel under them.

    A path minimises the sum of cost × length from the last `start` (Cohen & Kimmel, "Global Minimum for Active
    Contour Models: A Minimal Path Approach", IJCV 24(1), 1997: E = ∫ (w + P) ds), here with w + P = 1 / (ε + v)²,
    v in [0, 1] the mean of vesselness, relative to its usual level nearby, and probability.

    The walls of the vessel are the two lines beside the path, each with one distance a pixel of it, along which the
    grey levels rise most steeply outwards and which bend little (dynamic programming in the straightened vessel).

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
        self._probability = probability
        self._scale = max(1.0, float(np.sqrt(frame.size)) / REFERENCE)
        self._seeds = np.empty((0, 2), int)
        self._far: MCP_Geometric = None  # computed when needed

    def start(self, point: Point, snap: int = SNAP) -> None:
        """Begin a path: compute the cost field in a window around the point.

        Args:
            point: (row, column).
            snap: move the point to the best ridge within so many px; 0 = not at all.
        """
        row, column = self._snapped(point, snap)
        self._seeds, self._far = np.array([[row, column]]), None
        self._corner = np.array([max(0, row - WINDOW // 2), max(0, column - WINDOW // 2)])
        window = self._cost[self._corner[0] : row + WINDOW // 2, self._corner[1] : column + WINDOW // 2]
        self._near = _field(window, self._seeds - self._corner)
        self._window = window.shape

    def start_from(self, mask: Mask) -> None:
        """Begin at all vessels that are drawn already, so that one click joins a branch to the nearest of them.

        Nearest is meant along the vessels: `path_to` gives the cheapest path from any pixel of the mask.

        Args:
            mask: bool (H, W).

        Raises:
            InputError: the mask is of another shape, or empty.
        """
        if np.shape(mask) != self._frame.shape or not np.any(mask):
            raise InputError("there is no drawn vessel to join: click where a vessel begins first")
        self._seeds, self._far, self._window = np.argwhere(mask), None, (0, 0)
        self._corner = np.zeros(2, int)

    def path_to(self, point: Point, snap: int = SNAP) -> NDArray[np.intp]:
        """The minimal path from the last start to a point.

        Within the window it is read off the cost field. Beyond, a coarse field of the whole frame (computed at the
        first such point) gives a corridor, in which, and on the straight line, the path is sought again.

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
        _, width = self._lumen(np.asarray(path))
        return width.astype(np.float32)

    def painted(self, path: NDArray[np.intp]) -> Mask:
        """The pixels that a trace paints: discs from wall to wall, along a path.

        Args:
            path: int (n, 2), from `path_to`; empty paints nothing.

        Returns:
            bool (H, W).
        """
        centre, width = self._lumen(np.asarray(path))
        canvas = np.zeros(self._frame.shape, np.uint8)
        bits = 4  # of a fraction of a pixel
        discs = np.rint(np.column_stack([centre, width / 2]) * (1 << bits)).astype(int)
        for row, column, radius in discs.tolist():
            cv2.circle(canvas, (column, row), radius, 1, cv2.FILLED, shift=bits)
        return canvas.astype(bool)

    @cached_property
    def _cost(self) -> NDArray[np.float32]:
        vesselness = sato(self._frame, [self._scale * sigma for sigma in SIGMAS])
        side = round(LOCAL * self._scale)
        usual = 3 * (cv2.blur(vesselness, (side, side), borderType=cv2.BORDER_REFLECT) + vesselness.mean())
        v = np.divide(vesselness, usual, out=np.zeros_like(vesselness), where=usual > 0).clip(0, 1)
        if self._probability is not None:
            v = (v + np.nan_to_num(self._probability, posinf=1, neginf=0).clip(0, 1)) / 2
        return (1 / (FLOOR + v) ** 2).astype(np.float32)

    @cached_property
    def _coarse(self) -> tuple[int, NDArray[np.float32]]:
        """The cost of the whole frame on a grid about as large as the window, and its step in px."""
        step = -(-max(self._frame.shape) // WINDOW)
        # The least of each block, so that thin vessels go on.
        return step, cv2.erode(self._cost, np.ones((step, step), np.uint8))[step // 2 :: step, step // 2 :: step]

    def _path_beyond(self, end: NDArray[np.intp]) -> NDArray[np.intp]:
        step, cost = self._coarse
        last = np.array(cost.shape) - 1
        if self._far is None:
            self._far = _field(cost, np.unique(np.minimum(self._seeds // step, last), axis=0))
        coarse = np.array(self._far.traceback(np.minimum(end // step, last))) * step + step // 2
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
        near = self._cost[top : row + radius + 1, left : column + radius + 1]
        # Where no pixel is better than the one that was clicked, it stays.
        if radius <= 0 or near.min() >= self._cost[row, column]:
            return row, column
        best = np.unravel_index(near.argmin(), near.shape)
        return top + int(best[0]), left + int(best[1])

    def _lumen(self, path: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centre (n, 2) and width (n,) of the vessel under a path; one px wide where no wall is seen."""
        if len(path) < 2:
            return path.reshape(-1, 2).astype(float), np.ones(len(path))
        line = gaussian_filter1d(path.astype(float), SMOOTH_PATH * self._scale, axis=0, mode="nearest")
        along = np.gradient(line, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True).clip(min=1e-6)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        half = round(REACH * self._scale / STEP)
        offsets = np.arange(-half, half + 1) * STEP
        rows, columns = np.moveaxis(line[:, None] + offsets[:, None] * across[:, None], -1, 0).astype(np.float32)
        straight = cv2.remap(self._frame, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        straight = gaussian_filter1d(straight, SMOOTH_WALL, axis=0, mode="nearest")
        slope = gaussian_filter1d(straight, BLUR / STEP, axis=1, order=1, mode="nearest")
        slope /= np.abs(slope).max(axis=1).mean().clip(min=1e-6)
        outwards = np.stack([-slope[:, half - 1 :: -1], slope[:, half + 1 :]], axis=1)
        outwards -= NEARNESS * np.log(offsets[half + 1 :])
        left, right = (_smoothest_ascent(outwards) + 1) * STEP
        return line + across * ((right - left) / 2)[:, None], left + right


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


def _field(cost: NDArray[np.floating], seeds: Iterable[Point], end: Point | None = None) -> MCP_Geometric:
    """The cost of the cheapest path from the seeds to every pixel, or up to the end; negative costs are walls."""
    field = MCP_Geometric(cost)
    field.find_costs([tuple(seed) for seed in seeds], None if end is None else [tuple(end)])
    return field


def _smoothest_ascent(slope: NDArray[np.floating]) -> NDArray[np.intp]:
    """The line of largest slope through each of k pictures at once, at most one step up or down from row to row.

    Args:
        slope: (n, k, m).

    Returns:
        int (k, n): the column of each row.
    """
    n, k, m = slope.shape
    moves = np.zeros((n, k, m), np.int8)
    total = slope[0]
    steps = np.empty((3, k, m))
    for i in range(1, n):
        steps[0] = total
        steps[1, :, 1:], steps[1, :, 0] = total[:, :-1] - STIFFNESS, -np.inf
        steps[2, :, :-1], steps[2, :, -1] = total[:, 1:] - STIFFNESS, -np.inf
        moves[i] = steps.argmax(axis=0)
        total = steps.max(axis=0) + slope[i]
    columns = np.empty((k, n), np.intp)
    columns[:, -1] = total.argmax(axis=1)
    shift, sides = np.array([0, -1, 1]), np.arange(k)
    for i in range(n - 1, 0, -1):
        columns[:, i - 1] = columns[:, i] + shift[moves[i, sides, columns[:, i]]]
    return columns
