"""How honest a model's probability is, and what makes it so: of the pixels at 0.8, eight in ten should be vessel.

`Reliability.of(p, truth)` counts the pixels of a frame; counts of several frames add up. `fit(counts)` gives the
calibration, `counts.calibrated(...).error()` what is left of the error, `best_threshold(frames)` the best masks, and
`calibrate(p, calibration)` the corrected probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, logit

from vasomim_core.errors import ConfigError, InputError

Calibration = tuple[float, float]
"""Slope a and intercept b of the logit, p → σ(a · logit p + b); (1, 0) changes nothing."""
AS_TRAINED: Calibration = (1.0, 0.0)
SURE = 1e-6
"""No probability is taken to be nearer to 0 or 1 than this."""

CELLS = 2_000
_END = float(logit(1 - SURE))
_WIDTH = 2 * _END / CELLS
_LOGITS = (np.arange(CELLS) + 0.5) * _WIDTH - _END
"""float64 (`CELLS`,), the middle of each cell."""


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


def expected_calibration_error(
    probability: ArrayLike, truth: ArrayLike, bins: int = 15, weights: ArrayLike | None = None
) -> float:
    """Expected calibration error of vessel probabilities, in [0, 1]; 0 is perfectly calibrated.

    ECE = Σ_m |B_m| / n · |acc(B_m) − conf(B_m)| over equal bins ((m − 1)/M, m/M] (Guo et al., "On Calibration
    of Modern Neural Networks", ICML 2017, equation 3), in its binary form: conf is the mean probability of
    vessel in a bin, acc the share of its pixels that are vessel.

    Args:
        probability: Probability of vessel in [0, 1], any shape.
        truth: True mask of the same shape; anything but 0 is vessel.
        bins: Number M of bins, at least 1.
        weights: How many pixels each value stands for, of the same shape; None = one.

    Raises:
        InputError: the arrays are empty or weigh nothing, are of different shapes, or a probability is not within
            [0, 1].
        ConfigError: `bins` is below 1.
    """
    p, g = np.asarray(probability, dtype=np.float64), np.asarray(truth).astype(bool)
    if p.shape != g.shape or p.size == 0:
        raise InputError(f"Probabilities {p.shape} and truth {g.shape} must have one shape that is not empty.")
    if not (p.min() >= 0 and p.max() <= 1):
        raise InputError("Probabilities must be finite and lie in [0, 1]: apply the sigmoid to logits first.")
    if bins < 1:
        raise ConfigError(f"bins must be at least 1, not {bins}.")
    w = np.ones(p.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != p.shape or not w.sum() > 0:
        raise InputError(f"Weights must have the shape {p.shape} of the probabilities, and not all be 0.")
    bin_of = np.clip(np.ceil(p.ravel() * bins).astype(np.intp) - 1, 0, bins - 1)
    # |B| · (acc − conf) of a bin is the sum of truth − probability over it.
    gap = np.bincount(bin_of, weights=(w * (g - p)).ravel(), minlength=bins)
    return float(np.abs(gap).sum() / w.sum())


@dataclass(frozen=True, eq=False)
class Reliability:
    """How many pixels a model gives which probability, in cells of equal width on the logit, and what they are.

    Attributes:
        vessel: float64 (`CELLS`,), pixels that are vessel.
        background: float64 (`CELLS`,), pixels that are not.
    """

    vessel: NDArray[np.float64]
    background: NDArray[np.float64]

    @classmethod
    def empty(cls) -> Reliability:
        """Of no pixel."""
        return cls(np.zeros(CELLS), np.zeros(CELLS))

    @classmethod
    def of(cls, probability: NDArray[np.float32], truth: NDArray[np.bool_]) -> Reliability:
        """Of some pixels.

        Args:
            probability: float32 in [0, 1], any shape.
            truth: bool, the same shape.
        """
        cells = _cells(logit(np.clip(probability, SURE, 1 - SURE)))
        vessel, background = (np.bincount(cells[kind], minlength=CELLS).astype(float) for kind in (truth, ~truth))
        return cls(vessel, background)

    def __add__(self, other: Reliability) -> Reliability:
        """Of the pixels of both."""
        return Reliability(self.vessel + other.vessel, self.background + other.background)

    def calibrated(self, calibration: Calibration) -> Reliability:
        """The same pixels with corrected probabilities."""
        a, b = calibration
        cells = _cells(a * _LOGITS + b)
        vessel, background = (np.bincount(cells, n, CELLS).astype(float) for n in (self.vessel, self.background))
        return Reliability(vessel, background)

    def error(self) -> float:
        """Expected calibration error; see `expected_calibration_error`.

        Raises:
            InputError: there are no pixels.
        """
        truth = np.repeat([True, False], CELLS)
        return expected_calibration_error(
            np.tile(expit(_LOGITS), 2), truth, weights=np.concatenate([self.vessel, self.background])
        )


def fit(counts: Reliability) -> Calibration:
    """The calibration with the largest likelihood (Platt 1999).

    Args:
        counts: of pixels that the model has not learned from, some of them vessel and some not.

    Returns:
        Slope > 0 and intercept; `AS_TRAINED` where all pixels are alike, from which nothing can be learned.
    """
    from scipy.optimize import minimize  # a card alone must not load it

    vessel, background = counts.vessel, counts.background
    total = float((vessel + background).sum())
    if not (vessel.any() and background.any()):
        return AS_TRAINED

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope = np.exp(parameters[0])  # > 0: pixels never change places
        z = slope * _LOGITS + parameters[1]
        gradient = (vessel + background) * expit(z) - vessel
        likelihood = (vessel * log_expit(z) + background * log_expit(-z)).sum()
        return -float(likelihood) / total, np.array([slope * (gradient * _LOGITS).sum(), gradient.sum()]) / total

    log_slope, intercept = minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    return float(np.exp(log_slope)), float(intercept)


def best_threshold(frames: Sequence[Reliability]) -> float:
    """The probability from which pixels must count as vessel for the largest mean DSC.

    It lies below 0.5: where p is honest and a mask's DSC is D, a pixel is worth taking from p = D/2 on (Lipton et al.,
    "Optimal Thresholding of Classifiers to Maximize F1 Measure", 2014).

    Args:
        frames: the counts of each frame, at least one.
    """
    mean = np.zeros(CELLS)
    for counts in frames:
        hit, false = (np.cumsum(pixels[::-1])[::-1] for pixels in (counts.vessel, counts.background))
        size = hit + false + counts.vessel.sum()
        mean += np.divide(2 * hit, size, out=np.ones(CELLS), where=size > 0) / len(frames)
    return float(expit(np.argmax(mean) * _WIDTH - _END))


def _cells(z: NDArray[np.floating]) -> NDArray[np.intp]:
    """The cells of logits, of the same shape."""
    return np.clip((z + _END) / _WIDTH, 0, CELLS - 1).astype(np.intp)
