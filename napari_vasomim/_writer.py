"""Layers become files, wholly or not at all: vessel masks as 0 and 255 or by class, images as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vasomim.canvas.facts import Mark
from napari_vasomim.canvas.layers import KEY
from napari_vasomim.notify import inform
from vasomim_core.classes import LARGEST_VALUE, VESSEL
from vasomim_core.errors import InputError, LabelError
from vasomim_core.files import atomic, write_png

TIFF = (".tif", ".tiff")


def write_mask(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as a vessel mask of 0 and 255: PNG for (y, x), TIFF for (y, x) or (t, y, x).

    What a person drew in other classes than the vessel alone is written with their values, as in a label set, and that
    is said: a single file has no room for their names.

    Args:
        path: where to, ending in .png, .tif or .tiff.
        data: integers (y, x) or (t, y, x), 0 and one other value, or those of classes.
        meta: the layer's attributes; its name is said in messages, its metadata tell what it is.

    Returns:
        The path that was written.

    Raises:
        LabelError: the layer holds different labels, which a vessel mask cannot tell apart.
        InputError: more axes than the file can hold, another ending, or a file that cannot be written.
    """
    name = meta.get("name", "labels")
    seen = set[int]()
    for frame in _frames(data):
        seen.update(np.unique(frame).tolist())
    seen.discard(0)
    if _is_drawn(meta) and not seen <= {VESSEL[0].value} and max(seen) <= LARGEST_VALUE:
        written = _write(path, data, name, lambda frame: frame.astype(np.uint8))
        named = ", ".join(map(str, sorted(seen)))
        inform(f"{Path(path).name} holds the values of classes, {named}, and not their names; a label set keeps both.")
        return written
    if len(seen) > 1:
        raise LabelError(
            f"The layer {name} holds {len(seen)} different labels and a vessel mask only one; "
            "save it with napari's own writer."
        )
    return _write(path, data, name, lambda frame: np.where(frame > 0, 255, 0).astype(np.uint8))


def _is_drawn(meta: dict[str, Any]) -> bool:
    """Whether it is a mask that a person drew in classes, or a copy of it."""
    mark = meta.get("metadata", {}).get(KEY)
    return isinstance(mark, Mark) and mark.role in ("correction", "revision")


def write_image(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an image layer with its own values: PNG for 8 or 16 bits (y, x), TIFF for any number (y, x) or (t, y, x).

    Args:
        path: where to, ending in .png, .tif or .tiff.
        data: (y, x), (t, y, x), or uint8 in colour (…, 3 or 4), of which the first three channels are written.
        meta: the layer's attributes; its name is said in messages, `rgb` tells colour.

    Returns:
        The path that was written.

    Raises:
        InputError: values or axes that the file cannot hold, another ending, or a file that cannot be written.
    """
    name = meta.get("name", "image")
    colour = bool(meta.get("rgb", False))
    if meta.get("multiscale", False):
        raise InputError(f"The layer {name} is multiscale; save it with napari's own writer.")
    if Path(path).suffix.lower() == ".png" and data.dtype not in ((np.uint8,) if colour else (np.uint8, np.uint16)):
        raise InputError(f"The layer {name} holds values of type {data.dtype}, which no PNG can; save it as .tif.")
    return _write(path, data, name, lambda frame: frame[..., :3] if colour else frame, colour)


def _write(path: str, data: Any, name: str, convert: Any, colour: bool = False) -> list[str]:
    target, axes = Path(path), data.ndim - colour
    try:
        if target.suffix.lower() == ".png":
            if axes != 2:
                raise InputError(f"The layer {name} has {data.shape[0]} frames and a PNG only one; save it as .tif.")
            write_png(target, convert(np.asarray(data)))
        elif target.suffix.lower() in TIFF:
            if axes not in (2, 3):
                raise InputError(f"The layer {name} has {axes} axes; save one of (y, x) or (t, y, x).")
            _write_tiff(target, map(convert, _frames(data, colour)), colour)
        else:
            raise InputError(f"{target.name} ends in no known way; choose .png or .tif.")
    except OSError as error:
        raise InputError(
            f"{target} could not be written ({error.strerror or error}); choose another folder or free some space."
        ) from error
    return [str(target)]


def _write_tiff(path: Path, frames: Iterator[NDArray[Any]], colour: bool) -> None:
    with atomic(path) as temporary, tifffile.TiffWriter(temporary) as tiff:
        for frame in frames:
            tiff.write(
                frame,
                compression="zlib",
                contiguous=False,
                photometric="rgb" if colour else "minisblack",
                metadata=None,
            )


def _frames(data: Any, colour: bool = False) -> Iterator[NDArray[Any]]:
    """One frame at a time, so that a lazy stack is never in memory as a whole."""
    if data.ndim - colour == 2:
        yield np.asarray(data)
    else:
        for index in range(data.shape[0]):
            yield np.asarray(data[index])
