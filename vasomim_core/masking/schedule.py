"""The weak-to-strong schedule of guided masking, as a window, a command or a request states it. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from vasomim_core.config import Sampler, Share
from vasomim_core.errors import ConfigError
from vasomim_core.schema import Ui, check


@dataclass(frozen=True)
class MaskingSchedule:
    """What decides which patches are masked; names and defaults are those of `PretrainConfig`.

    Attributes:
        input_size: side of the square that the model sees.
        patch_size: side P of a patch; a model has its own.
        mask_ratio: γ, the share of patches that is masked.
        sampler: how patches are chosen: by anatomy, the largest (top-k), or uniformly.
        beta_start: guidance strength β_0 at the start.
        beta_end: guidance strength β_E at the end.
        co_guidance: mix what a model's segmentor S sees in the frame into the anatomy.
        epochs: E, over which β rises evenly.
        seed: of everything drawn.
    """

    input_size: Annotated[int, Ui(min=32, max=1024, step=32, unit="px")] = 224
    patch_size: Annotated[int, Ui(min=4, max=64, unit="px")] = 16
    mask_ratio: Annotated[float, Ui(min=0.05, max=0.95, step=0.05)] = 0.5
    sampler: Sampler = "anatomy"
    beta_start: Share = 0.0
    beta_end: Share = 0.5
    co_guidance: bool = False
    epochs: Annotated[int, Ui(min=1, max=10_000)] = 200
    seed: Annotated[int, Ui(min=0, max=2**31 - 1)] = 0

    def for_model(self, options: Mapping[str, Any]) -> MaskingSchedule:
        """The same at the input and patch size of a pretrained model, given the options on its card."""
        own = {name: options[name] for name in ("input_size", "patch_size") if name in options}
        return replace(self, **{"input_size": 224, "patch_size": 16} | own)

    def check(self) -> None:
        """Check every setting.

        Raises:
            ConfigError: one out of its range, or an input that does not divide into patches.
        """
        check(self)
        if self.input_size % self.patch_size:
            raise ConfigError(
                f"an input of {self.input_size} px does not divide into patches of {self.patch_size} px; "
                "choose an input size that is a multiple of the patch size"
            )

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
