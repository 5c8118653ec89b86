"""Labelled files and frames made up for the tests of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vasomim_core.exchange.formats import labelled
from vasomim_core.exchange.importing import import_labels
from vasomim_core.labels.labelled import LabelledFrame
from vasomim_core.labels.labelset import LabelSet

IDENTICAL = {("20", "214"), ("168", "793"), ("337", "972"), ("478", "887"), ("501", "612")}
"""Frames of ARCADE's training split with the same pixels."""


def frame(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (12, 16)).astype(np.uint8)


def mask(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((12, 16)) < 0.2


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def take_in(labels: LabelSet, folder: Path, categories: bool | None = None, annotator: str | None = None) -> list[str]:
    """Import all that is new; the ids of it."""
    return list(import_labels(labelled(folder, categories=categories), labels, annotator).added)


def invented(groups: list[str]) -> list[LabelledFrame]:
    return [
        LabelledFrame(
            name=str(i),
            group=group,
            frame=lambda: np.zeros((4, 4), np.uint8),
            class_mask=lambda: np.zeros((4, 4), np.uint8),
            shape=(4, 4),
            frame_sha256=f"{i:x}",
            mask_sha256=f"{i:x}",
            vessel=0.1,
            constant=False,
        )
        for i, group in enumerate(groups)
    ]
