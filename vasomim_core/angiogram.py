"""Any file a frame of an angiogram may come in, read as frames (t, y, x), one at a time.

    angiogram = read_angiogram("run.dcm")
    angiogram.frames[75]           # the 76th frame alone is read from the disk and decoded

Every frame is grey, and contrast-filled vessels are dark in it, however the file stores them.
"""

from __future__ import annotations

import logging
import math
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, TIFF, TiffFile, TiffPage

from vasomim_core.dicom import is_dicom, patient_group, read_dicom
from vasomim_core.errors import CodecError, InputError, VasoMIMError

__all__ = ["Angiogram", "Frames", "find_angiograms", "patient_group", "read_angiogram", "to_uint8"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".dcm"})
KINDS = "PNG, JPEG, TIFF, NPY and DICOM"
# Where Pillow stops trusting a header; held to in every format: a forged size must not exhaust the memory.
MAX_PIXELS = 178_956_970

# ITU-R BT.601, the weights that Pillow uses.
_LUMINANCE = np.array([0.299, 0.587, 0.114])

_PILLOW_DECODES = frozenset(
    {
        COMPRESSION.NONE,
        COMPRESSION.CCITTRLE,
        COMPRESSION.CCITT_T4,
        COMPRESSION.CCITT_T6,
        COMPRESSION.LZW,
        COMPRESSION.JPEG,
        COMPRESSION.ADOBE_DEFLATE,
        COMPRESSION.DEFLATE,
        COMPRESSION.PACKBITS,
    }
)

# A broken TIFF gets one sentence from us; tifffile's own log lines would repeat it on stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class Frames:
    """A read-only stack of frames (t, y, x) on disk; indexing decodes just the frames that it names.

    It is array-like: napari shows it as it is, and `numpy.asarray` decodes the whole of it. The first index
    picks frames (an integer, slice, list or boolean mask), further ones index within them. Each frame is a
    fresh array that the caller may change. No file is held open, so that threads and processes may share it.

    Attributes:
        shape: (frames, rows, columns), each at least 1.
        dtype: uint8, uint16, int16 or float32.
        ndim: 3.
    """

    ndim = 3

    def __init__(
        self, read: Callable[[int], NDArray[Any]], shape: tuple[int, int, int], dtype: DTypeLike, source: Path
    ) -> None:
        """Describe a stack.

        Args:
            read: Decodes one frame (y, x), or (y, x, 3|4) in colour, from its 0-based index.
            shape: (frames, rows, columns).
            dtype: Type of the values that `read` returns.
            source: The file, for messages.

        Raises:
            InputError: no pixels, more than 178,956,970 in a frame, or values that are no grey levels.
        """
        self.shape = shape
        self.dtype = _grey_dtype(np.dtype(dtype), source)
        self._read = read
        self._source = source
        if min(shape) < 1:
            raise InputError(f"{source} holds no pixels (shape {shape}): export it again.")
        if shape[1] * shape[2] > MAX_PIXELS:
            raise InputError(
                f"{source} has frames of {shape[1]}×{shape[2]} pixels, beyond the limit of {MAX_PIXELS:,}: "
                "crop it first."
            )

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
        try:
            frame = _to_grey(self._read(index))
        except (VasoMIMError, MemoryError):
            raise
        except Exception:
            # `from None`: a decoder's message may quote what it read.
            raise InputError(f"{where} is truncated or damaged: copy or export the file again.") from None
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
        frame_time_ms: Time between two frames in ms.
        angles: (primary, secondary) C-arm angle in degrees, positive towards LAO and CRA.
        window: (centre, width) of the display window, in the grey levels of `frames`.
        inverted: The file stores vessels bright (MONOCHROME1, or TIFF's white-is-zero), and `frames` has them
            inverted over the stored range, so that vessels are dark like everywhere else.
    """

    frames: Frames
    source: Path
    spacing: tuple[float, float] | None = None
    frame_time_ms: float | None = None
    angles: tuple[float, float] | None = None
    window: tuple[float, float] | None = None
    inverted: bool = False


def read_angiogram(path: Path | str) -> Angiogram:
    """Open a frame or a run; the kind of file is told by its content, not by its name.

    - PNG, JPEG: one frame, decoded at once. Colour becomes luminance (BT.601) and alpha is ignored.
    - TIFF: each page is a frame. Pages in colour become luminance.
    - NPY: (y, x) or (t, y, x), memory-mapped.
    - DICOM: see `vasomim_core.dicom.read_dicom`. Rescale slope and intercept are applied, giving float32.

    Values keep their type (uint8, uint16, int16, float32). Bits become 0 and 255, int8 becomes int16, and
    wider numbers float32.

    Args:
        path: The file.

    Raises:
        CodecError: the compression needs a package that is not installed.
        InputError: missing, empty, of an unknown kind, truncated or damaged. What only decoding can find out
            is raised when a frame is taken out of `frames`.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            head = file.read(132)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the path.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder: choose a file in it.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions.") from None
    if not head:
        raise InputError(f"{path} is empty: copy or export it again.")
    try:
        # DICOM first: its preamble may make the same file a TIFF.
        if head[128:] == b"DICM":
            return _from_dicom(path)
        if head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
            return _from_still(path)
        if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
            return _from_tiff(path)
        if head.startswith(b"\x93NUMPY"):
            return _from_npy(path)
        if is_dicom(path):
            return _from_dicom(path)
    except (VasoMIMError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{path} announces more than {MAX_PIXELS:,} pixels: crop it first.") from None
    except Exception:
        raise InputError(f"{path} is truncated or damaged: copy or export it again.") from None
    raise InputError(f"{path} is of an unknown kind: {KINDS} files can be read.")


def find_angiograms(path: Path | str) -> list[Path]:
    """List the readable files of a folder and the folders in it, or the one file given.

    Args:
        path: A file or folder. In a folder, hidden files and folders are skipped, and so is any file that has
            none of the suffixes .png, .jpg, .jpeg, .tif, .tiff, .npy, .dcm and is not DICOM by its content.

    Returns:
        The paths in natural order: 2.png before 10.png.

    Raises:
        InputError: the path is missing, or nothing readable was found.
    """
    path = Path(path)
    if path.is_file():
        if not _is_readable(path):
            raise InputError(f"{path} is of an unknown kind: {KINDS} files can be read.")
        return [path]
    if not path.is_dir():
        raise InputError(f"{path} does not exist: check the path.")
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    found = sorted(filter(_is_readable, found), key=_natural)
    if not found:
        raise InputError(f"{path} holds no angiogram: put {KINDS} files there.")
    return found


def stem(path: Path) -> str:
    """The name of a file without its suffix, where it has a known one: DICOM exports are named by numbers with dots."""
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def to_uint8(frame: ArrayLike, window: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """Map grey levels to 0-255, as shown to a person and fed to the engine.

    Args:
        frame: Grey frame (H, W) of any real type.
        window: (centre, width) of the linear window function of DICOM (PS3.3 C.11.2.1.2.1). Without one, the
            0.5th and 99.5th percentile become 0 and 255, or the extremes where these two are equal.

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
    values = frame.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("The frame has values that are not finite (NaN or infinity): replace them first.")
    if window is not None:
        centre, width = window
        if not (math.isfinite(centre) and 1 <= width < math.inf):
            raise InputError(
                f"The window (centre {centre:g}, width {width:g}) is not usable: give a width of at least 1."
            )
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
        if low == high:
            return np.where(values > low, 255, 0).astype(np.uint8)
    else:
        low, high = (float(level) for level in np.percentile(values, (0.5, 99.5)))
        if low == high:
            low, high = float(values.min()), float(values.max())
        if low == high:
            return np.zeros(frame.shape, np.uint8)
    return np.rint((np.clip(values, low, high) - low) * (255 / (high - low))).astype(np.uint8)


def _from_dicom(path: Path) -> Angiogram:
    image = read_dicom(path)
    return Angiogram(
        frames=Frames(image.frame, image.shape, image.dtype, path),
        source=path,
        spacing=image.spacing,
        frame_time_ms=image.frame_time_ms,
        angles=image.angles,
        window=image.window,
        inverted=image.inverted,
    )


def _from_still(path: Path) -> Angiogram:
    with Image.open(path, formats=("PNG", "JPEG")) as image:
        frame = _pillow_grey(image)
    if frame.dtype == np.int32:
        frame = frame.astype(np.uint16)  # Pillow's mode I; PNG has 16 bits at most
    return Angiogram(Frames(partial(_only, frame), (1, *frame.shape), frame.dtype, path), path)


def _only(frame: NDArray[Any], index: int) -> NDArray[Any]:
    return frame


def _pillow_grey(image: Image.Image) -> NDArray[Any]:
    """Decode the current page of a Pillow image as grey; modes I and F keep their depth."""
    if image.mode.startswith(("I", "F")):
        return np.asarray(image)
    return np.asarray(image.convert("RGB").convert("L") if image.mode == "CMYK" else image.convert("L"))


def _from_npy(path: Path) -> Angiogram:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim not in (2, 3):
        raise InputError(f"{path} has {array.ndim} axes: save it as (y, x) or (t, y, x).")
    if array.ndim == 3 and array.shape[2] in (3, 4):
        raise InputError(
            f"{path} has the shape {array.shape} of a colour image: save it in grey, as (y, x) or (t, y, x)."
        )
    shape = array.shape if array.ndim == 3 else (1, *array.shape)
    return Angiogram(Frames(partial(_npy_frame, path), shape, array.dtype, path), path)


def _npy_frame(path: Path, index: int) -> NDArray[Any]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array[index] if array.ndim == 3 else array


def _from_tiff(path: Path) -> Angiogram:
    with TiffFile(path) as tif:
        page, series = tif.pages.first, tif.series[0]
        axes = series.axes
        if series.kind == "shaped" and "S" in axes[:-1]:
            # Unless told otherwise, tifffile writes a stack of three or four uint8 frames as colour planes.
            axes = axes.replace("S", "Q")
        rows, columns = (series.shape[axes.index(axis)] for axis in "YX")
        count = math.prod(n for n, axis in zip(series.shape, axes, strict=True) if axis not in "YXS")
        shape = (count, rows, columns)
        read: Callable[[int], NDArray[Any]]
        if len(tif.series) > 1:
            raise InputError(f"{path} has pages of different sizes or types: save them as separate files.")
        if series.dataoffset is not None and "S" not in axes:
            stored = series.dtype.newbyteorder(tif.byteorder)
            read = partial(_block_frame, path, series.dataoffset, stored, rows, columns)
            end = series.dataoffset + series.size * stored.itemsize
        elif count % len(tif.pages) == 0:
            last, planes = tif.pages[-1], count // len(tif.pages)
            read = partial(_tiff_reader(path, page, planes), path, planes)
            end = max(start + size for start, size in zip(last.dataoffsets, last.databytecounts, strict=True))
        else:
            raise InputError(f"{path} does not store one frame to a page: save it as a plain multi-page TIFF.")
        if end > tif.filehandle.size or not _page_list_ends(tif):
            raise InputError(f"{path} is truncated: it ends before its last frame does, so copy or export it again.")
        inverted = page.photometric == PHOTOMETRIC.MINISWHITE
        # Pillow inverts white-is-zero itself, but only up to 8 bits.
        if inverted and not (read.func is _pillow_page and page.bitspersample <= 8):
            read = partial(_inverted, read)
        return Angiogram(Frames(read, shape, series.dtype, path), path, inverted=inverted)


def _page_list_ends(tif: TiffFile) -> bool:
    """Tell whether the linked list of pages ends in the file: a truncated file would just seem shorter."""
    tiff, handle = tif.tiff, tif.filehandle
    handle.seek(tif.pages[-1].offset)
    (tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    handle.seek(tags * tiff.tagsize, os.SEEK_CUR)
    return not any(handle.read(tiff.offsetsize))


def _tiff_reader(path: Path, page: TiffPage, planes: int) -> Callable[[Path, int, int], NDArray[Any]]:
    """Choose who decodes the pages: tifffile, or Pillow for what tifffile needs imagecodecs for."""
    try:
        TIFF.DECOMPRESSORS[page.compression]
        TIFF.UNPREDICTORS[page.predictor]
        if page.photometric != PHOTOMETRIC.PALETTE and page.bitspersample in (1, 8, 16, 32, 64):
            return _tifffile_page
    except KeyError:
        pass
    try:
        if page.compression in _PILLOW_DECODES and planes == 1:
            with Image.open(path, formats=("TIFF",)):
                return _pillow_page
    except Image.UnidentifiedImageError:
        pass
    raise CodecError(
        f"{path} is compressed as {page.compression.name} with {page.bitspersample} bits: "
        "install the package imagecodecs to read it."
    )


def _block_frame(path: Path, offset: int, dtype: np.dtype[Any], rows: int, columns: int, index: int) -> NDArray[Any]:
    pixels = rows * columns
    block = np.fromfile(path, dtype, count=pixels, offset=offset + index * pixels * dtype.itemsize)
    return block.reshape(rows, columns)


def _tifffile_page(path: Path, planes: int, index: int) -> NDArray[Any]:
    with TiffFile(path) as tif:
        page = tif.pages[index // planes]
        frame = page.asarray()
    if planes > 1:
        return frame[index % planes]
    return np.moveaxis(frame, 0, -1) if page.axes == "SYX" else frame


def _pillow_page(path: Path, planes: int, index: int) -> NDArray[Any]:
    with Image.open(path, formats=("TIFF",)) as image:
        image.seek(index // planes)
        return _pillow_grey(image)


def _inverted(read: Callable[[int], NDArray[Any]], index: int) -> NDArray[Any]:
    frame = read(index)
    return ~frame if frame.dtype.kind in "bui" else frame.max() - frame


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


def _grey_dtype(dtype: np.dtype[Any], source: Path) -> np.dtype[Any]:
    """The type that frames of a stored type are given: uint8, uint16, int16 or float32."""
    if dtype.kind not in "biuf":
        raise InputError(
            f"{source} holds values of type {dtype}, which are no grey levels: save it as uint8 or uint16."
        )
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" or dtype.itemsize > 2:
        return np.dtype(np.float32)
    return np.dtype(np.int16) if dtype.kind == "i" else dtype.newbyteorder("=")


def _to_grey(frame: NDArray[Any]) -> NDArray[Any]:
    """Reduce (H, W, 1 or 2) to its grey channel and (H, W, 3 or 4) to luminance; bits become 0 and 255."""
    if frame.dtype == bool:
        frame = frame.astype(np.uint8) * 255
    if frame.ndim == 2:
        return frame
    if frame.shape[-1] < 3:
        return frame[..., 0]
    grey = frame[..., :3] @ _LUMINANCE
    return grey if frame.dtype.kind == "f" else np.rint(grey).astype(frame.dtype)


def _is_readable(path: Path) -> bool:
    if path.suffix.lower() in SUFFIXES:
        return True
    # A DICOMDIR is a table of contents: DICOM by its magic, but no image.
    return path.name.upper() != "DICOMDIR" and is_dicom(path)


def _natural(path: Path) -> tuple[list[list[Any]], str]:
    """Sort key: numbers inside names by value. Splitting alternates text and number, so that keys compare."""
    parts = [re.split(r"(\d+)", part.casefold()) for part in path.parts]
    return [[int(x) if i % 2 else x for i, x in enumerate(part)] for part in parts], str(path)
