"""The angiograms of the queue that are open in the viewer: one is shown, those that were left close or are hidden."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
from napari.layers import Image, Labels

from napari_vasomim._reader import LayerData, layer_data
from napari_vasomim.canvas import layers
from napari_vasomim.labelling.sources import FileSource
from napari_vasomim.notify import warn
from napari_vasomim.session import Session


def read_file(source: FileSource) -> LayerData:
    """A file as `add` takes it; for a thread.

    Raises:
        InputError: it cannot be read.
    """
    return layer_data(source.open(), source.chosen, find_fullest=False)


class OpenFiles:
    """The files of the queue that are open, by their number in it."""

    def __init__(self, session: Session):
        self._session = session
        self._own: weakref.WeakSet[Image] = weakref.WeakSet()
        self._layers: weakref.WeakValueDictionary[int, Image] = weakref.WeakValueDictionary()

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

    def add(self, file: int, read: LayerData, frame_index: int | None = None) -> Image:
        """Put what was read from a file into the viewer; of a still from a run, say which frame it was."""
        data, keywords, _ = read
        known = keywords["metadata"][layers.KEY]
        keywords = {**keywords, "metadata": {layers.KEY: replace(known, frame_index=frame_index)}}
        layer: Image = self._session.viewer.add_image(data, **keywords)
        for note in known.notes if known.chosen.window is None else ():
            warn(note)
        self._own.add(layer)
        self.put(file, layer)
        return layer

    def find(self, file: int, path: Path) -> Image | None:
        """The angiogram of a file, also of one that somebody else has opened; None if it is not open."""
        layer = self.get(file)
        if layer is None or layer not in self._session.viewer.layers:
            layer = layers.opened_from(self._session.viewer, path)
            if layer is not None:
                self.put(file, layer)
        return layer

    def may_close(self, layer: Image) -> bool:
        """Whether the queue has opened it, and no backup that a person made of a mask would go with it."""
        viewer = self._session.viewer
        copies = [
            part
            for part in viewer.layers
            if layers.role(part) == "copy" and isinstance(part, Labels) and layers.owner(viewer, part) is layer
        ]
        return layer in self._own and not any(np.asarray(copy.data).any() for copy in copies)

    def show(self, layer: Image) -> None:
        """Work on an angiogram; the others wait, hidden, with what was made from them."""
        self._session.angiogram = layer

    def close(self, layer: Image) -> None:
        """Take an angiogram out of the viewer, and everything that was made from it."""
        viewer = self._session.viewer
        layers.remove(viewer, *[part for part in viewer.layers if layers.owner(viewer, part) is layer])
