"""The weak-to-strong schedule of guided masking, as a window or a request states it. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vasomim_core.errors import ConfigError

Sampler = Literal["uniform", "anatomy", "top-k"]


@dataclass(frozen=True)
class MaskingSchedule:
    """What decides which patches are masked; the names are those of the paper and of `PretrainConfig`.

    Attributes:
        patch_size: side P of a patch in px.
        mask_ratio: γ, the share of patches that is masked.
        sampler: "anatomy", "top-k" or "uniform".
        beta_start: β_0.
        beta_end: β_E.
        epochs: E.
        seed: of the draw.
    """

    patch_size: int = 16
    mask_ratio: float = 0.5
    sampler: Sampler = "anatomy"
    beta_start: float = 0.0
    beta_end: float = 0.5
    epochs: int = 200
    seed: int = 0

    def beta(self, epoch: int) -> float:
        """β_e of an epoch 0 … E − 1."""
        return guidance_strength(epoch, self.epochs, self.beta_start, self.beta_end)


def guidance_strength(epoch: int, epochs: int, start: float = 0.0, end: float = 0.5) -> float:
    """Weak-to-strong guidance: β_e = β_0 + (e/E)(β_E − β_0) with e/E = (epoch + 1) / epochs.

    Args:
        epoch: 0-based epoch, 0 … epochs − 1.
        epochs: E, the length of the whole schedule, ≥ 1.
        start: β_0 in [0, 1].
        end: β_E in [0, 1].

    Returns:
        The share β_e in [0, 1] of the masked patches that is drawn by anatomy in this epoch.

    Raises:
        ConfigError: a value out of its range.
    """
    if epochs < 1 or not 0 <= epoch < epochs:
        raise ConfigError(f"epoch {epoch} of {epochs} does not exist; epochs count from 0")
    for name, value in (("start", start), ("end", end)):
        if not 0.0 <= value <= 1.0:
            raise ConfigError(f"guidance strength at the {name} is {value}; give a share between 0 and 1")
    return start + (epoch + 1) / epochs * (end - start)
