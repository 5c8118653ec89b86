"""VasoMIM: patches with vessels are masked, more and more of them; the reconstruction must show the same vessels.

Source: VasoMIM (AAAI 2026, arXiv 2508.10794), L = L_rec + w·L_cons. The losses are computed by `models.vasomim`, which
a window looks through as well; here they get their masks and their guidance strength β_e.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vasomim_core.config import PretrainConfig
from vasomim_core.data.store import Prepared
from vasomim_core.masking.schedule import guidance_strength
from vasomim_core.methods.mae import autoencoder_options
from vasomim_core.methods.method import Batch, Method, Moment
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.vasomim import VasoMIM


class GuidedMAE(Method[PretrainConfig]):
    """A masked autoencoder, guided by anatomy and judged by the segmentor S."""

    anatomy = True

    def __init__(self, config: PretrainConfig):
        super().__init__(config)
        autoencoder = MaskedAutoencoder(**autoencoder_options(config))
        self.model = VasoMIM(
            autoencoder, None, config.mask_ratio, config.sampler, config.co_guidance, config.consistency
        )

    @property
    def needs_segmentor(self) -> bool:
        """S is asked for the consistency loss, and for co-guidance."""
        return self.config.consistency > 0 or self.config.co_guidance

    def begin(self, frames: Prepared, segmentor: nn.Module | None) -> None:
        """Take S, frozen for good."""
        if segmentor is not None:
            self.model.segmentor = segmentor.requires_grad_(False).eval()

    def beta(self, epoch: int) -> float:
        """The guidance strength of an epoch."""
        return guidance_strength(epoch, self.config.training.epochs, self.config.beta_start, self.config.beta_end)

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """Reconstruction, consistency, and their weighted sum."""
        images = self.images(batch["frame"])
        noise = moment.noise(self.model.autoencoder.patch_embed.num_patches, images.device)
        return self.model(images, batch["mask"] > 127, noise, self.beta(moment.epoch))._asdict()

    def notes(self, epoch: int) -> dict[str, float]:
        """β_e."""
        return {"beta": round(self.beta(epoch), 4)}

    def keeps(self) -> MaskedAutoencoder:
        """The encoder's half of the autoencoder."""
        return self.model.autoencoder

    def fuse(self) -> None:
        """The autoencoder as a whole."""
        self.model.autoencoder.compile()

    def kept(self) -> dict[str, Tensor]:
        """The autoencoder, and S behind a prefix."""
        return self.model.pretrained_state()

    def words(self) -> str:
        """As the files of earlier versions have it."""
        return f"masked image modelling ({self.config.sampler} masking)"

    def described(self) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
        """An autoencoder."""
        return "autoencoder", "mae", autoencoder_options(self.config), {}
