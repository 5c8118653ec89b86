"""NPY: one array that NumPy has saved, mapped into memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from vasomim_core.errors import InputError
from vasomim_core.reading.angiogram import Angiogram, Frames
from vasomim_core.reading.format import Format

_SAY = "save one frame as (y, x) and a run as (t, y, x)"


def read(path: Path, alpha: bool) -> Angiogram:
    """Map the array; a last axis of 1 or 2 is grey, or grey and alpha."""
    with open(path, "rb") as file:
        version = npy_format.read_magic(file)
        header = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        _, _, dtype = header(file)
    if dtype.hasobject:
        raise InputError(f"{path} holds Python objects, which are never read: save it as an array of numbers.")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "mmap" not in str(error):
            raise
        raise InputError(f"{path} is truncated: it ends before its array does, so copy or export it again.") from None
    channels = _channels(path, array.shape)
    shape = (1, *array.shape[:2]) if channels or array.ndim == 2 else array.shape
    frame = partial(_frame, path, (channels - 1 if alpha else 0) if channels else None)
    return Angiogram(Frames(frame, shape, array.dtype, path, from_file=True), path, has_alpha=channels == 2)


def _channels(path: Path, shape: tuple[int, ...]) -> int:
    """Number of channels of an array with axes (y, x, channel); 0 where it has none.

    Raises:
        InputError: it is in colour, or could be either.
    """
    if len(shape) not in (2, 3):
        raise InputError(f"{path} has {len(shape)} axes: {_SAY}.")
    if len(shape) == 2 or shape[2] > 4 or min(shape) < 1:
        return 0
    if shape[2] > 2:
        raise InputError(f"{path} has the shape {shape} of a colour image: save it in grey, as (y, x) or (t, y, x).")
    if shape[0] <= 4:
        raise InputError(
            f"{path} has the shape {shape}, which may be {shape[0]} narrow frames or one frame with {shape[2]} "
            f"channels: {_SAY}."
        )
    return shape[2]


def _frame(path: Path, channel: int | None, index: int) -> NDArray[Any]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if channel is not None:
        return array[..., channel]
    return array[index] if array.ndim == 3 else array


FORMAT = Format("NPY", (".npy",), lambda head: head.startswith(b"\x93NUMPY"), read)
