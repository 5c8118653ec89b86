"""The schedule as an animation: masks at evenly spaced epochs, drawn by the inference child one after the other."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_vasomim.background import engine
from napari_vasomim.background.futures import deliver
from napari_vasomim.background.threads import beside
from napari_vasomim.masking.answers import Asked
from napari_vasomim.notify import inform, tell, told
from vasomim_core.inference.requests import MaskPreview
from vasomim_core.masking.figures import save_animation
from vasomim_core.masking.results import Mask

ANIMATION_STEPS = 48


class MaskAnimation:
    """One animation on its way into a file.

    Args:
        parent: when it is deleted, nothing goes on.
        path: of the GIF.
        asked: the frame and the settings.

    Attributes:
        at_work: until it is written, cancelled, or has failed.
        call: the mask that is being drawn.
    """

    stepped = Signal(int, int)
    """Steps that are drawn, and of how many."""
    ended = Signal()
    """It is not at work any more."""

    def __init__(self, parent: QObject, path: Path, asked: Asked):
        self._parent, self._path, self._asked = parent, path, asked
        self._steps = sorted({round(e) for e in np.linspace(0, asked.schedule.epochs - 1, ANIMATION_STEPS)})
        self._masks: list[Mask] = []
        self.call: Future[Mask] | None = None
        self.at_work = False

    def start(self) -> None:
        """Draw, then write."""
        self.at_work = True
        self._draw()

    def cancel(self) -> None:
        """Stop, and write nothing."""
        if self.call is not None:
            self.call.cancel()
        self._end()

    def _draw(self) -> None:
        done = len(self._masks)
        self.stepped.emit(done, len(self._steps))
        if done == len(self._steps):
            frame = self._asked.vessels.frame
            beside(self._parent, lambda: save_animation(self._path, frame, self._masks), self._written, self._failed)
            return
        this = replace(self._asked, epoch=self._steps[done])
        self.call = engine.shared().call(this.request(MaskPreview))
        deliver(self.call, self._parent, told(self._drawn), self._failed)

    def _drawn(self, mask: Mask) -> None:
        if self.at_work:
            self._masks.append(mask)
            self._draw()

    def _written(self, _: Any) -> None:
        self._end()
        inform(f"The animation is in {self._path.name}.")

    def _failed(self, error: Exception) -> None:
        if self.at_work:
            self._end()
            tell(error)

    def _end(self) -> None:
        if self.at_work:
            self.at_work = False
            self.ended.emit()
