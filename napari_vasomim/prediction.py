"""What a model said about an angiogram: the probability is kept, so that the threshold can move without a new run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LEVELS = 255


@dataclass
class Prediction:
    """The vessel probability of some or all frames of one angiogram by one model.

    Attributes:
        model: name of the model.
        shape: (T, H, W); T = 1 for a still.
        mirrored: whether the probability is averaged with that of the mirrored frame.
        threshold: probability from which a pixel counts as vessel.
        asked: name or path by which the model was asked for; two files may share a name.
        version: by which another file under the same name or path is seen.
        device: on which the last frame was computed.
        seconds: that it took.
        uncertainty: mean uncertainty in bits of each computed frame.
    """

    model: str
    shape: tuple[int, int, int]
    mirrored: bool = False
    threshold: float = 0.5
    asked: str = ""
    version: int = 0
    device: str = ""
    seconds: float = 0.0
    uncertainty: dict[int, float] = field(default_factory=dict)
    _levels: dict[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def by(self, asked: str, mirrored: bool, version: int) -> bool:
        """Whether this model, asked for in this way, would add to these frames."""
        return (self.asked, self.mirrored, self.version) == (asked, mirrored, version)

    def keep(self, index: int, probability: NDArray[np.float32], mean_uncertainty: float) -> None:
        """Keep the probability (H, W) of a frame, in 256 levels to spare memory."""
        self._levels[index] = np.rint(probability * LEVELS).astype(np.uint8)
        self.uncertainty[index] = mean_uncertainty

    def __contains__(self, index: int) -> bool:
        return index in self._levels

    @property
    def frames(self) -> list[int]:
        """The computed frames."""
        return sorted(self._levels)

    def probability(self, index: int) -> NDArray[np.float32]:
        """Probability (H, W) in [0, 1] of a computed frame."""
        return self._levels[index].astype(np.float32) / np.float32(LEVELS)

    def mask(self, index: int) -> NDArray[np.bool_]:
        """The vessels (H, W) of a computed frame at the threshold."""
        return self._levels[index] >= max(1, round(self.threshold * LEVELS))
