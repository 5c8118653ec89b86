"""Grey frames as networks take them."""

from __future__ import annotations

import torch
from torch import Tensor

from vasomim_core.models.catalogue import Preprocessing


def normalise(frames: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (B, H, W) → float32 (B, 3, H, W): grey levels in [0, 1], replicated, minus mean, over std."""
    grey = frames.float()
    # Plain numbers, since a tensor made on the host would make a CUDA device wait in every step.
    channels = zip(preprocessing.mean, preprocessing.std, strict=True)
    return torch.stack([(grey - 255 * mean) / (255 * std) for mean, std in channels], dim=1)
