"""A mouse: on napari's canvas, aimed at pixels of a layer, and on buttons."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

LEFT, RIGHT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.MouseButton.NoButton
PLAIN = Qt.KeyboardModifier.NoModifier


def settle() -> None:
    """Until nothing is left to do."""
    for _ in range(3):
        QApplication.processEvents()


def activate(viewer) -> None:
    """Have the keys of a shown window work: Qt gives them to the active one alone."""
    window = viewer.window._qt_window
    window.activateWindow()
    for _ in range(200):
        if window.isActiveWindow():
            return
        QTest.qWait(10)
    raise AssertionError("the window does not become the active one")


def next_turn(qtbot) -> None:
    """Until all that was put off to the next turn of the event loop is done."""
    come = []
    QTimer.singleShot(0, lambda: come.append(True))
    qtbot.waitUntil(lambda: bool(come))


def click(qtbot, button) -> None:
    """Press a button that can be pressed."""
    assert button.isEnabled(), button.text()
    qtbot.mouseClick(button, LEFT)


class Mouse:
    """Moves, clicks and drags on the real canvas; pixels are (row, column) or (frame, row, column) of the layer.

    The window must be shown.
    """

    def __init__(self, viewer, layer):
        self._viewer, self._layer = viewer, layer
        self.native = viewer.window._qt_viewer.canvas.native
        self.camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera  # napari 0.9 moved it

    def point(self, pixel) -> QPoint:
        """Where on the canvas a pixel is."""
        whole = (0,) * (self._layer.ndim - len(pixel)) + tuple(pixel)
        world = np.asarray(self._layer.data_to_world(whole))[-2:]
        centre, zoom = np.asarray(self.camera.center)[-2:], self.camera.zoom
        row, column = (world - centre) * zoom + (self.native.height() / 2, self.native.width() / 2)
        return QPoint(round(column), round(row))

    def move(self, pixel, modifier=PLAIN) -> None:
        self._move(self.point(pixel), NONE, modifier)

    def click(self, pixel, button=LEFT, modifier=PLAIN) -> None:
        self.move(pixel, modifier)
        QTest.mouseClick(self.native, button, modifier, self.point(pixel), 5)
        settle()

    def double_click(self, pixel, button=LEFT) -> None:
        """As a hand does it: a click, and the second press of it comes as a double click."""
        self.click(pixel, button)
        QTest.mouseDClick(self.native, button, PLAIN, self.point(pixel), 5)
        settle()

    def drag(self, start, end, steps=6, release=True, button=LEFT) -> None:
        self.move(start)
        a, b = self.point(start), self.point(end)
        QTest.mousePress(self.native, button, PLAIN, a, 5)
        for k in range(1, steps + 1):
            self._move(a + (b - a) * k / steps, button)
        if release:
            self.release(end, button)

    def release(self, pixel, button=LEFT) -> None:
        QTest.mouseRelease(self.native, button, PLAIN, self.point(pixel), 5)
        settle()

    def _move(self, point: QPoint, held, modifier=PLAIN) -> None:
        """Sent to the canvas itself: QTest moves the pointer of the display, which answers when it comes to it."""
        everywhere = QPointF(self.native.mapToGlobal(point))
        event = QMouseEvent(QMouseEvent.Type.MouseMove, QPointF(point), everywhere, NONE, held, modifier)
        QApplication.sendEvent(self.native, event)
        settle()

    def key(self, key, modifier=PLAIN) -> None:
        QTest.keyClick(self.native, key, modifier)
        settle()
