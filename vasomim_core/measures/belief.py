"""Blur and contrast of a frame: seen at its wide vessels, and needed for the width of its thin ones."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.graph import route_through_array
from skimage.morphology import skeletonize

from vasomim_core.anatomy import extract_anatomy
from vasomim_core.measures.centreline import from_path
from vasomim_core.measures.wall_fit import Belief
from vasomim_core.measures.walls import find_walls

WIDE = 5.0  # px, from where on walls are apart and show the blur
LENGTH = 25, 50  # px of vessel that are needed, and that are looked at
PIECES, ROUNDS = 3, 15
FILLING = 0.35  # standard deviation of the logarithm of contrast from vessel to vessel
SPREAD = 0.12  # standard deviation of log σ over pieces of one frame


def belief_of(frame: NDArray[np.uint8]) -> Belief:
    """What the wide vessels of a frame say of its blur and its contrast agent; the usual where there are none.

    Args:
        frame: uint8 (H, W), vessels dark.

    Returns:
        The medians over up to three pieces of vessel at least 5 px wide.
    """
    anatomy = np.asarray(extract_anatomy(frame), bool)
    width = 2 * distance_transform_edt(anatomy)
    found = []
    for path in _wide_pieces(anatomy, width):
        line = from_path(path)
        guess = np.interp(line.distance, np.linspace(0, line.distance[-1], len(path)), width[tuple(path.T)])
        walls = find_walls(frame.astype(np.float64), line, np.zeros(len(guess)), guess, rounds=ROUNDS)
        if np.median(walls.diameter) >= 0.8 * WIDE and np.median(walls.contrast) > 0.05:
            found.append((walls.blur, float(np.median(walls.contrast / (walls.diameter / 2)))))
    if not found:
        return Belief()
    blur, contrast = np.median(found, axis=0).tolist()
    return Belief(blur, SPREAD, contrast, FILLING)


def _wide_pieces(anatomy: NDArray[np.bool_], width: NDArray[np.floating]) -> list[NDArray[np.intp]]:
    """Paths (n, 2) of the skeleton between forks where vessels are wide, longest first."""
    lines = skeletonize(anatomy).astype(np.uint8)
    forks = (cv2.filter2D(lines, -1, np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT) > 3) & (lines > 0)
    forks = cv2.dilate(forks.astype(np.uint8), np.ones((7, 7), np.uint8))
    kept = ((lines > 0) & (forks == 0) & (width >= WIDE)).astype(np.uint8)
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(kept, connectivity=8)
    paths = []
    for piece in np.argsort(-statistics[1:, cv2.CC_STAT_AREA])[:PIECES] + 1:
        pixels = np.argwhere(pieces == piece)
        if len(pixels) < LENGTH[0]:
            break
        first = pixels[np.linalg.norm(pixels - pixels[0], axis=1).argmax()]
        last = pixels[np.linalg.norm(pixels - first, axis=1).argmax()]
        path = np.array(route_through_array(np.where(pieces == piece, 1.0, 1e6), first, last, geometric=True)[0])
        spare = max(0, len(path) - LENGTH[1]) // 2
        paths.append(path[spare : len(path) - spare])
    return paths
