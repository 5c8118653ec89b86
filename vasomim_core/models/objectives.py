"""What pretraining minimises.

Source: VasoMIM (AAAI 2026, arXiv 2508.10794), L = L_rec + L_cons.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """(B, C, H, W) → (B, N, P·P·C), patches in row-major order, channels last within a patch (MAE's order)."""
    batch, channels, height, width = images.shape
    rows, columns = height // patch_size, width // patch_size
    x = images.reshape(batch, channels, rows, patch_size, columns, patch_size)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, patch_size**2 * channels)


def unpatchify(patches: Tensor, patch_size: int, size: tuple[int, int]) -> Tensor:
    """The inverse of `patchify` for frames of `size` (H, W)."""
    rows, columns = size[0] // patch_size, size[1] // patch_size
    channels = patches.shape[-1] // patch_size**2
    x = patches.reshape(len(patches), rows, columns, patch_size, patch_size, channels)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), channels, rows * patch_size, columns * patch_size)


def normalised_patches(images: Tensor, patch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Each patch with zero mean and unit variance, and what takes it back.

    Returns:
        target (B, N, P·P·C) float32; mean and standard deviation (B, N, 1), the latter √(variance + 1e-6).
    """
    patches = patchify(images, patch_size).float()
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    std = (variance + 1e-6).sqrt()
    return (patches - mean) / std, mean, std


def reconstruction_loss(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """L_rec: mean squared error per patch, averaged over the masked patches only.

    Args:
        predicted: (B, N, P·P·C).
        target: the same shape, normalised per patch.
        mask: boolean (B, N), True = masked.
    """
    error = (predicted.float() - target).square().mean(dim=-1)
    weight = mask.float()
    return (error * weight).sum() / weight.sum().clamp_min(1)


def reassemble(
    predicted: Tensor, mean: Tensor, std: Tensor, patch_size: int, size: torch.Size | tuple[int, int]
) -> Tensor:
    """I′: the whole decoder output, visible patches too, with each true patch's mean and standard deviation."""
    return unpatchify(predicted.float() * std + mean, patch_size, (size[0], size[1]))


def consistency_loss(logits_of_reconstruction: Tensor, logits_of_image: Tensor) -> Tensor:
    """L_cons = BCE(S(I′), sigmoid(S(I))), the target without gradient; mean over pixels."""
    target = torch.sigmoid(logits_of_image.detach().float())
    return F.binary_cross_entropy_with_logits(logits_of_reconstruction.float(), target)
