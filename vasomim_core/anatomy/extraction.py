"""Vesselness to binary anatomy, in two named modes: as the method's authors released it, and robust (ours).

As released (XA-SSL, arXiv 2602.11536): Sato tubeness cut to 8 bits, the strongest 8 % of the pixels inside a border,
of which the one component at the brightest pixel is kept.

Robust, in five steps, each against a known weakness of the first: the frame is resampled to 512² px so that lengths
mean the same in every frame; grey levels are taken relative to the local mean and spread (uneven exposure, bones);
ridges are found at the widths of the main branches, and what bends in both directions is held against them (blobs,
corners, noise); a border is left out (collimator, catheter's entry); of what passes a percentile, every component
that carries a fair share of the largest one's response stays (whole tree, no specks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.anatomy.vesselness import Ridges, as_frames, eigenvalues, sato
from vasomim_core.errors import ConfigError

Mode = Literal["as-released", "robust"]

# Side of the square, in px, for which all lengths of both modes are given.
REFERENCE = 512


@dataclass(frozen=True)
class Robust:
    """Settings of the robust mode; lengths in px of a frame resampled to 512² px of area.

    Chosen on a tenth of ARCADE's training frames.

    Attributes:
        background: σ of the Gaussian that gives the local mean and spread.
        sigmas: scales of the ridges, about a third to a half of the vessels' widths.
        blob: weight of the curvature along the vessel, which is held against that across it; 0 = plain Sato.
        border: width of the margin that is left out.
        percentile: response, as a percentile of the frame inside the margin, from which pixels are kept.
        component: response of a component, summed, as a share of the largest one's, from which it is kept.
    """

    background: float = 40.0
    sigmas: tuple[float, ...] = (3.0, 4.0, 6.0)
    blob: float = 1.25
    border: int = 40
    percentile: float = 90.0
    component: float = 0.3


def extract_anatomy(
    image: NDArray[Any],
    mode: Mode = "robust",
    ridges: Ridges = "dark",
    settings: Robust | None = None,
) -> NDArray[np.bool_]:
    """The vessels of an angiogram, found without a label.

    Args:
        image: (..., H, W), one frame or a stack of independent frames, any real dtype and size.
        mode: "as-released" is the released script on 8-bit grey levels. A frame in others (beyond 0–255, or within
            0–1) is first stretched from its minimum and maximum to 0–255. "robust" gives the same mask for a·I + b,
            a > 0, up to rounding: bit depth and units of the grey levels do not matter.
        ridges: "dark" (contrast agent absorbs) or "bright".
        settings: of the robust mode; None = defaults.

    Returns:
        bool of the shape of `image`, True = vessel. A flat frame gives an empty mask.

    Raises:
        InputError: the image has fewer than two axes, no pixel, no real numbers, or NaN or infinite ones.
        ConfigError: unknown mode or ridges.
    """
    if mode not in ("as-released", "robust"):
        raise ConfigError(f"mode is {mode!r}; choose as-released or robust")
    frames = as_frames(image)
    if mode == "as-released":
        masks = [_as_released(frame, ridges) for frame in frames]
    else:
        masks = [_robust(frame, ridges, settings or Robust()) for frame in frames]
    return np.stack(masks).reshape(np.shape(image))


def _as_released(frame: NDArray[np.float32], ridges: Ridges) -> NDArray[np.bool_]:
    low, high = frame.min(), frame.max()
    if low < 0 or high > 255 or high <= 1:
        frame = (frame - low) * (255 / max(high - low, np.finfo(np.float32).tiny))
    response = _without_border(sato(frame, (1, 2, 3, 4), ridges), 20 / REFERENCE).astype(np.uint8)
    seed = np.unravel_index(response.argmax(), response.shape)
    # Where under 8 % of the frame responds, the percentile is 0: no response is still no vessel.
    strong = response >= max(np.percentile(response, 92), 1)
    _, components = cv2.connectedComponents(strong.astype(np.uint8), connectivity=4)
    return strong & (components == components[seed])


def _robust(frame: NDArray[np.float32], ridges: Ridges, settings: Robust) -> NDArray[np.bool_]:
    height, width = frame.shape
    scale = REFERENCE / np.sqrt(height * width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Counted from the darkest pixel, a flat frame is exactly 0, and no rounding can look like a vessel.
    frame = _resize(frame - frame.min(), size)
    response = _without_border(ridge_response(frame, ridges, settings), settings.border / REFERENCE)
    mask = _main_components(response, settings)
    return _resize(mask.astype(np.float32), (width, height)) >= 0.5


def _resize(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resample to (width, height): by area means to a smaller area, else bilinear."""
    shrinks = size[0] * size[1] < image.size
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def ridge_response(frame: NDArray[np.float32], ridges: Ridges, settings: Robust) -> NDArray[np.float32]:
    """How much more a flat-fielded frame bends across than along a line, at its best scale; ≥ 0, without unit."""
    flat = _flat_field(frame if ridges == "dark" else -frame, settings.background)
    response = np.zeros_like(flat)
    for sigma in settings.sigmas:
        across, along = eigenvalues(flat, sigma)
        np.maximum(response, sigma**2 * (across - settings.blob * np.abs(along)), out=response)
    return response


def _flat_field(frame: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Grey levels relative to the local mean, in units of the local spread."""
    contrast = frame - _smooth(frame, sigma)
    spread = np.sqrt(_smooth(contrast * contrast, sigma))
    spread += 0.1 * spread.mean()  # so that flat regions do not turn their noise into vessels
    return contrast / spread if spread.all() else np.zeros_like(frame)


def _smooth(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A broad Gaussian, worked out on an eighth of the side."""
    height, width = image.shape
    small = cv2.resize(image, (-(-width // 8), -(-height // 8)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / 8, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _main_components(response: NDArray[np.float32], settings: Robust) -> NDArray[np.bool_]:
    """Threshold at a percentile of what lies inside the border, without the lesser components (8-connected)."""
    inside = _window(response.shape, settings.border / REFERENCE)
    strong = (response >= np.percentile(response[inside], settings.percentile)) & (response > 0)
    count, components = cv2.connectedComponents(strong.astype(np.uint8), connectivity=8)
    sums = np.bincount(components.ravel(), weights=(response * strong).ravel(), minlength=count)
    return strong & (sums >= settings.component * sums.max())[components]


def _window(shape: tuple[int, ...], share: float) -> tuple[slice, slice]:
    """All but a margin whose width is a share of the shorter side."""
    margin = round(share * min(shape))
    return np.s_[margin : shape[0] - margin, margin : shape[1] - margin]


def _without_border(response: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """The response, zero in a margin whose width is a share of the shorter side."""
    inside = np.zeros_like(response)
    window = _window(response.shape, share)
    inside[window] = response[window]
    return inside
