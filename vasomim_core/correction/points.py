"""Where a person clicks: points (row, column) in pixels of a frame; one beside the frame counts as one on its edge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Point = Sequence[float]
"""(row, column) in px."""


def pixel_at(point: Point, shape: tuple[int, ...]) -> tuple[int, int]:
    """The pixel (row, column) under a point, or the one nearest to it within a frame of this shape (H, W)."""
    row, column = (int(np.clip(round(float(x)), 0, n - 1)) for x, n in zip(point, shape, strict=True))
    return row, column
