"""The vessels of the shown frame, for which masks are drawn; found in a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.canvas import frames, layers
from napari_vasomim.session import Session
from vasomim_core.config import Mode
from vasomim_core.data.pretraining_frame import pretraining_frame


@dataclass(frozen=True, eq=False)
class Vessels:
    """The vessels that the masks are drawn for.

    Attributes:
        key: frame, mode and polarity.
        layer: the angiogram.
        index: which frame of it.
        frame: uint8 (H, W), as shown.
        scaled: uint8 (H', W'), as pretraining keeps it: no side longer than 512 px.
        anatomy: bool (H', W').
    """

    key: tuple[int, Mode, bool]
    layer: Image
    index: int
    frame: NDArray[np.uint8]
    scaled: NDArray[np.uint8]
    anatomy: NDArray[np.bool_]

    @property
    def mode(self) -> Mode:
        """How they were found."""
        return self.key[1]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the frame as shown."""
        return self.frame.shape[0], self.frame.shape[1]

    def are_of(self, session: Session) -> bool:
        """Whether their angiogram is still open, with frames of that size."""
        return self.layer in session.viewer.layers and frames.frame_size(self.layer) == self.size


class ShownVessels:
    """Finds the vessels of the shown frame, and keeps those found last.

    Args:
        session: what the panels share.
        parent: when it is deleted, nothing is told any more.
        found: is told of vessels that were looked for, while they are wanted.
    """

    def __init__(self, session: Session, parent: QObject, found: Callable[[Vessels], Any]):
        self._session, self._tell = session, found
        self._mode: Mode = "robust"
        self._last: Vessels | None = None
        self._finding = LatestRequest(parent, self._found)

    def get(self, mode: Mode) -> Vessels | None:
        """Those of the shown frame, found in this way; None while they are not known."""
        last, layer = self._last, self._session.angiogram
        current = last is not None and layer is last.layer and last.key == self._key(layer, mode)
        return last if current else None

    def find(self, mode: Mode) -> None:
        """Look for them in a thread.

        Raises:
            InputError: no angiogram is open.
        """
        layer, self._mode = self._session.need_angiogram(), mode
        key = self._key(layer, mode)

        def work() -> Vessels:
            frame = frames.grey(layer, key[0])
            return Vessels(key, layer, key[0], frame, *pretraining_frame(frame, mode))

        self._finding.ask(work)

    def forget(self, layer: Image | None = None) -> None:
        """They hold no longer: those of an angiogram, or any."""
        if layer is None or (self._last is not None and self._last.layer is layer):
            self._last = None

    def _key(self, layer: Image, mode: Mode) -> tuple[int, Mode, bool]:
        return self._session.index, mode, layers.facts(layer).chosen.bright_vessels

    def _found(self, vessels: Vessels) -> None:
        if self.get(self._mode) is None and vessels.are_of(self._session):
            self._last = vessels
            self._tell(vessels)
