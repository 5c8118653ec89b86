"""Angiograms as a label set sees them: frames that are known by their pixels, from a file or from an open layer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_vasomim.canvas import layers
from vasomim_core.errors import VasoMIMError
from vasomim_core.labels.labelset import pixel_sha256
from vasomim_core.reading import kept_frame, read_angiogram, to_grey
from vasomim_core.reading.grey import Window

# A few only: an angiogram of one frame holds its pixels.
_open = lru_cache(maxsize=4)(read_angiogram)


class Source(Protocol):
    """An angiogram of the queue.

    Attributes:
        bright_vessels: a person said that its vessels are bright.
        window: the grey window that a person has set; None = the file's own.
    """

    bright_vessels: bool
    window: Window | None

    def count(self) -> int:
        """Number of frames."""

    def frame(self, index: int) -> NDArray[Any]:
        """A frame (H, W) as a label set keeps it: uint8 or uint16, vessels dark."""


class FileSource:
    """An angiogram in a file, opened at first need.

    Attributes:
        path: the file.
        bright_vessels: a person said that its vessels are bright.
        window: the grey window that a person has set; None = the file's own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bright_vessels = False
        self.window: Window | None = None

    @cached_property
    def _count(self) -> int:
        return len(_open(self.path).frames)

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
        angiogram = _open(self.path)
        frame = kept_frame(angiogram.frames[index], self.window or angiogram.window)
        return ~frame if self.bright_vessels else frame


class LayerSource:
    """An open angiogram as a source of the annotation queue.

    Attributes:
        layer: the angiogram.
        bright_vessels: a person said that its vessels are bright.
        window: the grey window that a person has set; None = the file's own.
    """

    def __init__(self, layer: Image) -> None:
        self.layer = layer
        self.bright_vessels = bool(layers.facts(layer).get("bright_vessels"))
        self.window: Window | None = layers.facts(layer).get("set_window")

    def count(self) -> int:
        """Number of frames."""
        return layers.frame_count(self.layer)

    def frame(self, index: int) -> NDArray[Any]:
        """A frame (H, W) as a label set keeps it.

        Raises:
            InputError: it cannot be read or used.
        """
        return stored_frame(self.layer, index)


def stored_frame(layer: Image, index: int) -> NDArray[Any]:
    """A frame as a label set keeps it: (H, W) uint8 or uint16, vessels dark.

    The grey levels are those of the engine, so that a frame is the same from a file and from anyone's layer.

    Raises:
        InputError: the frame cannot be read or used.
    """
    frame = kept_frame(to_grey(layers.pixels_of(layer, index)), layers.facts(layer).get("window"))
    return ~frame if layers.facts(layer).get("bright_vessels") else frame


def frame_index(layer: Image, index: int) -> int | None:
    """The index that identifies a frame in a label set: None for a still."""
    return index if layers.frame_count(layer) > 1 else None


def sha_of_frames(source: Source) -> Iterator[tuple[int | None, str]]:
    """(frame index as in a record, `pixel_sha256`) of each readable frame of an angiogram."""
    count = source.count()
    for index in range(count):
        try:
            yield (index if count > 1 else None), pixel_sha256(np.asarray(source.frame(index)))
        except VasoMIMError:
            continue
