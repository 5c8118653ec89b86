"""CrossMAE's decoder. MAE's own stands in `models.mae`, and one with other outputs in `models.token_decoder`."""

from __future__ import annotations

import math

import torch
from timm.layers import Mlp
from torch import Tensor, nn

from vasomim_core.models.token_decoder import start_as_mae
from vasomim_core.models.vit import layer_norm, sincos_positions


class CrossDecoder(nn.Module):
    """CrossMAE's decoder: each query looks at the encoder's levels and never at another query.

    Source: Fu et al., Rethinking Patch Dependence for Masked Autoencoders, TMLR 2025. Every block gets a mix of its
    own of the encoder's levels (one bias-free linear layer, levels → blocks, drawn with σ = 1/√levels), which passes a
    LayerNorm of the block.

    Args:
        embed: channels D of the encoder.
        levels: of the encoder, its input included.
        grid: rows and columns of patches.
        width: channels.
        depth: blocks.
        heads: attention heads of each.
        outputs: numbers for each query.
    """

    def __init__(
        self, embed: int, levels: int, grid: tuple[int, int], width: int, depth: int, heads: int, outputs: int
    ):
        super().__init__()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(sincos_positions(width, grid)[:, 1:], requires_grad=False)
        self.mix = nn.Linear(levels, depth, bias=False)
        self.blocks = nn.ModuleList(CrossBlock(width, embed, heads) for _ in range(depth))
        self.norm = layer_norm(width)
        self.predict = nn.Linear(width, outputs)
        nn.init.normal_(self.mask_token, std=0.02)
        start_as_mae(self)
        nn.init.normal_(self.mix.weight, std=1 / math.sqrt(levels))

    def forward(self, levels: list[Tensor], wanted: Tensor) -> Tensor:
        """Draw some patches.

        Args:
            levels: of the encoder, (B, 1 + V, D) each.
            wanted: int64 (B, Q), which patches.

        Returns:
            (B, Q, outputs).
        """
        mixed = self.mix(torch.stack(levels, dim=-1)).unbind(-1)
        positions = self.positions.expand(len(wanted), -1, -1)
        x = self.mask_token + positions.gather(1, wanted[..., None].expand(-1, -1, positions.shape[-1]))
        for block, seen in zip(self.blocks, mixed, strict=True):
            x = block(x, seen)
        return self.predict(self.norm(x))


class CrossBlock(nn.Module):
    """Cross-attention from queries (B, Q, width) to tokens (B, T, D), then an MLP; each behind a LayerNorm."""

    def __init__(self, width: int, embed: int, heads: int):
        super().__init__()
        self.norm1, self.norm2, self.norm_seen = layer_norm(width), layer_norm(width), layer_norm(embed)
        self.attention = nn.MultiheadAttention(width, heads, kdim=embed, vdim=embed, batch_first=True)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """The queries after one look."""
        seen = self.norm_seen(seen)
        x = x + self.attention(self.norm1(x), seen, seen, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))
