"""Anatomy-guided masking: which patches of an angiogram the model does not get to see.

Conventions, stated once: a mask is boolean with shape (B, N), True = masked, patches in row-major order;
N = (H / P)·(W / P). Everything is vectorised over the batch and runs on the device of its input without a
host–device synchronisation.

Source: VasoMIM (AAAI 2026, arXiv 2508.10794), section "anatomy-guided masking strategy".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vasomim_core.config import Sampler
from vasomim_core.errors import ConfigError
from vasomim_core.masking.schedule import MaskingSchedule


def vascular_distribution(anatomy: Tensor | NDArray[Any], patch_size: int) -> Tensor:
    """How the vessels of each image are spread over its patches: f(m_i) = Σ_j m_ij / Σ_ij m_ij.

    Args:
        anatomy: (B, H, W) or (B, 1, H, W), or (H, W) for one frame (B = 1), as a tensor or an array; bool, integer or
            float ≥ 0. Soft anatomy is summed by value.
        patch_size: side P of a patch in pixels; H and W are multiples of it.

    Returns:
        f, float32 (B, N). Each row sums to 1, or is all zero where the image holds no anatomy.

    Raises:
        ConfigError: H or W is not a multiple of `patch_size`, or `anatomy` has another number of axes.
    """
    anatomy = torch.as_tensor(anatomy)
    if anatomy.ndim == 4 and anatomy.shape[1] == 1:
        anatomy = anatomy[:, 0]
    if anatomy.ndim == 2:
        anatomy = anatomy[None]
    if anatomy.ndim != 3:
        raise ConfigError(f"anatomy has shape {tuple(anatomy.shape)}; give (H, W), (B, H, W) or (B, 1, H, W)")
    if anatomy.shape[-1] % patch_size or anatomy.shape[-2] % patch_size:
        raise ConfigError(
            f"a frame of {anatomy.shape[-2]}×{anatomy.shape[-1]} px does not divide into patches of "
            f"{patch_size} px; choose an input size that is a multiple of the patch size"
        )
    share = F.avg_pool2d(anatomy[:, None].float(), patch_size).flatten(1)
    total = share.sum(dim=1, keepdim=True)
    return torch.where(total > 0, share / total.clamp_min(torch.finfo(share.dtype).tiny), 0.0)


def co_guided_anatomy(anatomy: Tensor, segmentor_logits: Tensor) -> Tensor:
    """Mix the filter's anatomy with what the frozen segmentor S sees: 0.5·m + 0.5·sigmoid(S(I)).

    Args:
        anatomy: (B, H, W), bool or float in [0, 1].
        segmentor_logits: (B, 1, H, W) or (B, H, W), logits of S.

    Returns:
        Soft anatomy, float32 (B, H, W) in [0, 1]. Source: the extended paper (XA-SSL, arXiv 2602.11536).
    """
    return 0.5 * anatomy.float() + 0.5 * torch.sigmoid(segmentor_logits.float()).reshape(anatomy.shape)


def masked_count(patches: int, mask_ratio: float) -> int:
    """M = N − ⌊N(1 − γ)⌋, the exact number of masked patches per image.

    Raises:
        ConfigError: γ outside [0, 1].
    """
    if not 0.0 <= mask_ratio <= 1.0:
        raise ConfigError(f"mask ratio is {mask_ratio}; give a share between 0 and 1")
    # 1 − 0.9 is 0.09999…: without the rounding, floor would lose a whole patch to binary fractions.
    return patches - int(round(patches * (1.0 - mask_ratio), 9))


def mask_noise(seed: int, step: int, batch: int, patches: int, device: torch.device | str = "cpu") -> Tensor:
    """The chance behind the masks of one step of a run: uniform numbers in [0, 1), float32 (2, batch, patches).

    Pretraining draws them where it trains. On the CPU, where all that is shown is drawn, they are the same everywhere.
    """
    generator = torch.Generator(device).manual_seed(seed * 1_000_003 + step)
    return torch.rand((2, batch, patches), generator=generator, device=device)


class Masks(NamedTuple):
    """The masks of a batch, boolean (B, N) each: `masked`, and the part of it that anatomy has chosen, `guided`."""

    masked: Tensor
    guided: Tensor


def sample_masks(f: Tensor, mask_ratio: float, beta: float, noise: Tensor, sampler: Sampler = "anatomy") -> Masks:
    """Draw one mask per image; exactly M = N − ⌊N(1 − γ)⌋ patches are masked in each.

    * `"uniform"`: M patches without replacement, vessels ignored (MAE).
    * `"anatomy"`: q = min(⌊βM⌋, patches with f > 0) patches without replacement with probability proportional
      to f; the other M − q uniformly without replacement from all patches left, vessel or not.
    * `"top-k"`: the q patches of largest f (ties broken at random), the rest as above.

    The proportional draw is an exponential race (Efraimidis & Spirakis 2006): patch i finishes at time
    −log(u_i) / f_i, and the q earliest are a draw without replacement with successive probabilities ∝ f. Both
    draws for the whole batch take two selections instead of a loop over images.

    Args:
        f: vascular distribution (B, N), float ≥ 0; rows may be all zero (then the mask is uniform).
        mask_ratio: γ in [0, 1].
        beta: guidance strength β in [0, 1].
        noise: uniform numbers in [0, 1), (2, B, N), see `mask_noise`. Processes that share one batch pass their rows
            of one common draw.
        sampler: the rule, see above.

    Returns:
        The masks, and the q patches of each that were masked for their vessels; none of them where it is uniform.

    Raises:
        ConfigError: a ratio outside [0, 1], or an unknown sampler.
    """
    if sampler not in get_args(Sampler):
        raise ConfigError(f"unknown mask sampler {sampler!r}; choose one of {', '.join(get_args(Sampler))}")
    if not 0.0 <= beta <= 1.0:
        raise ConfigError(f"guidance strength β is {beta}; give a share between 0 and 1")
    masked = masked_count(f.shape[1], mask_ratio)
    order, guided = noise[0], torch.zeros_like(f, dtype=torch.bool)
    if sampler != "uniform":
        chosen = _guided_indices(f, masked, beta, noise, sampler)
        order = order.scatter(1, chosen, -1.0)  # guided patches come before every other one
        guided = guided.scatter_(1, chosen, True) & (f > 0)
    return Masks(_mark(order, masked), guided)


def sample_mask(
    f: Tensor,
    mask_ratio: float,
    beta: float,
    generator: torch.Generator | None = None,
    sampler: Sampler = "anatomy",
    noise: Tensor | None = None,
) -> Tensor:
    """The masks of `sample_masks` alone, boolean (B, N); a generator (on the device of `f`) may stand for the noise."""
    if noise is None:
        noise = torch.rand((2, *f.shape), generator=generator, device=f.device)
    return sample_masks(f, mask_ratio, beta, noise, sampler).masked


def _guided_indices(f: Tensor, masked: int, beta: float, noise: Tensor, sampler: Sampler) -> Tensor:
    """⌊βM⌋ patches per row, (B, q): those with vessel first, by the sampler's rule.

    Where there are fewer with vessel, the rest is uniform among the others, which is what the second draw would do:
    so every row has the same q, and no count has to be read back.
    """
    wanted = int(beta * masked + 1e-9)  # ⌊βM⌋, not one less because of 0.29 · 100 = 28.999…
    others = noise[0] * 1e30 + 1e30
    if sampler == "anatomy":
        # Patches without vessel would finish at infinity (0/0 for u = 0, which fmin passes over).
        finish = torch.log1p(-noise[1]).neg_().div_(f).fmin(others)
    else:
        # Ties are broken at random: f differs by far more than the noise between unequal patches.
        finish = torch.where(f > 0, noise[1].double() * 1e-9 - f.double(), others.double())
    return finish.topk(wanted, dim=1, largest=False, sorted=False).indices


def masking_ratio(f: Tensor, schedule: MaskingSchedule) -> Tensor:
    """Per patch, the share of epochs in which it is masked over the whole weak-to-strong schedule.

    Each epoch has luck of its own: the masks are those of a run with this seed that takes one step per epoch.

    Args:
        f: vascular distribution (B, N), on the CPU.
        schedule: γ, sampler, β, E and seed.

    Returns:
        float32 (B, N) in [0, 1]; the mean of each row is M / N.
    """
    count = torch.zeros_like(f)
    for epoch in range(schedule.epochs):
        noise = mask_noise(schedule.seed, epoch, *f.shape)
        count += sample_masks(f, schedule.mask_ratio, schedule.beta(epoch), noise, schedule.sampler).masked
    return count / schedule.epochs


def masked_vessels(
    f: Tensor, vessels: Tensor, schedule: MaskingSchedule, epochs: Sequence[int], samples: int
) -> tuple[Tensor, Tensor]:
    """How much of one frame's vessels is masked in some epochs: the mean over `samples` masks for each of them.

    Args:
        f: vascular distribution (N,) that guides the masks, on the CPU.
        vessels: share of the vessel pixels in each patch (N,): f itself, unless a segmentor guides too.
        schedule: γ, sampler, β, E and seed.
        epochs: from 0.
        samples: masks per epoch; those of epoch e are the masks of a batch of so many equal frames in step e.

    Returns:
        float32 (len(epochs),) in [0, 1] each: the share of the patches with vessel that is masked, and the share of
        the vessel pixels. Not a number where there is no vessel.
    """
    patches, pixels = [], []
    for epoch in epochs:
        noise = mask_noise(schedule.seed, epoch, samples, len(f))
        masks = sample_masks(f.expand(samples, -1), schedule.mask_ratio, schedule.beta(epoch), noise, schedule.sampler)
        share = masks.masked.float().mean(0)
        patches.append(share[vessels > 0].mean())
        pixels.append((share * vessels).sum() / vessels.sum())
    return torch.stack(patches), torch.stack(pixels)


def _mark(values: Tensor, count: int) -> Tensor:
    """Mark the `count` smallest of each row; exact also among equal values."""
    # A partial selection is several times faster on the CPU than sorting.
    chosen = values.topk(count, dim=1, largest=False, sorted=False).indices
    return torch.zeros_like(values, dtype=torch.bool).scatter_(1, chosen, True)
