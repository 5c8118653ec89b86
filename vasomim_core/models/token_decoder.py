"""MAE's decoder with another output: a number, or several, for every patch of a frame."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from vasomim_core.models.mae import everywhere
from vasomim_core.models.vit import layer_norm, sincos_positions


class TokenDecoder(nn.Module):
    """MAE's decoder with another output: encoded tokens (B, 1 + V, D) → (B, N, outputs).

    Args:
        embed: D.
        grid: rows and columns of patches.
        width: channels.
        depth: blocks.
        heads: attention heads of each.
        outputs: numbers for each patch.
    """

    def __init__(self, embed: int, grid: tuple[int, int], width: int, depth: int, heads: int, outputs: int):
        super().__init__()
        self.embed = nn.Linear(embed, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(sincos_positions(width, grid), requires_grad=False)
        self.blocks = nn.Sequential(*(Block(width, heads, qkv_bias=True, norm_layer=layer_norm) for _ in range(depth)))
        self.norm = layer_norm(width)
        self.predict = nn.Linear(width, outputs)
        nn.init.normal_(self.mask_token, std=0.02)
        start_as_mae(self)

    def forward(self, tokens: Tensor, kept: Tensor) -> Tensor:
        """Numbers for every patch; `kept`, int64 (B, V), are the places of the encoded ones."""
        x = everywhere(self.embed(tokens), kept, self.mask_token, self.positions)
        return self.predict(self.norm(self.blocks(x)))[:, 1:]


def start_as_mae(network: nn.Module) -> None:
    """MAE's initialisation: Xavier-uniform linear layers without bias."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
