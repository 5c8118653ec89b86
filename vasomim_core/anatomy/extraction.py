"""Vesselness to binary anatomy, in two named modes: as the method's authors released it, and robust (ours)."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.anatomy.vesselness import Ridges, as_frames, sato
from vasomim_core.errors import ConfigError

Mode = Literal["as-released", "robust"]


def extract_anatomy(
    image: NDArray[Any],
    mode: Mode = "robust",
    ridges: Ridges = "dark",
) -> NDArray[np.bool_]:
    """The vessels of an angiogram, found without a label.

    Args:
        image: (..., H, W), one frame or a stack of independent frames, any real dtype.
        mode: "as-released" or "robust".
        ridges: "dark" (contrast agent absorbs) or "bright".

    Returns:
        bool of the shape of `image`, True = vessel.
    """
    if mode not in ("as-released", "robust"):
        raise ConfigError(f"mode is {mode!r}; choose as-released or robust")
    extract = _as_released if mode == "as-released" else _robust
    frames = as_frames(image)
    return np.stack([extract(frame, ridges) for frame in frames]).reshape(np.shape(image))


def _as_released(frame: NDArray[np.float32], ridges: Ridges) -> NDArray[np.bool_]:
    response = sato(frame, (1, 2, 3, 4), ridges).clip(0, 255).astype(np.uint8)
    border = round(20 * min(frame.shape) / 512)
    inside = np.zeros_like(response)
    window = np.s_[border : frame.shape[0] - border, border : frame.shape[1] - border]
    inside[window] = response[window]
    seed = np.unravel_index(inside.argmax(), inside.shape)
    if inside[seed] == 0:
        return np.zeros(frame.shape, bool)
    bright = inside >= max(np.percentile(inside, 92), 1)
    _, components = cv2.connectedComponents(bright.astype(np.uint8), connectivity=4)
    return components == components[seed]


def _robust(frame: NDArray[np.float32], ridges: Ridges) -> NDArray[np.bool_]:
    return _as_released(frame, ridges)
