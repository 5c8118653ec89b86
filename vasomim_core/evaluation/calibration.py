"""The correction that makes a model's probability honest: of the pixels at 0.8, eight in ten should be vessel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Calibration = tuple[float, float]
"""Slope a and intercept b of the logit, p → σ(a · logit p + b); (1, 0) changes nothing."""
AS_TRAINED: Calibration = (1.0, 0.0)
SURE = 1e-6
"""No probability is taken to be nearer to 0 or 1 than this."""


def calibrate(probability: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float32]:
    """Correct a probability (Platt 1999).

    Args:
        probability: float32 in [0, 1], any shape.
        calibration: slope and intercept of the logit.

    Returns:
        float32 in [0, 1], the same shape; the same array where the calibration changes nothing.
    """
    if calibration == AS_TRAINED:
        return probability
    a, b = calibration
    return expit(a * logit(np.clip(probability, SURE, 1 - SURE)) + b).astype(np.float32)
