"""The vessel tools of a correction layer: which one is up, what it shows, and what puts it down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_vasomim.canvas import frames
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.tools.cut import Cut
from napari_vasomim.correcting.tools.join import Join
from napari_vasomim.correcting.tools.mouse import Mouse
from napari_vasomim.correcting.tools.preview import Preview
from napari_vasomim.correcting.tools.recolour import RecolourBranch, RecolourPiece
from napari_vasomim.correcting.tools.remove import Remove
from napari_vasomim.correcting.tools.shown_frame import Point, ShownFrame
from napari_vasomim.correcting.tools.spec import ADDS, CLASS_TOOLS
from napari_vasomim.correcting.tools.tool import Tool
from napari_vasomim.correcting.tools.trace import Trace
from napari_vasomim.notify import report_errors
from vasomim_core.errors import InputError

KINDS: dict[str, type[Tool]] = {
    kind.spec.name: kind for kind in (Trace, Join, Remove, Cut, RecolourPiece, RecolourBranch)
}
FOR_SEVERAL = {spec.name for spec in CLASS_TOOLS}


class VesselTools:
    """The tools of one correction layer, of which one at most is up. All can be done without a mouse, too.

    Args:
        frame: that they work on.
    """

    changed = Signal(object)
    """Another tool was taken up (its name), or put down (None)."""
    said = Signal(str)
    """What a click would do to which class; where there is one class alone, there is nothing to say."""

    def __init__(self, frame: ShownFrame):
        self._frame = frame
        self._tool: Tool | None = None
        self._at_work = False
        self._pointer: tuple[Point, bool] = (0.0, 0.0), False
        self._mouse, self._preview = Mouse(frame.layer, self), Preview(frame.viewer, frame.source, frame.layer)
        self._preview.taken_away.connect(self._unusable)
        dims = frame.viewer.dims.events
        self._watched: list[tuple[Any, Any]] = [
            (frame.layer.events.mode, self._unusable),
            (frame.viewer.layers.events.removed, self._layer_removed),
            (undo.steps(frame.layer).made, self._stepped),
            (dims.current_step, self._view_changed),
            (dims.ndisplay, self._view_changed),
            (dims.order, self._view_changed),
        ]
        for signal, slot in self._watched:
            signal.connect(slot)

    @property
    def tool(self) -> str | None:
        """The name of the tool that is up."""
        return None if self._tool is None else self._tool.spec.name

    def take(self, name: str | None) -> None:
        """Take up a tool, or put it down with None; the same tool again puts it down.

        Raises:
            InputError: the viewer does not show single frames of the layer, or not its angiogram.
        """
        if name is not None and not self._frame.is_shown_2d():
            raise InputError(
                "The vessel tools work in the 2-D view of single frames; "
                "go back to it with the buttons below the layer list."
            )
        if name is not None:
            self._frame.need_shown()
        if name in FOR_SEVERAL and not self._frame.palette.several:
            raise InputError("Recolouring needs another class to choose; make one in the panel Labels.")
        if name == self.tool:
            name = None
        self._put_down()
        if name is not None:
            self._take_up(KINDS[name](self._frame))
        self.changed.emit(name)

    def close(self) -> None:
        """Put the tool down and let go of layer and viewer."""
        self._put_down()
        self._preview.close()
        for signal, slot in self._watched:
            signal.disconnect(slot)

    # What the tool that is up shows and does

    def hover(self, point: Point, shift: bool = False) -> None:
        """Show what a click at this point would do."""
        self._pointer = point, shift
        self._preview.draw(self._tool.hover(point, shift) if self._tool and self._reaches(point) else None)
        self._say(point)

    def press(self, point: Point) -> None:
        """Begin a drag at this point; `click` at another one ends it."""
        if self._tool is not None:
            self._tool.press(point)

    def click(self, point: Point, shift: bool = False) -> int:
        """Do what was shown; returns how many pixels changed. Beside the frame, nothing is done.

        Raises:
            InputError: the tool cannot do it on this frame.
        """
        if self._tool is None or not self._reaches(point):
            return 0
        with self._own_step():
            changed = self._tool.click(point, shift)
        self._preview.draw(None)
        self._look_ahead_soon()
        return changed

    def end(self) -> None:
        """Forget what earlier clicks have begun, such as a trace; the tool stays up."""
        if self._tool is not None:
            self._tool.end()
        self._preview.draw(None)

    def step_back(self) -> None:
        """Take the last click of the tool back, as far as it can."""
        if self._tool is not None:
            with self._own_step():
                self._tool.step_back()
            self.hover(*self._pointer)

    def palette_changed(self) -> None:
        """Other classes, or another one is drawn in."""
        if self._tool is None:
            return
        if self.tool in FOR_SEVERAL and not self._frame.palette.several:
            self._unusable()
        else:
            self._preview.appear(self._colour(self._tool))
            self.hover(*self._pointer)

    def pixels_changed(self) -> None:
        """The angiogram got other pixels."""
        self._frame.pixels_changed()
        if frames.result_shape(self._frame.source) != self._frame.layer.data.shape:
            self._unusable()  # these are no longer the pixels that are corrected here

    def _reaches(self, point: Point) -> bool:
        return self._tool is not None and (self._tool.drags or self._frame.contains(point))

    def _say(self, point: Point) -> None:
        if self._tool is not None and self._frame.palette.several:
            words = self._tool.words(point)
            self._frame.viewer.help = f"{words} {self._tool.spec.help}"
            self.said.emit(words)

    def _colour(self, tool: Tool) -> str | None:
        """What is drawn is seen in the colour of its class before it is drawn."""
        palette = self._frame.palette
        return palette.chosen.colour if palette.several and tool.spec.colour == ADDS else tool.spec.colour

    def _look_ahead_soon(self) -> None:
        """Once what was done is seen, and before the pointer is far."""
        QTimer.singleShot(0, self._look_ahead)

    @report_errors
    def _look_ahead(self) -> None:
        if self._tool is not None:
            self._tool.look_ahead()

    # Taking up and putting down

    def _take_up(self, tool: Tool) -> None:
        layer, viewer = self._frame.layer, self._frame.viewer
        undo.show(layer)  # before the mode: napari brings back the one it had when it was hidden
        layer.mode = "pan_zoom"  # first: while a tool is up, a change of the mode puts it down
        self._tool = tool
        viewer.layers.selection.active = layer
        self._preview.appear(self._colour(tool))
        self._mouse.attach(tool.drags)
        viewer.help = tool.spec.help
        self._say(self._pointer[0])
        self._look_ahead_soon()

    def _put_down(self) -> None:
        if self._tool is not None:
            self._frame.viewer.help = ""
        self._tool = None
        self._preview.hide()
        self._mouse.detach()

    def _unusable(self, *_: Any) -> None:
        """The person took up one of napari's own tools, or the tool cannot work any longer."""
        if self._tool is not None:
            self._put_down()
            self.changed.emit(None)

    def _layer_removed(self, event: Any) -> None:
        if event.value is self._frame.source:
            self._unusable()

    def _view_changed(self, *_: Any) -> None:
        if not self._frame.is_shown_2d():
            self._unusable()
        self.end()

    def _stepped(self, step: undo.Step) -> None:
        """Something else than a click changed the layer: Backspace may not take that back."""
        if not self._at_work:
            self.end()

    @contextmanager
    def _own_step(self) -> Iterator[None]:
        self._at_work = True
        try:
            yield
        finally:
            self._at_work = False
