"""HPM: a second decoder predicts how hard each patch will be to draw, and more and more of the hardest are masked.

Source: Wang et al., Hard Patches Mining for Masked Image Modeling, CVPR 2023. A slow copy of encoder and second decoder
looks at the whole frame; of the M masked patches ⌊M·β_e⌋ are those of highest predicted loss, β_e = 0.5·(e + 1)/E, the
others uniform. The loss is the mean squared error on masked patches in plain pixels, plus the ranking loss of the
second decoder on them, which is told the true losses without gradient.

Card silent: the second decoder is as large as the first, its ranking loss reaches the encoder, and the decay of the
slow copy rises in a straight line.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vasomim_core.methods.copies import follow, linear, slow_copy
from vasomim_core.methods.losses import mean_where, patch_errors, ranking_loss, raw_patches
from vasomim_core.methods.mae import MaskedMethod
from vasomim_core.methods.method import Batch, Moment, encoder_tensors
from vasomim_core.methods.settings import HPMConfig
from vasomim_core.models.encoder import visible
from vasomim_core.models.guides import GUIDE, HARDNESS, HardnessRule, hardest, predicted_loss
from vasomim_core.models.token_decoder import TokenDecoder


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
        self.rule = HardnessRule(config.mask_ratio, config.beta_start, config.beta_end)
        self.slow, self.slow_hardness = slow_copy(self.autoencoder), slow_copy(self.hardness)

    def beta(self, epoch: int) -> float:
        """The share of the masked patches that are the hardest."""
        return self.rule.beta(epoch, self.config.training.epochs)

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """Reconstruction and ranking."""
        images = self.images(batch["frame"])
        hard = self.predicted_by_copy(images)
        noise = moment.noise(self.patches, images.device)
        mask = hardest(hard, self.config.mask_ratio, self.beta(moment.epoch), noise).masked
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
        return predicted_loss(self.slow.encode(images), self.slow_hardness)

    def after_step(self, moment: Moment) -> None:
        """The slow copy follows."""
        epochs = (moment.step + 1) / moment.steps * self.config.training.epochs
        decay = linear(self.config.ema_start, self.config.ema_end, epochs / self.config.ema_epochs)
        follow(self.slow, self.autoencoder, decay)
        follow(self.slow_hardness, self.hardness, decay)

    def kept(self) -> dict[str, Tensor]:
        """The encoder, and behind a prefix the slow copies that choose: what they would mask can be looked at."""
        slow = {**encoder_tensors(self.slow), **prefixed(HARDNESS, self.slow_hardness.state_dict())}
        return {**super().kept(), **prefixed(GUIDE, slow)}

    def notes(self, epoch: int) -> dict[str, float]:
        """β_e."""
        return {"beta": round(self.beta(epoch), 4)}


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, each name behind a prefix."""
    return {prefix + name: tensor for name, tensor in tensors.items()}
