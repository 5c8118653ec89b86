"""The whole frame is seen: at the first look, when the window changes its size, and with an angiogram of another size.

Until a person zooms or moves the view; from then on it stays where that person has put it, up to the next fit.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, QTimer

from napari_vasomim.canvas import frames
from napari_vasomim.napari_compat import camera, canvas_widget, main_window
from napari_vasomim.session import Session

FILLED = 0.97
"""Share of the canvas that the frame fills."""


class WholeFrame(QObject):
    """Keeps the whole frame in the canvas of one window.

    Args:
        viewer: a napari.Viewer.
    """

    def __init__(self, viewer: Any):
        super().__init__(main_window(viewer))
        self._viewer = weakref.ref(viewer)
        self._session = Session.of(viewer)
        self._fitted: tuple[float, ...] | None = None
        self._size: tuple[int, int] | None = None
        self._soon = QTimer(self, singleShot=True, interval=0)  # napari gives the canvas its new size first
        self._soon.timeout.connect(self.fit)
        self._session.angiogram_changed.connect(self._angiogram_changed)
        canvas_widget(viewer).installEventFilter(self)
        self._soon.start()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """The canvas has another size."""
        if event is not None and event.type() in (QEvent.Type.Resize, QEvent.Type.Show) and self._is_untouched():
            self._soon.start()
        return False

    def fit(self) -> None:
        """Show the whole frame, with a small margin, and keep it so."""
        viewer, angiogram = self._viewer(), self._session.angiogram
        if viewer is None or angiogram is None or viewer.dims.ndisplay != 2:
            return
        (top, left), (bottom, right) = angiogram.extent.world[:, -2:]
        canvas, looking = canvas_widget(viewer), camera(viewer)
        looking.center = (0.0, (top + bottom) / 2, (left + right) / 2)
        looking.zoom = FILLED * min(canvas.height() / max(bottom - top, 1e-9), canvas.width() / max(right - left, 1e-9))
        self._fitted = _view(looking)

    def _angiogram_changed(self, layer: Any) -> None:
        size = frames.frame_size(layer) if layer is not None else None
        if size != self._size:
            self._size = size
            self._soon.start()

    def _is_untouched(self) -> bool:
        viewer = self._viewer()
        return viewer is not None and (self._fitted is None or bool(np.allclose(self._fitted, _view(camera(viewer)))))


def _view(camera: Any) -> tuple[float, ...]:
    return (*camera.center, camera.zoom)
