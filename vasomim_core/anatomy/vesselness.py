"""Multi-scale Hessian vesselness: how much each pixel looks like a line, by Sato (1998) and by Frangi (1998).

The Hessian at scale σ is taken as scikit-image takes it: two first derivatives of a Gaussian of σ/√2 in turn, each
with the frame mirrored at its borders. One set of formulas serves NumPy arrays (Hessian by OpenCV's separable
filters) and torch tensors (by convolution, on any device).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import ConfigError, InputError

if TYPE_CHECKING:
    import torch

Ridges = Literal["dark", "bright"]
# rr, rc, cc: the second derivatives, as arrays or tensors (H, W).
Hessian = tuple[Any, Any, Any]

# Gaussians end at this many standard deviations: what is cut off moves no response by more than 3e-6 of the largest.
TRUNCATE = 5.0


def sato(
    image: NDArray[Any],
    sigmas: Sequence[float] = (1, 2, 3, 4),
    ridges: Ridges = "dark",
    device: str | torch.device = "cpu",
) -> NDArray[np.float32]:
    """Sato tubeness: the largest over all σ of σ²·max(λ₊, 0), λ₊ the larger eigenvalue of the Hessian.

    Args:
        image: (..., H, W), one frame or a stack of independent frames, any real dtype; grey levels are not rescaled.
        sigmas: standard deviations of the Gaussians in px; a vessel of width w answers most at about w / 2√2 to w / 2.
        ridges: "dark" (contrast agent absorbs) or "bright".
        device: "cpu" for OpenCV, or a torch device ("cuda", `torch.device("cpu")`) for torch.

    Returns:
        float32 of the shape of `image`, ≥ 0, in grey levels; 0 where the frame is flat.

    Raises:
        InputError: the image has fewer than two axes, no pixel, no real numbers, or NaN or infinite ones.
        ConfigError: no or non-positive σ, unknown `ridges`, or a device that is not there.

    Source: Sato et al., Medical Image Analysis 2(2), 1998, eqs. 9 and 22, in two dimensions.
    """

    def respond(frame: Any, hessian: Callable[[Any, float], Hessian], xp: Any, pool: ThreadPoolExecutor) -> Any:
        def at(sigma: float) -> Any:
            mean, radius = _mean_and_radius(*hessian(frame, sigma), xp)
            mean += radius
            mean *= sigma**2
            return mean.clip(min=0)

        return _largest(pool.map(at, sorted(sigmas, reverse=True)), xp)

    return _per_frame(image, sigmas, ridges, device, respond)


def frangi(
    image: NDArray[Any],
    sigmas: Sequence[float] = (1, 2, 3, 4),
    ridges: Ridges = "dark",
    beta: float = 0.5,
    gamma: float | None = None,
    device: str | torch.device = "cpu",
) -> NDArray[np.float32]:
    """Frangi vesselness: the largest over all σ of exp(−R² / 2β²)·(1 − exp(−S² / 2γ²)) where λ₂ > 0, else 0.

    |λ₁| ≤ |λ₂| are the eigenvalues of the Hessian, R = λ₁/λ₂ tells blobs from lines, S² = λ₁² + λ₂² structure from
    noise.

    Args:
        image: (..., H, W), one frame or a stack of independent frames, any real dtype; grey levels are not rescaled.
        sigmas: standard deviations of the Gaussians in px.
        ridges: "dark" (contrast agent absorbs) or "bright".
        beta: tolerance to blobs, > 0.
        gamma: S at which structure counts, in grey levels per px², > 0; None = half of the largest S of each frame
            at the first σ, as in scikit-image.
        device: "cpu" for OpenCV, or a torch device ("cuda", `torch.device("cpu")`) for torch.

    Returns:
        float32 of the shape of `image`, in [0, 1]; 0 where the frame is flat.

    Raises:
        InputError: the image has fewer than two axes, no pixel, no real numbers, or NaN or infinite ones.
        ConfigError: no or non-positive σ, β or γ, unknown `ridges`, or a device that is not there.

    Source: Frangi et al., MICCAI 1998, eqs. 12, 13 and 15. scikit-image differs in one respect: where λ₁ is 0 to 10
    digits (beside straight lines without any noise) it answers to ridges of the wrong sign too.
    """
    if not beta > 0 or not (gamma is None or gamma > 0):
        raise ConfigError(f"beta is {beta} and gamma {gamma}; give values above 0")

    def respond(frame: Any, hessian: Callable[[Any, float], Hessian], xp: Any, pool: ThreadPoolExecutor) -> Any:
        def eigen(sigma: float) -> tuple[Any, Any]:
            return _mean_and_radius(*hessian(frame, sigma), xp)

        def vesselness(mean: Any, radius: Any, structure: float) -> Any:
            # With mean > 0 the eigenvalue larger in magnitude is mean + radius; elsewhere it is negative: no ridge.
            ridge = mean > 0
            blob = mean - radius
            large = mean + radius
            blob /= large.clip(min=1e-10)
            blob = blob.clip(min=-1)
            blob *= blob
            blob *= -0.5 / beta**2
            mean *= mean
            radius *= radius
            mean += radius  # S² = 2·(mean² + radius²)
            mean *= -1 / structure**2
            xp.exp(mean, out=mean)
            xp.exp(blob, out=blob)
            blob *= 1 - mean
            blob *= ridge
            return blob

        first, *others = sigmas
        mean, radius = eigen(first)
        structure = gamma
        if structure is None:
            structure = float((2 * (mean**2 + radius**2)).max()) ** 0.5 / 2 or 1.0

        def at(sigma: float) -> Any:
            return vesselness(*eigen(sigma), structure)

        rest = pool.map(at, sorted(others, reverse=True))
        return _largest([vesselness(mean, radius, structure), *rest], xp)

    return _per_frame(image, sigmas, ridges, device, respond)


def eigenvalues(frame: NDArray[np.float32], sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The larger and the smaller eigenvalue of the Hessian of one frame (H, W) at scale σ, in grey levels per px²."""
    mean, radius = _mean_and_radius(*_hessian_opencv(frame, sigma), np)
    return mean + radius, mean - radius


def as_frames(image: NDArray[Any]) -> NDArray[np.float32]:
    """The frames of `image` (..., H, W) as finite float32 (N, H, W).

    Raises:
        InputError: fewer than two axes, no pixel, no real numbers, NaN or infinite ones.
    """
    image = np.asarray(image)
    if image.ndim < 2 or image.size == 0:
        raise InputError(f"an image of shape {image.shape} holds no frame; give one of shape (height, width)")
    if image.dtype.kind not in "buif":
        raise InputError(f"an image of type {image.dtype} holds no grey levels; give integers or real numbers")
    with np.errstate(over="ignore"):
        frames = image.reshape(-1, *image.shape[-2:]).astype(np.float32)
    if image.dtype.kind == "f" and not np.isfinite(frames).all():
        raise InputError("the image holds NaN or infinite grey levels; replace them before filtering")
    return frames


def _per_frame(
    image: NDArray[Any],
    sigmas: Sequence[float],
    ridges: Ridges,
    device: str | torch.device,
    respond: Callable[[Any, Callable[[Any, float], Hessian], Any, ThreadPoolExecutor], Any],
) -> NDArray[np.float32]:
    """Apply `respond` to every frame, with the Hessian and the array module of the device."""
    if len(sigmas) == 0 or not all(0 < s < np.inf for s in sigmas):
        raise ConfigError(f"sigmas are {tuple(sigmas)}; give at least one, each above 0 px")
    if ridges not in ("dark", "bright"):
        raise ConfigError(f"ridges is {ridges!r}; choose dark or bright")
    frames = as_frames(image)
    # Counted from the darkest pixel, a flat frame is exactly 0, and no rounding can look like a vessel.
    frames -= frames.min(axis=(1, 2), keepdims=True)
    if ridges == "bright":
        np.negative(frames, out=frames)
    out = np.empty_like(frames)
    # OpenCV and NumPy release the interpreter's lock, so that two threads share the scales between two cores.
    with ThreadPoolExecutor(2 if isinstance(device, str) and device == "cpu" else 1) as pool:
        for frame, result in zip(frames, out, strict=True):
            if isinstance(device, str) and device == "cpu":
                result[:] = respond(frame, _hessian_opencv, np, pool)
            else:
                import torch

                with torch.no_grad():
                    result[:] = respond(_to_device(frame, device), _hessian_torch, torch, pool).cpu().numpy()
    return out.reshape(np.shape(image))


def _kernels(sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A sampled Gaussian of sum 1 and its first derivative, float32 (2r + 1,).

    The derivative's sign does not matter: every entry of the Hessian has two of them.
    """
    radius = int(np.ceil(TRUNCATE * sigma))
    x = np.arange(-radius, radius + 1)
    smooth = np.exp(-0.5 * (x / sigma) ** 2)
    smooth /= smooth.sum()
    return smooth.astype(np.float32), (smooth * x / sigma**2).astype(np.float32)


def _hessian_opencv(frame: NDArray[np.float32], sigma: float) -> Hessian:
    """Second derivatives of a frame (H, W) at scale σ, float32."""
    smooth, derive = _kernels(sigma / np.sqrt(2))

    def convolve(image: NDArray[np.float32], down: NDArray[np.float32], across: NDArray[np.float32]) -> Any:
        return cv2.sepFilter2D(image, -1, across, down, borderType=cv2.BORDER_REFLECT)

    row, column = convolve(frame, derive, smooth), convolve(frame, smooth, derive)
    return convolve(row, derive, smooth), convolve(row, smooth, derive), convolve(column, smooth, derive)


def _hessian_torch(frame: torch.Tensor, sigma: float) -> Hessian:
    """Second derivatives of a frame (H, W), float32 on any device, at scale σ."""
    import torch
    from torch.nn import functional as F

    smooth, derive = (torch.from_numpy(k).to(frame.device) for k in _kernels(sigma / np.sqrt(2)))
    radius = len(smooth) // 2
    mirrored = [torch.from_numpy(np.pad(np.arange(n), radius, mode="symmetric")).to(frame.device) for n in frame.shape]

    def convolve(image: torch.Tensor, down: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
        image = image[mirrored[0]][:, mirrored[1]][None, None]
        return F.conv2d(F.conv2d(image, down[None, None, :, None]), across[None, None, None, :])[0, 0]

    # TF32, cuDNN's default, keeps 10 bits of the grey levels: too few for second differences.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        row, column = convolve(frame, derive, smooth), convolve(frame, smooth, derive)
        return convolve(row, derive, smooth), convolve(row, smooth, derive), convolve(column, smooth, derive)


def _mean_and_radius(rr: Any, rc: Any, cc: Any, xp: Any) -> tuple[Any, Any]:
    """The eigenvalues of the Hessian as mean ± radius; overwrites its entries."""
    half = 0.5 * (rr - cc)
    half *= half
    rc *= rc
    half += rc
    rr += cc
    rr *= 0.5
    return rr, xp.sqrt(half)


def _largest(responses: Any, xp: Any) -> Any:
    """The pixel-wise maximum."""
    largest, *others = responses
    for other in others:
        largest = xp.maximum(largest, other)
    return largest


def _to_device(frame: NDArray[np.float32], device: str | torch.device) -> torch.Tensor:
    import torch

    try:
        return torch.from_numpy(frame).to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"the device {device} cannot be used ({reason}); choose cpu") from error
