"""PNG: one frame, grey or in colour, 1 to 16 bits."""

from __future__ import annotations

import io
import os
from pathlib import Path

from vasomim_core.errors import InputError
from vasomim_core.reading.angiogram import Angiogram, check_size
from vasomim_core.reading.format import Format
from vasomim_core.reading.stills import read_still

MAGIC = b"\x89PNG\r\n\x1a\n"
# Texts and colour profiles are left behind: decoders refuse the whole picture for a large one.
_PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"})


def read(path: Path, alpha: bool) -> Angiogram:
    """Decode the picture; of an animated one that which still viewers show."""
    return read_still(path, picture(path), "PNG", alpha)


def picture(path: Path) -> io.BytesIO:
    """A PNG file without the chunks (length, type, data, checksum) that are not the picture's.

    Raises:
        InputError: it is truncated, or announces too many pixels.
    """
    kept = io.BytesIO()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        kept.write(file.read(len(MAGIC)))
        kind = b""
        while kind != b"IEND":
            head = file.read(8)
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind not in _PICTURE and len(head) == 8:
                file.seek(length + 4, os.SEEK_CUR)
                continue
            chunk = file.read(min(length + 4, size))  # a forged length must not fill the memory
            if len(head) < 8 or len(chunk) < length + 4:
                raise InputError(f"{path} is truncated: it ends before its picture does, so copy or export it again.")
            if kind == b"IHDR":
                check_size(path, int.from_bytes(chunk[4:8], "big"), int.from_bytes(chunk[:4], "big"))
            kept.write(head + chunk)
    kept.seek(0)
    return kept


FORMAT = Format("PNG", (".png",), lambda head: head.startswith(MAGIC), read)
