"""The tools that need no path: pieces and branches of a mask, cut, grow. Arrays in and out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from vasomim_core.correction.points import Point, pixel_at
from vasomim_core.errors import InputError

Mask = NDArray[np.bool_]

LEAST_ANCHOR, ANCHOR_SHARE = 16, 0.01
"""Area in px², and share of the largest piece's, from which on a piece is more than an islet."""


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


def nearest_at(mask: Mask, point: Point, within: int = 5) -> tuple[int, int] | None:
    """The pixel of a mask that a click means.

    Args:
        mask: bool (H, W).
        point: (row, column).
        within: distance in px up to which a pixel beside the click is taken, the nearest one.

    Returns:
        (row, column); None if there is none.
    """
    mask = np.asarray(mask, bool)
    clicked = np.array(pixel_at(point, mask.shape))
    corner = np.maximum(clicked - within, 0)
    vessel = np.argwhere(mask[corner[0] : clicked[0] + within + 1, corner[1] : clicked[1] + within + 1]) + corner
    distance = np.linalg.norm(vessel - clicked, axis=1)
    if not (distance <= within).any():
        return None
    row, column = vessel[distance.argmin()].tolist()
    return row, column


def piece_at(mask: Mask, point: Point, within: int = 5) -> Mask:
    """The connected piece of a mask under a click.

    Args:
        mask: bool (H, W).
        point: (row, column).
        within: as in `nearest_at`.

    Returns:
        bool (H, W), one 8-connected component; empty if there is none.
    """
    mask = np.asarray(mask, bool)
    pixel = nearest_at(mask, point, within)
    if pixel is None:
        return np.zeros_like(mask)
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return pieces == pieces[pixel]


def branch_at(mask: Mask, point: Point, within: int = 5) -> Mask:
    """The branch of a piece under a click, from where it leaves the rest, with what hangs on it alone.

    A branch is a line of the skeleton between two of its forks, or from a fork to an end. What stays keeps its whole
    width: a pixel in a disc of the mask around another branch's centreline is not taken. The skeleton is scikit-image's
    (Zhang & Suen, Communications of the ACM 27(3), 1984).

    Args:
        mask: bool (H, W).
        point: (row, column).
        within: as in `nearest_at`.

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
        width: of the cut in px, ≥ 0; from 2 on, it parts what it crosses.

    Returns:
        bool (H, W), within the mask.
    """
    mask = np.asarray(mask, bool)
    pixels = np.argwhere(mask)
    start, end = (np.array(pixel_at(point, mask.shape)) for point in (a, b))
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
        threshold: probability in [0, 1] from which a pixel counts.
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
