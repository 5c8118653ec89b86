"""UNeXt-S, the small convolution + shifted-MLP segmentor S of VasoMIM.

Source: Valanarasu & Patel, UNeXt, MICCAI 2022. Module names follow the original project's state dict, so that
its checkpoints load strictly; the code is our own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vasomim_core.errors import InputError
from vasomim_core.models.prior import start_from_vessel_share

STRIDE = 32  # three 2× poolings and two stride-2 embeddings


class UNeXt(nn.Module):
    """Image (B, in_channels, H, W) → logits (B, outputs, H, W); H and W are multiples of 32.

    The small variant has 253,561 learnable values.

    Args:
        in_channels: channels of the input; grey frames are replicated to 3.
        widths: channels after each of the five stages.
        outputs: logits of a pixel, see `outputs.outputs_of`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        widths: tuple[int, int, int, int, int] = (8, 16, 32, 64, 128),
        outputs: int = 1,
    ):
        super().__init__()
        a, b, c, d, e = widths
        self.encoder1, self.ebn1 = nn.Conv2d(in_channels, a, 3, padding=1), nn.BatchNorm2d(a)
        self.encoder2, self.ebn2 = nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b)
        self.encoder3, self.ebn3 = nn.Conv2d(b, c, 3, padding=1), nn.BatchNorm2d(c)
        self.patch_embed3, self.block1 = OverlapPatchEmbedding(c, d), nn.ModuleList([ShiftedBlock(d)])
        self.patch_embed4, self.block2 = OverlapPatchEmbedding(d, e), nn.ModuleList([ShiftedBlock(e)])
        self.norm3, self.norm4 = nn.LayerNorm(d), nn.LayerNorm(e)

        self.decoder1, self.dbn1 = nn.Conv2d(e, d, 3, padding=1), nn.BatchNorm2d(d)
        self.dblock1, self.dnorm3 = nn.ModuleList([ShiftedBlock(d)]), nn.LayerNorm(d)
        self.decoder2, self.dbn2 = nn.Conv2d(d, c, 3, padding=1), nn.BatchNorm2d(c)
        self.dblock2, self.dnorm4 = nn.ModuleList([ShiftedBlock(c)]), nn.LayerNorm(c)
        self.decoder3, self.dbn3 = nn.Conv2d(c, b, 3, padding=1), nn.BatchNorm2d(b)
        self.decoder4, self.dbn4 = nn.Conv2d(b, a, 3, padding=1), nn.BatchNorm2d(a)
        self.decoder5 = nn.Conv2d(a, a, 3, padding=1)
        self.final = nn.Conv2d(a, outputs, 1)
        self.apply(_initialise)
        start_from_vessel_share(self.final, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, outputs, H, W).

        Raises:
            InputError: H or W is not a multiple of 32.
        """
        if x.shape[-1] % STRIDE or x.shape[-2] % STRIDE:
            raise InputError(
                f"UNeXt takes sides that are multiples of {STRIDE} px, not {x.shape[-2]}×{x.shape[-1]}; pad the frame"
            )
        skip1 = F.relu(F.max_pool2d(self.ebn1(self.encoder1(x)), 2))
        skip2 = F.relu(F.max_pool2d(self.ebn2(self.encoder2(skip1)), 2))
        skip3 = F.relu(F.max_pool2d(self.ebn3(self.encoder3(skip2)), 2))
        skip4 = _tokens(self.block1, self.norm3, self.patch_embed3(skip3))
        x = _tokens(self.block2, self.norm4, self.patch_embed4(skip4))
        x = F.relu(_double(self.dbn1(self.decoder1(x)))) + skip4
        x = _tokens(self.dblock1, self.dnorm3, x)
        x = F.relu(_double(self.dbn2(self.decoder2(x)))) + skip3
        x = _tokens(self.dblock2, self.dnorm4, x)
        x = F.relu(_double(self.dbn3(self.decoder3(x)))) + skip2
        x = F.relu(_double(self.dbn4(self.decoder4(x)))) + skip1
        x = F.relu(_double(self.decoder5(x)))
        return self.final(x)


class OverlapPatchEmbedding(nn.Module):
    """3×3 convolution of stride 2, then LayerNorm over channels; maps in, maps out."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C′, H/2, W/2)."""
        return _over_channels(self.norm, self.proj(x))


class ShiftedBlock(nn.Module):
    """Residual tokenised MLP with shifts: x + MLP(LayerNorm(x))."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = ShiftedMLP(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        return x + self.mlp(_over_channels(self.norm2, x))


class ShiftedMLP(nn.Module):
    """Shift rows, mix channels, 3×3 depth-wise convolution, GELU, shift columns, mix channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, channels)
        self.dwconv = DepthwiseConvolution(channels)
        self.fc2 = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        x = _over_channels(self.fc1, shift(x, axis=2))
        x = F.gelu(self.dwconv(x))
        return _over_channels(self.fc2, shift(x, axis=3))


class DepthwiseConvolution(nn.Module):
    """3×3 convolution, each channel alone."""

    def __init__(self, channels: int):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        return self.dwconv(x)


def shift(x: Tensor, axis: int, reach: int = 2) -> Tensor:
    """Move five groups of channels by −2, −1, 0, 1, 2 pixels along `axis` (2 = y, 3 = x), zeros coming in.

    Args:
        x: (B, C, H, W).
        axis: 2 or 3.
        reach: the largest shift, in pixels.
    """
    padding = (reach, reach, 0, 0) if axis == 3 else (0, 0, reach, reach)
    groups = F.pad(x, padding).chunk(2 * reach + 1, dim=1)
    length = x.shape[axis]
    moved = [g.narrow(axis, reach - step, length) for g, step in zip(groups, range(-reach, reach + 1), strict=True)]
    return torch.cat(moved, dim=1)


def _over_channels(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer that works on the last axis to the channels of a map."""
    return layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _tokens(blocks: nn.ModuleList, norm: nn.Module, x: Tensor) -> Tensor:
    for block in blocks:
        x = block(x)
    return _over_channels(norm, x)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _initialise(module: nn.Module) -> None:
    """Truncated normal for linear layers, He (fan-out) for convolutions, as in the paper's code base family."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
