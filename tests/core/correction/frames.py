"""Frames to trace on, and a path from click to click."""

from __future__ import annotations

import cv2
import numpy as np

from vasomim_core.correction.paths import SNAP, MinimalPaths


def straight(a, b):
    n = int(max(abs(np.subtract(a, b)))) + 1
    return np.rint(np.linspace(a, b, n)).astype(int)


def bar(width=9, shape=(100, 200), row=50.0, slope=0.0):
    """A dark bar on a bright ground, blurred as by a detector, with its centreline's rows."""
    rows, columns = np.indices(shape)
    distance = np.abs(rows - row - slope * (columns - shape[1] / 2)) / np.hypot(1, slope)
    frame = np.where(distance <= width / 2, 80, 180).astype(np.float32)
    return cv2.GaussianBlur(frame, (0, 0), 0.8).astype(np.uint8)


def trace(cost, a, b, snap=SNAP):
    return MinimalPaths.from_point(cost, a, snap).to(b, snap)
