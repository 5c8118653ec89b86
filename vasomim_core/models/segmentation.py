"""Segmenters that are finetuned on labels: a ViT with a pyramid decoder, and two U-Nets."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from vasomim_core.config import EncoderSize
from vasomim_core.errors import ConfigError
from vasomim_core.models.encoder import SharedRelativePositions
from vasomim_core.models.prior import start_from_vessel_share
from vasomim_core.models.vit import encoder_options, sincos_positions


class ViTPyramid(nn.Module):
    """Image (B, 3, H, W) → logits (B, outputs, H, W); H and W are multiples of the patch size.

    A UNETR-like pyramid (Hatamizadeh et al. 2022): tokens of four depths are unfolded to finer and finer maps and
    merged from coarse to fine; a convolution at full resolution gives the last step its sharp edges.

    Args:
        encoder: tiny, small, base or large.
        input_size: side for which positions are stored; other sizes get them resampled.
        patch_size: a power of two, 4 … 32 px.
        width: channels at full resolution; each coarser level has twice as many, at most 8×.
        drop_path: stochastic depth rate of the encoder's last block.
        outputs: logits of a pixel, see `outputs.outputs_of`.
        relative_positions: of the encoder, see `encoder.Encoder`.
    """

    def __init__(
        self,
        encoder: EncoderSize = "base",
        input_size: int = 224,
        patch_size: int = 16,
        width: int = 16,
        drop_path: float = 0.0,
        outputs: int = 1,
        relative_positions: bool = False,
    ):
        super().__init__()
        if patch_size not in (4, 8, 16, 32):
            raise ConfigError(f"a patch of {patch_size} px does not fit the pyramid decoder; choose 4, 8, 16 or 32 px")
        self.encoder = VisionTransformer(
            **encoder_options(encoder, input_size, patch_size),
            dynamic_img_size=True,
            drop_path_rate=drop_path,
        )
        with torch.no_grad():
            self.encoder.pos_embed.copy_(sincos_positions(self.encoder.embed_dim, self.encoder.patch_embed.grid_size))
        if relative_positions:
            self.encoder.rel_pos_bias = SharedRelativePositions(
                self.encoder.patch_embed.grid_size, self.encoder.blocks[0].attn.num_heads
            )
            self.encoder.pos_embed.data.zero_()
            self.encoder.pos_embed.requires_grad_(False)
        self.patch_size, self.relative_positions = patch_size, relative_positions
        levels = patch_size.bit_length() - 1
        widths = [width * min(8, 2**k) for k in range(levels + 1)]  # full resolution first
        depth = len(self.encoder.blocks)
        self.taps = sorted({max(0, round(depth * (levels - k) / levels) - 1) for k in range(levels)})
        embed = self.encoder.embed_dim
        self.bottom = nn.Conv2d(embed, widths[levels], 1)
        # The deepest tokens start at the bottom; shallower ones join at finer levels.
        self.unfold = nn.ModuleList(UnfoldTokens(embed, widths[k], patch_size >> k) for k in range(levels - 1, 0, -1))
        self.stem = ConvBlock(3, widths[0])
        self.merge = nn.ModuleList(ConvBlock(widths[k + 1] + widths[k], widths[k]) for k in range(levels - 1, -1, -1))
        self.head = nn.Conv2d(widths[0], outputs, 1)
        start_from_vessel_share(self.head, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, outputs, H, W)."""
        bias: dict[str, Tensor] = {}
        if self.relative_positions:
            grid = (x.shape[-2] // self.patch_size, x.shape[-1] // self.patch_size)
            bias["attn_mask"] = self.encoder.rel_pos_bias(grid).to(x.dtype)
        tokens = self.encoder.forward_intermediates(x, indices=self.taps, norm=True, intermediates_only=True, **bias)
        y = self.bottom(tokens[-1])
        shallower = tokens[-2::-1]
        skips = [unfold(t) for unfold, t in zip(self.unfold, shallower, strict=True)] + [self.stem(x)]
        for merge, skip in zip(self.merge, skips, strict=True):
            y = F.interpolate(y, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            y = merge(torch.cat([y, skip], dim=1))
        return self.head(y)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """For timm, what makes one layer: the embedding, then each block; all else is the last of them."""
        return {"stem": r"encoder\.(?:cls_token|pos_embed|patch_embed)", "blocks": r"encoder\.blocks\.(\d+)"}


class UnfoldTokens(nn.Module):
    """Turn each token into a patch of `scale`×`scale` pixels with `channels` channels, then smooth."""

    def __init__(self, width: int, channels: int, scale: int):
        super().__init__()
        self.project = nn.Conv2d(width, channels * scale**2, 1)
        self.shuffle = nn.PixelShuffle(scale)
        self.block = ConvBlock(channels, channels, convolutions=1)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, D, h, w) → (B, C, h·scale, w·scale)."""
        return self.block(self.shuffle(self.project(tokens)))


class ConvBlock(nn.Sequential):
    """3×3 convolution, batch normalisation, ReLU; twice unless said otherwise."""

    def __init__(self, in_channels: int, out_channels: int, convolutions: int = 2):
        layers: list[nn.Module] = []
        for n in range(convolutions):
            layers += [
                nn.Conv2d(out_channels if n else in_channels, out_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


def unet(width: int = 32, outputs: int = 1) -> nn.Module:
    """MONAI's plain U-Net, image (B, 3, H, W) → logits (B, outputs, H, W); H and W are multiples of 16.

    Args:
        width: channels at full resolution; 8 times as many at the lowest of the five.
        outputs: logits of a pixel, see `outputs.outputs_of`.
    """
    from monai.networks.nets import BasicUNet

    net = BasicUNet(
        spatial_dims=2,
        in_channels=3,
        out_channels=outputs,
        features=(width, width, 2 * width, 4 * width, 8 * width, width),
        act="relu",
        norm="batch",
    )
    start_from_vessel_share(net.final_conv, outputs)
    return net


def resunet(width: int = 16, outputs: int = 1) -> nn.Module:
    """MONAI's U-Net with residual units, image (B, 3, H, W) → logits (B, outputs, H, W); H and W are multiples of 16.

    Its first convolution already halves the sides, so that nearly all work is done on small maps: on a CPU it learns
    more in an hour than the plain U-Net. 1.6 million values at width 16.

    Args:
        width: channels at half resolution; twice as many at each of the four levels below, 16 times at the lowest.
        outputs: logits of a pixel, see `outputs.outputs_of`.
    """
    from monai.networks.nets import UNet

    net = UNet(
        spatial_dims=2,
        in_channels=3,
        out_channels=outputs,
        channels=tuple(width * 2**k for k in range(5)),
        strides=(2, 2, 2, 2),
        num_res_units=2,
        act="relu",
        norm="batch",
    )
    *_, last = (module for module in net.modules() if isinstance(module, nn.Conv2d))
    start_from_vessel_share(last, outputs)
    return net
