"""An angiogram as it is worked with: frames that stay on the disk until they are asked for, and what is known of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.files import stamp
from vasomim_core.reading.calibration import Calibration
from vasomim_core.reading.grey import Window, grey_dtype, hides, to_grey
from vasomim_core.reading.levels import AS_IN_THE_FILE, GreyLevels

MAX_PIXELS = 1 << 25
"""Most pixels in a frame, 33,554,432, twice those of the largest angiograms (4096 × 4096): a laptop survives it.

Measured at this limit: reading takes 0.2 GB in 16 bits and 0.5 GB in colour, the vesselness filter 1.7 GB.
"""


def check_size(path: Path, rows: int, columns: int) -> None:
    """Refuse a frame by its announced size, before any of it is decoded: a forged size must not fill the memory.

    Raises:
        InputError: no pixels, or more than `MAX_PIXELS`.
    """
    if min(rows, columns) < 1:
        raise InputError(f"{path} holds no pixels (its frames are {rows}×{columns}): export it again.")
    if rows * columns > MAX_PIXELS:
        raise InputError(
            f"{path} has frames of {rows}×{columns} pixels, beyond the limit of {MAX_PIXELS:,}: crop it first."
        )


class Frames:
    """A read-only stack of frames (t, y, x) on disk; indexing decodes just the frames that it names.

    It is array-like: napari shows it as it is, and `numpy.asarray` decodes the whole of it. The first index
    picks frames (an integer, slice, list or boolean mask), further ones index within them. Each frame is a
    fresh array that the caller may change. No file is held open, so that threads and processes may share it.

    Attributes:
        shape: (frames, rows, columns), each at least 1.
        dtype: uint8, uint16, int16 or float32.
        ndim: 3.
        from_file: Indexing goes to the file; else it was decoded when it was opened.
    """

    ndim = 3

    def __init__(
        self,
        read: Callable[[int], NDArray[Any]],
        shape: tuple[int, int, int],
        dtype: DTypeLike,
        source: Path,
        from_file: bool = False,
    ) -> None:
        """Describe a stack.

        Args:
            read: Decodes one frame (y, x), or (y, x, 3|4) in colour, from its 0-based index.
            shape: (frames, rows, columns).
            dtype: Type of the values that `read` returns.
            source: The file, for messages.
            from_file: `read` goes to `source` each time; once that file has changed, frames are refused: they would
                be those of another angiogram.

        Raises:
            InputError: no frames, no pixels, more than `MAX_PIXELS` in a frame, or values that are no grey levels.
        """
        self.shape = shape
        try:
            self.dtype = grey_dtype(dtype)
        except InputError as error:
            raise InputError(f"{source} cannot be used. {error}") from None
        self._read = read
        self._source = source
        self.from_file = from_file
        self._stamp = stamp(source) if from_file else None
        if shape[0] < 1:
            raise InputError(f"{source} holds no frames: export it again.")
        check_size(source, *shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """Number of pixels in all frames."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        return f"Frames(shape={self.shape}, dtype={self.dtype})"

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self._frame(index) for index in range(len(self)))

    def __getitem__(self, key: Any) -> NDArray[Any]:
        first, *rest = _expand(key)
        picked = np.arange(len(self))[first]
        if picked.ndim == 0:
            return self._frame(int(picked))[tuple(rest)]
        stack = np.empty((len(picked), *self.shape[1:]), self.dtype)
        for place, index in enumerate(picked):
            stack[place] = self._frame(int(index))
        return stack[(slice(None), *rest)]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("frames are decoded from a file: an array of them is always a copy")
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def _frame(self, index: int) -> NDArray[Any]:
        where = f"Frame {index} of {self._source}"
        if self._stamp is not None and stamp(self._source) != self._stamp:
            raise InputError(f"{where} is not there any more: the file has changed since it was opened; open it again.")
        try:
            frame = to_grey(self._read(index))
        except VasoMIMError:
            raise
        except MemoryError:
            raise InputError(f"{where} needs more memory than there is: close other programs, or crop it.") from None
        except Exception:
            # `from None`: a decoder's message may quote what it read.
            raise InputError(
                f"{where} cannot be decoded: the file is damaged, or encoded in a way that is not known here; "
                "copy or export it again."
            ) from None
        if frame.shape != self.shape[1:]:
            raise InputError(f"{where} has another size than the file announces: export the file again.")
        frame = np.array(frame, dtype=self.dtype, order="C")
        if frame.dtype.kind == "f" and not np.isfinite(frame).all():
            raise InputError(f"{where} has values that are not finite (NaN or infinity): replace them first.")
        return frame


@dataclass(frozen=True)
class Angiogram:
    """A single frame or a cine run, and what its file says about how it was taken. It names nobody.

    Attributes:
        frames: The frames (t, y, x), decoded when asked for.
        source: The path it was read from.
        spacing: Imager pixel spacing (row, column) in mm **at the detector**. These are not millimetres of
            the patient, whom the beam magnifies by an unknown factor: measure in pixels until calibrated.
        calibration: All that the file says of the size of its pixels; `measures.scale_of` makes a scale of it, or none.
        frame_time_ms: Time between two frames in ms.
        angles: (primary, secondary) C-arm angle in degrees, positive towards LAO and CRA.
        stated_window: (centre, width) of the file's display window, in the grey levels of `frames`; advice, which
            `window` takes or sets aside.
        inverted: The file stores vessels bright (MONOCHROME1, or TIFF's white-is-zero), and `frames` has them
            inverted over the stored range, so that vessels are dark like everywhere else.
        has_alpha: The file has an alpha channel, which `frames` leave out; `read_angiogram(path, alpha=True)` reads it.
    """

    frames: Frames
    source: Path
    spacing: tuple[float, float] | None = None
    frame_time_ms: float | None = None
    angles: tuple[float, float] | None = None
    stated_window: Window | None = None
    inverted: bool = False
    has_alpha: bool = False
    calibration: Calibration | None = None

    def grey(self, index: int, levels: GreyLevels = AS_IN_THE_FILE) -> NDArray[np.uint8]:
        """A frame as the engine sees it.

        Args:
            index: Which frame, from 0.
            levels: What a person says of its grey levels. Without a window there, that of the file is taken.

        Returns:
            uint8 (H, W), vessels dark.

        Raises:
            InputError: The frame cannot be decoded, or the window is unusable.
        """
        return levels.or_window(self.window).grey(self.frames[index])

    def stored(self, index: int, levels: GreyLevels = AS_IN_THE_FILE) -> NDArray[Any]:
        """A frame as a label set keeps it, and knows it by: uint8 or uint16 (H, W); otherwise like `grey`."""
        return levels.or_window(self.window).stored(self.frames[index])

    @cached_property
    def window(self) -> Window | None:
        """The display window, unless there is none or it hides the picture (see `grey.hides`).

        The first, middle and last frame are decoded to find out, once; what cannot be decoded is passed over.
        """
        if self.stated_window is None:
            return None
        sample = []
        for index in sorted({0, len(self.frames) // 2, len(self.frames) - 1}):
            try:
                sample.append(self.frames[index])
            except VasoMIMError:
                continue
        return None if sample and hides(self.stated_window, sample) else self.stated_window

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should be told about the file, one sentence each; decodes like `window`."""
        if self.window == self.stated_window:
            return ()
        centre, width = self.stated_window or (0, 0)
        return (
            f"The display window that {self.source} states (centre {centre:g}, width {width:g}) hides the picture and "
            "is set aside: its grey levels are spread between black and white instead.",
        )


def _expand(key: Any) -> tuple[Any, ...]:
    """Write an index of a 3-D array as a tuple that starts with the index of the frame."""
    keys = key if isinstance(key, tuple) else (key,)
    places = [place for place, part in enumerate(keys) if part is Ellipsis]
    if len(keys) - len(places) > Frames.ndim or len(places) > 1:
        raise IndexError(f"too many indices: frames have {Frames.ndim} axes (t, y, x)")
    if places:
        filler = (slice(None),) * (Frames.ndim + 1 - len(keys))
        keys = (*keys[: places[0]], *filler, *keys[places[0] + 1 :])
    return keys or (slice(None),)
