from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vasomim_core.synthetic import synthesize_cine


@dataclass(frozen=True)
class Run:
    """A synthetic run, uint8 (t, H, W); its truth, bool; and what a model with faults says of it, float32."""

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    catheters: NDArray[np.bool_]
    said: NDArray[np.float32]


@pytest.fixture(scope="session")
def run() -> Run:
    """Ten frames of a left tree that is full from the fourth on; the model flickers and takes the catheter along."""
    cine = synthesize_cine(3, frames=10, frame_time_ms=200, side="left", size=192)
    rng = np.random.default_rng(0)
    said = []
    for vessel, catheter in zip(cine.masks, cine.catheters, strict=True):
        patchy = cv2.resize(rng.random((24, 24), np.float32), (192, 192)) > 0.3
        shown = (vessel & patchy) | catheter
        said.append(0.9 * cv2.GaussianBlur(shown.astype(np.float32), (0, 0), 1))
    return Run(cine.frames, cine.masks, cine.catheters, np.stack(said))
