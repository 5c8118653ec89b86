"""Means over seeds with their spread, and differences of two rows with their uncertainty. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import InputError

Values = NDArray[np.float64]
"""Of one row: (seeds, frames); a row without seeds has one."""
DRAWS = 4000


@dataclass(frozen=True)
class Difference:
    """One row less another, on the same frames.

    Attributes:
        mean: in points.
        low: 2.5th percentile of the bootstrap.
        high: 97.5th percentile.
    """

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> Literal["higher", "lower", "not told apart"]:
        """Whether the interval leaves 0 out."""
        return "higher" if self.low > 0 else "lower" if self.high < 0 else "not told apart"


def mean_and_spread(values: Values) -> tuple[float, float | None]:
    """The mean over frames, then its mean and sample standard deviation over seeds; None = one seed."""
    means = values.mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1)) if len(means) > 1 else None


def paired_difference(a: Values, b: Values, groups: Sequence[int], seed: int = 0) -> Difference:
    """The mean difference a − b with a bootstrap interval of 95 %.

    Frames of one group (a patient, a run) are drawn together, since they rise and fall together; seeds are drawn too,
    in pairs where both rows have them: a row and its twin of the same seed learn from the same labels.

    Args:
        a: scores (seeds, frames).
        b: the same of another row, of the same frames; one seed stands for all.
        groups: of the frames.
        seed: of the draws.

    Raises:
        InputError: other frames.
    """
    if a.shape[1] != b.shape[1] or a.shape[1] != len(groups):
        raise InputError("two rows are of different frames; remove their scores, and compare again")
    seeds = max(len(a), len(b))
    if len(a) != len(b) and min(len(a), len(b)) > 1:
        seeds = min(len(a), len(b))
    paired = _for_seeds(a, seeds) - _for_seeds(b, seeds)
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(place, minlength=len(names)).astype(np.float64)
    sums = np.stack([np.bincount(place, row, minlength=len(names)) for row in paired])  # (seeds, groups)
    rng = np.random.default_rng(seed)
    means = np.empty(DRAWS)
    for n in range(DRAWS):
        drawn = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names)).astype(np.float64)
        which = rng.integers(0, seeds, seeds)
        means[n] = (sums[which] @ drawn).mean() / (sizes @ drawn)
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(float(paired.mean()), float(low), float(high))


def _for_seeds(values: Values, seeds: int) -> Values:
    return np.repeat(values, seeds, axis=0) if len(values) == 1 else values[:seeds]
