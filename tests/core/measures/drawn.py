"""Vessels of known width, drawn by what does not measure: a tube's chords on a fine grid, blurred, with noise."""

from __future__ import annotations

import cv2
import numpy as np

FINE = 5
ROW, SHAPE = 50.0, (100, 180)


def tube(diameter, *, blur=0.9, noise=2.0, contrast=6.0, seed=0, slope=0.15, others=()):
    """A frame uint8 (100, 180) of a tube about row 50: its diameter in px, a number or one for each of 180 columns.

    others: (row, diameter) of tubes that lie parallel.
    """
    rows = (np.arange(SHAPE[0] * FINE) + 0.5) / FINE - 0.5
    columns = (np.arange(SHAPE[1] * FINE) + 0.5) / FINE - 0.5
    depth = np.zeros((len(rows), len(columns)))
    for row, width in ((ROW, diameter), *others):
        width = np.interp(columns, np.arange(SHAPE[1]), np.broadcast_to(width, SHAPE[1]).astype(float))
        middle = row + slope * (columns - SHAPE[1] / 2)
        distance = (rows[:, None] - middle) / np.hypot(1, slope)
        depth += 2 * np.sqrt(np.maximum((width / 2) ** 2 - distance**2, 0))
    light = cv2.GaussianBlur(np.exp(-contrast / 200 * depth), (0, 0), blur * FINE)
    light = cv2.resize(light, SHAPE[::-1], interpolation=cv2.INTER_AREA)
    grey = 180 * light + np.random.default_rng(seed).normal(0, noise, SHAPE)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def at(column, slope=0.15, row=ROW):
    """The middle of the tube at a column."""
    return row + slope * (column - SHAPE[1] / 2), float(column)


def narrowed(diameter, stenosis, place=90, length=40):
    """Diameters (180,) with a lesion whose shape is a cosine."""
    z = (np.arange(SHAPE[1]) - place) / (length / 2)
    return diameter * (1 - stenosis / 100 * np.where(abs(z) < 1, 0.5 + 0.5 * np.cos(np.pi * z), 0))
