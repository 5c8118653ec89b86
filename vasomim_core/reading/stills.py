"""What Pillow decodes: one picture in grey or RGB, upright, with the alpha channel where that is asked for."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vasomim_core.errors import InputError
from vasomim_core.reading.angiogram import Angiogram, Frames, check_size
from vasomim_core.reading.grey import to_grey


def read_still(path: Path, source: Path | BinaryIO, kind: str, alpha: bool) -> Angiogram:
    """Decode a picture of one frame at once.

    Args:
        path: The file, for messages.
        source: The file, or its content.
        kind: Pillow's name of the format; no other is tried.
        alpha: Take the alpha channel instead of the picture.
    """
    try:
        image = Image.open(source, formats=(kind,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{path} announces too many pixels: crop it first.") from None
    with image:
        check_size(path, image.height, image.width)
        has_alpha = "A" in image.getbands() or "transparency" in image.info
        image.load()
        with contextlib.suppress(Exception):  # an orientation that cannot be read is none
            ImageOps.exif_transpose(image, in_place=True)
        pixels = alpha_of(image) if alpha and has_alpha else pixels_of(image)
    if pixels.dtype == np.int32:
        pixels = pixels.astype(np.uint16)  # Pillow's mode I; these formats have 16 bits at most
    frame = to_grey(pixels)
    return Angiogram(Frames(partial(_only, frame), (1, *frame.shape), frame.dtype, path), path, has_alpha=has_alpha)


def pixels_of(image: Image.Image) -> NDArray[Any]:
    """A picture as (H, W) in grey, with its depth, or as (H, W, 3) uint8 in RGB."""
    if image.mode in ("1", "L") or image.mode.startswith(("I", "F")):
        return np.asarray(image)
    return np.asarray(image.getchannel("L") if image.mode == "LA" else image.convert("RGB"))


def alpha_of(image: Image.Image) -> NDArray[np.uint8]:
    """The alpha channel (H, W) of a picture, also of one that has transparent colours."""
    return np.asarray(image.convert("RGBA").getchannel("A"))


def _only(frame: NDArray[Any], index: int) -> NDArray[Any]:
    return frame
