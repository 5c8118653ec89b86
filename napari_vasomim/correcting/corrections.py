"""The correction layer: the mask that a person draws for an angiogram, and the one in which all drawing is done."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.correcting.unfinished import Entry
from napari_vasomim.session import Session
from vasomim_core.classes import ClassMask


def correction_of(viewer: ViewerModel, angiogram: Image) -> Labels | None:
    """The correction layer of an angiogram; None while there is none that fits it."""
    layer = layers.labels_of(viewer, "correction", angiogram)
    return layer if layer is not None and layer.data.shape == frames.result_shape(angiogram) else None


def ensure_correction(
    viewer: ViewerModel, angiogram: Image, data: NDArray[np.uint8] | None = None, continues: Entry | None = None
) -> Labels:
    """The correction layer of an angiogram, made at first need: Labels, uint8, (H, W) or (T, H, W), values of classes.

    An editor looks after it from the start: classes, tools, journal and undo are there whichever panel made it.

    Args:
        viewer: where the angiogram is.
        angiogram: what is corrected.
        data: what a new layer begins with; None = nothing drawn.
        continues: the entry of the journal that `data` comes from.
    """
    layer = correction_of(viewer, angiogram)
    if layer is not None:
        return layer
    layer = Labels(
        np.zeros(frames.result_shape(angiogram), np.uint8) if data is None else data,
        name=results.result_name("correction", angiogram),
        opacity=0.5,
        colormap=results.colormap("correction"),
        **frames.placed_like(angiogram),
    )
    layers.tag(layer, "correction", angiogram)
    editor_of(Session.of(viewer), layer, continues)  # before anyone else sees the layer and asks for its editor
    layers.add(viewer, layer, select=True)
    return layer


def drawn_values(correction: Labels | None, index: int) -> ClassMask | None:
    """A copy of the values (H, W) drawn on a frame; None where nothing can be drawn yet."""
    if correction is None:
        return None
    return np.array(correction.data if correction.ndim == 2 else correction.data[index])


def drawn(correction: Labels | None, index: int) -> NDArray[np.bool_] | None:
    """Where anything (H, W) is drawn on a frame, of whatever class; None where nothing can be drawn yet."""
    values = drawn_values(correction, index)
    return None if values is None else values != 0
