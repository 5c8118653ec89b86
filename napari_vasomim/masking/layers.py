"""The layers that show guided masking on an angiogram: what can be looked at, and how each looks."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray

from napari_vasomim.canvas import layers, results
from napari_vasomim.canvas.canvas import Canvas
from napari_vasomim.masking.answers import Asked
from napari_vasomim.masking.vessels import Vessels
from vasomim_core.masking.figures import BY_CHANCE, GUIDED, THROWN, kinds, on_pixels
from vasomim_core.masking.results import Mask, OverEpochs, Reconstruction

DISPLAYS: dict[str, tuple[str, ...]] = {
    "one sampled mask": ("mask",),
    "distribution f": ("distribution",),
    "masking ratio over all epochs": ("masking ratio",),
    "masked patches drawn": ("masked patches drawn",),
    "reconstruction I′": ("reconstruction",),
    "S(I): vessels seen in the frame": ("vessels in I",),
    "S(I′): vessels seen in the reconstruction": ("vessels in I′",),
    "difference of S(I′) and S(I)": ("difference",),
}
"""What can be looked at, and the roles of the layers that show it."""
FROM_MODEL = ("masked patches drawn", "reconstruction", "vessels in I", "vessels in I′", "difference")
"""The roles of what a pretrained model draws."""
STYLES: dict[str, dict[str, Any]] = {
    "distribution": {"colormap": "inferno", "opacity": 0.75},
    "masking ratio": {"colormap": "viridis", "opacity": 0.75, "contrast_limits": (0, 1)},
    "masked patches drawn": {"colormap": "gray", "contrast_limits": (0, 255)},
    "reconstruction": {"colormap": "gray", "contrast_limits": (0, 255)},
    "vessels in I": {"colormap": "magma", "contrast_limits": (0, 1)},
    "vessels in I′": {"colormap": "magma", "contrast_limits": (0, 1)},
    "difference": {"colormap": "PiYG", "contrast_limits": (-1, 1)},
    "mask": {"opacity": 0.55},
}

LEGEND = (
    f'masked: <span style="color: {GUIDED}">■</span> for its vessels &nbsp; '
    f'<span style="color: {BY_CHANCE}">■</span> by chance'
)
"""What the colours of a mask mean, for `plain.Marked`."""
THROWN_AWAY = f'&nbsp; <span style="color: {THROWN}">■</span> thrown away'
"""The same of one more colour, where a method throws patches away."""


class MaskLayers:
    """Puts what was computed onto layers, of which only those of one view are visible.

    Attributes:
        seen: the roles that are looked at.
    """

    def __init__(self, viewer: ViewerModel, seen: tuple[str, ...]):
        self._viewer = viewer
        self.seen = seen

    def see(self, seen: tuple[str, ...], angiogram: Image) -> None:
        """Look at other roles."""
        self.seen = seen
        canvas = Canvas.of(self._viewer)
        for roles in DISPLAYS.values():
            for role in roles:
                if (found := layers.find(self._viewer, role, angiogram)) is not None:
                    (canvas.show if role in seen else canvas.hide)(found)

    def put_anatomy(self, vessels: Vessels) -> None:
        """Show the vessels that the masks are drawn for, on a layer that is not visible at first."""
        style: dict[str, Any] = {"opacity": 0.5, "visible": False}
        found = on_pixels(vessels.anatomy, vessels.size)
        results.put_frame(self._viewer, vessels.layer, "anatomy", vessels.index, found, "anatomy", **style)

    def put(self, asked: Asked, answer: Mask | OverEpochs | Reconstruction) -> None:
        """Show what the engine has answered, each patch exactly over its part of the frame."""
        vessels = asked.vessels
        height, width = vessels.size

        def fitted(image: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)

        if isinstance(answer, Mask):
            self._put("mask", vessels, on_pixels(kinds(answer), vessels.size))
            self._put("distribution", vessels, on_pixels(answer.f, vessels.size))
        elif isinstance(answer, OverEpochs):
            self._put("masking ratio", vessels, on_pixels(answer.masking_ratio, vessels.size))
        else:
            self._put("masked patches drawn", vessels, fitted(answer.filled))
            self._put("reconstruction", vessels, fitted(answer.reconstruction))
            if answer.vessels is not None and answer.vessels_again is not None and answer.difference is not None:
                self._put("vessels in I", vessels, fitted(answer.vessels))
                self._put("vessels in I′", vessels, fitted(answer.vessels_again))
                self._put("difference", vessels, fitted(answer.difference))

    def _put(self, role: str, vessels: Vessels, frame: NDArray[Any]) -> None:
        style = STYLES[role] | {"visible": role in self.seen}
        put = results.put_frame(self._viewer, vessels.layer, role, vessels.index, frame, role, **style)
        if role == "distribution":
            put.contrast_limits = (0, max(float(frame.max()), 1e-9))
