"""Angiograms as a label set sees them: frames that are known by their pixels, from a file or from an open layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_vasomim.canvas import frames, layers
from vasomim_core.errors import VasoMIMError
from vasomim_core.files import stamp
from vasomim_core.labels.labelset import pixel_sha256
from vasomim_core.reading import Angiogram, GreyLevels, read_angiogram
from vasomim_core.reading.levels import AS_IN_THE_FILE

MOST_OPEN = 4
"""Files that are remembered; a few only, for an angiogram of one frame holds its pixels."""

Open = Callable[[Path], Angiogram]


def remembering_reader() -> Open:
    """`read_angiogram` that remembers the files opened last, as long as they do not change.

    The frames of a file are looked up, shown and kept one after the other: it is opened once for all of that.
    """
    read = lru_cache(maxsize=MOST_OPEN)(lambda path, _: read_angiogram(path))
    return lambda path: read(path, stamp(path))


class Source(Protocol):
    """An angiogram of the queue.

    Attributes:
        chosen: how a person wants its frames to be seen.
        frame_index: of a still that was taken from a run, which frame of that it was, from 0; else None.
    """

    chosen: GreyLevels
    frame_index: int | None

    def count(self) -> int:
        """Number of frames."""

    def frame(self, index: int) -> NDArray[Any]:
        """A frame (H, W) as a label set keeps it: uint8 or uint16, vessels dark."""

    def grey(self, index: int) -> NDArray[np.uint8]:
        """A frame (H, W) as the engine sees it: uint8, vessels dark."""


class FileSource:
    """An angiogram in a file, opened at first need.

    Args:
        path: the file.
        read: opens it.
        frame_index: of a still that was taken from a run.

    Attributes:
        path: the file.
        chosen: how a person wants its frames to be seen.
        frame_index: of a still that was taken from a run, which frame of that it was.
    """

    def __init__(self, path: Path, read: Open = read_angiogram, frame_index: int | None = None) -> None:
        self.path = path
        self.frame_index = frame_index
        self.chosen = AS_IN_THE_FILE
        self._read = read

    def open(self) -> Angiogram:
        """The angiogram.

        Raises:
            InputError: the file cannot be read.
        """
        return self._read(self.path)

    @cached_property
    def _count(self) -> int:
        return len(self.open().frames)

    def count(self) -> int:
        """Number of frames.

        Raises:
            InputError: the file cannot be read.
        """
        return self._count

    def frame(self, index: int) -> NDArray[Any]:
        """A frame (H, W) as a label set keeps it.

        Raises:
            InputError: it cannot be read.
        """
        return self.open().stored(index, self.chosen)

    def grey(self, index: int) -> NDArray[np.uint8]:
        """A frame (H, W) as the engine sees it.

        Raises:
            InputError: it cannot be read.
        """
        return self.open().grey(index, self.chosen)


class LayerSource:
    """An open angiogram as a source of the annotation queue.

    Attributes:
        layer: the angiogram.
        chosen: how a person wants its frames to be seen.
        frame_index: of a still that was taken from a run, which frame of that it was.
    """

    def __init__(self, layer: Image) -> None:
        self.layer = layer
        self.chosen = layers.facts(layer).chosen
        self.frame_index = layers.facts(layer).frame_index

    def count(self) -> int:
        """Number of frames."""
        return frames.frame_count(self.layer)

    def frame(self, index: int) -> NDArray[Any]:
        """A frame (H, W) as a label set keeps it.

        Raises:
            InputError: it cannot be read or used.
        """
        return frames.stored(self.layer, index)

    def grey(self, index: int) -> NDArray[np.uint8]:
        """A frame (H, W) as the engine sees it.

        Raises:
            InputError: it cannot be read or used.
        """
        return frames.grey(self.layer, index)


def frame_index(layer: Image, index: int) -> int | None:
    """The index that identifies a frame in a label set: None for a still, but for one that was taken from a run."""
    return index if frames.frame_count(layer) > 1 else layers.facts(layer).frame_index


def sha_of_frames(source: Source) -> Iterator[tuple[int | None, str]]:
    """(frame index as in a record, `pixel_sha256`) of each readable frame of an angiogram."""
    count = source.count()
    for index in range(count):
        try:
            yield (index if count > 1 else source.frame_index), pixel_sha256(np.asarray(source.frame(index)))
        except VasoMIMError:
            continue
