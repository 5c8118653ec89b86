"""An assembled data set: a folder with frames and their anatomy that any number of runs may share.

| file | what it is |
|---|---|
| assembly.json | what it is made of, and how |
| files.bin | a record (`FILE`) for each file, in natural order |
| index.bin | a record (`FRAME`) for each frame |
| frames.bin | grey levels, uint8, frame after frame |
| anatomy.bin | a bit for each pixel, row after row; each frame begins with a byte of its own |
| remarks.jsonl | what was left out and why, and other remarks on files |
| facts.json | written last: how much there is, and the checksums of all frames and of index.bin |

Files and folders are numbers here, in natural order from 0: their names may name a person.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.config import Mode
from vasomim_core.errors import InputError
from vasomim_core.files import open_ordinary

ASSEMBLY, FILES, INDEX, FRAMES, ANATOMY = "assembly.json", "files.bin", "index.bin", "frames.bin", "anatomy.bin"
REMARKS, FACTS = "remarks.jsonl", "facts.json"
FORMAT = 1
FILE = np.dtype([("sha256", "u1", 32), ("folder", "<i4"), ("frames", "<i4")])
"""SHA-256 of its content (0 = it could not be read), the folder in which it lies, its frames that were taken."""
FRAME = np.dtype([("sha256", "u1", 32), ("file", "<i4"), ("height", "<u2"), ("width", "<u2"), ("alike", "u1")])
"""`checksum`, the file that it is of, its size, and whether it nearly equals one shortly before (see `alike`)."""
Grey = NDArray[np.uint8]


def is_assembled(path: Path | str) -> bool:
    """Whether a folder is an assembled data set, finished or not."""
    return (Path(path) / ASSEMBLY).is_file()


def checksum(grey: Grey, bits: Grey) -> bytes:
    """SHA-256 of the size of a frame (H, W), its grey levels and the bits of its anatomy."""
    return hashlib.sha256(b"%dx%d\n" % grey.shape + grey.tobytes() + bits.tobytes()).digest()


def bytes_of(index: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bytes of the grey levels and of the anatomy of each frame in records of `FRAME`."""
    pixels = index["height"].astype(np.int64) * index["width"]
    return pixels, (pixels + 7) // 8


class AssembledFrames:
    """Frames with their anatomy by index, each read from the disk when it is asked for.

    Nothing is mapped and no file stays open: memory is 57 bytes a frame, and other processes need the folder alone.

    Args:
        folder: a finished assembled data set.

    Attributes:
        fingerprint: SHA-256 over the checksums of all frames in their order.
        mode: how the anatomy was extracted.
        facts: see `assembling.assemble`.

    Raises:
        InputError: it is not finished, or damaged.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        try:
            with open_ordinary(folder / ASSEMBLY) as file:
                version = json.load(file)["format"]
            if version != FORMAT:
                raise InputError(f"{folder} was assembled by a newer version of this program; use that one")
            with open_ordinary(folder / FACTS) as file:
                self.facts: dict[str, Any] = json.load(file)
            self.fingerprint: str = self.facts["sha256"]
            self.mode: Mode = self.facts["anatomy"]
            self.index = np.fromfile(folder / INDEX, FRAME)
            whole = hashlib.sha256(self.index.tobytes()).hexdigest() == self.facts["index"]
            sizes = [(folder / name).stat().st_size for name in (FRAMES, ANATOMY)]
        except FileNotFoundError as error:
            raise InputError(
                f"{folder} is not finished (it has no {Path(error.filename).name}): give the `vasomim assemble` that "
                "began it once more"
            ) from error
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._damaged(ASSEMBLY if isinstance(error, OSError) else FACTS) from error
        if not whole:
            raise self._damaged(INDEX)
        pixels, bits = bytes_of(self.index)
        self._starts, self._bits = (np.concatenate([[0], np.cumsum(one)]) for one in (pixels, bits))
        for name, size, starts in zip((FRAMES, ANATOMY), sizes, (self._starts, self._bits), strict=True):
            if size != starts[-1]:
                raise self._damaged(name)

    def _damaged(self, name: str) -> InputError:
        return InputError(f"{self._folder} is damaged ({name}); copy it again, or assemble it anew")

    def __reduce__(self) -> tuple[type[AssembledFrames], tuple[Path]]:
        return AssembledFrames, (self._folder,)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> tuple[Grey, Grey]:
        """A frame and its anatomy as 0 and 255, both uint8 (H, W)."""
        grey, bits = self.stored(index)
        return grey, np.unpackbits(bits, count=grey.size).reshape(grey.shape) * np.uint8(255)

    def __iter__(self) -> Iterator[tuple[Grey, Grey]]:
        return (self[index] for index in range(len(self)))

    def stored(self, index: int) -> tuple[Grey, Grey]:
        """A frame, uint8 (H, W), and the bits of its anatomy, uint8 (⌈H·W / 8⌉,).

        Raises:
            InputError: the files have become shorter, or cannot be read any more.
        """
        shape = int(self.index["height"][index]), int(self.index["width"][index])
        return self._read(FRAMES, self._starts, index).reshape(shape), self._read(ANATOMY, self._bits, index)

    def grey(self, index: int) -> Grey:
        """A frame alone, uint8 (H, W)."""
        return self.stored(index)[0]

    def _read(self, name: str, starts: NDArray[np.int64], index: int) -> Grey:
        start, count = int(starts[index]), int(starts[index + 1] - starts[index])
        try:
            found = np.fromfile(self._folder / name, np.uint8, count, offset=start)
        except OSError as error:
            raise InputError(
                f"{self._folder / name} cannot be read any more ({error.strerror}); see whether its disk is there"
            ) from error
        if len(found) != count:
            raise self._damaged(name)
        return found

    def damaged(self) -> Iterator[int | None]:
        """Reads everything: for each frame its index where its checksum no longer fits, else None."""
        for index, record in enumerate(self.index):
            fits = checksum(*self.stored(index)) == record["sha256"].tobytes()
            yield None if fits else index


def fingerprint(index: NDArray[Any]) -> str:
    """SHA-256 (hex) over the checksums of all frames in their order; names and places of files have no part in it."""
    return hashlib.sha256(np.ascontiguousarray(index["sha256"]).tobytes()).hexdigest()
