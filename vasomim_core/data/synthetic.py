"""Synthetic angiograms to learn from: of many rooms, with all of their vessels and their catheter labelled."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import LARGEST_VALUE
from vasomim_core.data.codes import SOME_VESSEL, UNKNOWN
from vasomim_core.synthetic.angiograms import synthesize
from vasomim_core.synthetic.scene import Look, Scene

Grey = NDArray[np.uint8]
FULL = 170
LEAST_WIDTH = 1.2
"""px at 512, the thinnest branch that counts: fainter ones cannot be told from noise."""


def coded_synthetic(seed: tuple[int, ...], catheter: int, size: int = 512) -> tuple[Grey, Grey]:
    """A frame and its codes.

    Args:
        seed: the same gives the same frame.
        catheter: the code of a pixel in the catheter: the value of a class, or 0.
        size: side in px.

    Returns:
        frame and codes, both uint8 (size, size): background, `SOME_VESSEL`, and `catheter`.
    """
    rng = np.random.default_rng((*seed, 1))

    def by(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    look = Look(
        contrast=by(0.6, 1.9),
        dose=by(0.3, 3),
        blur=by(0.6, 1.8),
        background=float(rng.uniform(0.3, 1.8)),
        clutter=float(rng.uniform(0.5, 5)),
    )
    drawn = synthesize((*seed, 0), size=size, look=look, least_width=LEAST_WIDTH * size / 512)
    codes = np.zeros(drawn.mask.shape, np.uint8)
    codes[drawn.catheter] = catheter
    codes[drawn.mask] = SOME_VESSEL
    return drawn.frame, codes


def coded_contrast(seed: tuple[int, ...], size: int = 512) -> tuple[Grey, Grey]:
    """Vessels alone, to be drawn into real frames.

    Args:
        seed: the same gives the same vessels.
        size: side in px.

    Returns:
        contrast agent along each ray, uint8 (size, size), `FULL` = that of the thickest vessels; codes, uint8, of the
        same size: `SOME_VESSEL`, elsewhere `UNKNOWN`.
    """
    scene = Scene((*seed, 2), None, size, Look(background=0, clutter=0), None, None, LEAST_WIDTH * size / 512)
    _, truth, _ = scene.shoot(heartbeat=float(scene.rng.random()), breath=0.0, injected=np.inf)
    seen = truth.thickness[truth.thickness > 0]
    full = np.percentile(seen, 97) if seen.size else 1.0
    depth = np.clip(truth.thickness / full * FULL, 0, 255).astype(np.uint8)
    return depth, np.where(truth.mask, np.uint8(SOME_VESSEL), np.uint8(UNKNOWN))


def with_contrast(frame: Grey, codes: Grey, contrast: tuple[Grey, Grey], rng: np.random.Generator) -> tuple[Grey, Grey]:
    """A frame with further vessels drawn into it: grey levels are multiplied by exp(−depth), as contrast agent does.

    Real background and noise around vessels of which all is known, thin ones too.

    Args:
        frame: uint8 (H, W).
        codes: uint8 (f·H, f·W).
        contrast: from `coded_contrast`, of any size.
        rng: source of chance: flips, strength and sharpness.

    Returns:
        frame and codes, new arrays; what is labelled stays so.
    """
    flips = (slice(None, None, int(rng.choice([-1, 1]))), slice(None, None, int(rng.choice([-1, 1]))))
    strength, blur = float(np.exp(rng.uniform(np.log(0.12), np.log(0.8)))), float(rng.uniform(0.5, 1.1))
    depth, drawn = (np.ascontiguousarray(part[flips]) for part in contrast)
    depth = cv2.resize(depth.astype(np.float32) / FULL, frame.shape[::-1], interpolation=cv2.INTER_LINEAR)
    drawn = cv2.resize(drawn, codes.shape[::-1], interpolation=cv2.INTER_NEAREST)
    darker = frame * np.exp(-strength * cv2.GaussianBlur(depth, (0, 0), blur))
    labelled = (codes > 0) & (codes <= LARGEST_VALUE)
    return darker.astype(np.uint8), np.where((drawn == SOME_VESSEL) & ~labelled, np.uint8(SOME_VESSEL), codes)
