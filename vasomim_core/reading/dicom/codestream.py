"""Compressed frames in a DICOM file: where they lie, and what their own headers say."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom.encaps import parse_basic_offsets, parse_fragments

from vasomim_core.errors import InputError

_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_START_OF_SCAN = 0xDA


def frame_offsets(
    path: Path, file: BinaryIO, size: int, frames: int, extended: tuple[bytes, bytes] | None
) -> tuple[list[int], list[int]] | None:
    """Find where each encapsulated frame lies, and that the last of them is whole.

    Returns:
        Offsets and lengths in bytes in the manner of an extended offset table; None where pydicom finds the
        frames by itself (a complete basic offset table, or several fragments to a frame and no table).
    """
    truncated = InputError(f"{path} is truncated: it ends before its {frames} frames do, so copy or export it again.")
    basic = parse_basic_offsets(file)
    base = file.tell()
    if extended:
        offsets, lengths = (np.frombuffer(table, "<u8").tolist() for table in extended)
        if len(offsets) == len(lengths) == frames:
            if any(base + o + 8 + n > size for o, n in zip(offsets, lengths, strict=True)):
                raise truncated
            return offsets, lengths
    complete = len(basic) == frames
    if complete:
        file.seek(base + basic[-1])
    count, positions = parse_fragments(file)
    if not count:
        raise truncated
    file.seek(positions[-1] + 4)
    end = positions[-1] + 8 + int.from_bytes(file.read(4), "little")
    if end > size or (not complete and count < frames):
        raise truncated
    if complete or count != frames:
        return None
    lengths = [b - a - 8 for a, b in zip(positions, [*positions[1:], end], strict=True)]
    return [p - base for p in positions], lengths


def codestream_size(code: bytes) -> tuple[int, int, int]:
    """Return (rows, columns, bits) out of the header of a JPEG, JPEG-LS or JPEG 2000 codestream.

    Raises:
        ValueError, struct.error: no such header.
    """
    if (start := code.find(b"\xff\x4f\xff\x51", 0, 512)) >= 0:
        # JPEG 2000: the SIZ segment (ISO 15444-1, A.5.1) comes first, after the boxes of a JP2 file if any.
        x1, y1, x0, y0 = struct.unpack_from(">4I", code, start + 8)
        return y1 - y0, x1 - x0, (code[start + 42] & 0x7F) + 1
    _, bits, rows, columns = jpeg_frame(code)
    return rows, columns, bits


def jpeg_frame(code: bytes) -> tuple[int, int, int, int]:
    """Return (marker, bits, rows, columns) of the start of frame of a JPEG or JPEG-LS codestream.

    Raises:
        ValueError, struct.error: no such header.
    """
    # ISO 10918-1, B.1.1: a chain of segments up to the scan; one of them gives the size.
    frame, place = None, 2
    while True:
        mark, marker, length = struct.unpack_from(">BBH", code, place)
        if mark == marker == 0xFF:
            place += 1  # a fill byte
            continue
        if mark != 0xFF or length < 2:
            raise ValueError("the chain of segments is broken")
        if marker in _START_OF_FRAME:
            frame = (marker, *struct.unpack_from(">BHH", code, place + 4))
        elif marker == _START_OF_SCAN and frame:
            return frame
        place += 2 + length
