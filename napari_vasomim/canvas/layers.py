"""What our layers are. A result is known by the object that it is, never by its name or by metadata, which are copied.

| role | layer |
|---|---|
| angiogram | Image (y, x) or (t, y, x), read by us or by anyone else |
| vesselness, probability, uncertainty, … | Image of the same size as its angiogram |
| anatomy, prediction, correction, … | Labels of the same size as its angiogram |
| copy | what napari duplicated from a result: a person's backup, which nothing of ours reads or writes |

Results lie exactly on their angiogram: they take over its scale, translation, rotation and units.
"""

from __future__ import annotations

import secrets
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from vasomim_core.errors import InputError
from vasomim_core.files import stamp
from vasomim_core.reading import to_grey, to_uint8

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
PICTURES = ("reconstruction", "masked patches drawn")
"""Roles of images that are looked at like the angiogram; all others are measures, with a colour bar."""
OF = " · "
"""Between what a result is and the name of its angiogram."""
READ = ("angiogram", "truth")
"""Roles that files give; they hold for a copy, too."""


_results: weakref.WeakKeyDictionary[Layer, dict[str, Any]] = weakref.WeakKeyDictionary()
_angiograms: weakref.WeakValueDictionary[str, Image] = weakref.WeakValueDictionary()
_arriving: weakref.WeakSet[Layer] = weakref.WeakSet()


def bare(thing: Any) -> Any:
    """The viewer or layer itself, if napari handed out a proxy of it, as it does to panels."""
    return getattr(thing, "__wrapped__", thing)


def facts(layer: Layer) -> dict[str, Any]:
    """What we know about a layer; empty for the layers of others.

    Those of an angiogram lie in its metadata: a copy of it has the same pixels, of which they stay true. Those of a
    result belong to one object.
    """
    layer = bare(layer)
    if layer in _results:
        return _results[layer]
    found = layer.metadata.get(KEY)
    if not isinstance(found, dict):
        return {}
    return found if found.get("role") in READ else {"role": "copy"}


def role(layer: Layer) -> str | None:
    """The role of a layer of ours, None for the layers of others."""
    return facts(layer).get("role")


def tag(layer: Layer, role: str, **more: Any) -> None:
    """Give a layer its role and further facts; those of a result name its `source`, the angiogram."""
    layer = bare(layer)
    known = {**facts(layer), "role": role, **more}
    if role == "angiogram":
        layer.metadata[KEY] = known
    else:
        _results[layer] = known
        # By this alone a copy is told from the layers of others, and goes with the angiogram that it was made from.
        layer.metadata[KEY] = {"role": role, "of": _token(known["source"])}


def owner(layer: Layer) -> Image | None:
    """The angiogram that a layer belongs to: itself, that of a result or of its copy; None for the layers of others."""
    layer = bare(layer)
    if layer in _results:
        return _results[layer].get("source")
    found = layer.metadata.get(KEY)
    if isinstance(found, dict) and found.get("role") != "angiogram":
        return _angiograms.get(str(found.get("of")))
    if not is_angiogram(layer):
        return None
    _token(layer)
    return layer


def _token(angiogram: Image) -> str:
    """By which the copies of results find their angiogram; with a copy of that, the token stays the first one's."""
    token = str(facts(angiogram).get("token", ""))
    if not token or _angiograms.setdefault(token, angiogram) is not angiogram:
        known = [token for token, layer in _angiograms.items() if layer is angiogram]
        token = known[0] if known else secrets.token_hex(8)
        _angiograms[token] = angiogram
    return token


def add(viewer: ViewerModel, layer: Layer, select: bool = False) -> None:
    """Put a tagged result into the viewer; unless it is to be selected, what was selected stays so."""
    active = viewer.layers.selection.active
    _arriving.add(layer)
    try:
        viewer.add_layer(layer)
        facts(layer)["called"] = layer.name  # napari may have added a number
        if not select:
            viewer.layers.selection.active = active
    finally:
        _arriving.discard(layer)


def is_arriving(layer: Layer) -> bool:
    """Whether a layer is selected just because napari selects what it adds."""
    return layer in _arriving


def remove(viewer: ViewerModel, *parts: Layer) -> None:
    """Take layers out of the viewer, as far as they are in it: one that goes may take another with it."""
    for layer in parts:
        if layer in viewer.layers:
            viewer.layers.remove(layer)


def result_name(what: str, angiogram: Layer) -> str:
    """What a result is called: what it is, and of which angiogram."""
    return f"{what}{OF}{angiogram.name}"


def rename_results(viewer: ViewerModel, angiogram: Layer) -> None:
    """Call the results after the angiogram's new name, but for those that a person has named."""
    for layer in viewer.layers:
        if layer is not angiogram and owner(layer) is angiogram and layer.name == facts(layer).get("called"):
            layer.name = result_name(layer.name.partition(OF)[0], angiogram)
            facts(layer)["called"] = layer.name


def is_angiogram(layer: Layer | None) -> bool:
    """Whether a layer can be worked on: an image (y, x) or (t, y, x) that is no result of ours."""
    if not isinstance(layer, Image) or layer.multiscale:
        return False
    return layer.ndim in (2, 3) and role(layer) in (None, "angiogram")


def angiograms(viewer: ViewerModel) -> list[Image]:
    """All layers that can be worked on, the lowest first."""
    return [layer for layer in viewer.layers if is_angiogram(layer)]


def opened_from(viewer: ViewerModel, path: Path, besides: Layer | None = None) -> Image | None:
    """The angiogram that was read from a file which has not changed since; None if it is not open."""
    now = stamp(path)
    for layer in angiograms(viewer):
        known = facts(layer)
        source = known.get("source")
        if layer is besides or source is None or now is None or known.get("stamp") != now:
            continue
        if Path(source).resolve() == Path(path).resolve():
            return layer
    return None


def frame_count(layer: Layer) -> int:
    """Frames of a (t, y, x) layer; 1 for a still."""
    return int(layer.data.shape[0]) if layer.ndim == 3 else 1


def frame_size(layer: Layer) -> tuple[int, int]:
    """(H, W) of one frame."""
    shape = layer.data.shape[:2] if layer.ndim == 2 else layer.data.shape[1:3]
    return int(shape[0]), int(shape[1])


def current_index(viewer: ViewerModel, layer: Layer) -> int:
    """The frame of this layer that the viewer shows, or the nearest to where the slider is; 0 for a still."""
    if layer.ndim == 2:
        return 0
    return int(np.clip(_time(viewer, layer), 0, frame_count(layer) - 1))


def is_in_range(viewer: ViewerModel, layer: Layer) -> bool:
    """Whether the slider is at a frame of this layer; napari shows nothing of it elsewhere."""
    return layer.ndim == 2 or 0 <= _time(viewer, layer) < frame_count(layer)


def _time(viewer: ViewerModel, layer: Layer) -> int:
    return round(float(layer.world_to_data(viewer.dims.point)[-3]))


def time_range(layer: Layer) -> tuple[float, float, float]:
    """First and last position of the slider, in world coordinates, and its step; a still has one position."""
    if layer.ndim == 2:
        return 0.0, 0.0, 1.0
    first, last = (float(layer.data_to_world((index, 0, 0))[-3]) for index in (0, frame_count(layer) - 1))
    step = abs(last - first) / max(1, frame_count(layer) - 1) or 1.0
    return min(first, last), max(first, last), step


def show_frame(viewer: ViewerModel, layer: Layer, index: int) -> None:
    """Move the viewer to a frame of this layer."""
    if layer.ndim == 3:
        world = layer.data_to_world((index, 0, 0))
        viewer.dims.set_point(viewer.dims.ndim - 3, float(world[-3]))


def pixel_at(layer: Layer, world: Any) -> tuple[float, float]:
    """The (row, column) of a layer's frame under a point in world coordinates."""
    row, column = layer.world_to_data(world)[-2:]
    return float(row), float(column)


def pixels_of(layer: Image, index: int) -> NDArray[Any]:
    """The pixels of one frame as they are stored: (H, W), or (H, W, 3|4) in colour.

    Raises:
        InputError: the frame cannot be read. On the canvas it is black; nothing may be found in that, or kept of it.
    """
    data: Any = getattr(layer.data, "true", layer.data)
    return np.asarray(data if layer.ndim == 2 else data[index])


def frame_of(layer: Image, index: int) -> NDArray[np.uint8]:
    """One frame as the engine wants it: uint8 (H, W), vessels dark.

    Colour becomes luminance as in a file; other types go through the window of the file or the one that the person
    has set, or else their own percentiles.

    Raises:
        InputError: the frame cannot be read or used.
    """
    frame = pixels_of(layer, index)
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
        name: of a new layer, to which the angiogram's is added.
        style: of a new layer (colormap, opacity, blending, visible, …).
    """
    labels = frame.dtype.kind in "bu"
    layer = find(viewer, role, source)
    if layer is not None and layer.data.shape != result_shape(source):  # the angiogram got pixels of another size
        remove(viewer, layer)
        layer = None
    if layer is None:
        data = np.zeros(result_shape(source), np.uint8 if labels else frame.dtype)
        if labels:
            style = {"colormap": colormap(role), "opacity": 0.5} | style
        layer = (Labels if labels else Image)(data, name=result_name(name, source), **placed_like(source), **style)
        tag(layer, role, source=bare(source))  # before the viewer tells anyone: no one may take it for an angiogram
        add(viewer, layer)
        if labels:
            layer.editable = role == "correction"
        elif role not in PICTURES and hasattr(layer, "colorbar"):  # not in every napari
            layer.colorbar.visible = True  # as long as the layer is
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
            remove(viewer, layer)


def colormap(role: str) -> DirectLabelColormap:
    """The colours of a Labels layer with this role: 0 is clear; in a mask 2 is what was left to chance."""
    own = COLOURS.get(role, "#ffffff")
    colours = {None: own, 0: "transparent", 1: own} | ({2: BY_CHANCE} if role == "mask" else {})
    return DirectLabelColormap(color_dict=colours)


def labels_of(viewer: ViewerModel, role: str, source: Layer) -> Labels | None:
    """`find` for a Labels layer."""
    layer = find(viewer, role, source)
    return layer if isinstance(layer, Labels) else None
