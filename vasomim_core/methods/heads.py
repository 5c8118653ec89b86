"""Projections on top of an encoder, of which nothing is kept."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def moco_head(widths: list[int]) -> nn.Sequential:
    """MoCo v3's projector and predictor: bias-free linear layers, BN and ReLU between, a BN without scale at the end.

    Args:
        widths: channels of the input, of every hidden layer and of the output.

    Source: Chen et al., An Empirical Study of Training Self-Supervised Vision Transformers, ICCV 2021.
    """
    layers: list[nn.Module] = []
    last = len(widths) - 2
    for n, (inside, outside) in enumerate(pairwise(widths)):
        layers.append(nn.Linear(inside, outside, bias=False))
        layers += [nn.BatchNorm1d(outside, affine=False)] if n == last else [nn.BatchNorm1d(outside), nn.ReLU()]
    return nn.Sequential(*layers)


class DINOHead(nn.Module):
    """DINO's head: an MLP, unit length, and a linear layer whose rows have unit length: cosines with K prototypes.

    Args:
        embed: channels of the encoder.
        hidden: channels of the two hidden layers.
        bottleneck: channels that are brought to unit length.
        prototypes: K.

    Source: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021; the length of the last
    layer's rows is fixed at 1, as there by default.
    """

    def __init__(self, embed: int, hidden: int, bottleneck: int, prototypes: int):
        super().__init__()
        self.mlp = nn.Sequential(
            *(nn.Linear(embed, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()),
            nn.Linear(hidden, bottleneck),
        )
        self.last = nn.Parameter(torch.empty(prototypes, bottleneck))
        nn.init.trunc_normal_(self.last, std=0.02)
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) → (B, K), in −1 … 1."""
        # In full precision: bf16 knows a cosine to two places, and they are divided by 0.04.
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(F.normalize(self.mlp(x.float()), dim=-1), F.normalize(self.last, dim=-1))
