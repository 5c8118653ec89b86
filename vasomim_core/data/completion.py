"""Labels that hold main branches alone, completed by what else a filter or a model finds in the frame.

What is found and not labelled is a code (see `codes`), since nobody has looked at it: likely, beside that, doubtful.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.anatomy.extraction import Robust, extract_anatomy, field_of_view, ridge_response
from vasomim_core.anatomy.lines import lines
from vasomim_core.classes import ClassMask
from vasomim_core.data.codes import BESIDE, DOUBTFUL, FAINT, LIKELY, NO_VESSEL, SOME_VESSEL, STRAY, UNKNOWN

RIM = 4
"""px around what the filter finds, of which nothing is learned: its borders are rough."""
NEAR = 5
"""px around a label within which what the filter finds is the labelled branch itself."""
FINE = (1.5, 2.0, 3.0, 4.0, 6.0)
"""Scales in px of ridges, thin branches among them."""
SHARE = 80.0
"""Percentile of the ridge response from which a pixel may belong to a thin branch."""
LINE = 95.0
"""Percentile of the response to thin lines from which one may be a branch."""
LEAST_LINE, GAP, STEPS = 20.0, 5, 4
"""px, the shortest such line; px that it may lie off the tree; how often what hangs on the last ones is added."""
MARGIN = 8.0
"""px along the frame's edge and the collimator in which no line counts."""
REACH = 25
"""px from the tree beyond which a ridge is hardly one of its branches."""
SURE, NONE = 0.75, 0.05
"""Probability of vessel from which a teacher is believed that there is one, and below which that there is none."""
TREE, HINT = 0.3, 0.08
"""Probability from which thin lines may hang on what a teacher has found, and from which they may be vessel."""
LEAST_PIECE = 12.0
"""px, the shortest piece of such a line that counts."""


def completed(frame: NDArray[np.uint8], labelled: ClassMask) -> NDArray[np.uint8]:
    """Codes of a frame whose labels lack branches.

    Likely is what the robust anatomy finds, faint are thin lines that hang together with that or with a label. In the
    whole-tree labels of 20 frames of ARCADE half of such lines are branches, and without the connection a quarter.

    Args:
        frame: uint8 (H, W).
        labelled: class values (H, W), 0 = not labelled.

    Returns:
        uint8 (H, W), class values and codes.
    """
    found, field = extract_anatomy(frame), _field(frame)
    tree = found | (labelled > 0)
    faint = _hanging_on(_thin_lines(frame, field) & ~_dilated(labelled > 0, NEAR), tree)
    codes = np.full(frame.shape, NO_VESSEL, np.uint8)
    ridges = _ridges(frame, field)
    codes[ridges] = STRAY
    codes[ridges & _dilated(tree | faint, REACH)] = DOUBTFUL
    codes[_dilated(found, RIM) | _dilated(faint, RIM // 2)] = BESIDE
    codes[faint] = FAINT
    codes[found] = LIKELY
    return _with_labels(codes, labelled)


def completed_by(
    frame: NDArray[np.uint8],
    probability: NDArray[np.float32],
    catheter: NDArray[np.float32] | None,
    labelled: ClassMask | None,
) -> NDArray[np.uint8]:
    """Codes of a frame in which a teacher has found vessels.

    A teacher misses thin branches, and is sure of half of those that it misses that they are none. So what looks like
    a thin line does not teach that, and where it hangs on what was found, and the teacher has a doubt, it is faint.

    Args:
        frame: uint8 (H, W).
        probability: of vessel, float32 (H, W).
        catheter: of what is no vessel and is not labelled, float32 (H, W); None = the teacher does not know it.
        labelled: class values (H, W), 0 = not labelled; None = the frame has no labels.

    Returns:
        uint8 (H, W), class values and codes. Between sure and none, nothing is known but what the labels say.
    """
    codes = np.full(probability.shape, UNKNOWN if labelled is None else BESIDE, np.uint8)
    codes[probability < NONE] = NO_VESSEL
    thin, tree = _thin_lines(frame, _field(frame)), probability >= TREE
    codes[thin & (probability < NONE)] = DOUBTFUL
    codes[_long(_hanging_on(thin & (probability >= HINT) & ~tree, tree), LEAST_PIECE)] = FAINT
    codes[probability >= SURE] = SOME_VESSEL if labelled is None else LIKELY
    if catheter is not None:
        codes[catheter >= SURE] = NO_VESSEL
    return codes if labelled is None else _with_labels(codes, labelled)


def _with_labels(codes: NDArray[np.uint8], labelled: ClassMask) -> NDArray[np.uint8]:
    """Beside a label its own border is the truth."""
    inside = labelled > 0
    near = _dilated(inside, NEAR) & np.isin(codes, (LIKELY, FAINT))
    codes[near] = BESIDE
    codes[inside] = labelled[inside]
    return codes


def _field(frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What the collimator leaves open."""
    grey = frame.astype(np.float32)
    return field_of_view(grey - grey.min(), Robust().collimator)


def _ridges(frame: NDArray[np.uint8], field: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if not field.any():
        return np.zeros(frame.shape, bool)
    grey = frame.astype(np.float32)
    response = ridge_response(grey - grey.min(), field, Robust(sigmas=FINE))
    return (response >= np.percentile(response[field], SHARE)) & (response > 0)


def _thin_lines(frame: NDArray[np.uint8], field: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Lines of at least `LEAST_LINE` px, away from the frame's edge."""
    to_edge = cv2.distanceTransform(np.pad(field.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    inside = to_edge > MARGIN
    if not inside.any():
        return inside
    response = lines(frame)
    return _long(inside & (response >= np.percentile(response[inside], LINE)) & (response > 0), LEAST_LINE)


def _long(mask: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """The pieces whose box has a diagonal of at least `least` px."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    long = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) >= least
    long[0] = False
    return long[pieces]


def _hanging_on(pieces: NDArray[np.bool_], tree: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pieces that touch the tree, or one that does, over a gap of at most `GAP` px."""
    count, numbers = cv2.connectedComponents(pieces.astype(np.uint8), connectivity=8)
    kept = np.zeros(count, bool)
    for _ in range(STEPS):
        touched = np.unique(numbers[_dilated(tree | kept[numbers], GAP)])
        touched = touched[touched > 0]
        if kept[touched].all():
            break
        kept[touched] = True
    return kept[numbers]


def _dilated(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    return cv2.dilate(mask.astype(np.uint8), disc).astype(bool)
