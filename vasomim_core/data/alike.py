"""Frames that nearly equal one shortly before: those of one run do, and teach less than they count."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

NEARLY, BEFORE = 0.98, 20
"""Thumbnails that correlate above the first are of nearly equal frames; how many frames before are looked at."""
Thumbnail = NDArray[np.float32]


def thumbnail(frame: NDArray[np.uint8]) -> Thumbnail:
    """A frame (H, W) at 16 × 16 px, float32 (256,): of mean 0 and length 1, so that a product is a correlation."""
    small = np.asarray(cv2.resize(frame, (16, 16), interpolation=cv2.INTER_AREA), np.float32).ravel()
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-6)


class Recent:
    """The thumbnails of the last `BEFORE` frames, in file order."""

    def __init__(self, before: Iterable[Thumbnail] = ()):
        self._recent: deque[Thumbnail] = deque(before, maxlen=BEFORE)

    def alike(self, small: Thumbnail) -> bool:
        """Whether the next frame nearly equals one of them; it is one of them from then on."""
        found = any(float(small @ other) > NEARLY for other in self._recent)
        self._recent.append(small)
        return found
