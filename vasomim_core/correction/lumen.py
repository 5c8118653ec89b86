"""The vessel under a path: where its two walls are, and so its centre, its width, and what a trace paints."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from vasomim_core.correction.cost import VesselCost

Floats = NDArray[np.floating]

# Tuned on 8 ARCADE training frames and 8 synthetic ones, along true centrelines. Lengths in px of a frame of 512².
REACH, STEP = 20.0, 0.5  # of the search for the wall on either side of the path
SMOOTH_PATH, SMOOTH_WALL, BLUR = 2.0, 2.0, 1.0
STEPS_OF_PROBABILITY = 0.5  # what the model's edge from 1 to 0 counts for beside a clear wall in the frame
STIFFNESS = 0.1  # what a wall pays for each step away from or towards the path, in units of a clear wall
STRETCH = 10.0  # of path over which the usual width is taken: a branch of 2 px is too faint to be measured at a point
NEARNESS = 0.2  # what the usual wall pays for the logarithm of its distance from the path: another vessel's is farther
ASIDE = 0.3  # what the usual walls pay for the squared distance of their middle from the path, over the radius
UNUSUAL = 0.5  # what a wall pays for the squared logarithm of its distance over the usual one


def painted(cost: VesselCost, path: NDArray[np.integer]) -> NDArray[np.bool_]:
    """The pixels that a trace paints: discs from wall to wall, along a path.

    Args:
        cost: of the frame.
        path: int (n, 2), 8-connected pixels (row, column); empty paints nothing.

    Returns:
        bool (H, W).
    """
    centre, width = lumen(cost, path)
    canvas = np.zeros(cost.frame.shape, np.uint8)
    bits = 4  # of a fraction of a pixel
    discs = np.rint(np.column_stack([centre, width / 2]) * (1 << bits)).astype(int)
    for row, column, radius in discs.tolist():
        cv2.circle(canvas, (column, row), radius, 1, cv2.FILLED, shift=bits)
    return canvas.astype(bool)


def lumen(cost: VesselCost, path: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Centre and width of the vessel under a path, from wall to wall in the straightened vessel.

    A wall is a line beside the path, with one distance a pixel of it, along which the grey levels rise (and the
    probability falls) most steeply outwards and which bends little. First one distance for both walls is sought in
    what is averaged along the vessel and over its two sides, then each wall near it: where one side is hidden by
    another vessel or in noise, the other side and the neighbourhood decide.

    Args:
        cost: of the frame; its probability has no say where it has no edge.
        path: int (n, 2), 8-connected pixels (row, column).

    Returns:
        Centre (n, 2), as (row, column), and width (n,) ≥ 1, both in px; for a path of one pixel, this pixel and 1.
    """
    path, scale = np.asarray(path), cost.scale
    if len(path) < 2:
        return path.reshape(-1, 2).astype(float), np.ones(len(path))
    line = gaussian_filter1d(path.astype(float), SMOOTH_PATH * scale, axis=0, mode="nearest")
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True).clip(min=1e-6)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half = round(REACH * scale / STEP)
    offsets = np.arange(-half, half + 1) * STEP
    rows, columns = np.moveaxis(line[:, None] + offsets[:, None] * across[:, None], -1, 0).astype(np.float32)
    rise = _outward_rise(cost.frame, rows, columns)
    rise /= rise.max(axis=(1, 2)).mean().clip(min=1e-6)
    if cost.probability is not None:
        edge = STEP / (BLUR * np.sqrt(2 * np.pi))  # the steepest rise of a blurred step of height 1
        rise -= STEPS_OF_PROBABILITY / edge * _outward_rise(cost.probability, rows, columns)
    distance = offsets[half + 1 :]
    usual = gaussian_filter1d(rise, STRETCH * scale, axis=0, mode="nearest")
    usual /= usual.max(axis=(1, 2)).mean().clip(min=1e-6)
    # In a large frame, what is averaged over so much needs neither each pixel of the path nor each distance.
    every = max(1, int(scale))
    walls = _usual_walls(usual[::every, :, every - 1 :: every], distance[every - 1 :: every])
    rise -= UNUSUAL * np.log(distance / walls.repeat(every, axis=0)[: len(path)]) ** 2
    left, right = (_smoothest_ascent(rise) + 1) * STEP
    return line + across * ((right - left) / 2)[:, None], left + right


def _usual_walls(rise: NDArray[np.float32], distance: Floats) -> Floats:
    """How far the two walls are from a path that may lie beside the middle, (n, 2, 1), from the rise (n, 2, k)."""
    k, step = len(distance), distance[0]
    radius, aside = np.arange(k)[:, None], np.arange(-k // 2, k // 2 + 1)
    left, right = radius + aside, radius - aside
    both = (rise[:, 0, left.clip(0, k - 1)] + rise[:, 1, right.clip(0, k - 1)]) / 2
    both = both - ASIDE * (aside * step / distance[:, None]) ** 2 - NEARNESS * np.log(distance[:, None])
    both[:, (np.minimum(left, right) < 0) | (np.maximum(left, right) >= k)] = -np.inf
    [best] = _smoothest_ascent(both.max(axis=2)[:, None])
    shift = aside[both[np.arange(len(both)), best].argmax(axis=1)]
    return distance[np.stack([best + shift, best - shift], axis=1)][..., None]


def _outward_rise(picture: Floats, rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """How a picture rises outwards on both sides of a path whose normals are at rows, columns (n, 2k + 1)."""
    straight = cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    straight = gaussian_filter1d(straight, SMOOTH_WALL, axis=0, mode="nearest")
    slope = gaussian_filter1d(straight, BLUR / STEP, axis=1, order=1, mode="nearest")
    half = slope.shape[1] // 2
    return np.stack([-slope[:, half - 1 :: -1], slope[:, half + 1 :]], axis=1)


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
