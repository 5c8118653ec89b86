"""The correction layer: the mask that a person draws for an angiogram, and the one in which all drawing is done."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_vasomim import layers
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.correcting.journal import Entry
from napari_vasomim.session import Session

VESSEL = 1


def ensure_correction(
    viewer: ViewerModel, angiogram: Image, data: NDArray[np.uint8] | None = None, continues: Entry | None = None
) -> Labels:
    """The correction layer of an angiogram, made at first need: Labels, uint8, (H, W) or (T, H, W), 1 = vessel.

    Its facts are `role` ("correction"), `source` (the angiogram), `model` (which one proposed it; None = nobody) and,
    once labels were kept, `accepted` (the set of frame indices that a label set has). An editor looks after it from
    the start: tools, journal and undo are there whichever panel made it.

    Args:
        viewer: where the angiogram is.
        angiogram: what is corrected.
        data: what a new layer begins with; None = nothing drawn.
        continues: the entry of the journal that `data` comes from.
    """
    layer = layers.labels_of(viewer, "correction", angiogram)
    if layer is not None and layer.data.shape == layers.result_shape(angiogram):
        return layer
    facts: dict[str, Any] = {"role": "correction", "source": angiogram, "model": None}
    layer = Labels(
        np.zeros(layers.result_shape(angiogram), np.uint8) if data is None else data,
        name="correction",
        opacity=0.5,
        colormap=layers.colormap("correction"),
        metadata={layers.KEY: facts},
        **layers.placed_like(angiogram),
    )
    layer.selected_label = VESSEL
    editor_of(Session.of(viewer), layer, continues)  # before anyone else sees the layer and asks for its editor
    viewer.add_layer(layer)
    return layer


def drawn(correction: Labels | None, index: int) -> NDArray[np.bool_] | None:
    """A copy of the vessels (H, W) drawn on a frame; None where nothing can be drawn yet."""
    if correction is None:
        return None
    data = correction.data if correction.ndim == 2 else correction.data[index]
    return np.asarray(data) != 0


def stored_frame(layer: Image, index: int) -> NDArray[Any]:
    """A frame as a label set keeps it: (H, W) uint8 or uint16, vessels dark.

    Plain 8 and 16-bit frames keep their values; colour, a DICOM window and other types go through `layers.frame_of`.

    Raises:
        InputError: the frame cannot be read or used.
    """
    data: Any = layer.data if layer.ndim == 2 else layer.data[index]
    frame = np.asarray(data)
    if layer.rgb or frame.dtype.name not in ("uint8", "uint16") or layers.facts(layer).get("window") is not None:
        return layers.frame_of(layer, index)
    return ~frame if layers.facts(layer).get("bright_vessels") else frame


def frame_index(layer: Image, index: int) -> int | None:
    """The index that identifies a frame in a label set: None for a still."""
    return index if layers.frame_count(layer) > 1 else None


class LayerSource:
    """An open angiogram as a source of the annotation queue.

    Attributes:
        layer: the angiogram.
        bright_vessels: a person said that its vessels are bright.
    """

    def __init__(self, layer: Image) -> None:
        self.layer = layer
        self.bright_vessels = bool(layers.facts(layer).get("bright_vessels"))

    def count(self) -> int:
        """Number of frames."""
        return layers.frame_count(self.layer)

    def frame(self, index: int) -> NDArray[Any]:
        """A frame (H, W) as a label set keeps it.

        Raises:
            InputError: it cannot be read or used.
        """
        return stored_frame(self.layer, index)
