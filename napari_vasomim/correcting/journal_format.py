"""The bytes of a journal: its records and the changes in them, written and read back.

A journal is a plain file, `<time>-<pid>-<random>.journal`, all numbers little-endian:

| part | content |
|---|---|
| magic | the 18 bytes `VasoMIM journal 1` and a line feed |
| record, any number of times | kind (4 bytes), length (u32), CRC-32 of kind and content (u32), content |

| record | content |
|---|---|
| `HEAD`, the first | JSON: `about` and `layer` for offering the work back, the `process`, what was `drawn` before |
| `BASE`, the second | a change from an empty layer to what it was when the journal began |
| `STEP`, for each finished step | a change from what the records before give |

A change is the time (f64, seconds since 1970), then for each changed frame: index, top, left, height and width of the
box around the changed pixels, their count and the length of the rest (7 × u32), and zlib of: the mask of the changed
pixels in the box (row by row, 8 to the byte), then their new values, in the same order and the layer's dtype.

A record that is not wholly there ends the journal: everything before it comes back.
"""

from __future__ import annotations

import io
import json
import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vasomim.correcting.undo import Box

SUFFIX = ".journal"
MAGIC = b"VasoMIM journal 1\n"
_RECORD = struct.Struct("<4sII")
_TIME = struct.Struct("<d")
_PATCH = struct.Struct("<7I")


class Patch(NamedTuple):
    """The change of one frame."""

    box: Box
    pixels: int
    packed: bytes

    @classmethod
    def between(cls, old: NDArray[Any], new: NDArray[Any], box: Box) -> Patch | None:
        """From the same box of two arrays (h, w); None if they are equal."""
        changed = old != new
        values = new[changed]
        if not values.size:
            return None
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        return cls(box, values.size, zlib.compress(np.packbits(changed).tobytes() + values.tobytes(), 1))

    def onto(self, labels: NDArray[Any]) -> None:
        """Make the change in labels (H, W) or (T, H, W)."""
        area = labels[self.box.where(labels.ndim)]
        content = zlib.decompress(self.packed)
        mask_bytes = -(-area.size // 8)
        bits = np.frombuffer(content, np.uint8, mask_bytes)
        changed = np.unpackbits(bits, count=area.size).view(bool).reshape(area.shape)
        area[changed] = np.frombuffer(content, labels.dtype.newbyteorder("<"), offset=mask_bytes)


class Change(NamedTuple):
    """A record after the first: `BASE` or `STEP`, when it was made, and what it changed."""

    kind: bytes
    when: float
    patches: list[Patch]


def record(kind: bytes, content: bytes) -> bytes:
    """A record as it stands in the file."""
    return _RECORD.pack(kind, len(content), zlib.crc32(content, zlib.crc32(kind))) + content


def packed(patches: Iterable[Patch]) -> bytes:
    """The content of a record that holds a change, made now."""
    parts = [_TIME.pack(time.time())]
    for (frame, top, bottom, left, right), count, content in patches:
        parts += _PATCH.pack(frame, top, left, bottom - top, right - left, count, len(content)), content
    return b"".join(parts)


def _next(file: io.BufferedReader) -> tuple[bytes, bytes] | None:
    """The next record's kind and content; None at the end, or where the file is not whole."""
    start = file.read(_RECORD.size)
    if len(start) < _RECORD.size:
        return None
    kind, length, check = _RECORD.unpack(start)
    if length > os.fstat(file.fileno()).st_size:
        return None
    content = file.read(length)
    return (kind, content) if len(content) == length and zlib.crc32(content, zlib.crc32(kind)) == check else None


def read_head(file: io.BufferedReader) -> dict[str, Any]:
    """The first record.

    Raises:
        ValueError: there is none.
    """
    first = _next(file) if file.read(len(MAGIC)) == MAGIC else None
    if first is None or first[0] != b"HEAD":
        raise ValueError("not a journal")
    head: dict[str, Any] = json.loads(first[1])
    return head


def read_changes(file: io.BufferedReader) -> Iterator[Change]:
    """What follows the first record, as far as it is whole.

    Raises:
        ValueError: not even the second record is.
    """
    first = True
    while found := _next(file):
        kind, content = found
        if first and kind != b"BASE":
            break
        first = False
        when = _TIME.unpack_from(content)[0]
        patches, at = [], _TIME.size
        while at < len(content):
            frame, top, left, height, width, count, length = _PATCH.unpack_from(content, at)
            at += _PATCH.size + length
            box = Box(frame, top, top + height, left, left + width)
            patches.append(Patch(box, count, content[at - length : at]))
        yield Change(kind, when, patches)
    if first:
        raise ValueError("a journal without a beginning")
