"""The results of an angiogram on the canvas: their colours, names and frames.

Results lie exactly on their angiogram: they take over its scale, translation, rotation and units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_vasomim.canvas import frames, layers
from napari_vasomim.napari_compat import show_colorbar
from vasomim_core.classes import VESSEL, LabelClass

COLOURS = {
    "anatomy": "#e2604f",
    "prediction": "#1fc8db",
    "correction": "#ffb000",
    "proposal": "#f06fd0",
    "revision": "#b98cff",
    "truth": "#7bd88f",
    "mask": "#ff9d3c",
}
"""What a person tells the Labels layers apart by; colours that also differ for the colour-blind."""
DIFFERENCE = {1: "#e69f00", 2: "#56b4e9", 3: "#e6e6e6", 4: "#cc79a7"}
"""Only the first reader, only the second, both, both in another class: told apart by the colour-blind, too."""
BY_CHANCE = "#4a86c5"
DRAWN = ("correction", "revision", "truth", "difference")
"""Roles of what people drew, which nothing but they themselves may clear."""
PICTURES = ("reconstruction", "masked patches drawn")
"""Roles of images that are looked at like the angiogram; all others are measures, with a colour bar."""
OF = " · "
"""Between what a result is and the name of its angiogram."""


def result_name(what: str, angiogram: Layer) -> str:
    """What a result is called: what it is, and of which angiogram."""
    return f"{what}{OF}{angiogram.name}"


def rename_results(viewer: ViewerModel, angiogram: Layer) -> None:
    """Call the results after the angiogram's new name, but for those that a person has named."""
    for layer in viewer.layers:
        made = layers.result(layer)
        if made is not None and made.source is angiogram and layer.name == made.name:
            layer.name = result_name(made.name.partition(OF)[0], angiogram)
            made.name = layer.name  # napari may have added a number


def call(layer: Layer | None, what: str) -> None:
    """Call a result something else, unless a person has named it."""
    made = None if layer is None else layers.result(layer)
    if layer is not None and made is not None and layer.name == made.name:
        layer.name = result_name(what, made.source)
        made.name = layer.name  # napari may have added a number


def put_frame(
    viewer: ViewerModel,
    source: Image,
    role: str,
    index: int,
    frame: NDArray[Any],
    name: str,
    **style: Any,
) -> Layer:
    """Show one frame of a result on the result's own layer, made at first need beside its angiogram.

    The layer covers all frames of its angiogram; those not computed yet are empty. A layer that was deleted is made
    anew, one that was renamed is found.

    Args:
        viewer: where.
        source: the angiogram.
        role: what the result is; one layer per role and angiogram.
        index: which frame.
        frame: (H, W); bool or uint8 makes a Labels layer, floating point an Image layer.
        name: of a new layer, to which the angiogram's is added.
        style: of a new layer (colormap, opacity, blending, visible, …).
    """
    labels = frame.dtype.kind in "bu"
    layer = layers.find(viewer, role, source)
    shape = frames.result_shape(source)
    if layer is not None and layer.data.shape != shape:  # the angiogram got pixels of another size
        layers.remove(viewer, layer)
        layer = None
    if layer is None:
        data = np.zeros(shape, np.uint8 if labels else frame.dtype)
        if labels:
            style = {"colormap": colormap(role), "opacity": 0.5} | style
        style |= frames.placed_like(source)
        layer = (Labels if labels else Image)(data, name=result_name(name, source), **style)
        layers.tag(layer, role, source)  # before the viewer tells anyone: no one may take it for an angiogram
        layers.add(viewer, layer)
        if labels:
            layer.editable = role == "correction"
        elif role not in PICTURES:
            show_colorbar(layer)
    layer.data[... if layer.ndim == 2 else index] = frame
    layer.refresh()
    return layer


def clear_results(viewer: ViewerModel, source: Layer, roles: tuple[str, ...] | None = None) -> None:
    """Empty the results that no longer hold for an angiogram; those that have no pixels of its size by now are removed.

    Args:
        viewer: where.
        source: the angiogram.
        roles: of the results; None = all but what people drew.
    """
    for layer in list(viewer.layers):
        made = layers.result(layer)
        if made is None or made.source is not source:
            continue
        if (made.role in DRAWN) if roles is None else (made.role not in roles):
            continue
        if isinstance(layer, Image | Labels) and layer.data.shape == frames.result_shape(source):
            layer.data[...] = 0
            layer.refresh()
        else:
            layers.remove(viewer, layer)


def colormap(role: str, classes: tuple[LabelClass, ...] = VESSEL) -> DirectLabelColormap:
    """The colours of a Labels layer with this role: 0 is clear; in a mask 2 is what was left to chance.

    Args:
        role: of the layer.
        classes: whose values it holds. Where they are not the default, they have their own colours; a value of none of
            several is white.
    """
    if classes != VESSEL:
        other = classes[0].colour if len(classes) == 1 else "#ffffff"
        named: dict[int | None, str] = {None: other, 0: "transparent"}
        return DirectLabelColormap(color_dict=named | {one.value: one.colour for one in classes})
    if role == "difference":
        clear: dict[int | None, str] = {None: "transparent", 0: "transparent"}
        return DirectLabelColormap(color_dict=clear | dict(DIFFERENCE.items()))
    own = COLOURS.get(role, "#ffffff")
    colours = {None: own, 0: "transparent", 1: own} | ({2: BY_CHANCE} if role == "mask" else {})
    return DirectLabelColormap(color_dict=colours)
