"""What counts as a mask, and by what the pixels of a frame or a mask are known again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vasomim_core.errors import LabelError
from vasomim_core.reading import read_angiogram

MASKS_ALPHA = "masks-alpha"
"""The folder beside `images/` whose masks are alpha channels; `angiogram.finding` knows it, too."""


def read_mask(path: Path | str, index: int = 0, alpha: bool = False) -> NDArray[np.bool_]:
    """Read a mask (H, W), True = vessel, from a file of any kind that `read_angiogram` knows.

    Args:
        path: The file.
        index: Which page.
        alpha: The mask is its alpha channel, as drawing programs save it.

    Raises:
        InputError: the file is missing or damaged, or has no alpha channel where `alpha` asks for it.
        LabelError: it has no such page, more than one value beside 0, or with an alpha channel that shows another
            mask than its colours, nothing that says which is meant.
    """
    opened = read_angiogram(path, alpha)
    pages = opened.frames
    if index >= len(pages):
        raise LabelError(f"{path} has {len(pages)} masks and none for frame {index}: store one page a frame.")
    if opened.has_alpha and not alpha:
        refuse_two_masks(path, pages[index], index)
    return as_mask(pages[index], where=str(path))


def refuse_two_masks(path: Path | str, page: NDArray[Any], index: int = 0) -> None:
    """Ask which is meant, where the alpha channel of a page varies and shows another mask than its colours.

    Args:
        path: A file with an alpha channel.
        page: What its colours show, (H, W).
        index: Which page.

    Raises:
        LabelError: so it is; the sentence says how to tell.
    """
    alpha = read_angiogram(path, alpha=True).frames[index]
    if alpha.min() != alpha.max() and not np.array_equal(page != 0, alpha != 0):
        raise LabelError(
            f"{path} has an alpha channel that shows another mask than its colours do: if alpha is meant, rename "
            f"the folder to {MASKS_ALPHA}; else save the masks without alpha."
        )


def as_mask(mask: ArrayLike, shape: tuple[int, ...] | None = None, where: str = "The mask") -> NDArray[np.bool_]:
    """Return a mask as bool (H, W).

    Args:
        mask: (H, W) of any real type, with 0 and at most one other value, which is vessel.
        shape: The frame's (H, W); None = any.
        where: What a message calls it.

    Raises:
        LabelError: another shape, not finite, or grey levels (a probability, a JPEG, several classes), for
            which only a person can say what is vessel.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf":
        raise LabelError(
            f"{where} has the shape {array.shape} and type {array.dtype}: give one plane (H, W) of numbers."
        )
    if shape is not None and array.shape != shape:
        raise LabelError(
            f"{where} is {array.shape[0]}×{array.shape[1]} and its frame {shape[0]}×{shape[1]}: draw it on that frame."
        )
    vessel = array != 0
    if array.dtype.kind != "b":
        values = array[vessel]
        if array.dtype.kind == "f" and not np.isfinite(values).all():
            raise LabelError(f"{where} has values that are not finite (NaN or infinity): threshold it first.")
        if values.size and (values != values[0]).any():
            raise LabelError(f"{where} has more than one value beside 0: threshold it, so that only vessel is not 0.")
    return vessel


def pixel_sha256(image: NDArray[Any]) -> str:
    """SHA-256 (hex) of the line `<H>x<W> <dtype>` and the pixels, by rows, little-endian; bool as 0 and 1."""
    header = f"{image.shape[0]}x{image.shape[1]} {image.dtype.name}\n".encode()
    pixels = np.ascontiguousarray(image, image.dtype.newbyteorder("<"))
    return hashlib.sha256(header + pixels.tobytes()).hexdigest()


def checked_frame(frame: ArrayLike) -> NDArray[Any]:
    """A frame as a label set keeps it: (H, W) uint8 or uint16.

    Raises:
        LabelError: another shape or type.
    """
    array = np.asarray(frame)
    if array.ndim != 2 or not array.size:
        raise LabelError(f"The frame has the shape {array.shape}: give one grey frame (H, W) with pixels in it.")
    if array.dtype.name not in ("uint8", "uint16"):
        raise LabelError(f"The frame is of type {array.dtype}: store what was shown, as to_uint8 returns it.")
    return array
