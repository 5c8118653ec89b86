"""One frame as it was when it was clicked; all that is computed on it happens in threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray

from napari_vasomim.canvas import frames, layers
from napari_vasomim.prediction import Prediction
from vasomim_core.correction.cost import VesselCost
from vasomim_core.correction.paths import MinimalPaths
from vasomim_core.correction.points import Point
from vasomim_core.errors import InputError
from vasomim_core.labels.mask import pixel_sha256
from vasomim_core.measures.belief import belief_of
from vasomim_core.measures.segment import Segment, find_segment
from vasomim_core.measures.store import fingerprint
from vasomim_core.measures.wall_fit import Belief


class ClickedFrame:
    """A frame of an angiogram, with what measuring on it needs; made by a click, computed by the first thread.

    Args:
        layer: the angiogram.
        index: which frame.

    Attributes:
        frame_sha256: fingerprint of its stored pixels; once it was read.
        grey_sha256: that of its grey levels; once it was read.
    """

    def __init__(self, layer: Image, index: int):
        self.layer, self.index = layer, index
        self._pixels, self._levels = layer.data, layers.facts(layer).levels
        self._lock = threading.Lock()
        self._known: tuple[NDArray[np.uint8], VesselCost, Belief] | None = None
        self.frame_sha256 = self.grey_sha256 = ""

    def is_still(self, viewer: ViewerModel) -> bool:
        """Whether the angiogram is there, with the pixels and grey levels of the click."""
        same = self.layer.data is self._pixels and layers.facts(self.layer).levels == self._levels
        return self.layer in viewer.layers and same

    def read(self) -> tuple[NDArray[np.uint8], VesselCost, Belief]:
        """Its grey levels uint8 (H, W), what a path on it costs, and what is believed of its vessels.

        Raises:
            InputError: the frame cannot be read.
        """
        with self._lock:
            if self._known is None:
                pixels = frames.pixels_of(self.layer, self.index)
                grey = self._levels.grey(pixels)
                cost = VesselCost(grey)
                cost.prepare()
                self.frame_sha256 = fingerprint(pixels)
                self.grey_sha256 = pixel_sha256(grey)
                self._known = grey, cost, belief_of(grey)
            return self._known

    def paths(self, start: Point) -> MinimalPaths:
        """The paths from a point, ready for the pointer.

        Raises:
            InputError: the frame cannot be read.
        """
        paths = MinimalPaths.from_point(self.read()[1], start)
        paths.look_ahead()
        return paths

    def segment(self, clicks: Sequence[Point], prediction: Prediction | None = None) -> tuple[Segment, str]:
        """The vessel along clicks, and by which model it was found.

        The grey levels alone are asked first: what they show is measured alike wherever it is measured again. A model
        that has seen the frame helps where they show no vessel between the clicks.

        Args:
            clicks: (row, column) each: from, via …, to.
            prediction: what a model said of the angiogram.

        Returns:
            The segment, and the model's name, "" where it was not needed.

        Raises:
            InputError: the frame cannot be read, or no vessel leads along the clicks.
        """
        grey, cost, belief = self.read()
        try:
            return find_segment(cost, clicks, belief), ""
        except InputError:
            if prediction is None or self.index not in prediction:
                raise
            helped = VesselCost(grey, prediction.probability(self.index))
            return find_segment(helped, clicks, belief), prediction.model
