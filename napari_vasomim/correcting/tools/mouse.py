"""The mouse on a layer while a tool is up: dragging still moves the camera, unless the tool is dragged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from napari.layers import Layer

from napari_vasomim.canvas import frames
from napari_vasomim.correcting.tools.shown_frame import Point
from napari_vasomim.notify import report_errors

CLICK_PX = 4
"""The pointer may move this far on the screen between press and release of a click."""
LEFT, RIGHT = 1, 2


class Hand(Protocol):
    """What the mouse moves."""

    def hover(self, point: Point, shift: bool) -> None:
        """The pointer is over a point, or is dragged over it by a tool that is dragged; `shift` = Shift is held."""

    def press(self, point: Point) -> None:
        """A drag begins."""

    def click(self, point: Point, shift: bool) -> Any:
        """A click, or the end of a drag."""

    def end(self) -> None:
        """What was begun is given up: by a right click, a double click, or a drag that went nowhere."""


class Mouse:
    """napari's mouse events on one layer, told to a hand as points (row, column) of the frame.

    Args:
        layer: under the mouse.
        hand: that is told; errors become sentences.
    """

    def __init__(self, layer: Layer, hand: Hand):
        self._layer, self._hand, self._drags = layer, hand, False
        # napari calls what is in these lists; a generator is driven through press, moves and release.
        self._callbacks: list[tuple[list[Any], Any]] = [
            (layer.mouse_drag_callbacks, self._pressed),
            (layer.mouse_move_callbacks, self._moved),
            (layer.mouse_double_click_callbacks, self._double_clicked),
        ]

    def attach(self, drags: bool) -> None:
        """Listen, for a tool that is clicked or for one that is dragged."""
        self.set_drags(drags)
        self._layer.cursor = "crosshair"
        for callbacks, ours in self._callbacks:
            callbacks.append(ours)

    def set_drags(self, drags: bool) -> None:
        """From the next press on, a drag is the tool's, or moves the camera."""
        self._drags = drags
        self._layer.mouse_pan = not drags

    def detach(self) -> None:
        """Leave the mouse to napari."""
        for callbacks, ours in self._callbacks:
            if ours in callbacks:
                callbacks.remove(ours)
        if getattr(self._layer, "mode", "") == "pan_zoom":
            self._layer.mouse_pan = True
            self._layer.cursor = "standard"

    def _pressed(self, layer: Layer, event: Any) -> Iterator[None]:
        start, dragged = np.array(event.pos), False
        if self._drags and event.button == LEFT:
            self._hand.press(self._point(event))
        yield
        while event.type == "mouse_move":
            dragged |= bool(np.abs(np.array(event.pos) - start).max() > CLICK_PX)
            if self._drags and event.button == LEFT:
                self._moved(layer, event)
            yield
        self._released(event, dragged)

    @report_errors
    def _released(self, event: Any, dragged: bool) -> None:
        if event.button == LEFT and dragged == self._drags:
            self._hand.click(self._point(event), "Shift" in event.modifiers)
        elif self._drags or (event.button == RIGHT and not dragged):
            self._hand.end()

    @report_errors
    def _moved(self, layer: Layer, event: Any) -> None:
        self._hand.hover(self._point(event), "Shift" in event.modifiers)

    @report_errors
    def _double_clicked(self, layer: Layer, event: Any) -> None:
        self._hand.end()

    def _point(self, event: Any) -> Point:
        return frames.pixel_at(self._layer, event.position)
