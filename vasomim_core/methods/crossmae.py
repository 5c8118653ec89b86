"""CrossMAE: masked patches are drawn from what is seen by cross-attention alone, and only a part of them.

Source: Fu et al., Rethinking Patch Dependence for Masked Autoencoders, TMLR 2025. γ = 0.75 uniform; a quarter of all
patches (49 of the 147 masked) are drawn. The decoder looks at a learned mix of the encoder's 13 levels, its input and
the 12 outputs of its blocks; the encoder's last LayerNorm is left out. The loss is MAE's on the patches drawn. The
learning rate is multiplied by seen / masked patches.

Card silent: "kept/masked" of the learning rate is (1 − γ)/γ, and the last LayerNorm, which is not trained, is kept as
it was made, so that the file has the names of MAE's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vasomim_core.errors import ConfigError
from vasomim_core.masking.sampling import masked_count
from vasomim_core.methods.decoders import CrossDecoder, start_as_mae
from vasomim_core.methods.method import Batch, Method, Moment
from vasomim_core.methods.settings import CrossMAEConfig
from vasomim_core.models.encoder import Encoder, seen, with_class
from vasomim_core.models.objectives import normalised_patches
from vasomim_core.models.vit import check_width


class CrossMAE(Method[CrossMAEConfig]):
    """Uniform masks, a decoder of cross-attention, and MAE's loss on a part of what is masked."""

    def __init__(self, config: CrossMAEConfig):
        super().__init__(config)
        self.encoder = Encoder(config.encoder, config.input_size, config.patch_size)
        start_as_mae(self.encoder)
        torch.nn.init.xavier_uniform_(self.encoder.patch_embed.proj.weight.view(self.encoder.embed_dim, -1))
        self.encoder.norm.requires_grad_(False)
        self.patches = self.encoder.patch_embed.num_patches
        self.masked = masked_count(self.patches, config.mask_ratio)
        self.predicted = max(1, int(config.predict_ratio * self.patches + 1e-9))
        if self.predicted > self.masked:
            raise ConfigError(
                f"predict_ratio is {config.predict_ratio:g}, which is more than the {config.mask_ratio:g} that are "
                "masked; choose a smaller one"
            )
        check_width("decoder", config.decoder_width, config.decoder_heads)
        self.decoder = CrossDecoder(
            self.encoder.embed_dim,
            len(self.encoder.blocks) + 1,
            self.encoder.patch_embed.grid_size,
            config.decoder_width,
            config.decoder_depth,
            config.decoder_heads,
            3 * config.patch_size**2,
        )
        self.rate_scale = (self.patches - self.masked) / self.masked

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """Mean squared error on the drawn patches, each normalised."""
        images = self.images(batch["frame"])
        kept, wanted = self.split(moment.noise(self.patches, images.device)[0])
        drawn = self.decoder(self.levels(images, kept), wanted)
        target, _, _ = normalised_patches(images, self.config.patch_size)
        return {"loss": (drawn.float() - seen(target, wanted)).square().mean()}

    def split(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What is seen, int64 (B, V), and which of the masked patches are drawn, int64 (B, Q), from noise (B, N)."""
        order = noise.argsort(dim=1)
        return order[:, self.masked :], order[:, : self.predicted]

    def levels(self, images: Tensor, kept: Tensor) -> list[Tensor]:
        """The encoder's input and what each of its blocks makes of it, (B, 1 + V, D) each."""
        tokens, _ = self.encoder.embed(images)
        levels = [with_class(self.encoder, seen(tokens, kept))]
        for block in self.encoder.blocks:
            levels.append(block(levels[-1]))
        return levels

    def fuse(self) -> None:
        """The blocks: the encoder is not called as a whole."""
        for block in self.encoder.blocks:
            block.compile()
