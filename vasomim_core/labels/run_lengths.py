"""COCO's run lengths: a mask as how many pixels are out, in, out, … down its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RunLengths:
    """The run lengths of a frame of `size` (H, W)."""

    counts: tuple[int, ...]
    size: tuple[int, int]

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> RunLengths:
        """Those of a mask, bool (H, W)."""
        flat = mask.ravel(order="F")
        changes = np.flatnonzero(np.diff(flat, prepend=False))  # the first run is of pixels that are out
        return cls(tuple(np.diff([0, *changes, flat.size]).tolist()), (mask.shape[0], mask.shape[1]))

    def mask(self) -> NDArray[np.bool_]:
        """The pixels that are in, bool (H, W)."""
        inside = np.arange(len(self.counts)) % 2 == 1
        return np.repeat(inside, self.counts).reshape(self.size, order="F")


def packed(lengths: Sequence[int]) -> str:
    """The inverse of `unpacked`."""
    text = ""
    for place, length in enumerate(lengths):
        value, more = length - lengths[place - 2] if place > 2 else length, True
        while more:
            code, value = value & 31, value >> 5
            more = value != (-1 if code & 16 else 0)
            text += chr(48 + (code | 32 if more else code))
    return text


def unpacked(text: str) -> list[int]:
    """The run lengths in COCO's string of characters from "0": 5 bits in each, the least first, bit 6 for "goes on".

    From the fourth on they are differences to the one before the last, in two's complement.

    Raises:
        ValueError: it is no such string; the message says why.
    """
    lengths: list[int] = []
    value = bits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or bits > 60:
            raise ValueError("has run lengths in an unknown writing")
        value |= (code & 31) << bits
        bits += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << bits
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = bits = 0
    if bits:
        raise ValueError("has run lengths that are cut off")
    return lengths
