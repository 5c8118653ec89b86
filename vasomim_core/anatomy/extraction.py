"""Vesselness to binary anatomy, in two named modes: as the method's authors released it, and robust (ours).

As released (XA-SSL, arXiv 2602.11536): Sato tubeness cut to 8 bits, the strongest 8 % of the pixels inside a border,
of which the one component at the brightest pixel is kept.

Robust, in five steps, each against a known weakness of the first: the frame is resampled to 512² px so that lengths
mean the same in every frame; grey levels are taken relative to the local mean and spread (uneven exposure, bones);
ridges are found at the widths of the main branches, and what bends in both directions is held against them (blobs,
corners, noise); a border along the frame's edge and the collimator is left out (with the catheter's entry); of what
passes a percentile, every component that carries a fair share of the largest one's response stays (whole tree, no
specks). A catheter that runs on into the vessel it fills is not told from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.anatomy.vesselness import Ridges, as_frames, eigenvalues, sato
from vasomim_core.config import Mode
from vasomim_core.errors import ConfigError

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
        collimator: grey level, as a share of the way from the darkest to the median one, below which wide regions
            at the frame's edge are the collimator.
        border: width of the margin along the frame's edge and the collimator that is left out.
        percentile: response, as a percentile of what lies inside the margin, from which pixels are kept.
        component: response of a component, summed, as a share of the largest one's, from which it is kept.
    """

    background: float = 40.0
    sigmas: tuple[float, ...] = (3.0, 4.0, 6.0)
    blob: float = 1.25
    collimator: float = 0.3
    border: float = 40.0
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
    if mode not in get_args(Mode):
        raise ConfigError(f"mode is {mode!r}; choose {' or '.join(get_args(Mode))}")
    if ridges not in ("dark", "bright"):
        raise ConfigError(f"ridges is {ridges!r}; choose dark or bright")
    frames = as_frames(image)
    if mode == "as-released":
        masks = [_as_released(frame, ridges) for frame in frames]
    else:
        masks = [_robust(frame, ridges, settings or Robust()) for frame in frames]
    return np.stack(masks).reshape(np.shape(image))


def _as_released(frame: NDArray[np.float32], ridges: Ridges) -> NDArray[np.bool_]:
    low, high = frame.min(), frame.max()
    if low < 0 or high > 255 or high <= 1:
        frame = (frame - low) * (255 / ((high - low) or 1))
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
    if ridges == "bright":
        frame = -frame
    # Counted from the darkest pixel, a flat frame is exactly 0, and no rounding can look like a vessel.
    frame = _resize(frame - frame.min(), size)
    field = field_of_view(frame, settings.collimator)
    border = min(settings.border, settings.border * min(size) / REFERENCE)
    inside = cv2.distanceTransform(np.pad(field.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1] > border
    if not inside.any():
        return np.zeros((height, width), bool)
    mask = _main_components(ridge_response(frame, field, settings), inside, settings)
    return _resize(mask.astype(np.float32), (width, height)) >= 0.5


def _resize(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resample to (width, height): by area means to a smaller area, else bilinear."""
    shrinks = size[0] * size[1] < image.size
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def field_of_view(frame: NDArray[np.float32], level: float) -> NDArray[np.bool_]:
    """What the collimator leaves open: all but the wide, almost black regions that reach the frame's edge."""
    black = (frame < level * np.median(frame)).astype(np.uint8)
    black = cv2.morphologyEx(black, cv2.MORPH_OPEN, np.ones((15, 15), np.uint8))
    _, regions = cv2.connectedComponents(np.pad(black, 1, mode="edge"), connectivity=8)
    edge = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    return ~np.isin(regions[1:-1, 1:-1], edge[edge > 0])


def ridge_response(frame: NDArray[np.float32], field: NDArray[np.bool_], settings: Robust) -> NDArray[np.float32]:
    """How much more a flat-fielded frame bends across than along a line, at its best scale; ≥ 0, without unit."""
    flat = _flat_field(frame, field, settings.background)
    response = np.zeros_like(flat)
    for sigma in settings.sigmas:
        across, along = eigenvalues(flat, sigma)
        np.maximum(response, sigma**2 * (across - settings.blob * np.abs(along)), out=response)
    return response


def _flat_field(frame: NDArray[np.float32], field: NDArray[np.bool_], sigma: float) -> NDArray[np.float32]:
    """Grey levels relative to the local mean, in units of the local spread, both of the field of view; 0 outside."""
    weight = field.astype(np.float32)
    share = _smooth(weight, sigma).clip(min=1e-3)
    contrast = weight * (frame - _smooth(weight * frame, sigma) / share)
    spread = np.sqrt(_smooth(contrast * contrast, sigma) / share)
    spread += 0.1 * spread.mean()  # so that flat regions do not turn their noise into vessels
    return np.divide(contrast, spread, out=np.zeros_like(frame), where=spread > 0)


def _smooth(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A broad Gaussian, worked out on an eighth of the side."""
    height, width = image.shape
    small = cv2.resize(image, (-(-width // 8), -(-height // 8)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / 8, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _main_components(response: NDArray[np.float32], inside: NDArray[np.bool_], settings: Robust) -> NDArray[np.bool_]:
    """Threshold at a percentile of the response inside, without the lesser components (8-connected)."""
    strong = inside & (response >= np.percentile(response[inside], settings.percentile)) & (response > 0)
    count, components = cv2.connectedComponents(strong.astype(np.uint8), connectivity=8)
    sums = np.bincount(components.ravel(), weights=(response * strong).ravel(), minlength=count)
    return strong & (sums >= settings.component * sums.max())[components]


def _without_border(response: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """The response, zero in a margin whose width is a share of the shorter side."""
    width = round(share * min(response.shape))
    inside = np.zeros_like(response)
    window = np.s_[width : response.shape[0] - width, width : response.shape[1] - width]
    inside[window] = response[window]
    return inside
