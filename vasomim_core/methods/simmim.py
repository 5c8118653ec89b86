"""SimMIM: blocks of the frame are covered by a learned token, the encoder sees all patches, one layer draws the pixels.

Source: Xie et al., SimMIM: A Simple Framework for Masked Image Modeling, CVPR 2022. On a 7×7 grid of 32-px blocks
⌈0.6·49⌉ = 30 are covered; the loss is Σ|x − x̂|·m / (Σm + 1e-5) / 3 over ImageNet-normalised pixels.

The ViT has no absolute positions but one relative position bias for all blocks, and LayerScale. In the file that is
kept LayerScale is multiplied into the layers before it, which changes no output: a plain ViT takes it.

Card silent: the token is drawn with σ 0.02, the bias starts at zero, both as in BEiT.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vasomim_core.errors import ConfigError
from vasomim_core.methods.masks import uniform
from vasomim_core.methods.method import Batch, Method, Moment
from vasomim_core.methods.settings import SimMIMConfig
from vasomim_core.models.encoder import Encoder, with_class


class SimMIM(Method[SimMIMConfig]):
    """Covered blocks, and the L1 distance to their pixels."""

    def __init__(self, config: SimMIMConfig):
        super().__init__(config)
        block, patch, side = config.block_size, config.patch_size, config.input_size
        if block % patch or side % block:
            raise ConfigError(
                f"blocks of {block} px do not divide into patches of {patch} px and a crop of {side} px into them; "
                "choose a block size that is a multiple of the one and divides the other"
            )
        self.encoder = Encoder(config.encoder, side, patch, relative_positions=True, layer_scale=config.layer_scale)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.encoder.embed_dim))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.head = nn.Sequential(nn.Conv2d(self.encoder.embed_dim, 3 * patch**2, 1), nn.PixelShuffle(patch))
        self.blocks = side // block
        self.covered = math.ceil(round(config.mask_ratio * self.blocks**2, 9))

    def mask(self, noise: Tensor) -> Tensor:
        """The covered patches, boolean (B, rows, columns), from noise (B, blocks)."""
        blocks = uniform(noise, self.covered).view(-1, self.blocks, self.blocks)
        each = self.config.block_size // self.config.patch_size
        return blocks.repeat_interleave(each, dim=1).repeat_interleave(each, dim=2)

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """The L1 loss on covered pixels."""
        images = self.images(batch["frame"])
        mask = self.mask(moment.noise(self.blocks**2, images.device)[0])
        return {"loss": covered_l1(self.draw(images, mask), images, mask, self.config.patch_size)}

    def draw(self, images: Tensor, mask: Tensor) -> Tensor:
        """All pixels, (B, 3, H, W), from what is not covered."""
        tokens, grid = self.encoder.embed(images)
        tokens = torch.where(mask.flatten(1)[..., None], self.mask_token.to(tokens.dtype), tokens)
        tokens = self.encoder.norm(self.encoder.attend(with_class(self.encoder, tokens), grid))
        return self.head(tokens[:, 1:].transpose(1, 2).unflatten(2, grid))

    def kept(self) -> dict[str, Tensor]:
        """The encoder, its LayerScale multiplied into the weights and biases before it."""
        state = super().kept()
        for name in [name for name in state if name.endswith(".gamma")]:
            block, scale, _ = name.rsplit(".", 2)
            layer = {"ls1": "attn.proj", "ls2": "mlp.fc2"}[scale]
            gamma = state.pop(name)
            for part in ("weight", "bias"):
                tensor = state[f"{block}.{layer}.{part}"]
                state[f"{block}.{layer}.{part}"] = (gamma if part == "bias" else gamma[:, None]) * tensor
        return state

    def described(self) -> tuple[str, str, dict[str, object], dict[str, object]]:
        """An encoder with relative positions."""
        kind, architecture, options, settings = super().described()
        return kind, architecture, options | {"relative_positions": True}, settings

    def fuse(self) -> None:
        """The blocks: the encoder is not called as a whole."""
        for block in self.encoder.blocks:
            block.compile()


def covered_l1(drawn: Tensor, images: Tensor, mask: Tensor, patch_size: int) -> Tensor:
    """Σ|x − x̂|·m / (Σm + 1e-5) / 3.

    Args:
        drawn: x̂, (B, 3, H, W).
        images: x, (B, 3, H, W), ImageNet-normalised.
        mask: m, boolean (B, H/P, W/P), True = covered.
        patch_size: P.
    """
    pixels = mask.repeat_interleave(patch_size, 1).repeat_interleave(patch_size, 2)[:, None].float()
    error = F.l1_loss(drawn.float(), images, reduction="none")
    return (error * pixels).sum() / (pixels.sum() + 1e-5) / images.shape[1]
