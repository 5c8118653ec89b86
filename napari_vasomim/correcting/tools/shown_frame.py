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
from vasomim_core.correction.cost import VesselCost
from vasomim_core.correction.mask_tools import Mask
from vasomim_core.errors import InputError

Point = tuple[float, float]
"""(row, column) in px of the frame."""


class ShownFrame:
    """The shown frame of one correction layer.

    Args:
        viewer: where it is shown.
        layer: the correction, uint8 (y, x) or (t, y, x), 1 = vessel.
        source: its angiogram.
        probability: gives the vessel probability float32 (H, W) of a frame, or None where none was computed.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        layer: Labels,
        source: Image,
        probability: Callable[[int], NDArray[np.float32] | None],
    ):
        self.viewer, self.layer, self.source, self._probability = viewer, layer, source, probability
        self._cost: VesselCost | None = None
        self._cost_of: tuple[int, NDArray[np.float32] | None] = -1, None

    @property
    def index(self) -> int:
        """Which frame it is; 0 for a still."""
        return frames.current_index(self.viewer, self.layer)

    @property
    def mask(self) -> Mask:
        """The vessels that are drawn on it, bool (H, W)."""
        data: Any = self.layer.data if self.layer.ndim == 2 else self.layer.data[self.index]
        return np.asarray(data) > 0

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
        """Draw vessel on these pixels, bool (H, W); returns how many were none before."""
        return self._set(pixels, 1)

    def erase(self, pixels: Mask) -> int:
        """Erase these pixels, bool (H, W); returns how many were vessel before."""
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
