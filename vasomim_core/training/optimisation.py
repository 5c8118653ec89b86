"""How fast each parameter learns, and in which precision."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from vasomim_core.config import Training


def decayed_groups(parameters: list[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, Any]]:
    """Two optimiser groups: weights with decay; biases and 1-D tensors without."""
    trainable = [(n, p) for n, p in parameters if p.requires_grad]
    return [
        {"params": [p for _, p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for _, p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]


def learning_rate(step: int, steps: int, epoch: int, settings: Training) -> float:
    """The learning rate of a 0-based step: linear warm-up, then half a cosine to zero; or (1 − e/E)^0.9 per epoch."""
    if settings.schedule == "poly":
        return settings.learning_rate * (1 - epoch / settings.epochs) ** 0.9
    warm = settings.warmup * steps
    if step < warm:
        return settings.learning_rate * (step + 1) / math.ceil(warm)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, steps - warm)))


def native_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than fp32 on this device: CUDA from Ampere on, CPUs with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
