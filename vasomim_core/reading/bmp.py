"""BMP: one frame, indexed or in colour."""

from __future__ import annotations

from pathlib import Path

from vasomim_core.reading.angiogram import Angiogram
from vasomim_core.reading.format import Format
from vasomim_core.reading.stills import read_still

_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})  # bytes in the headers that there have been


def knows(head: bytes) -> bool:
    """By its two letters, and by the size of a header that exists: many a text begins with BM."""
    return head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _HEADERS


def read(path: Path, alpha: bool) -> Angiogram:
    """Decode the picture."""
    return read_still(path, path, "BMP", alpha)


FORMAT = Format("BMP", (".bmp",), knows, read)
