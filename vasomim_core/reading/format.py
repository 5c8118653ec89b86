"""What a file format has to say about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vasomim_core.reading.angiogram import Angiogram

HEAD = 132
"""Bytes at the beginning of a file by which its format is known."""


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        name: As people call it.
        suffixes: Of its file names, in lower case.
        knows: Tells by the first `HEAD` bytes (fewer in a short file) whether a file is of this kind.
        read: Opens one; with True, its alpha channel. Raises InputError with a sentence for what it can tell, and
            anything else for what only its decoder knows.
    """

    name: str
    suffixes: tuple[str, ...]
    knows: Callable[[bytes], bool]
    read: Callable[[Path, bool], Angiogram]
