"""What counts as a mask, and by what the pixels of a frame or a mask are known again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vasomim_core.errors import LabelError
from vasomim_core.reading import read_angiogram
from vasomim_core.reading.finding import MASKS_ALPHA

Mask = NDArray[np.bool_]
"""(H, W), True = vessel."""
MOST_VESSEL = 0.5
"""Share of vessel above which a mask is taken for inverted; vessels cover a few percent of an angiogram."""
LEAST_VESSEL = 0.01
"""Share of vessel below which a model has found too little, perhaps since vessels are bright there: in 50 frames of
ARCADE's `val` vasomim-fast finds 2 % and more, in half of their negatives less than this."""


class Masks(Protocol):
    """The masks of a file of frames, one for each frame, each read or drawn when it is asked for."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Mask: ...


class MaskFile:
    """The masks in a file of any kind that `read_angiogram` knows, one a page: `Masks` that tell their `path`.

    Args:
        path: The file.
        alpha: The masks are its alpha channel, as drawing programs save them.

    Raises:
        InputError: the file is missing or damaged, or has no alpha channel where `alpha` asks for it. That a page is
            damaged may be found when it is asked for.
        LabelError: when it is asked for: a page is not a mask (see `as_mask`), or has an alpha channel that shows
            another mask than its colours, and nothing says which is meant.
    """

    def __init__(self, path: Path | str, alpha: bool = False):
        self.path = Path(path)
        self._opened = read_angiogram(path, alpha)
        self._two = self._opened.has_alpha and not alpha

    def __len__(self) -> int:
        return len(self._opened.frames)

    def __getitem__(self, index: int, /) -> Mask:
        page = self._opened.frames[index]
        if self._two:
            self._refuse_another_in_alpha(page, index)
        return as_mask(page, where=str(self.path))

    def _refuse_another_in_alpha(self, page: NDArray[Any], index: int) -> None:
        alpha = read_angiogram(self.path, alpha=True).frames[index]
        if alpha.min() != alpha.max() and not np.array_equal(page != 0, alpha != 0):
            raise LabelError(
                f"{self.path} has an alpha channel that shows another mask than its colours do: if alpha is meant, "
                f"rename the folder to {MASKS_ALPHA}; else save the masks without alpha."
            )


def read_mask(path: Path | str) -> Mask:
    """The mask in a file of one page; see `MaskFile`."""
    return MaskFile(path)[0]


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
        if array.dtype.kind == "f" and ((values > 0) & (values < 1)).any():
            raise LabelError(f"{where} holds fractions, like a probability: threshold it first.")
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
        raise LabelError(f"The frame is of type {array.dtype}: store what was shown, as `Angiogram.stored` gives it.")
    return array
