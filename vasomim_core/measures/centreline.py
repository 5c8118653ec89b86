"""The centreline between two clicks, in steps of less than a pixel, and the picture across it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates

Floats = NDArray[np.floating]

STEP = 0.5
"""Distance in px between two points of a centreline."""
ROUGHNESS = 3.0
"""σ in px along a pixel path below which its bends are stairs and not the vessel's."""


@dataclass(frozen=True)
class Centreline:
    """A line with its normals.

    Attributes:
        points: float (n, 2), n ≥ 3, as (row, column) in px, evenly spaced.
    """

    points: Floats

    @cached_property
    def normals(self) -> Floats:
        """Unit vectors (n, 2) across the line: the same turn everywhere, so that each side stays the same side."""
        along = np.gradient(self.points, axis=0)
        along = along / np.linalg.norm(along, axis=1, keepdims=True).clip(min=1e-9)
        return np.stack([-along[:, 1], along[:, 0]], axis=1)

    @cached_property
    def distance(self) -> Floats:
        """Length in px from the first point to each, (n,)."""
        return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self.points, axis=0), axis=1))])

    def aside(self, offset: Floats) -> Floats:
        """The points (n, 2) at an offset (n,) in px along the normals."""
        return self.points + self.normals * np.asarray(offset)[:, None]

    def across(self, frame: Floats, offsets: Floats) -> Floats:
        """Grey levels along the normals by cubic splines.

        Args:
            frame: (H, W).
            offsets: (m,) in px.

        Returns:
            float64 (n, m); NaN beside the frame.
        """
        places = self.points[:, None] + offsets[:, None] * self.normals[:, None]
        # The spline of a piece of the frame around them: it reaches 12 px, by which a pixel counts no more.
        low = np.maximum(np.floor(places.min(axis=(0, 1))).astype(int) - 12, 0)
        high = np.ceil(places.max(axis=(0, 1))).astype(int) + 13
        piece = np.asarray(frame[low[0] : high[0], low[1] : high[1]], np.float64)
        grey = map_coordinates(piece, np.moveaxis(places - low, -1, 0), order=3, mode="mirror")
        inside = ((places >= 0) & (places <= np.array(frame.shape) - 1)).all(axis=-1)
        return np.where(inside, grey, np.nan)


def resampled(points: Floats, step: float = STEP) -> Centreline:
    """A line through points (n, 2) in even steps of about `step` px; at least three points."""
    points = np.asarray(points, float)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    keep = np.concatenate([[True], np.diff(length) > 0])
    at = np.linspace(0, length[-1], max(3, round(length[-1] / step) + 1))
    return Centreline(np.stack([np.interp(at, length[keep], axis[keep]) for axis in points.T], axis=1))


def smoothed(points: Floats, sigma: float) -> Floats:
    """A line (n, 2) without its bends below σ (in points); its ends stay where they are, and point onwards."""
    n = min(len(points) - 1, int(np.ceil(4 * sigma)))
    before, after = 2 * points[0] - points[n:0:-1], 2 * points[-1] - points[-2 : -n - 2 : -1]
    return gaussian_filter1d(np.concatenate([before, points, after]), sigma, axis=0)[n : n + len(points)]


def from_path(path: NDArray[np.integer] | Floats, scale: float = 1.0) -> Centreline:
    """The line of a pixel path (n, 2), in a frame whose vessels are `scale` times those of one of 512²."""
    line = resampled(np.asarray(path, float))
    return resampled(smoothed(line.points, ROUGHNESS * scale / STEP))
