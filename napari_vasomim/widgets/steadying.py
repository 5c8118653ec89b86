"""Whether neighbouring frames have a say in what is shown of a run, and the work of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtWidgets import QCheckBox

from napari_vasomim.background.long_work import LongWork
from napari_vasomim.canvas import frames
from napari_vasomim.notify import report_errors
from napari_vasomim.prediction import LEVELS
from napari_vasomim.prediction_layers import PredictionLayers
from napari_vasomim.session import Session
from vasomim_core.following import steady


class Steadying(QCheckBox):
    """A box; while it is checked, a run of which every frame is segmented is steadied.

    Args:
        session: what the panels share.
        shown: the layers of what a model said.
    """

    changed = Signal()
    """Work has begun or ended, or something else is shown."""
    stepped = Signal(int, int)
    """How many frames are done, and of how many."""

    def __init__(self, session: Session, shown: PredictionLayers):
        super().__init__("steady: neighbouring frames have a say")
        self.setToolTip(
            "Once all frames of a run are segmented, each becomes the mean of itself and of the frames beside it,\n"
            "brought along the motion: less flicker. Where contrast agent arrives, vessels may show a frame too early."
        )
        self._session, self._shown = session, shown
        self._work = LongWork(self, lambda: None)
        self._work.stepped.connect(self.stepped.emit)
        self._work.ended.connect(self.changed.emit)
        self.toggled.connect(report_errors(self._toggled))

    @property
    def busy(self) -> bool:
        """Whether a run is being steadied."""
        return self._work.busy

    def cancel(self) -> None:
        """Stop; each frame is shown by itself."""
        self._work.cancel()

    def settle(self, layer: Image) -> None:
        """Steady a run, if that is wanted, all of its frames are segmented, and it is not done yet."""
        prediction, count = self._session.predictions.get(layer), frames.frame_count(layer)
        if prediction is None or prediction.steadied or self.busy or not self.isChecked():
            return
        said, seen = prediction.each_by_itself(), frames.seen(layer)
        if not 1 < count == len(said):
            return

        def work(progress: Any) -> dict[int, NDArray[np.uint8]]:
            run = ((seen[index], said[index].astype(np.float32) / np.float32(LEVELS)) for index in range(count))
            planes: dict[int, NDArray[np.uint8]] = {}
            for found in steady(run):
                planes[len(planes)] = np.rint(found * LEVELS).astype(np.uint8)
                progress(len(planes), count)
            return planes

        def done(planes: dict[int, NDArray[np.uint8]]) -> None:
            # The pixels may have changed meanwhile, the layer be gone, or the person have changed their mind.
            there = self._session.predictions.get(layer) is prediction and layer in self._session.viewer.layers
            if there and self.isChecked():
                self._shown.steady(layer, planes)
                self.changed.emit()

        self._work.start(work, done)
        self.changed.emit()

    def _toggled(self, wanted: bool) -> None:
        self.cancel()
        for layer, prediction in list(self._session.predictions.items()):
            if not wanted and prediction.steadied and layer in self._session.viewer.layers:
                self._shown.steady(layer, {})
        if wanted and self._session.angiogram is not None:
            self.settle(self._session.angiogram)
        self.changed.emit()
