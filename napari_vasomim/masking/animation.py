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
from napari_vasomim.background.sequencer import Sequencer
from napari_vasomim.background.threads import run_in_background
from napari_vasomim.masking.answers import Asked
from napari_vasomim.notify import inform, report_error
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
        drawing: asks for the masks.
    """

    stepped = Signal(int, int)
    """Steps that are drawn, and of how many."""
    ended = Signal()
    """It is not at work any more."""

    def __init__(self, parent: QObject, path: Path, asked: Asked):
        self._parent, self._path, self._asked = parent, path, asked
        self._masks: list[Mask] = []
        steps = sorted({round(e) for e in np.linspace(0, asked.schedule.epochs - 1, ANIMATION_STEPS)})
        self.drawing = Sequencer(parent, steps, self._ask, self._keep, self._write, self._failed, self.stepped.emit)
        self.at_work = False

    def start(self) -> None:
        """Draw, then write."""
        self.at_work = True
        self.drawing.start()

    def cancel(self) -> None:
        """Stop, and write nothing."""
        self.drawing.cancel()
        self._end()

    def _ask(self, epoch: int) -> Future[Mask]:
        return engine.shared().call(replace(self._asked, epoch=epoch).request(MaskPreview))

    def _keep(self, epoch: int, mask: Mask) -> None:
        self._masks.append(mask)

    def _write(self) -> None:
        frame = self._asked.vessels.frame
        run_in_background(
            self._parent, lambda: save_animation(self._path, frame, self._masks), self._written, self._failed
        )

    def _written(self, _: Any) -> None:
        self._end()
        inform(f"The animation is in {self._path.name}.")

    def _failed(self, error: Exception) -> None:
        if self.at_work:
            self._end()
            report_error(error)

    def _end(self) -> None:
        if self.at_work:
            self.at_work = False
            self.ended.emit()
