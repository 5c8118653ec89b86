"""Labels that hold main branches alone, completed by what else a filter or a model finds in the frame.

What is found and not labelled is a code (see `codes`), since nobody has looked at it: likely, beside that, doubtful.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.anatomy.extraction import Robust, extract_anatomy, field_of_view, ridge_response
from vasomim_core.classes import ClassMask
from vasomim_core.data.codes import BESIDE, DOUBTFUL, LIKELY, NO_VESSEL, SOME_VESSEL, UNKNOWN

RIM = 4
"""px around what the filter finds, of which nothing is learned: its borders are rough."""
NEAR = 5
"""px around a label within which what the filter finds is the labelled branch itself."""
FINE = (1.5, 2.0, 3.0, 4.0, 6.0)
"""Scales in px of ridges, thin branches among them."""
SHARE = 80.0
"""Percentile of the ridge response from which a pixel may belong to a thin branch."""
SURE, NONE = 0.75, 0.05
"""Probability of vessel from which a teacher is believed that there is one, and below which that there is none."""


def completed(frame: NDArray[np.uint8], labelled: ClassMask) -> NDArray[np.uint8]:
    """Codes of a frame whose labels lack branches.

    Args:
        frame: uint8 (H, W).
        labelled: class values (H, W), 0 = not labelled.

    Returns:
        uint8 (H, W), class values and codes.
    """
    found = extract_anatomy(frame)
    codes = np.full(frame.shape, NO_VESSEL, np.uint8)
    codes[_ridges(frame)] = DOUBTFUL
    codes[_dilated(found, RIM)] = BESIDE
    codes[found] = LIKELY
    return _with_labels(codes, labelled)


def completed_by(
    probability: NDArray[np.float32], catheter: NDArray[np.float32] | None, labelled: ClassMask | None
) -> NDArray[np.uint8]:
    """Codes of a frame in which a teacher has found vessels.

    Args:
        probability: of vessel, float32 (H, W).
        catheter: of what is no vessel and is not labelled, float32 (H, W); None = the teacher does not know it.
        labelled: class values (H, W), 0 = not labelled; None = the frame has no labels.

    Returns:
        uint8 (H, W), class values and codes. Between sure and none, nothing is known but what the labels say.
    """
    codes = np.full(probability.shape, UNKNOWN if labelled is None else BESIDE, np.uint8)
    codes[probability < NONE] = NO_VESSEL
    codes[probability >= SURE] = SOME_VESSEL if labelled is None else LIKELY
    if catheter is not None:
        codes[catheter >= SURE] = NO_VESSEL
    return codes if labelled is None else _with_labels(codes, labelled)


def _with_labels(codes: NDArray[np.uint8], labelled: ClassMask) -> NDArray[np.uint8]:
    """Beside a label its own border is the truth."""
    inside = labelled > 0
    near = _dilated(inside, NEAR) & (codes == LIKELY)
    codes[near] = BESIDE
    codes[inside] = labelled[inside]
    return codes


def _ridges(frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
    grey = frame.astype(np.float32)
    grey -= grey.min()
    settings = Robust(sigmas=FINE)
    field = field_of_view(grey, settings.collimator)
    if not field.any():
        return np.zeros(frame.shape, bool)
    response = ridge_response(grey, field, settings)
    return (response >= np.percentile(response[field], SHARE)) & (response > 0)


def _dilated(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    return cv2.dilate(mask.astype(np.uint8), disc).astype(bool)
