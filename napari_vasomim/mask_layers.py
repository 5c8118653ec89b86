"""The layers that show guided masking on an angiogram: what can be looked at, and how each looks."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray

from napari_vasomim import layers
from napari_vasomim.mask_answers import Asked, Vessels
from napari_vasomim.mask_figure import kinds, on_pixels

VIEWS: dict[str, tuple[str, ...]] = {
    "one sampled mask": ("mask",),
    "distribution f": ("distribution",),
    "masking ratio over all epochs": ("masking ratio",),
    "reconstruction I′": ("reconstruction",),
    "S(I): vessels seen in the frame": ("vessels in I",),
    "S(I′): vessels seen in the reconstruction": ("vessels in I′",),
    "difference of S(I′) and S(I)": ("difference",),
}
"""What can be looked at, and the roles of the layers that show it."""
FROM_MODEL = ("reconstruction", "vessels in I", "vessels in I′", "difference")
"""The roles of what a pretrained model draws."""
STYLES: dict[str, dict[str, Any]] = {
    "distribution": {"colormap": "inferno", "opacity": 0.75},
    "masking ratio": {"colormap": "viridis", "opacity": 0.75, "contrast_limits": (0, 1)},
    "reconstruction": {"colormap": "gray", "contrast_limits": (0, 255)},
    "vessels in I": {"colormap": "magma", "contrast_limits": (0, 1)},
    "vessels in I′": {"colormap": "magma", "contrast_limits": (0, 1)},
    "difference": {"colormap": "PiYG", "contrast_limits": (-1, 1)},
    "mask": {"opacity": 0.55},
}


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
        for roles in VIEWS.values():
            for role in roles:
                if (found := layers.find(self._viewer, role, angiogram)) is not None:
                    found.visible = role in seen

    def put_anatomy(self, vessels: Vessels) -> None:
        """Show the vessels that the masks are drawn for, on a layer that is not visible at first."""
        style: dict[str, Any] = {"opacity": 0.5, "visible": False}
        layers.put_frame(self._viewer, vessels.layer, "anatomy", vessels.index, vessels.anatomy, "anatomy", **style)

    def put(self, method: str, asked: Asked, answer: dict[str, Any]) -> None:
        """Show what the engine has answered to a method."""
        vessels, patch_size = asked.vessels, asked.schedule.patch_size
        height, width = vessels.frame.shape
        if method == "mask_preview":
            shown = kinds(answer["guided"], answer["masked"])
            self._put("mask", vessels, on_pixels(shown, patch_size, (height, width)))
            self._put("distribution", vessels, on_pixels(answer["f"], patch_size, (height, width)))
        elif method == "masking_heat_map":
            self._put("masking ratio", vessels, on_pixels(answer["share"], patch_size, (height, width)))
        else:

            def fitted(image: NDArray[np.float32]) -> NDArray[np.float32]:
                return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)

            self._put("reconstruction", vessels, fitted(answer["drawn"]))
            if answer.get("view") is not None:
                seen, again = fitted(answer["view"]), fitted(answer["view_of_drawn"])
                self._put("vessels in I", vessels, seen)
                self._put("vessels in I′", vessels, again)
                self._put("difference", vessels, again - seen)

    def _put(self, role: str, vessels: Vessels, frame: NDArray[Any]) -> None:
        frame = frame if frame.dtype == np.uint8 else frame.astype(np.float32)
        style = STYLES[role] | {"visible": role in self.seen}
        put = layers.put_frame(self._viewer, vessels.layer, role, vessels.index, frame, role, **style)
        if role == "distribution":
            put.contrast_limits = (0, max(float(frame.max()), 1e-9))
