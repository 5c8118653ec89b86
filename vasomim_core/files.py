"""Files that are either wholly there or not there at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}(\.[^.]*)?")
"""Names that `atomic` gives."""


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an error.

    The temporary file keeps the suffix of `path`, is flushed to the disk before the rename, and is removed if
    the block fails: a crash or a full disk leaves the old file as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        with open(temporary, "r+b") as handle:  # Windows does not flush what is open for reading alone
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except Exception as error:
        # Libraries wrap a full disk in errors of their own.
        if not isinstance(error, OSError) and shutil.disk_usage(path.parent).free < 1 << 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield a new folder beside `path`, which is missing or empty; rename it to `path` when the block ends.

    If the block fails, or is broken off, the folder is removed with all that is in it.

    Raises:
        FileExistsError: `path` is there and not empty.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(errno.EEXIST, "it is not empty", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():  # and empty; Windows renames nothing onto it
            path.rmdir()
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def stamp(path: Path | str) -> tuple[int, int] | None:
    """(time of the last change in ns, size in bytes), by which a file is seen to have changed; None if it is gone."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


def is_special(path: Path) -> bool:
    """Whether a path is a named pipe, a socket or a device, which could keep a reader waiting forever."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def sweep(folder: Path, older_than: float) -> None:
    """Remove what writers that were killed left of `atomic` in a folder; what cannot be removed stays.

    Args:
        folder: may be missing; folders in it are left alone.
        older_than: seconds since the last change after which a temporary file is nobody's any more.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > older_than:
                        os.unlink(entry.path)


def open_ordinary(path: Path | str) -> BufferedReader:
    """Open a file for reading in bytes; what is no ordinary file is refused, for a named pipe would keep one waiting.

    Raises:
        OSError: it cannot be read, or is a folder, a pipe or a device.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def plain_name(name: str, otherwise: str) -> str:
    """A name that is one on every file system: what some refuse becomes "-", and an empty one `otherwise`."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:100] or otherwise


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic(path) as temporary:
        # Half of a character (a lone surrogate) has no UTF-8; as \udxxx it is JSON all the same.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_png(path: Path | str, image: NDArray[Any]) -> None:
    """Write an image (H, W) uint8 or uint16, or (H, W, 3) uint8 in RGB order, as PNG, atomically.

    Raises:
        OSError: the file could not be written (no space, no permission).
    """
    if image.ndim == 3:
        image = image[..., ::-1]
    ok, encoded = cv2.imencode(".png", np.ascontiguousarray(image))
    if not ok:
        raise OSError(f"could not encode an image of shape {image.shape} and type {image.dtype} as PNG")
    with atomic(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def write_masks(target: Path, masks: Iterable[NDArray[np.bool_]], count: int) -> Path:
    """Write masks as 0/255: one as PNG, several as one multi-page TIFF, a page at a time.

    Args:
        target: path without extension.
        masks: bool (H, W) each.
        count: how many there are.

    Returns:
        The path with its extension.
    """
    grey = (mask.astype(np.uint8) * 255 for mask in masks)
    if count > 1:
        return write_pages(target, grey)
    (page,) = grey
    path = target.with_name(target.name + ".png")
    write_png(path, page)
    return path


def write_pages(target: Path, pages: Iterable[NDArray[Any]]) -> Path:
    """Write 2-D pages to one TIFF (zlib), a page at a time, atomically.

    Args:
        target: path without extension.
        pages: (H, W) each, of one dtype.

    Returns:
        The path with its extension.
    """
    path = target.with_name(target.name + ".tif")
    for _ in passing_pages(path, pages, lambda page: page):
        pass
    return path


Item = TypeVar("Item")


def passing_pages(path: Path, items: Iterable[Item], page_of: Callable[[Item], NDArray[Any]]) -> Iterator[Item]:
    """Hand items on while a page of each is written to one TIFF, which appears when the last has passed."""
    import tifffile  # most who write files write no TIFF

    with atomic(path) as temporary, tifffile.TiffWriter(temporary) as tiff:
        for item in items:
            page = page_of(item)
            tiff.write(page, compression="zlib", contiguous=False, photometric="minisblack", metadata=None)
            yield item
