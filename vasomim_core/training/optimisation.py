"""How fast each parameter learns, and in which precision."""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from vasomim_core.config import Training


def decayed_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two optimiser groups: weights with decay; biases and 1-D tensors without.

    Not `timm.optim.param_groups_weight_decay`, which makes one group of all where there is no decay: a saved optimiser
    counts its parameters group by group, and those of earlier runs must still fit.
    """
    trainable = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]


def layer_decayed_groups(network: nn.Module, decay: float, weight_decay: float) -> list[dict[str, Any]]:
    """Optimiser groups in which a ViT's blocks learn the slower the nearer they are to the input.

    The decoder has scale 1, block i of L has decay^(L − i), the embedding decay^(L + 1) (BEiT, Bao et al. 2022).
    Networks that do not say what their layers are (timm's `group_matcher`) get one scale for all.
    """
    if decay == 1 or not hasattr(network, "group_matcher"):
        return decayed_groups(network, weight_decay)
    groups = param_groups_layer_decay(network, weight_decay, layer_decay=decay)
    # From the input up, decayed weights before the others: the order in which saved optimisers count them.
    return sorted(groups, key=lambda group: (group["lr_scale"], group["params"][0].ndim <= 1))


def learning_rate(step: int, steps: int, epoch: int, settings: Training) -> float:
    """The learning rate of a 0-based step: linear warm-up, then half a cosine to zero; or (1 − e/E)^0.9 per epoch.

    "step" is SimMIM's: after the warm-up constant, and a tenth of it from 7/8 of the steps on.
    """
    if settings.schedule == "poly":
        return settings.learning_rate * (1 - epoch / settings.epochs) ** 0.9
    warm = settings.warmup * steps
    if step < warm:
        return settings.learning_rate * (step + 1) / math.ceil(warm)
    if settings.schedule == "step":
        return settings.learning_rate * (0.1 if step >= 7 / 8 * steps else 1.0)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, steps - warm)))


def native_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than fp32 on this device: CUDA from Ampere on, CPUs with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
