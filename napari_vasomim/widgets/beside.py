"""A second picture beside the canvas: another run, or another moment of the same one, at the same place and size.

It is for the eye: nothing is drawn, segmented or measured there. It is painted by Qt, for a second canvas of napari's
would need graphics that are shared between windows, which a plugin cannot ask for once the program has begun.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.compat import isalive
from qtpy.QtCore import QPointF, QSize, Qt, QTimer
from qtpy.QtGui import QColor, QImage, QPainter, QTransform
from qtpy.QtWidgets import QCheckBox, QDockWidget, QSizePolicy, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.canvas import frames, layers
from napari_vasomim.napari_compat import camera, canvas_widget, main_window
from napari_vasomim.notify import report_errors
from napari_vasomim.session import Session
from napari_vasomim.viewing.screen_text import words
from napari_vasomim.viewing.windowing import Windowing, is_negative
from napari_vasomim.widgets.kit import SPACE, choice, follow, hint, whole_slider
from vasomim_core.reading.grey import to_grey

SIDE = 300
WHEEL = 1.1
"""By which one notch of the wheel zooms."""


def seen(layer: Image, index: int, low: float, high: float, negative: bool) -> NDArray[np.uint8]:
    """A frame as its layer shows it, uint8 (H, W); for a thread.

    Raises:
        InputError: the frame cannot be read.
    """
    pixels = to_grey(frames.pixels_of(layer, index)).astype(np.float32)
    if not layer.rgb:
        pixels = np.clip((pixels - low) * (255 / max(high - low, 1e-9)), 0, 255)
    grey = np.rint(pixels).astype(np.uint8)
    return ~grey if negative else grey


class Picture(QWidget):
    """A frame, painted where and as large as the canvas of the viewer would show it; wheel and drag move both.

    Args:
        session: of the viewer.
    """

    def __init__(self, session: Session):
        super().__init__()
        self._camera = camera(session.viewer)
        self._shown: tuple[weakref.ref[Image], NDArray[np.uint8]] | None = None
        self._held: QPointF | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(SIDE // 2, SIDE // 2)
        for moved in (self._camera.events.center, self._camera.events.zoom):
            follow(self, moved, self._camera_moved)

    def sizeHint(self) -> QSize:
        """A square."""
        return QSize(SIDE, SIDE)

    def put(self, layer: Image, grey: NDArray[np.uint8]) -> None:
        """Show a frame, uint8 (H, W), of an angiogram."""
        self._shown = weakref.ref(layer), np.ascontiguousarray(grey)
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self._shown = None
        self.update()

    def to_screen(self, layer: Image) -> QTransform:
        """From (column, row) of a frame to px of this widget."""
        origin, down, right = (
            np.asarray(layer.data_to_world((0,) * (layer.ndim - 2) + place))[-2:] for place in ((0, 0), (1, 0), (0, 1))
        )
        (dy_right, dx_right), (dy_down, dx_down) = right - origin, down - origin
        centre, zoom = np.asarray(self._camera.center)[-2:], self._camera.zoom
        made = QTransform().translate(self.width() / 2, self.height() / 2).scale(zoom, zoom)
        made = made.translate(-float(centre[1]), -float(centre[0]))
        return QTransform(dx_right, dy_right, dx_down, dy_down, float(origin[1]), float(origin[0])) * made

    def paintEvent(self, event: Any) -> None:
        """Paint it."""
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), QColor("black"))
            layer = self._shown[0]() if self._shown is not None else None
            if self._shown is None or layer is None:
                return
            grey = self._shown[1]
            height, width = grey.shape
            painter.setTransform(self.to_screen(layer))
            image = QImage(grey.data, width, height, width, QImage.Format.Format_Grayscale8)
            painter.drawImage(QPointF(-0.5, -0.5), image)  # pixels have their middle at whole numbers

    def wheelEvent(self, event: Any) -> None:
        """Zoom the canvas, and with it this."""
        self._camera.zoom *= WHEEL ** (event.angleDelta().y() / 120)

    def mousePressEvent(self, event: Any) -> None:
        """Begin to move the view."""
        self._held = QPointF(event.pos()) if event.button() == Qt.MouseButton.LeftButton else None

    def mouseMoveEvent(self, event: Any) -> None:
        """Move the canvas, and with it this."""
        if self._held is None:
            return
        now = QPointF(event.pos())
        way, self._held = (now - self._held) / self._camera.zoom, now
        *rest, row_, column = self._camera.center
        self._camera.center = (*rest, row_ - way.y(), column - way.x())

    def mouseReleaseEvent(self, event: Any) -> None:
        """End it."""
        self._held = None

    def _camera_moved(self, event: Any = None) -> None:
        self.update()


class Beside(QWidget):
    """Which run and which moment of it is shown beside the canvas.

    Args:
        session: of the viewer.
    """

    def __init__(self, session: Session):
        super().__init__()
        self._session = session
        self._layer: Image | None = session.angiogram
        self._index = self._here = session.index
        self._known: list[Image] = []
        self.run = choice(tooltip="The run that is shown here")
        self.together = QCheckBox("frames go together")
        self.together.setToolTip("Moves with the frames of the canvas, as far ahead or behind as it is now")
        self.together.setChecked(True)
        self.picture = Picture(session)
        self.slider = whole_slider(1, 1, 1, "The frame that is shown here")
        self.words = hint()
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE, SPACE, SPACE, SPACE)
        column.addWidget(self.run)
        column.addWidget(self.together)
        column.addWidget(self.picture, 1)
        column.addWidget(self.slider)
        column.addWidget(self.words)
        self._rendering = LatestRequest(self, self._arrived, self._failed)
        self.run.activated.connect(report_errors(self._chosen))
        self.slider.valueChanged.connect(report_errors(lambda value: self._go(value - 1)))
        viewer = session.viewer
        follow(self, session.angiogram_changed, self._fill)
        follow(self, session.pixels_changed, self._show)
        follow(self, Windowing.of(viewer).changed, self._show)
        follow(self, viewer.dims.events.current_step, self._moved)
        self._fill()

    @property
    def shown(self) -> tuple[Image | None, int]:
        """The angiogram and the frame that are shown here, or will be in a moment.

        Beyond an end of its run it waits there, and keeps how far ahead or behind it is.
        """
        last = frames.frame_count(self._layer) - 1 if self._layer is not None else 0
        return self._layer, min(max(self._index, 0), last)

    def _fill(self, *_: object) -> None:
        """Another angiogram is on the canvas, or one has come or gone."""
        self._known = known = layers.angiograms(self._session.viewer)
        if self._layer not in known:
            self._layer, self._index = self._session.angiogram, self._session.index
        with signals_blocked(self.run):
            self.run.clear()
            self.run.addItems([layer.name for layer in known])
            self.run.setCurrentIndex(known.index(self._layer) if self._layer in known else -1)
        self._here = self._session.index
        self._show()

    def _chosen(self, number: int) -> None:
        self._layer = self._known[number]
        self._index = self._session.canvas.position(self._layer)
        self._show()

    def _moved(self, *_: object) -> None:
        """Another frame is on the canvas."""
        here = self._session.index
        step, self._here = here - self._here, here
        if step and self.together.isChecked():
            self._go(self._index + step)

    def _go(self, index: int) -> None:
        self._index = index
        self._show()

    def _show(self, *_: object) -> None:
        layer, index = self.shown
        self.setEnabled(layer is not None)
        if layer is None:
            self._rendering.forget()
            self.picture.clear()
            self.words.setText("No angiogram is open.")
            return
        count = frames.frame_count(layer)
        with signals_blocked(self.slider):
            self.slider.setRange(1, count)
            self.slider.setValue(index + 1)
        self.slider.setVisible(count > 1)
        low, high = layer.contrast_limits
        negative = is_negative(layer)
        self._rendering.ask(partial(_render, layer, index, float(low), float(high), negative))

    def _arrived(self, rendered: tuple[Image, int, NDArray[np.uint8]]) -> None:
        """Picture and words change together."""
        layer, index, grey = rendered
        said = " · ".join(words(layer, index)) or layer.name
        if layer is self._layer:  # else another one is wanted by now
            self.picture.put(layer, grey)
            self.words.setText(said)

    def _failed(self, error: Exception) -> None:
        self.picture.clear()
        self.words.setText(str(error))


def _render(layer: Image, index: int, low: float, high: float, negative: bool) -> tuple[Image, int, NDArray[np.uint8]]:
    return layer, index, seen(layer, index, low, high, negative)


def dock_beside(session: Session, workbench: QWidget) -> Beside:
    """Put a second picture between the canvas and the dock of this widget; its own close button ends it."""
    beside, viewer = Beside(session), session.viewer
    window = main_window(viewer)
    if window is None:
        return beside
    dock = viewer.window.add_dock_widget(beside, name="Beside (VasoMIM)", area="right")
    ours: QWidget | None = workbench
    while ours is not None and not isinstance(ours, QDockWidget):
        ours = ours.parentWidget()
    if ours is not None:
        half = canvas_widget(viewer).width() // 2
        window.splitDockWidget(dock, ours, Qt.Orientation.Horizontal)
        # Once the dock is there: before, Qt gives it the least that it needs.
        QTimer.singleShot(0, lambda: isalive(dock) and window.resizeDocks([dock], [half], Qt.Orientation.Horizontal))
    return beside
