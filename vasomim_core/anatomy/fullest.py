"""The frame of a run with most vessel in it, at a glance."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.anatomy.vesselness import sato
from vasomim_core.errors import VasoMIMError
from vasomim_core.reading import Frames

# Frames that are looked at, and the longer side in px to which each is reduced: 0.1 s on one core.
FRAMES, SIDE = 24, 192
SIGMAS = (1.0, 2.0)


def fullest_frame(frames: Frames) -> int | None:
    """The frame with most vessel in it, among at most 24 spread over the run; see `vessel_amounts`.

    Args:
        frames: grey, vessels dark, of any range; those that cannot be decoded are passed over.

    Returns:
        Its index from 0, the first of equals; None if no frame can be decoded.
    """
    amounts = vessel_amounts(frames)
    return max(amounts, key=amounts.__getitem__) if amounts else None


def vessel_amounts(frames: Frames) -> dict[int, float]:
    """How much vessel there is in at most 24 frames spread over a run.

    Each is reduced to 192 px and filtered at two scales. What its own noise would give is taken off: a frame with less
    dose has no more vessel in it. The catheter and the ribs are in all of them.

    Args:
        frames: grey, vessels dark, of any range; those that cannot be decoded are passed over.

    Returns:
        The mean response of the filter, in grey levels, by the index of the frame from 0, in their order.
    """
    amounts: dict[int, float] = {}
    for index in np.unique(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)):
        try:
            frame = np.float32(frames[int(index)])
        except VasoMIMError:
            continue
        shrink = min(1.0, SIDE / max(frame.shape))
        frame = cv2.resize(frame, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        vessel = sato(frame, sigmas=SIGMAS) - noise_level(frame) * _response_to_noise()
        amounts[int(index)] = float(vessel.clip(min=0).mean())
    return amounts


def noise_level(frame: NDArray[np.float32]) -> float:
    """The standard deviation of the noise of a frame, float32 (H, W), in its grey levels.

    Source: Immerkær, "Fast Noise Variance Estimation", Computer Vision and Image Understanding 64(2), 1996, eq. 4.
    """
    mask = np.outer((1, -2, 1), (1, -2, 1)).astype(np.float32)
    rough = cv2.filter2D(frame, cv2.CV_32F, mask, borderType=cv2.BORDER_REFLECT)
    return float(np.sqrt(np.pi / 2) / 6 * np.abs(rough).mean())


@cache
def _response_to_noise() -> float:
    """What the filter hardly ever exceeds on noise of standard deviation 1."""
    noise = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
    return float(np.percentile(sato(noise, sigmas=SIGMAS), 99))
