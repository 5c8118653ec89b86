"""Small frames with dark vessels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vasomim_core.files import write_png


@pytest.fixture(scope="session")
def labelled(tmp_path_factory) -> Path:
    """Twelve 96×80 frames in images/, their vessels in masks/."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    for n in range(12):
        mask = np.zeros((96, 80), np.uint8)
        points = np.cumsum(rng.normal((6, 5), 3, (14, 2)), axis=0).astype(np.int32)
        cv2.polylines(mask, [points], False, 255, 3)
        frame = 170 - 70.0 * cv2.GaussianBlur(mask, (0, 0), 1) / 255 + rng.normal(0, 4, mask.shape)
        write_png(folder / "images" / f"{n}.png", frame.clip(0, 255).astype(np.uint8))
        write_png(folder / "masks" / f"{n}.png", mask)
    return folder
