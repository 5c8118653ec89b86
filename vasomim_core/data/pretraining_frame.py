"""A frame as pretraining keeps it: at the filter's scale, with the anatomy that it finds there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vasomim_core.anatomy import extract_anatomy
from vasomim_core.config import Mode
from vasomim_core.data.store import Pair, resize

FRAME_SIZE = 512  # px, longer side: the scale for which the filter's σ are meant


def at_scale(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame (H, W), scaled down to 512 px where it is larger."""
    return resize(frame, FRAME_SIZE, enlarge=False)


def pretraining_frame(frame: NDArray[np.uint8], mode: Mode | None = "robust") -> Pair:
    """A frame, scaled down to 512 px where it is larger, and its anatomy.

    Args:
        frame: uint8 (H, W), vessels dark.
        mode: how the anatomy is extracted; None = not at all, and it is empty.

    Returns:
        uint8 and bool, both (H', W').
    """
    frame = at_scale(frame)
    return frame, extract_anatomy(frame, mode) if mode else np.zeros(frame.shape, bool)
