"""The branches of a frame of which a model is least sure: drawn ones that may be none, missed ones that may be some."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from vasomim_core.correction.mask_tools import Mask
from vasomim_core.errors import InputError

LEAST_LENGTH = 8
"""px of centreline from which on a branch is worth a look."""
LEAST_DOUBT = 0.5
"""Bits from which on it is."""
ASIDE = 3
"""px around what is drawn that belong to its edge, and to no branch beside it."""
LOWEST = 0.5
"""Share of the threshold down to which a branch that is not drawn is looked for."""

_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * ASIDE + 1, 2 * ASIDE + 1))


@dataclass(frozen=True, eq=False)
class DoubtfulBranch:
    """A branch to be looked at.

    Attributes:
        pixels: bool (H, W): what goes when it is none, or comes when it is one.
        drawn: whether it is drawn now.
        doubt: mean binary entropy along its centreline in bits, 0 to 1; 1 = the probability is at the threshold.
        probability: mean along its centreline, 0 to 1.
        length: px of its centreline.
        centre: (row, column) of the middle of its centreline.
    """

    pixels: Mask
    drawn: bool
    doubt: float
    probability: float
    length: int
    centre: tuple[int, int]


def doubtful_branches(
    probability: NDArray[np.float32], mask: Mask, threshold: float = 0.5, most: int = 20
) -> list[DoubtfulBranch]:
    """The doubtful branches of a frame, worst first.

    A branch is a line of the skeleton (Zhang & Suen, Communications of the ACM 27(3), 1984) between two forks, or from
    a fork to an end. Drawn ones are those of the mask; those beside it are of what the model sees down to half of the
    threshold, away from the edges of what is drawn. The doubt is the binary entropy of the probability, moved on the
    logit scale so that the threshold counts as undecided; it is taken on the centreline, since at its edges every
    vessel is doubtful.

    Args:
        probability: of vessel, float (H, W) in [0, 1].
        mask: what is drawn, bool (H, W).
        threshold: probability in (0, 1) from which a pixel counts as vessel.
        most: how many are given.

    Raises:
        InputError: the probability is of another shape.
    """
    mask, probability = np.asarray(mask, bool), np.asarray(probability, np.float32)
    if probability.shape != mask.shape:
        raise InputError(
            f"the probability {probability.shape} and the mask {mask.shape} differ in size: segment this very frame"
        )
    doubt = doubt_of(probability, threshold)
    near = cv2.dilate(mask.astype(np.uint8), _DISC) > 0
    beside = (probability >= LOWEST * threshold) & ~near
    found = [*_branches(mask, True, probability, doubt), *_branches(beside, False, probability, doubt)]
    found.sort(key=lambda one: (-one.doubt, -one.length))
    return found[:most]


def doubt_of(probability: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Binary entropy in bits (H, W) of a probability for which the threshold counts as undecided."""
    p = np.clip(probability, 1e-4, 1 - 1e-4).astype(np.float64)
    odds = p / (1 - p) * (1 - threshold) / threshold
    p = odds / (1 + odds)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)), np.float32)


def _branches(
    mask: Mask, drawn: bool, probability: NDArray[np.float32], doubt: NDArray[np.float32]
) -> list[DoubtfulBranch]:
    lines = skeletonize(mask)
    if not lines.any():
        return []
    forks = (cv2.filter2D(lines.astype(np.uint8), -1, np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT) > 3) & lines
    forks = (cv2.dilate(forks.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & lines
    radius = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    # The first pixels of a branch lie within the vessel that it leaves, and say nothing of it.
    own = lines & ~_discs(forks, radius)
    count, branch, statistics, _ = cv2.connectedComponentsWithStats(own.astype(np.uint8), connectivity=8)
    length = statistics[:, cv2.CC_STAT_AREA]
    total = np.bincount(branch.ravel(), doubt.ravel(), count) / np.maximum(length, 1)
    worth = [k for k in range(1, count) if length[k] >= LEAST_LENGTH and total[k] >= LEAST_DOUBT]
    return [_branch(branch == k, lines, mask, radius, drawn, probability, float(total[k])) for k in worth]


def _branch(
    line: Mask,
    lines: Mask,
    mask: Mask,
    radius: NDArray[np.float32],
    drawn: bool,
    probability: NDArray[np.float32],
    doubt: float,
) -> DoubtfulBranch:
    """A branch with its whole width, but for what is within the width of the others."""
    others = lines & ~line
    reach = cv2.dilate(line.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=int(2 * radius.max()) + 2) > 0
    kept = _discs(others & reach, radius)
    to_others = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, 5)
    to_line = cv2.distanceTransform((~line).astype(np.uint8), cv2.DIST_L2, 5)
    pixels = mask & ~kept & (to_line < to_others) if others.any() else mask & (to_line <= radius.max() + 1)
    points = np.argwhere(line)
    middle = points[np.linalg.norm(points - points.mean(axis=0), axis=1).argmin()]
    row, column = int(middle[0]), int(middle[1])
    return DoubtfulBranch(pixels, drawn, doubt, float(probability[line].mean()), int(line.sum()), (row, column))


def _discs(points: Mask, radius: NDArray[np.float32]) -> Mask:
    """What is within the width of the mask around these points of its skeleton, bool (H, W)."""
    covered = np.zeros(points.shape, np.uint8)
    for row, column in np.argwhere(points).tolist():
        cv2.circle(covered, (column, row), round(float(radius[row, column])), 1, cv2.FILLED)
    return covered > 0
