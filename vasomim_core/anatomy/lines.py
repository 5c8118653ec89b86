"""A filter for thin, faint vessels: it averages along a line what the Hessian sees at one point only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Kernel = NDArray[np.float32]

ORIENTATIONS = 12
TRUNCATE = 2.0  # standard deviations; the ends of the kernel add nothing that a path could use


def lines(frame: NDArray[Any], across: float = 1.5, along: float = 6.0) -> NDArray[np.float32]:
    """How much each pixel looks like a piece of a dark straight line: the largest answer over twelve orientations.

    An answer is the second derivative of a Gaussian across the line less half of the first one's magnitude, both under
    a Gaussian along it: the one is large on a line, the other beside a step, such as the wall of a wide vessel.

    Args:
        frame: (H, W), any real dtype, finite.
        across: standard deviation in px across the line; lines about 3 times as wide answer most.
        along: standard deviation in px along it: longer keeps out more noise and more bends.

    Returns:
        float32 (H, W), ≥ 0, in grey levels.

    Source: after the matched filter of Chaudhuri et al., IEEE Transactions on Medical Imaging 8(3), 1989, which has
    twelve orientations too, and a Gaussian itself across the line.
    """
    grey = np.asarray(frame, np.float32)

    def answer(kernels: tuple[Kernel, Kernel]) -> NDArray[np.float32]:
        line, step = (cv2.filter2D(grey, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT) for kernel in kernels)
        return line - np.abs(step) / 2

    best = np.zeros(grey.shape, np.float32)
    with ThreadPoolExecutor(2) as pool:
        for answered in pool.map(answer, _kernels(across, along)):
            np.maximum(best, answered, out=best)
    return best


@lru_cache(maxsize=8)
def _kernels(across: float, along: float) -> tuple[tuple[Kernel, Kernel], ...]:
    reach = int(np.ceil(TRUNCATE * max(across, along)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    made = []
    for angle in np.arange(ORIENTATIONS) * np.pi / ORIENTATIONS:
        off = (y * np.cos(angle) - x * np.sin(angle)) / across
        on = (x * np.cos(angle) + y * np.sin(angle)) / along
        gaussian = np.exp(-(off**2 + on**2) / 2)
        line = (off**2 - 1) * gaussian
        line -= line.mean()  # a flat frame gives nothing
        made.append(tuple((kernel / gaussian.sum()).astype(np.float32) for kernel in (line, off * gaussian)))
    return tuple(made)
