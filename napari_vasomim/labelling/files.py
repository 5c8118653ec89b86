"""The angiograms of the queue that are open in the viewer: one is shown, those that were left close or are hidden."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from napari.layers import Image, Layer

from napari_vasomim import layers
from napari_vasomim._reader import layer_data
from napari_vasomim.notify import warn
from napari_vasomim.session import Session
from vasomim_core.angiogram import read_angiogram
from vasomim_core.angiogram.grey import Window, window_limits


def read_file(path: Path) -> Any:
    """A file as `add` takes it; for a thread.

    Raises:
        InputError: it cannot be read.
    """
    return layer_data(read_angiogram(path), find_fullest=False)


class OpenFiles:
    """The files of the queue that are open, by their number in it."""

    def __init__(self, session: Session):
        self._session = session
        self._layers: weakref.WeakValueDictionary[int, Image] = weakref.WeakValueDictionary()
        self._hidden: weakref.WeakSet[Layer] = weakref.WeakSet()

    def get(self, file: int) -> Image | None:
        """The angiogram of a file; None if it was never opened. It may have been taken out of the viewer."""
        return self._layers.get(file)

    def items(self) -> list[tuple[int, Image]]:
        """Number and angiogram of each."""
        return list(self._layers.items())

    def put(self, file: int, layer: Image) -> None:
        """An open angiogram is that file of the queue."""
        self._layers[file] = layer

    def forget(self) -> None:
        """Another queue begins; what is open stays open."""
        self._layers.clear()

    def add(self, file: int, read: Any, bright_vessels: bool, window: Window | None = None) -> Image:
        """Put what was read from a file into the viewer, as the person has said that it is to be read."""
        data, keywords, _ = read
        facts = keywords["metadata"][layers.KEY]
        if bright_vessels:
            facts["bright_vessels"] = True
        if window is not None:
            facts["window"] = facts["set_window"] = window
            keywords["contrast_limits"] = window_limits(window)
        else:
            for note in facts["notes"]:
                warn(note)
        layer: Image = self._session.viewer.add_image(data, **keywords)
        self.put(file, layer)
        return layer

    def show(self, layer: Image) -> None:
        """Work on an angiogram: what was hidden of it when it was left is shown again."""
        for part in self._parts(layer):
            if part in self._hidden:
                self._hidden.discard(part)
                part.visible = True
        self._session.angiogram = layer

    def close(self, layer: Image) -> None:
        """Take an angiogram out of the viewer, and everything that was made from it."""
        for part in self._parts(layer):
            self._session.viewer.layers.remove(part)

    def hide(self, layer: Image) -> None:
        """Leave an angiogram open, out of sight."""
        for part in self._parts(layer):
            if part.visible:
                self._hidden.add(part)
                part.visible = False

    def _parts(self, layer: Image) -> list[Layer]:
        """An angiogram and everything that was made from it."""
        return [
            part for part in self._session.viewer.layers if part is layer or layers.facts(part).get("source") is layer
        ]
