"""Synthetic angiograms to learn from: of many rooms, with all of their vessels and their catheter labelled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vasomim_core.data.codes import SOME_VESSEL
from vasomim_core.synthetic.angiograms import synthesize
from vasomim_core.synthetic.scene import Look

Grey = NDArray[np.uint8]
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
