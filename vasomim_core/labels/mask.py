"""What counts as a mask, and by what the pixels of a frame or a mask are known again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vasomim_core.classes import ClassMask, LabelClass
from vasomim_core.errors import LabelError

Mask = NDArray[np.bool_]
"""(H, W), True = vessel."""
MOST_VESSEL = 0.5
"""Share of vessel above which a mask is taken for inverted; vessels cover a few percent of an angiogram."""
LEAST_VESSEL = 0.01
"""Share of vessel below which a model has found too little, perhaps since vessels are bright there: in 50 frames of
ARCADE's `val` vasomim-fast finds 2 % and more, in half of their negatives less than this."""


def as_mask(mask: ArrayLike, shape: tuple[int, ...] | None = None, where: str = "The mask") -> Mask:
    """Return a mask as bool (H, W).

    Args:
        mask: (H, W) of any real type, with 0 and at most one other value, which is vessel.
        shape: The frame's (H, W); None = any.
        where: What a message calls it.

    Raises:
        LabelError: another shape, not finite, or grey levels (a probability, a JPEG, several classes), for
            which only a person can say what is vessel. A fraction below 1 is a probability, too, also where all of
            the vessel has the same.
    """
    array = _plane(mask, shape, where)
    vessel = array != 0
    if array.dtype.kind != "b":
        values = array[vessel]
        if array.dtype.kind == "f" and not np.isfinite(values).all():
            raise LabelError(f"{where} has values that are not finite (NaN or infinity): threshold it first.")
        if values.size and (values != values[0]).any():
            raise LabelError(f"{where} has more than one value beside 0: threshold it, so that only vessel is not 0.")
        if array.dtype.kind == "f" and ((values > 0) & (values < 1)).any():
            raise LabelError(f"{where} holds fractions, like a probability: threshold it first.")
    return vessel


def as_class_mask(
    mask: ArrayLike, classes: Sequence[LabelClass], shape: tuple[int, ...] | None = None, where: str = "The mask"
) -> ClassMask:
    """Return a mask as class values, uint8 (H, W).

    Args:
        mask: (H, W) of any real type. Of one class: 0 and at most one other value, which is that class. Of several:
            0 and their values, where 255 stands for the class of the smallest value, as does True.
        classes: in the order of their values.
        shape: The frame's (H, W); None = any.
        where: What a message calls it.

    Raises:
        LabelError: another shape, a value of no class; of one class, as `as_mask`.
    """
    array, first = np.asarray(mask), np.uint8(classes[0].value)
    if len(classes) == 1 or array.dtype == bool:
        return as_mask(array, shape, where).astype(np.uint8) * first
    array = _plane(array, shape, where)
    strange = array[~np.isin(array, [0, 255, *(one.value for one in classes)])]
    if strange.size:
        named = ", ".join(f"{one.value} {one.name}" for one in classes)
        raise LabelError(f"{where} has the value {strange[0]:g}, which is of no class ({named}): draw it with these.")
    return np.where(array == 255, first, array.astype(np.uint8))


def mask_sha256(mask: ClassMask, classes: Sequence[LabelClass]) -> str:
    """By what a mask is known again: `pixel_sha256` of class values; of bool where there is none but the smallest.

    So further classes change nothing about the masks of one class.
    """
    first = classes[0].value
    return pixel_sha256(mask if ((mask != 0) & (mask != first)).any() else mask == first)


def pixel_sha256(image: NDArray[Any]) -> str:
    """SHA-256 (hex) of the line `<H>x<W> <dtype>` and the pixels, by rows, little-endian; bool as 0 and 1."""
    header = f"{image.shape[0]}x{image.shape[1]} {image.dtype.name}\n".encode()
    pixels = np.ascontiguousarray(image, image.dtype.newbyteorder("<"))
    return hashlib.sha256(header + pixels.tobytes()).hexdigest()


def frame_id(sha: str, frame_index: int | None) -> str:
    """The id of a frame by its `pixel_sha256` and its index in its run: it tells nobody's name."""
    return hashlib.sha256(f"{sha} {frame_index}".encode()).hexdigest()[:16]


def checked_frame(frame: ArrayLike) -> NDArray[Any]:
    """A frame as a label set keeps it: (H, W) uint8 or uint16.

    Raises:
        LabelError: another shape or type.
    """
    array = np.asarray(frame)
    if array.ndim != 2 or not array.size:
        raise LabelError(f"The frame has the shape {array.shape}: give one grey frame (H, W) with pixels in it.")
    if array.dtype.name not in ("uint8", "uint16"):
        raise LabelError(f"The frame is of type {array.dtype}: store what was shown, as `Angiogram.stored` gives it.")
    return array


def _plane(mask: ArrayLike, shape: tuple[int, ...] | None, where: str) -> NDArray[Any]:
    """A mask as an array (H, W) of numbers."""
    array = np.asarray(mask)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf":
        raise LabelError(
            f"{where} has the shape {array.shape} and type {array.dtype}: give one plane (H, W) of numbers."
        )
    if shape is not None and array.shape != shape:
        raise LabelError(
            f"{where} is {array.shape[0]}×{array.shape[1]} and its frame {shape[0]}×{shape[1]}: draw it on that frame."
        )
    return array
