"""What several methods compare; a target is never a way for a gradient."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vasomim_core.models.objectives import patchify


def raw_patches(images: Tensor, patch_size: int) -> Tensor:
    """Patches as they are, float32 (B, N, P·P·3), of ImageNet-normalised images (B, 3, H, W)."""
    return patchify(images, patch_size).float()


def patch_errors(predicted: Tensor, target: Tensor) -> Tensor:
    """The mean squared error of each patch, float32 (B, N)."""
    return (predicted.float() - target.float()).square().mean(dim=-1)


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of the values (B, N) at which a mask of the same shape is True."""
    weight = mask.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp_min(1)


def ranking_loss(predicted: Tensor, losses: Tensor, masked: Tensor) -> Tensor:
    """How wrongly predictions order the masked patches of each frame by how hard they are.

    Over ordered pairs (i, j) of masked patches of one frame, with true losses l and predictions p:
    −[1(l_i > l_j)·log σ(p_i − p_j) + 1(l_i < l_j)·log(1 − σ(p_i − p_j))], the mean over all pairs i ≠ j.

    Args:
        predicted: p, (B, N).
        losses: l, (B, N); they get no gradient.
        masked: int64 (B, M), which patches are masked.

    Source: HPM (Wang et al., CVPR 2023), section 3.2.
    """
    p, hard = predicted.float().gather(1, masked), losses.detach().float().gather(1, masked)
    difference = p[:, :, None] - p[:, None, :]
    harder = hard[:, :, None] > hard[:, None, :]
    easier = hard[:, :, None] < hard[:, None, :]
    pairs = torch.where(harder, F.logsigmoid(difference), 0.0) + torch.where(easier, F.logsigmoid(-difference), 0.0)
    rows, count = p.shape
    return -pairs.sum() / max(1, rows * count * (count - 1))
