"""Whether a probability means something: of the pixels to which a model gives 0.8, eight in ten should be vessel.

table = Reliability.empty()
for frame in frames:
table.add(predict(model, frame), truth)
table.error()                      # expected calibration error
calibration = fit(table)           # p → σ(a · logit p + b)
table.calibrated(calibration).error()
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit, xlogy

Calibration = tuple[float, float]
"""Slope a and intercept b of the logit, p → σ(a · logit p + b); (1, 0) changes nothing."""
AS_TRAINED: Calibration = (1.0, 0.0)
SURE = 1e-6
"""No probability is nearer to 0 or 1 than this: float32 and half a million pixels do not say more."""
CELLS = 2_000


def calibrate(probability: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float32]:
    """Correct a probability (Platt 1999).

    Args:
        probability: float32 in [0, 1], any shape.
        calibration: slope and intercept of the logit.

    Returns:
        float32 in [0, 1], the same shape; the same array where the calibration changes nothing.
    """
    if tuple(calibration) == AS_TRAINED:
        return probability
    a, b = calibration
    return expit(a * logit(np.clip(probability, SURE, 1 - SURE)) + b).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often pixels of each probability are vessel, in cells of equal width on the logit.

    Attributes:
        p: float64 (C,), the probability in the middle of each cell.
        pixels: float64 (C,), how many pixels fell into it.
        vessel: float64 (C,), how many of them are vessel.
    """

    p: NDArray[np.float64]
    pixels: NDArray[np.float64]
    vessel: NDArray[np.float64]

    @classmethod
    def empty(cls) -> Reliability:
        """Of no pixel."""
        return cls(expit((np.arange(CELLS) + 0.5) * _WIDTH - _END), np.zeros(CELLS), np.zeros(CELLS))

    @classmethod
    def of(cls, probability: NDArray[np.float32], truth: NDArray[np.bool_]) -> Reliability:
        """Of some pixels.

        Args:
            probability: float32 in [0, 1], any shape.
            truth: bool, the same shape.
        """
        place = (logit(np.clip(probability, SURE, 1 - SURE).ravel()) + _END) / _WIDTH
        cell = np.clip(place.astype(np.intp), 0, CELLS - 1)
        pixels, vessel = (np.bincount(cell, weights, CELLS).astype(float) for weights in (None, truth.ravel()))
        return cls(cls.empty().p, pixels, vessel)

    def __add__(self, other: Reliability) -> Reliability:
        """Of the pixels of both."""
        if np.array_equal(self.p, other.p):
            return Reliability(self.p, self.pixels + other.pixels, self.vessel + other.vessel)
        joined = [np.concatenate(pair) for pair in zip(self._parts(), other._parts(), strict=True)]
        return Reliability(*joined)

    def _parts(self) -> tuple[NDArray[np.float64], ...]:
        return self.p, self.pixels, self.vessel

    def calibrated(self, calibration: Calibration) -> Reliability:
        """The same pixels with corrected probabilities."""
        a, b = calibration
        return Reliability(expit(a * logit(self.p) + b), self.pixels, self.vessel)

    def error(self, bins: int = 15) -> float:
        """Expected calibration error: the mean distance of probability and frequency (Guo et al. 2017, eq. 3).

        Args:
            bins: of equal width in probability.

        Returns:
            In [0, 1]; NaN without pixels.
        """
        place = np.minimum((self.p * bins).astype(np.intp), bins - 1)
        pixels, vessel, p = (
            np.bincount(place, values, bins) for values in (self.pixels, self.vessel, self.p * self.pixels)
        )
        return float(np.abs(vessel - p).sum() / pixels.sum()) if pixels.sum() else float("nan")


def fit(table: Reliability) -> Calibration:
    """The calibration with the largest likelihood (Platt 1999).

    Args:
        table: of pixels that the model has not learned from, some of them vessel and some not.

    Returns:
        Slope > 0 and intercept; `AS_TRAINED` where all pixels are alike, from which nothing can be learned.
    """
    vessel, background = table.vessel, table.pixels - table.vessel
    if not (vessel.any() and background.any()):
        return AS_TRAINED
    z, total = logit(table.p), table.pixels.sum()

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        p = expit(np.exp(parameters[0]) * z + parameters[1])
        likelihood = xlogy(vessel, np.maximum(p, 1e-300)) + xlogy(background, np.maximum(1 - p, 1e-300))
        slope = (table.pixels * p - vessel) / total
        return -float(likelihood.sum() / total), np.array([(slope * z).sum() * np.exp(parameters[0]), slope.sum()])

    found = minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    return float(np.exp(found[0])), float(found[1])


_END = float(logit(1 - SURE))
_WIDTH = 2 * _END / CELLS
