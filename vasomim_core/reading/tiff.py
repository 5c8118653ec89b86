"""TIFF: one frame to a page, or many behind one (as ImageJ writes them), of any photometric interpretation in use."""

from __future__ import annotations

import importlib.util
import logging
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, TIFF, TiffFile, TiffPage, TiffPageSeries

from vasomim_core.errors import CodecError, InputError
from vasomim_core.reading.angiogram import Angiogram, Frames, check_size
from vasomim_core.reading.format import Format
from vasomim_core.reading.stills import alpha_of, pixels_of

Read = Callable[[int], NDArray[Any]]

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
_GREY = frozenset({PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK})
# Pillow turns these into RGB; tifffile gives their stored values.
_CONVERTED = frozenset({PHOTOMETRIC.SEPARATED, PHOTOMETRIC.YCBCR})
_ALPHA = frozenset({1, 2})  # ExtraSamples: associated and unassociated alpha
_WHOLE_BITS = frozenset({1, 8, 16, 32, 64})

# A broken TIFF gets one sentence from us; tifffile's own log lines would repeat it on stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class _Part:
    """Frames of one size and type that are stored in one way.

    Attributes:
        shape: (rows, columns), upright.
        dtype: Of the frames.
        pages: For each frame the page in the file that it belongs to.
        read: Decodes one of them by its number in here.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    pages: list[int]
    read: Read


def read(path: Path, alpha: bool) -> Angiogram:
    """Look through the pages; none is decoded yet."""
    with TiffFile(path) as tif:
        _check_page_list(path, tif)
        page = tif.pages.first
        parts = [_part(path, tif, series, alpha) for series in tif.series]
    first = parts[0]
    if any((part.shape, part.dtype) != (first.shape, first.dtype) for part in parts):
        raise InputError(f"{path} has pages of different sizes or types: save them as separate files.")
    order = sorted((page, part, frame) for part, found in enumerate(parts) for frame, page in enumerate(found.pages))
    frame = partial(_frame, [part.read for part in parts], [(part, frame) for _, part, frame in order])
    return Angiogram(
        Frames(frame, (len(order), *first.shape), first.dtype, path, from_file=True),
        path,
        inverted=page.photometric == PHOTOMETRIC.MINISWHITE,
        has_alpha=_alpha_channel(page) is not None,
    )


def _frame(parts: list[Read], places: list[tuple[int, int]], index: int) -> NDArray[Any]:
    part, frame = places[index]
    return parts[part](frame)


def _part(path: Path, tif: TiffFile, series: TiffPageSeries, alpha: bool) -> _Part:
    """What tifffile holds together: often all pages, or each for itself where they were written page by page."""
    page, axes = series.keyframe, series.axes
    if series.kind == "shaped" and "S" in axes[:-1]:
        # Unless told otherwise, tifffile writes a stack of three or four uint8 frames as colour planes.
        axes = axes.replace("S", "Q")
    rows, columns = (series.shape[axes.index(axis)] for axis in "YX")
    check_size(path, rows, columns)
    count = math.prod(n for n, axis in zip(series.shape, axes, strict=True) if axis not in "YXS")
    pages = [int(stored.index) for stored in series.pages if stored is not None]
    if count % len(pages):
        raise InputError(f"{path} does not store one frame to a page: save it as a plain multi-page TIFF.")
    planes = count // len(pages)
    orientation = int(page.tags.valueof("Orientation", default=1))
    reader, upright = _reader(path, page, planes, alpha)
    if series.dataoffset is not None and "S" not in axes and reader is _tifffile_page:
        stored = series.dtype.newbyteorder(tif.byteorder)
        decode: Read = partial(_block_frame, path, series.dataoffset, stored, rows, columns)
        end = series.dataoffset + series.size * stored.itemsize
    else:
        decode = partial(reader, path, pages, planes)
        ends = (zip(stored.dataoffsets, stored.databytecounts, strict=True) for stored in series.pages)
        end = max(start + size for segments in ends for start, size in segments)
    if end > tif.filehandle.size:
        raise _truncated(path)
    dtype = series.dtype
    if page.photometric == PHOTOMETRIC.PALETTE:
        dtype = np.dtype(np.uint8)
    if alpha and (channel := _alpha_channel(page)) is not None:
        decode = partial(_channel, decode, 0 if reader is _pillow_alpha else channel)
    elif page.photometric == PHOTOMETRIC.PALETTE and reader is _tifffile_page:
        decode = partial(_coloured, decode, path, pages, planes)
    elif page.photometric == PHOTOMETRIC.MINISWHITE and not (upright and page.bitspersample <= 8):
        decode = partial(_inverted, decode)  # Pillow does so itself, but only up to 8 bits
    if not upright and orientation != 1:
        decode = partial(_turned, decode, orientation)
    shape = (columns, rows) if orientation in (5, 6, 7, 8) else (rows, columns)
    return _Part(shape, dtype, [page for page in pages for _ in range(planes)], decode)


def _reader(path: Path, page: TiffPage, planes: int, alpha: bool) -> tuple[Callable[..., NDArray[Any]], bool]:
    """Choose who decodes the pages, and tell whether what comes out is turned upright already.

    tifffile decodes what it can; Pillow what tifffile needs imagecodecs for, and other colours than RGB.
    """
    if page.photometric not in _GREY | _CONVERTED | {PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE}:
        name = getattr(page.photometric, "name", page.photometric)
        raise InputError(f"{path} stores its pixels as {name}: convert it to grey or RGB.")
    whole = page.bitspersample in _WHOLE_BITS or importlib.util.find_spec("imagecodecs") is not None
    if page.photometric not in _CONVERTED and whole and page.dtype is not None:
        try:
            TIFF.DECOMPRESSORS[page.compression]
            TIFF.UNPREDICTORS[page.predictor]
            return _tifffile_page, False
        except KeyError:
            pass
    try:
        if page.compression in _PILLOW_DECODES and planes == 1:
            with Image.open(path, formats=("TIFF",)):
                return (_pillow_alpha if alpha else partial(_pillow_page, page.dtype)), True
    except Image.UnidentifiedImageError:
        pass
    name = getattr(page.compression, "name", page.compression)
    if page.photometric in _CONVERTED:
        raise InputError(f"{path} stores its pixels as {page.photometric.name}: convert it to grey or RGB.")
    raise CodecError(
        f"{path} is compressed as {name} with {page.bitspersample} bits: install the package imagecodecs to read it."
    )


def _truncated(path: Path) -> InputError:
    return InputError(f"{path} is truncated: it ends before its last frame does, so copy or export it again.")


def _check_page_list(path: Path, tif: TiffFile) -> None:
    """Follow the linked list of pages to its end: a truncated file would seem shorter, and a loop never ends.

    Raises:
        InputError: it leaves the file, or comes back.
    """
    tiff, handle, seen = tif.tiff, tif.filehandle, set[int]()
    handle.seek(8 if tiff.is_bigtiff else 4)
    while link := handle.read(tiff.offsetsize):
        offset = int.from_bytes(link, "little" if tiff.byteorder == "<" else "big")
        if not offset:
            return
        if offset in seen:
            raise InputError(f"{path} is damaged: its pages lead back to an earlier one, so copy or export it again.")
        seen.add(offset)
        handle.seek(offset)
        tags = handle.read(tiff.tagnosize)
        if len(tags) < tiff.tagnosize:
            raise _truncated(path)
        end = offset + tiff.tagnosize + struct.unpack(tiff.tagnoformat, tags)[0] * tiff.tagsize
        if end > handle.size:
            raise _truncated(path)
        handle.seek(end)


def _alpha_channel(page: TiffPage) -> int | None:
    """The number of the alpha channel among the samples of a page; None without one."""
    alpha = [place for place, kind in enumerate(page.extrasamples or ()) if int(kind) in _ALPHA]
    return page.samplesperpixel - len(page.extrasamples) + alpha[0] if alpha else None


def _block_frame(path: Path, offset: int, dtype: np.dtype[Any], rows: int, columns: int, index: int) -> NDArray[Any]:
    pixels = rows * columns
    block = np.fromfile(path, dtype, count=pixels, offset=offset + index * pixels * dtype.itemsize)
    return block.reshape(rows, columns)


def _tifffile_page(path: Path, pages: list[int], planes: int, index: int) -> NDArray[Any]:
    with TiffFile(path) as tif:
        page = tif.pages[pages[index // planes]]
        frame = page.asarray()
    if planes > 1:
        return frame[index % planes]
    return np.moveaxis(frame, 0, -1) if page.axes == "SYX" else frame


def _pillow_page(dtype: np.dtype[Any] | None, path: Path, pages: list[int], planes: int, index: int) -> NDArray[Any]:
    with Image.open(path, formats=("TIFF",)) as image:
        image.seek(pages[index // planes])
        frame = pixels_of(image)
    # Pillow has fewer types than TIFF: int8 comes as uint8 and uint32 as int32, with the same bits.
    same_bits = frame.ndim == 2 and dtype is not None and frame.dtype.kind in "iu" and dtype.kind in "iu"
    return frame.astype(dtype) if same_bits else frame


def _pillow_alpha(path: Path, pages: list[int], planes: int, index: int) -> NDArray[Any]:
    with Image.open(path, formats=("TIFF",)) as image:
        image.seek(pages[index // planes])
        return alpha_of(image)[..., np.newaxis]


def _channel(read: Read, channel: int, index: int) -> NDArray[Any]:
    return read(index)[..., channel]


def _coloured(read: Read, path: Path, pages: list[int], planes: int, index: int) -> NDArray[np.uint8]:
    """Look indices up in the page's own colour map (3, n), of which programs take the upper 8 bits."""
    with TiffFile(path) as tif:
        colours = np.asarray(tif.pages[pages[index // planes]].colormap)
    return np.moveaxis((colours >> 8).astype(np.uint8)[:, read(index)], 0, -1)


def _inverted(read: Read, index: int) -> NDArray[Any]:
    frame = read(index)
    return ~frame if frame.dtype.kind in "bui" else frame.max() - frame


def _turned(read: Read, orientation: int, index: int) -> NDArray[Any]:
    """Turn a frame upright: the tag says where row 0 and column 0 are (TIFF 6.0, Orientation)."""
    frame = read(index)
    if orientation >= 5:
        frame = np.swapaxes(frame, 0, 1)
    if orientation in (3, 4, 7, 8):
        frame = frame[::-1]
    if orientation in (2, 3, 6, 7):
        frame = frame[:, ::-1]
    return frame


FORMAT = Format("TIFF", (".tif", ".tiff"), lambda head: head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")), read)
