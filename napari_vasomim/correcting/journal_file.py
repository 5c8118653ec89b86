"""The file of one layer that is followed: begun with what is drawn already, then a step at a time; flushed, closed."""

from __future__ import annotations

import io
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from napari.layers import Labels
from numpy.typing import NDArray

from napari_vasomim.correcting.journal_format import MAGIC, SUFFIX, Patch, packed, record
from napari_vasomim.correcting.undo import Box, differing
from vasomim_core.files import atomic

LIVE: set[Path] = set()
"""The files that this process writes at the moment, for whichever journal."""


@dataclass(eq=False)
class JournalFile:
    """The file that holds what is drawn on one layer.

    Attributes:
        path: the file.
        head: the content of its first record, apart from the counts.
        labels: what the file gives when read: (H, W) or (T, H, W).
        size: bytes of the file that are whole; the next record goes there, over what a full disk left of another.
        behind: a step could not be written, so the next one compares all frames.
        file: open at `path`; None while it cannot be written.
        slot: what whoever follows the layer has connected to its steps.
        end: closes the file, once; by itself when the layer is gone.
    """

    path: Path
    head: dict[str, Any]
    labels: NDArray[Any]
    strokes: int = 0
    pixels: int = 0
    frames: set[int] = field(default_factory=set)
    size: int = 0
    size_at_begin: int = 0
    behind: bool = False
    file: io.FileIO | None = None
    slot: Any = None
    end: Callable[[], Any] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        LIVE.add(self.path)

    @classmethod
    def of(cls, layer: Labels, folder: Path, about: dict[str, Any]) -> JournalFile:
        """A file in a folder for a layer, not written yet; `about` is kept for whoever offers the work back."""
        process = psutil.Process()
        head = {
            "layer": {
                "name": layer.name,
                "shape": list(layer.data.shape),
                "dtype": np.dtype(layer.data.dtype).name,
                "scale": list(layer.scale),
                "translate": list(layer.translate),
            },
            "process": {"pid": process.pid, "created": process.create_time()},
            "about": about,
        }
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        return cls(folder / name, head, np.array(layer.data))

    def begin(self) -> None:
        """Write the file anew, from what it is to hold."""
        drawn = {"strokes": self.strokes, "pixels": self.pixels, "frames": sorted(self.frames)}
        head = json.dumps(self.head | {"drawn": drawn}, default=_plain).encode()
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic(self.path) as temporary:
            with open(temporary, "wb") as file:
                file.write(MAGIC + record(b"HEAD", head))
                file.write(record(b"BASE", packed(self._base())))
            self._close_file()  # Windows does not replace what is open
        self._reopen()
        self.size_at_begin = self.size

    def step(self, layer: Labels, boxes: list[Box] | None) -> None:
        """Append what changed within these boxes; everywhere for None."""
        known = boxes is not None and not self.behind
        patches = self._patches(layer, boxes if known and boxes else differing(self.labels, layer.data))
        if self.file is None:
            self._took(layer, patches)
            self.begin()
        elif patches:
            step = memoryview(record(b"STEP", packed(patches)))
            self.file.seek(self.size)
            rest = step
            while rest:
                rest = rest[self.file.write(rest) :]
            self.size += len(step)
            self._took(layer, patches)
        self.behind = False

    def renew(self) -> None:
        """Have the next step written with the whole file anew; until then the file stays as it is."""
        self._close_file()

    def flush(self) -> None:
        """Wait until the disk has everything."""
        with self.lock:
            if self.file is None:
                return
            descriptor = os.dup(self.file.fileno())  # so that waiting holds up neither the next stroke nor the end
        try:
            os.fsync(descriptor)
        except OSError:
            pass  # the system has it still, and the next write says what is wrong
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of the file; what it holds stays."""
        LIVE.discard(self.path)
        self._close_file()

    def _patches(self, layer: Labels, boxes: Iterable[Box]) -> list[Patch]:
        found = []
        for box in boxes:
            index = box.where(self.labels.ndim)
            patch = Patch.between(self.labels[index], np.asarray(layer.data[index]), box)
            if patch:
                found.append(patch)
        return found

    def _took(self, layer: Labels, patches: list[Patch]) -> None:
        for patch in patches:
            index = patch.box.where(self.labels.ndim)
            self.labels[index] = layer.data[index]
        self.strokes += bool(patches)
        self.pixels += sum(patch.pixels for patch in patches)
        self.frames.update(patch.box.frame for patch in patches)

    def _base(self) -> Iterator[Patch]:
        empty = np.zeros(self.labels.shape[-2:], self.labels.dtype)
        still = self.labels.ndim == 2
        for index in range(1 if still else len(self.labels)):
            plane = self.labels if still else self.labels[index]
            for box in differing(empty, plane):
                area = box.where(2)
                patch = Patch.between(empty[area], plane[area], box._replace(frame=index))
                if patch:
                    yield patch

    def _reopen(self) -> None:
        with self.lock:
            self.file = open(self.path, "r+b", buffering=0)  # noqa: SIM115 (open for as long as the layer is followed)
            self.size = self.file.seek(0, os.SEEK_END)

    def _close_file(self) -> None:
        with self.lock:
            if self.file:
                self.file.close()
            self.file = None


def _plain(value: Any) -> Any:
    """For JSON: numbers and arrays of numpy as Python's own, anything else as text."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


def remove(path: Path) -> None:
    """Take a journal away."""
    with suppress(OSError):  # the folder is read-only: then it is offered again
        path.unlink(missing_ok=True)
