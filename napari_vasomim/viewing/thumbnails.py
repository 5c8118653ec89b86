"""The open angiograms as small pictures with a few words, made in threads."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_vasomim._reader import angulation
from napari_vasomim.background.threads import run_in_background
from napari_vasomim.canvas import frames, layers
from napari_vasomim.notify import counted

SIDE = 84
"""Of the square into which a picture fits, in px."""


def words(layer: Image) -> list[str]:
    """Name, angles and number of frames of an angiogram, in lines; names of files are those of the layer alone."""
    angles = " ".join(angulation(layers.facts(layer).angles))
    name = " ".join(layer.name.replace(angles, " ").split()) if angles else layer.name
    count = frames.frame_count(layer)
    return [*filter(None, (name, angles)), counted(count, "frame") if count > 1 else "still"]


def frame_of(layer: Image) -> int:
    """The frame that stands for an angiogram: the one with the fullest vessels once it is known, else the middle."""
    fullest = layers.facts(layer).fullest_frame
    return frames.frame_count(layer) // 2 if fullest is None else fullest


def small(layer: Image, index: int) -> NDArray[np.uint8]:
    """A frame as the engine sees it, uint8 (h, w), neither longer than `SIDE`; for a thread.

    Raises:
        InputError: the frame cannot be read.
    """
    grey = frames.grey(layer, index)
    scale = SIDE / max(grey.shape)
    size = tuple(max(1, round(length * scale)) for length in reversed(grey.shape))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


class Thumbnails:
    """Pictures of angiograms, each made once for what it shows.

    Args:
        parent: when it is deleted, nothing is called any more.
        made: called when another one is there.
    """

    def __init__(self, parent: QObject, made: Callable[[], Any]):
        self._parent, self._made = parent, made
        self._pictures: weakref.WeakKeyDictionary[Image, NDArray[np.uint8]] = weakref.WeakKeyDictionary()
        self._asked: weakref.WeakKeyDictionary[Image, Any] = weakref.WeakKeyDictionary()

    def get(self, layer: Image) -> NDArray[np.uint8] | None:
        """The picture of an angiogram, uint8 (h, w), or the one before, or None; a newer one is made if it is due."""
        index = frame_of(layer)
        wanted = index, layers.facts(layer).levels
        if self._asked.get(layer) != wanted:
            self._asked[layer] = wanted
            place = weakref.ref(layer)
            # A frame that cannot be read is told where it is looked at.
            run_in_background(
                self._parent, partial(small, layer, index), partial(self._arrived, place, wanted), lambda error: None
            )
        return self._pictures.get(layer)

    def forget(self, layer: Image) -> None:
        """An angiogram has other pixels."""
        self._asked.pop(layer, None)

    def _arrived(self, place: weakref.ref[Image], wanted: Any, picture: NDArray[np.uint8]) -> None:
        layer = place()
        if layer is not None and self._asked.get(layer) == wanted:
            self._pictures[layer] = picture
            self._made()
