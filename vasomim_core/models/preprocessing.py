"""Grey frames as networks take them."""

from __future__ import annotations

import torch
from torch import Tensor

from vasomim_core.models.checkpoint import Preprocessing


def normalise(frames: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (B, H, W) → float32 (B, 3, H, W): grey levels in [0, 1], replicated, minus mean, over std."""
    mean = torch.tensor(preprocessing.mean, device=frames.device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=frames.device).view(1, 3, 1, 1)
    return (frames[:, None].float() / 255 - mean) / std
