"""What our layers are: found by object and by a tag in their metadata, never by name.

| role | layer |
|---|---|
| angiogram | Image (y, x) or (t, y, x), read by us or by anyone else |
| vesselness, probability, uncertainty, … | Image of the same size as its angiogram |
| anatomy, prediction, correction, … | Labels of the same size as its angiogram |

Results lie exactly on their angiogram: they take over its scale, translation, rotation and units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from vasomim_core.angiogram import to_grey, to_uint8
from vasomim_core.errors import InputError

KEY = "vasomim"
COLOURS = {
    "anatomy": "#e2604f",
    "prediction": "#1fc8db",
    "correction": "#ffb000",
    "revision": "#b98cff",
    "truth": "#7bd88f",
    "mask": "#ff9d3c",
}
"""What a person tells the Labels layers apart by; colours that also differ for the colour-blind."""
BY_CHANCE = "#4a86c5"
DRAWN = ("correction", "revision", "truth")
"""Roles of what people drew, which nothing but they themselves may clear."""


def facts(layer: Layer) -> dict[str, Any]:
    """What we know about a layer; empty for the layers of others."""
    found = layer.metadata.get(KEY)
    return found if isinstance(found, dict) else {}


def role(layer: Layer) -> str | None:
    """The role of a layer of ours, None for the layers of others."""
    return facts(layer).get("role")


def tag(layer: Layer, role: str, **more: Any) -> None:
    """Give a layer its role and further facts."""
    layer.metadata[KEY] = {**facts(layer), "role": role, **more}


def is_angiogram(layer: Layer | None) -> bool:
    """Whether a layer can be worked on: an image (y, x) or (t, y, x) that is no result of ours."""
    if not isinstance(layer, Image) or layer.multiscale:
        return False
    return layer.ndim in (2, 3) and role(layer) in (None, "angiogram")


def angiograms(viewer: ViewerModel) -> list[Image]:
    """All layers that can be worked on, the lowest first."""
    return [layer for layer in viewer.layers if is_angiogram(layer)]


def frame_count(layer: Layer) -> int:
    """Frames of a (t, y, x) layer; 1 for a still."""
    return int(layer.data.shape[0]) if layer.ndim == 3 else 1


def frame_size(layer: Layer) -> tuple[int, int]:
    """(H, W) of one frame."""
    shape = layer.data.shape[:2] if layer.ndim == 2 else layer.data.shape[1:3]
    return int(shape[0]), int(shape[1])


def current_index(viewer: ViewerModel, layer: Layer) -> int:
    """The frame of this layer that the viewer shows; 0 for a still."""
    if layer.ndim == 2:
        return 0
    time = layer.world_to_data(viewer.dims.point)[-3]
    return int(np.clip(round(float(time)), 0, frame_count(layer) - 1))


def show_frame(viewer: ViewerModel, layer: Layer, index: int) -> None:
    """Move the viewer to a frame of this layer."""
    if layer.ndim == 3:
        world = layer.data_to_world((index, 0, 0))
        viewer.dims.set_point(viewer.dims.ndim - 3, float(world[-3]))


def pixel_at(layer: Layer, world: Any) -> tuple[float, float]:
    """The (row, column) of a layer's frame under a point in world coordinates."""
    row, column = layer.world_to_data(world)[-2:]
    return float(row), float(column)


def frame_of(layer: Image, index: int) -> NDArray[np.uint8]:
    """One frame as the engine wants it: uint8 (H, W), vessels dark.

    Colour becomes luminance as in a file; other types go through the window of the file or the one that the person
    has set, or else their own percentiles.

    Raises:
        InputError: the frame cannot be read or used.
    """
    data: Any = layer.data if layer.ndim == 2 else layer.data[index]
    frame = np.asarray(data)
    if not frame.size:
        raise InputError(f"The layer {layer.name!r} has no pixels; choose another image.")
    grey = to_uint8(to_grey(frame), facts(layer).get("window"))
    return 255 - grey if facts(layer).get("bright_vessels") else grey


def placed_like(layer: Layer) -> dict[str, Any]:
    """The keyword arguments that put a result of the same size exactly onto a layer."""
    return {"affine": layer.affine, "scale": layer.scale, "translate": layer.translate} | {
        "rotate": layer.rotate,
        "shear": layer.shear,
        "units": layer.units,
    }


def result_shape(layer: Layer) -> tuple[int, ...]:
    """The shape of a result for every frame of an angiogram: (H, W) or (T, H, W)."""
    size = frame_size(layer)
    return size if layer.ndim == 2 else (frame_count(layer), *size)


def find(viewer: ViewerModel, role_: str, source: Layer) -> Any:
    """The newest layer with this role that was made from `source`, or None."""
    for layer in reversed(viewer.layers):
        if role(layer) == role_ and facts(layer).get("source") is source:
            return layer
    return None


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
        name: of a new layer.
        style: of a new layer (colormap, opacity, blending, visible, …).
    """
    labels = frame.dtype.kind in "bu"
    layer = find(viewer, role, source)
    if layer is not None and layer.data.shape != result_shape(source):  # the angiogram got pixels of another size
        viewer.layers.remove(layer)
        layer = None
    if layer is None:
        active = viewer.layers.selection.active
        data = np.zeros(result_shape(source), np.uint8 if labels else frame.dtype)
        add = viewer.add_labels if labels else viewer.add_image
        # Tagged before the viewer tells anyone, so that no one takes a result for an angiogram.
        metadata = {KEY: {"role": role, "source": source}}
        if labels:
            style = {"colormap": colormap(role), "opacity": 0.5} | style
        layer = add(data, name=name, metadata=metadata, **placed_like(source), **style)
        if labels:
            layer.editable = role == "correction"
        viewer.layers.selection.active = active
    layer.data[... if layer.ndim == 2 else index] = frame
    layer.refresh()
    return layer


def clear_results(viewer: ViewerModel, source: Layer, roles: tuple[str, ...] | None = None) -> None:
    """Empty the results that no longer hold for an angiogram; those of another size than it has by now are removed.

    Args:
        viewer: where.
        source: the angiogram.
        roles: of the results; None = all but what people drew.
    """
    for layer in list(viewer.layers):
        if facts(layer).get("source") is not source:
            continue
        if (role(layer) in DRAWN) if roles is None else (role(layer) not in roles):
            continue
        if layer.data.shape == result_shape(source):
            layer.data[...] = 0
            layer.refresh()
        else:
            viewer.layers.remove(layer)


def colormap(role: str) -> DirectLabelColormap:
    """The colours of a Labels layer with this role: 0 is clear; in a mask 2 is what was left to chance."""
    own = COLOURS.get(role, "#ffffff")
    colours = {None: own, 0: "transparent", 1: own} | ({2: BY_CHANCE} if role == "mask" else {})
    return DirectLabelColormap(color_dict=colours)


def labels_of(viewer: ViewerModel, role: str, source: Layer) -> Labels | None:
    """`find` for a Labels layer."""
    layer = find(viewer, role, source)
    return layer if isinstance(layer, Labels) else None
