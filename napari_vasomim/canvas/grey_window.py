"""Which grey levels of an angiogram the engine and the label set see: those that the person sees, if they say so.

Without a word from the person it is the window of the file, or where there is none, the frame's own percentiles.
"""

from __future__ import annotations

import numpy as np
from napari.layers import Image

from napari_vasomim.canvas import layers
from vasomim_core.reading.grey import Window, limits_window


def can_be_set(layer: Image | None) -> bool:
    """Whether there is anything to choose: 8 bits are worked on as they are, and so is colour."""
    if layer is None or not layers.is_angiogram(layer):
        return False
    return not layer.rgb and np.dtype(layer.dtype) not in (np.dtype(np.uint8), np.dtype(bool))


def shown(layer: Image) -> Window:
    """The window (centre, width) that the layer's contrast limits are."""
    low, high = layer.contrast_limits
    return limits_window(float(low), float(high))
