"""The elements of a DICOM file as a stream, whether they are deflated or not."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.filereader import data_element_generator
from pydicom.uid import DeflatedExplicitVRLittleEndian

from vasomim_core.errors import InputError
from vasomim_core.files import is_special

MOST_INFLATED = 1 << 29
"""Bytes that a deflated file may hold, 512 MB: it cannot be read frame by frame and stays in memory."""
_CHUNK = 1 << 20


@contextmanager
def data_set(path: Path) -> Iterator[BinaryIO]:
    """Open a DICOM file at its beginning; of a deflated one (PS3.5, A.5) what it holds, without meta information.

    What `tell` gives stays true in another call, as long as the file is the same.

    Raises:
        InputError: it inflates to more than `MOST_INFLATED`.
    """
    with open(path, "rb") as file:
        start = _deflated_from(file)
        if start is None:
            file.seek(0)
            yield file
            return
        state = os.fstat(file.fileno())
    yield io.BytesIO(_inflated(path, start, (state.st_size, state.st_mtime_ns)))


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM: `DICM` at byte 128, or the suffix .dcm."""
    if is_special(path):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM" or path.suffix.lower() == ".dcm"
    except OSError:
        return False


def _deflated_from(file: BinaryIO) -> int | None:
    """Where deflated data begins; None if there is none."""
    if file.read(132)[128:] != b"DICM":
        return None

    def ends(tag: Any, vr: str | None, length: int) -> bool:
        return tag.group != 2

    try:
        meta = {
            int(element.tag): element.value for element in data_element_generator(file, False, True, stop_when=ends)
        }
    except Exception:
        return None  # the parser of the whole will say what is wrong
    syntax = bytes(meta.get(0x00020010) or b"").rstrip(b"\0 ").decode("ascii", "replace")
    return file.tell() if syntax == DeflatedExplicitVRLittleEndian else None


@lru_cache(maxsize=1)
def _inflated(path: Path, start: int, state: tuple[int, int]) -> bytes:
    """The deflated part of a file; `state` tells whether it is still the same file."""
    inflater, inflated = zlib.decompressobj(-zlib.MAX_WBITS), io.BytesIO()
    with open(path, "rb") as file:
        file.seek(start)
        while not inflater.eof and (chunk := inflater.unconsumed_tail or file.read(_CHUNK)):
            inflated.write(inflater.decompress(chunk, _CHUNK))
            if inflated.tell() > MOST_INFLATED:
                raise InputError(
                    f"{path} is a deflated DICOM file of more than {MOST_INFLATED >> 20} MB: "
                    "inflate it first, for example with dcmconv of DCMTK."
                )
    return inflated.getvalue()
