"""The frames of a layer: how many, where on the canvas and on the slider, and what they look like to the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer
from numpy.typing import NDArray

from napari_vasomim.canvas import layers
from vasomim_core.errors import InputError
from vasomim_core.reading import Frames


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
        InputError: the frame cannot be read, or is empty. On the canvas what cannot be read is black; nothing may be
            found in that, or kept of it.
    """
    data: Any = getattr(layer.data, "true", layer.data)
    pixels = np.asarray(data if layer.ndim == 2 else data[index])
    if not pixels.size:
        raise InputError(f"The layer {layer.name!r} has no pixels; choose another image.")
    return pixels


def grey(layer: Image, index: int) -> NDArray[np.uint8]:
    """One frame of an angiogram as the engine sees it: uint8 (H, W), vessels dark; see `GreyLevels.grey`.

    Raises:
        InputError: the frame cannot be read or used.
    """
    return layers.facts(layer).levels.grey(pixels_of(layer, index))


def seen(layer: Image) -> Frames:
    """All frames of an angiogram as the engine sees them now, each read when it is asked for: uint8, vessels dark.

    Any thread may ask; what a person says of the grey levels later changes nothing here.
    """
    levels, shape = layers.facts(layer).levels, (frame_count(layer), *frame_size(layer))
    return Frames(lambda index: levels.grey(pixels_of(layer, index)), shape, "uint8", Path(layer.name))


def stored(layer: Image, index: int) -> NDArray[Any]:
    """One frame of an angiogram as a label set keeps it: uint8 or uint16 (H, W); see `GreyLevels.stored`.

    It is the same from a file and from anyone's layer.

    Raises:
        InputError: the frame cannot be read or used.
    """
    return layers.facts(layer).levels.stored(pixels_of(layer, index))


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
