"""The frame of a correction that is on the canvas: what the tools read of it, and the changes they make to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_vasomim.canvas import frames
from napari_vasomim.canvas.canvas import Canvas
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.palette import Palette, Point
from vasomim_core.classes import ClassMask
from vasomim_core.correction.cost import VesselCost
from vasomim_core.correction.mask_tools import Mask
from vasomim_core.errors import InputError

__all__ = ["Point", "ShownFrame"]


class ShownFrame:
    """The shown frame of one correction layer.

    Args:
        viewer: where it is shown.
        layer: the correction, uint8 (y, x) or (t, y, x), the values of classes.
        source: its angiogram.
        probability: gives the vessel probability float32 (H, W) of a frame, or None where none was computed.
        palette: gives the classes of the correction and the one that is drawn in.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        layer: Labels,
        source: Image,
        probability: Callable[[int], NDArray[np.float32] | None],
        palette: Callable[[], Palette] = Palette,
    ):
        self.viewer, self.layer, self.source, self._probability = viewer, layer, source, probability
        self._palette = palette
        self._cost: VesselCost | None = None
        self._cost_of: tuple[int, NDArray[np.float32] | None] = -1, None

    @property
    def index(self) -> int:
        """Which frame it is; 0 for a still."""
        return frames.current_index(self.viewer, self.layer)

    @property
    def palette(self) -> Palette:
        """What the values that are drawn on it mean, and which class is drawn in."""
        return self._palette()

    @property
    def plane(self) -> ClassMask:
        """The values that are drawn on it, uint8 (H, W)."""
        data: Any = self.layer.data if self.layer.ndim == 2 else self.layer.data[self.index]
        return np.asarray(data)

    @property
    def mask(self) -> Mask:
        """All that is drawn on it, of any class, bool (H, W)."""
        return self.plane > 0

    def value_at(self, point: Point) -> int:
        """The value that a click means, 0 beside everything."""
        return self.palette.value_at(self.plane, point)

    def free(self, pixels: Mask) -> Mask:
        """Those of these pixels, bool (H, W), that are not of another class than the chosen one."""
        return pixels & ~self.palette.others(self.plane)

    @property
    def probability(self) -> NDArray[np.float32] | None:
        """What the model sees on it, float32 (H, W) in [0, 1]; None where it was not segmented."""
        return self._probability(self.index)

    def contains(self, point: Point) -> bool:
        """Whether a point is on a pixel of the frame."""
        height, width = frames.frame_size(self.layer)
        return -0.5 <= point[0] < height - 0.5 and -0.5 <= point[1] < width - 0.5

    def cost(self) -> VesselCost:
        """What a path along its vessels costs; the same object until the frame, its pixels or its probability change.

        Raises:
            InputError: the frame cannot be read.
        """
        if self._cost is None or self._cost_of[0] != self.index:
            self._cost_of = self.index, self.probability
            self._cost = VesselCost(frames.grey(self.source, self.index), self._cost_of[1])
        return self._cost

    def probability_changed(self) -> None:
        """The model was asked again; most often about other frames than the one whose cost is kept."""
        index, known = self._cost_of
        if self._cost is not None and not np.array_equal(known, self._probability(index)):  # type: ignore[arg-type]
            self._cost = None

    def pixels_changed(self) -> None:
        """The angiogram got other pixels."""
        self._cost = None

    # What is done to it, each an undoable step

    def paint(self, pixels: Mask) -> int:
        """Draw the chosen class on those of these pixels, bool (H, W), that are `free`; returns how many changed."""
        return self._set(self.free(pixels), self.palette.chosen.value)

    def recolour(self, pixels: Mask) -> int:
        """Draw the chosen class on these pixels, bool (H, W), whatever class they have; returns how many changed."""
        return self._set(pixels, self.palette.chosen.value)

    def erase(self, pixels: Mask) -> int:
        """Erase these pixels, bool (H, W), of whatever class; returns how many were drawn before."""
        return self._set(pixels, 0)

    def _set(self, pixels: Mask, value: int) -> int:
        return undo.apply(self.layer, None if self.layer.ndim == 2 else self.index, pixels, value)

    # Whether it can be worked on

    def is_shown_2d(self) -> bool:
        """Whether single frames of the layer are what is seen, by rows and columns."""
        dims = self.viewer.dims
        return dims.ndisplay == 2 and tuple(dims.displayed) == (dims.ndim - 2, dims.ndim - 1)

    def need_shown(self) -> None:
        """Nothing is drawn on a frame that is not the one on the canvas.

        Raises:
            InputError: the viewer shows another angiogram, or something else over this one.
        """
        canvas = Canvas.known(self.viewer)
        if canvas is None:
            return
        if canvas.chosen is not self.source:
            raise InputError(f"The angiogram {self.source.name!r} of this correction is not shown; choose it first.")
        if hindrance := canvas.hindrance():
            raise InputError(hindrance)
