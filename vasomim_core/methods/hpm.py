"""HPM: a second decoder predicts how hard each patch will be to draw, and more and more of the hardest are masked.

Source: Wang et al., Hard Patches Mining for Masked Image Modeling, CVPR 2023. A slow copy of encoder and second decoder
looks at the whole frame; of the M masked patches ⌊M·β_e⌋ are those of highest predicted loss, β_e = 0.5·(e + 1)/E, the
others uniform. The loss is the mean squared error on masked patches in plain pixels, plus the ranking loss of the
second decoder on them, which is told the true losses without gradient.

Card silent: the second decoder is as large as the first, its ranking loss reaches the encoder, and the decay of the
slow copy rises in a straight line.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vasomim_core.masking.sampling import sample_masks
from vasomim_core.masking.schedule import guidance_strength
from vasomim_core.methods.copies import follow, linear, slow_copy
from vasomim_core.methods.decoders import TokenDecoder
from vasomim_core.methods.losses import mean_where, patch_errors, ranking_loss, raw_patches
from vasomim_core.methods.mae import MaskedMethod
from vasomim_core.methods.method import Batch, Moment
from vasomim_core.methods.settings import HPMConfig
from vasomim_core.models.encoder import visible


class HPM(MaskedMethod[HPMConfig]):
    """Masks by predicted loss, and a ranking loss."""

    def __init__(self, config: HPMConfig):
        super().__init__(config)
        self.hardness = TokenDecoder(
            self.autoencoder.embed_dim,
            self.autoencoder.patch_embed.grid_size,
            config.decoder_width,
            config.decoder_depth,
            config.decoder_heads,
            outputs=1,
        )
        self.slow, self.slow_hardness = slow_copy(self.autoencoder), slow_copy(self.hardness)

    def beta(self, epoch: int) -> float:
        """The share of the masked patches that are the hardest."""
        return guidance_strength(epoch, self.config.training.epochs, self.config.beta_start, self.config.beta_end)

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """Reconstruction and ranking."""
        images = self.images(batch["frame"])
        hard = self.predicted_by_copy(images)
        noise = moment.noise(self.patches, images.device)
        mask = hardest(hard, self.config.mask_ratio, self.beta(moment.epoch), noise)
        kept = visible(mask, self.masked)
        tokens = self.autoencoder.encode(images, kept)
        target = raw_patches(images, self.config.patch_size)
        errors = patch_errors(self.autoencoder.decode(tokens, kept), target)
        reconstruction = mean_where(errors, mask)
        masked = visible(~mask, self.patches - self.masked)
        ranking = ranking_loss(self.hardness(tokens, kept)[..., 0], errors, masked)
        return {
            "loss": reconstruction + self.config.ranking * ranking,
            "reconstruction": reconstruction.detach(),
            "ranking": ranking.detach(),
        }

    @torch.no_grad()
    def predicted_by_copy(self, images: Tensor) -> Tensor:
        """How hard the slow copy takes each patch of the whole frame for, float32 (B, N)."""
        everything = torch.arange(self.patches, device=images.device).expand(len(images), -1)
        return self.slow_hardness(self.slow.encode(images), everything)[..., 0].float()

    def after_step(self, moment: Moment) -> None:
        """The slow copy follows."""
        epochs = (moment.step + 1) / moment.steps * self.config.training.epochs
        decay = linear(self.config.ema_start, self.config.ema_end, epochs / self.config.ema_epochs)
        follow(self.slow, self.autoencoder, decay)
        follow(self.slow_hardness, self.hardness, decay)

    def notes(self, epoch: int) -> dict[str, float]:
        """β_e."""
        return {"beta": round(self.beta(epoch), 4)}


def hardest(predicted: Tensor, mask_ratio: float, beta: float, noise: Tensor) -> Tensor:
    """The mask (B, N): ⌊βM⌋ patches of highest predicted loss (B, N), the other M − ⌊βM⌋ uniformly of all others."""
    above = predicted - predicted.amin(dim=1, keepdim=True) + 1  # the sampler takes positive weights
    return sample_masks(above, mask_ratio, beta, noise, "top-k").masked
