"""Grey levels: the one way in which colour becomes grey, and grey levels become the 0-255 that the engine sees.

A label set knows a frame by these values, so that no other code may make them. Which of them a frame is seen at is
chosen in `levels`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from vasomim_core.errors import InputError

Window = tuple[float, float]
"""(centre, width) of the linear window function of DICOM (PS3.3 C.11.2.1.2.1), in grey levels."""

# ITU-R BT.601, in thousandths: whole numbers round alike on every machine.
_RED, _GREEN, _BLUE = 299, 587, 114
# A window that leaves fewer of a frame's pixels than this between black and white hides the picture. Collimators
# blacken up to two thirds of a frame, so that a sensible window leaves a third; one for other values leaves nothing.
LEAST_INSIDE = 0.05
_PERCENTILES = (0.5, 99.5)
_BLOCK = 1 << 20  # pixels converted at once, so that a large frame takes no multiple of its own memory


def to_grey(frame: ArrayLike) -> NDArray[Any]:
    """Reduce a frame of any real type to grey.

    Args:
        frame: (H, W), (H, W, 1 or 2) with grey first, or (H, W, 3 or 4) with red, green and blue first. A last
            channel of 2 or 4 is alpha and left out.

    Returns:
        (H, W) uint8, uint16, int16 or float32. Colour becomes luminance (BT.601), rounded half up for integers; bits
        become 0 and 255, int8 becomes int16, and wider numbers float32.

    Raises:
        InputError: another shape, or values that are no numbers.
    """
    frame = np.asarray(frame)
    dtype = grey_dtype(frame.dtype)
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and not 1 <= frame.shape[2] <= 4):
        raise InputError(
            f"A frame of shape {frame.shape} is neither grey (H, W) nor in colour (H, W, 3 or 4): "
            "save it as one of these."
        )
    if frame.dtype == bool:
        frame = frame.astype(np.uint8) * np.uint8(255)
    if frame.ndim == 3 and frame.shape[2] > 2:
        return _luminance(frame, dtype)
    return (frame if frame.ndim == 2 else frame[..., 0]).astype(dtype, copy=False)


def grey_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """The type of `to_grey`'s result for a stored type: uint8, uint16, int16 or float32.

    Raises:
        InputError: values of this type are no grey levels.
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "biuf":
        raise InputError(f"Values of type {dtype} are no grey levels: save them as uint8 or uint16.")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" or dtype.itemsize > 2:
        return np.dtype(np.float32)
    return np.dtype(np.int16) if dtype.kind == "i" else dtype.newbyteorder("=")


def to_uint8(frame: ArrayLike, window: Window | None = None) -> NDArray[np.uint8]:
    """Map grey levels to 0-255, as shown to a person and fed to the engine.

    Args:
        frame: Grey frame (H, W) of any real type.
        window: (centre, width) of the linear window function of DICOM. Without one, the 0.5th and 99.5th percentile
            become 0 and 255, or the extremes where these two are equal.

    Returns:
        (H, W) uint8. A uint8 frame is returned as it is, whatever the window; a constant one of another type,
        without a window, becomes zeros.

    Raises:
        InputError: not two-dimensional, empty, not finite, or a window narrower than 1.
    """
    frame = np.asarray(frame)
    if frame.ndim != 2 or not frame.size:
        raise InputError(f"A frame must be (H, W) with pixels in it, not of shape {frame.shape}: pass one grey frame.")
    if frame.dtype == np.uint8:
        return frame
    if frame.dtype.kind not in "biuf":
        raise InputError(f"A frame of type {frame.dtype} has no grey levels: pass integers or floating-point numbers.")
    if not np.isfinite(frame).all():
        raise InputError("The frame has values that are not finite (NaN or infinity): replace them first.")
    if window is not None:
        centre, width = window
        if not (math.isfinite(centre) and 1 <= width < math.inf):
            raise InputError(
                f"The window (centre {centre:g}, width {width:g}) is not usable: give a width of at least 1."
            )
        low, high = window_limits(window)
        if low == high:
            return np.where(frame > low, 255, 0).astype(np.uint8)
    else:
        low, high = percentiles(frame)
        if low == high:
            low, high = float(frame.min()), float(frame.max())
        if low == high:
            return np.zeros(frame.shape, np.uint8)
    grey = np.empty(frame.shape, np.uint8)
    for rows in _blocks(frame):
        levels = np.clip(frame[rows].astype(np.float64), low, high)
        grey[rows] = np.rint((levels - low) * (255 / (high - low)))
    return grey


def percentiles(frame: NDArray[Any]) -> tuple[float, float]:
    """The 0.5th and 99.5th percentile of a frame's values, as `numpy.percentile` gives them in double precision."""
    values = frame.reshape(-1)
    places = [share / 100 * (values.size - 1) for share in _PERCENTILES]
    ranks = sorted({rank for place in places for rank in (math.floor(place), math.ceil(place))})
    ordered = dict(zip(ranks, np.partition(values, ranks)[ranks].astype(np.float64), strict=True))
    low, high = (
        float(np.quantile((ordered[math.floor(place)], ordered[math.ceil(place)]), place - math.floor(place)))
        for place in places
    )
    return low, high


def window_limits(window: Window) -> tuple[float, float]:
    """The grey levels that a window shows black and white."""
    centre, width = window
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def limits_window(low: float, high: float) -> Window:
    """The window that shows these grey levels black and white; `low` is at most `high`."""
    return (low + high) / 2 + 0.5, high - low + 1


def hides(window: Window, frames: Iterable[NDArray[Any]]) -> bool:
    """Whether a window clips nearly all pixels (more than 95 %) of each of these frames to black or white."""
    low, high = window_limits(window)
    return all(np.count_nonzero((frame >= low) & (frame <= high)) < LEAST_INSIDE * frame.size for frame in frames)


def _luminance(colour: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    grey = np.empty(colour.shape[:2], dtype)
    wide = np.float64 if dtype.kind == "f" else np.int64
    for rows in _blocks(grey):
        red, green, blue = (colour[rows, :, channel].astype(wide) for channel in range(3))
        total = _RED * red + _GREEN * green + _BLUE * blue
        grey[rows] = total / 1000 if dtype.kind == "f" else (total + 500) // 1000
    return grey


def _blocks(frame: NDArray[Any]) -> Iterator[slice]:
    """Slices of rows that cover a frame, of about a million pixels each."""
    step = max(1, _BLOCK // max(1, frame.shape[1]))
    return (slice(start, start + step) for start in range(0, frame.shape[0], step))
