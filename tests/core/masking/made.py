"""Results of guided masking that are small enough to know every number of."""

from __future__ import annotations

import numpy as np

from vasomim_core.masking.results import Mask, MaskingResult, OverEpochs, Reconstruction
from vasomim_core.masking.schedule import MaskingSchedule


def mask(epoch: int = 1) -> Mask:
    """A frame of 64 px, 100 all over, in 2 × 2 patches: one masked for its vessels, one by chance, two visible."""
    return Mask(
        image=np.full((64, 64), 100, np.uint8),
        anatomy=np.eye(64, dtype=bool),
        f=np.array([[0.5, 0], [0, 0.5]], np.float32),
        masked=np.array([[True, True], [False, False]]),
        guided=np.array([[True, False], [False, False]]),
        epoch=epoch,
        beta=0.25 * epoch,
    )


def drawn(segmentor: bool) -> Reconstruction:
    """What a model makes of it, with a segmentor or without one."""
    plane = np.full((64, 64), 1, np.float32)
    if not segmentor:
        return Reconstruction(90 * plane, 95 * plane, 0.125)
    return Reconstruction(90 * plane, 95 * plane, 0.125, 0.25 * plane, 0.75 * plane, 0.0625)


def result(reconstruction: Reconstruction | None = None, model: str = "", **settings) -> MaskingResult:
    """All of it, at 64 px with patches of 32 px."""
    over = OverEpochs(
        masking_ratio=np.array([[1, 0.5], [0.25, 0.25]], np.float32),
        epochs=np.array([0, 1]),
        betas=np.array([0.125, 0.25]),
        vessel_patches=np.array([0.5, 0.75], np.float32),
        vessel_pixels=np.array([0.25, 1], np.float32),
    )
    schedule = MaskingSchedule(64, 32, **settings)
    return MaskingResult(schedule, "robust", model, mask(), over, reconstruction)
