"""Masks made up for the tests of scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Mask = NDArray[np.bool_]


def blobs(seed: int, side: int = 96) -> Mask:
    """Some thick lines on an empty frame."""
    rng = np.random.default_rng(seed)
    canvas = Image.new("L", (side, side))
    for _ in range(4):
        ImageDraw.Draw(canvas).line(rng.integers(0, side, 6).tolist(), fill=1, width=int(rng.integers(2, 9)))
    return np.array(canvas) > 0
