"""JPEG: one frame of 8 bits, grey or in colour."""

from __future__ import annotations

import struct
from pathlib import Path

from vasomim_core.errors import InputError
from vasomim_core.reading.angiogram import Angiogram
from vasomim_core.reading.dicom.codestream import jpeg_frame
from vasomim_core.reading.format import Format
from vasomim_core.reading.stills import read_still

# Start-of-frame markers of Huffman-coded baseline, extended and progressive JPEG (ISO 10918-1, table B.1).
_USUAL = frozenset({0xC0, 0xC1, 0xC2})


def read(path: Path, alpha: bool) -> Angiogram:
    """Decode the picture."""
    try:
        return read_still(path, path, "JPEG", alpha)
    except InputError:
        raise
    except Exception:
        try:
            marker, bits, _, _ = jpeg_frame(path.read_bytes())
        except (ValueError, struct.error):
            marker, bits = 0xC0, 8
        if bits == 8 and marker in _USUAL:
            raise
        raise InputError(
            f"{path} is a JPEG of a rare kind ({bits} bits, frame type {marker - 0xC0}) that cannot be decoded here: "
            "convert it to PNG."
        ) from None


FORMAT = Format("JPEG", (".jpg", ".jpeg"), lambda head: head.startswith(b"\xff\xd8\xff"), read)
