"""Anatomy-guided masking: which patches of an angiogram the model does not get to see.

Conventions, stated once: a mask is boolean with shape (B, N), True = masked, patches in row-major order;
N = (H / P)·(W / P). Everything is vectorised over the batch and runs on the device of its input without a
host–device synchronisation.

Source: VasoMIM (AAAI 2026, arXiv 2508.10794), section "anatomy-guided masking strategy".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, get_args, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from vasomim_core.config import Sampler
from vasomim_core.errors import ConfigError
from vasomim_core.masking.schedule import MaskingSchedule


@overload
def vascular_distribution(anatomy: Tensor, patch_size: int) -> Tensor: ...
@overload
def vascular_distribution(anatomy: ArrayLike, patch_size: int) -> NDArray[np.float32]: ...
def vascular_distribution(anatomy: Tensor | ArrayLike, patch_size: int) -> Tensor | NDArray[np.float32]:
    """How the vessels of each image are spread over its patches: f(m_i) = Σ_j m_ij / Σ_ij m_ij.

    Args:
        anatomy: (B, H, W) or (B, 1, H, W), or (H, W) for one frame (B = 1), as an array or a tensor; bool, integer or
            float ≥ 0. Soft anatomy is summed by value.
        patch_size: side P of a patch in pixels; H and W are multiples of it (`mask_frame` takes frames of any size).

    Returns:
        f, float32 (B, N), an array for an array and a tensor for a tensor. Each row sums to 1, or is all zero where the
        image holds no anatomy.

    Raises:
        ConfigError: H or W is not a multiple of `patch_size`, or `anatomy` has another number of axes.
    """
    if not isinstance(anatomy, Tensor):
        return vascular_distribution(_as_tensor(anatomy), patch_size).numpy()
    if anatomy.ndim == 4 and anatomy.shape[1] == 1:
        anatomy = anatomy[:, 0]
    if anatomy.ndim == 2:
        anatomy = anatomy[None]
    if anatomy.ndim != 3:
        raise ConfigError(f"anatomy has shape {tuple(anatomy.shape)}; give (H, W), (B, H, W) or (B, 1, H, W)")
    if anatomy.shape[-1] % patch_size or anatomy.shape[-2] % patch_size:
        raise ConfigError(
            f"a frame of {anatomy.shape[-2]}×{anatomy.shape[-1]} px does not divide into patches of {patch_size} px; "
            "crop it to a multiple of the patch size, or give it to `mask_frame`, which takes any size"
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


@overload
def sample_mask(
    f: Tensor,
    mask_ratio: float,
    beta: float,
    generator: torch.Generator | None = None,
    sampler: Sampler = "anatomy",
    noise: Tensor | None = None,
) -> Tensor: ...
@overload
def sample_mask(
    f: ArrayLike,
    mask_ratio: float,
    beta: float,
    generator: torch.Generator | None = None,
    sampler: Sampler = "anatomy",
    noise: Tensor | ArrayLike | None = None,
) -> NDArray[np.bool_]: ...
def sample_mask(
    f: Tensor | ArrayLike,
    mask_ratio: float,
    beta: float,
    generator: torch.Generator | None = None,
    sampler: Sampler = "anatomy",
    noise: Tensor | ArrayLike | None = None,
) -> Tensor | NDArray[np.bool_]:
    """Draw one mask per image: what masked image modelling hides of it.

    Args:
        f: how the vessels are spread over the patches, float ≥ 0 (B, N), as `vascular_distribution` returns it: an
            array or a tensor. Rows that are all zero get uniform masks.
        mask_ratio: γ in [0, 1]: exactly M = N − ⌊N(1 − γ)⌋ patches are masked in each image.
        beta: guidance strength β in [0, 1], the share of the M patches that is drawn by anatomy. In pretraining it
            rises from 0 to 0.5.
        generator: source of chance, on the device of `f`; None = torch's own, see `torch.manual_seed`.
        sampler: how those patches are drawn: "anatomy", with probability proportional to f; "top-k", the ones of
            largest f; "uniform", none of them, which is MAE's masking. The rest of the M is always uniform.
        noise: uniform numbers in [0, 1), float32 (2, B, N), in the place of the generator's; see `mask_noise`.

    Returns:
        bool (B, N), True = masked, patches in row-major order; an array for an array and a tensor for a tensor.

    Raises:
        ConfigError: a ratio outside [0, 1], an unknown sampler, `f` of another number of axes, or an array of which a
            row sums neither to 1 nor to 0, such as f on the patch grid.
    """
    rows = _as_tensor(f)
    if rows.ndim != 2:
        raise ConfigError(f"f has shape {tuple(rows.shape)}; give (B, N), as `vascular_distribution` returns it")
    # Of an array alone: a tensor may be on a device that would have to be waited for.
    if rows is not f and not (((total := rows.sum(1)) == 0) | ((total - 1).abs() < 1e-3)).all():
        raise ConfigError("f has rows that do not sum to 1; give (B, N), as `vascular_distribution` returns it")
    chance = torch.rand((2, *rows.shape), generator=generator, device=rows.device) if noise is None else noise
    masked = sample_masks(rows, mask_ratio, beta, _as_tensor(chance), sampler).masked
    return masked if rows is f else masked.numpy()


def _as_tensor(array: Tensor | ArrayLike) -> Tensor:
    """A tensor as it is; an array as float32, copied, since torch takes none that is read-only or runs backwards."""
    return array if isinstance(array, Tensor) else torch.from_numpy(np.array(array, np.float32))


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


Sample = Callable[[Tensor, int, Tensor], Tensor]
"""What is masked, boolean (B, N): by f (B, N), in an epoch from 0, with noise (2, B, N)."""


def sample_by(schedule: MaskingSchedule) -> Sample:
    """The masks of a schedule."""
    return lambda f, epoch, noise: (
        sample_masks(f, schedule.mask_ratio, schedule.beta(epoch), noise, schedule.sampler).masked
    )


def masking_ratio(f: Tensor, schedule: MaskingSchedule, sample: Sample | None = None) -> Tensor:
    """Per patch, the share of epochs in which it is masked over the whole weak-to-strong schedule.

    Each epoch has luck of its own: the masks are those of a run with this seed that takes one step per epoch.

    Args:
        f: vascular distribution (B, N), on the CPU.
        schedule: γ, sampler, β, E and seed.
        sample: masks by another rule; then of the schedule only E and seed count.

    Returns:
        float32 (B, N) in [0, 1]; the mean of each row is M / N.
    """
    count, sample = torch.zeros_like(f), sample or sample_by(schedule)
    for epoch in range(schedule.epochs):
        count += sample(f, epoch, mask_noise(schedule.seed, epoch, *f.shape))
    return count / schedule.epochs


def masked_vessels(
    f: Tensor,
    vessels: Tensor,
    schedule: MaskingSchedule,
    epochs: Sequence[int],
    samples: int,
    sample: Sample | None = None,
) -> tuple[Tensor, Tensor]:
    """How much of one frame's vessels is masked in some epochs: the mean over `samples` masks for each of them.

    Args:
        f: vascular distribution (N,) that guides the masks, on the CPU.
        vessels: share of the vessel pixels in each patch (N,): f itself, unless a segmentor guides too.
        schedule: γ, sampler, β, E and seed.
        epochs: from 0.
        samples: masks per epoch; those of epoch e are the masks of a batch of so many equal frames in step e.
        sample: see `masking_ratio`.

    Returns:
        float32 (len(epochs),) in [0, 1] each: the share of the patches with vessel that is masked, and the share of
        the vessel pixels. Not a number where there is no vessel.
    """
    patches, pixels, sample = [], [], sample or sample_by(schedule)
    for epoch in epochs:
        noise = mask_noise(schedule.seed, epoch, samples, len(f))
        share = sample(f.expand(samples, -1), epoch, noise).float().mean(0)
        patches.append(share[vessels > 0].mean())
        pixels.append((share * vessels).sum() / vessels.sum())
    return torch.stack(patches), torch.stack(pixels)


def _mark(values: Tensor, count: int) -> Tensor:
    """Mark the `count` smallest of each row; exact also among equal values."""
    # A partial selection is several times faster on the CPU than sorting.
    chosen = values.topk(count, dim=1, largest=False, sorted=False).indices
    return torch.zeros_like(values, dtype=torch.bool).scatter_(1, chosen, True)
