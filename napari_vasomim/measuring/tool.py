"""Measuring with the mouse: two clicks on a vessel, points between and after, and handles that are dragged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from napari.layers import Image, Points
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_vasomim.background.threads import run_in_background
from napari_vasomim.canvas import frames, layers
from napari_vasomim.correcting.keys import bind_key
from napari_vasomim.correcting.tools.mouse import Mouse
from napari_vasomim.correcting.tools.preview import Preview
from napari_vasomim.measuring.drawing import AT_POINTER, CLICKED, MARKED, Drawing, Look
from napari_vasomim.measuring.frame import ClickedFrame
from napari_vasomim.measuring.handles import Handle, handle_at, handles, nearest, place_of, with_marker, with_via
from napari_vasomim.measuring.making import Making
from napari_vasomim.measuring.measures import Measures
from napari_vasomim.napari_compat import camera
from napari_vasomim.notify import report_errors
from napari_vasomim.session import Session
from vasomim_core.correction.paths import MinimalPaths
from vasomim_core.correction.points import Point
from vasomim_core.measures.measuring import Measure
from vasomim_core.measures.reference import Reference
from vasomim_core.measures.scale import Scale

Purpose = Literal["measure", "catheter"]
REACH = 8.0
"""Distance on the screen, in px, within which the pointer takes hold of a handle."""
BESIDE = 4.0
"""px beside the walls within which the pointer is still over the vessel."""
PREVIEW = "#7bd389"
HELP: dict[Purpose, str] = {
    "measure": "Click where the measure begins on the vessel. Points and markers can be dragged; Shift+click puts a "
    "point between.",
    "catheter": "Click one end of a straight, free piece of the catheter, then the other.",
}
BEGUN = "Click where it ends; Shift+click puts a point between. Backspace takes a point back, Esc gives up."


@dataclass
class Begun:
    """Clicks of a measure that has no end yet."""

    frame: ClickedFrame
    points: list[Point] = field(default_factory=list)
    paths: MinimalPaths | None = None


class MeasureTool:
    """What the mouse does to the shown frame while one measures; it can be done without a mouse, too.

    Args:
        session: of the viewer.
        measures: that are made and changed.
        drawing: gives the drawing of an angiogram.

    Attributes:
        purpose: what is up: a measure, the scale by a catheter, or nothing.
        reference: of new measures.
    """

    changed = Signal(object)
    """Another purpose was taken up, or None."""
    said = Signal(str)
    """What a click would do now, or what came of the last."""
    over = Signal(object)
    """Where along the measure that is looked at the pointer is, in px; None = beside it."""

    def __init__(self, session: Session, measures: Measures, drawing: Callable[[Image], Drawing]):
        self._session, self._measures, self._drawing = session, measures, drawing
        self._owner = QObject()
        self._making = Making(session, measures, self._under_way)
        self.purpose: Purpose | None = None
        self.reference: Reference = "interpolated"
        self._french = 0.0
        self._source: Image | None = None
        self._keys: Points | None = None
        self._mouse: Mouse | None = None
        self._preview: Preview | None = None
        self._begun: Begun | None = None
        self._held: Handle | None = None
        self._pressed: Point = (0.0, 0.0)
        self._dragged_to: Point | None = None
        self._place: float | None = None
        viewer = session.viewer
        viewer.layers.events.removed.connect(report_errors(self._removed))
        viewer.layers.selection.events.active.connect(report_errors(self._active_changed))
        for event in (viewer.dims.events.current_step, viewer.dims.events.ndisplay, viewer.dims.events.order):
            event.connect(report_errors(self._view_changed))
        session.pixels_changed.connect(report_errors(self._pixels_changed))

    @property
    def busy(self) -> int:
        """How many measures are being computed."""
        return self._making.busy

    # Taking up and putting down

    def take(self, purpose: Purpose | None, french: float = 0.0) -> None:
        """Begin to measure, or to trace a catheter of a size in French; None ends it.

        Raises:
            InputError: no angiogram is open, or something else than its frame is seen.
        """
        if purpose is not None:
            source, _ = self._session.need_shown()
        self._put_down()
        if purpose is not None:
            self._french = french
            self._take_up(purpose, source)
        self.changed.emit(self.purpose)
        self.said.emit(HELP[self.purpose] if self.purpose else "")

    def _take_up(self, purpose: Purpose, source: Image) -> None:
        viewer = self._session.viewer
        keys = self._drawing(source).points
        self._session.canvas.show(keys)
        keys.mode = "pan_zoom"
        preview = Preview(viewer, source, keys, name="measure preview")
        preview.appear(PREVIEW)
        preview.taken_away.connect(self._end_soon)
        mouse = Mouse(keys, self)
        mouse.attach(False)
        viewer.layers.selection.active = keys
        for key, action in {"Escape": self.escape, "Backspace": self.step_back, "Control-Z": self._undo}.items():
            bind_key(keys, key, action)
        self.purpose, self._source = purpose, source
        self._keys, self._mouse, self._preview = keys, mouse, preview
        viewer.help = HELP[purpose]
        self.draw_points()
        # What the first path needs, before the pointer is there.
        clicked = self._making.frame(source, self._session.index)
        run_in_background(self._owner, clicked.read, lambda _: None, lambda _: None)

    def _put_down(self) -> None:
        keys, mouse, preview = self._keys, self._mouse, self._preview
        self.purpose = self._source = self._keys = self._mouse = self._preview = None
        self._begun = self._held = self._dragged_to = None
        if mouse is not None and keys is not None:
            mouse.detach()
            for key in ("Escape", "Backspace", "Control-Z"):
                keys.bind_key(key, None)
            self._session.viewer.help = ""
        if preview is not None:
            preview.taken_away.disconnect(self._end_soon)
            preview.close()
        self.draw_points()

    def _end_soon(self, *_: Any) -> None:
        if self.purpose is not None:
            self.take(None)

    # What the mouse does

    def hover(self, point: Point, shift: bool = False) -> None:
        """The pointer is over a point of the frame, or drags what it holds there."""
        if self._held is not None:
            self._drag(point)
            return
        begun, measure = self._begun, self._measure()
        if begun is not None:
            self._show_path(begun, point)
            return
        held = None if measure is None or self.purpose != "measure" else self._handle(measure, point)
        if self._mouse is not None and self._keys is not None:
            self._mouse.set_drags(held is not None)
            self._keys.cursor = "pointing" if held is not None else "crosshair"
        if measure is not None:
            place, away = place_of(measure, point)
            near = away <= measure.diameter[nearest(measure, place)] / 2 + BESIDE
            self.over.emit(place if near else None)

    def press(self, point: Point) -> None:
        """Take hold of the handle at a point."""
        measure, self._pressed = self._measure(), point
        free = self._begun is None and self.purpose == "measure"
        self._held = self._handle(measure, point) if measure is not None and free else None

    def click(self, point: Point, shift: bool = False) -> None:
        """Begin a measure, go on with it, or let go of what is dragged; `shift` puts a point between.

        Raises:
            InputError: the frame on the canvas is not the one that is measured.
        """
        if self._held is not None:
            self._let_go(point)
            return
        layer, index = self._session.need_shown()
        if self.purpose is None or layer is not self._source:
            return
        if not _contains(layer, point):
            self.said.emit("That is beside the frame; click on the vessel.")
            return
        begun, entry = self._begun, self._measures.current
        if begun is None and shift and self.purpose == "measure" and entry is not None and entry.measure is not None:
            self._making.again(layer, entry, with_via(entry.measure.segment.clicks, point))
        elif begun is None or begun.frame.index != index:
            self._begin(layer, index, point)
        elif shift:
            begun.points.append(point)
            self._look_ahead(begun)
            self.draw_points()
        else:
            self._begun = None
            self._end_preview()
            self._finish(begun.frame, [*begun.points, point])

    def end(self) -> None:
        """Give up what was begun; a handle that was pressed and not dragged is a place to begin at."""
        held, self._held, self._dragged_to = self._held, None, None
        if self._source is not None:
            self._measures.let_be(self._source)
        if held is not None:
            self.click(self._pressed)
            return
        if self._begun is not None:
            self._begun = None
            self._end_preview()
            self.said.emit(HELP[self.purpose] if self.purpose else "")
        self.draw_points()

    def escape(self) -> None:
        """Give up what was begun; where nothing was, stop measuring."""
        if self._begun is None and self._held is None:
            self.take(None)
        else:
            self._held = None
            self.end()

    def step_back(self) -> None:
        """Take the last point of a measure that was begun back."""
        begun = self._begun
        if begun is not None and len(begun.points) > 1:
            begun.points.pop()
            self._look_ahead(begun)
            self.draw_points()
        else:
            self.end()

    def _undo(self) -> None:
        if self._begun is not None:
            self.step_back()
        elif self._source is not None:
            self._measures.undo(self._source)

    # Clicks

    def _begin(self, layer: Image, index: int, point: Point) -> None:
        self._begun = Begun(self._making.frame(layer, index), [point])
        if self._mouse is not None:
            self._mouse.set_drags(False)
        self._look_ahead(self._begun)
        self.draw_points()
        self.said.emit(BEGUN)

    def _finish(self, clicked: ClickedFrame, clicks: list[Point]) -> None:
        if self.purpose == "catheter":
            self._making.scale(clicked, clicks, self._french, self._take_scale)
        else:
            self._making.new(clicked, clicks, self.reference)

    def _take_scale(self, scale: Scale) -> None:
        if self.purpose == "catheter":
            self.take(None)
        self.said.emit(f"Scale: {scale.mm_per_px:.4f} mm per px from {scale.source}.")

    def _under_way(self, sentence: str | None) -> None:
        help = HELP[self.purpose] if self.purpose else ""
        self.said.emit(help if sentence is None else sentence)
        self.draw_points()

    # Handles

    def _measure(self) -> Measure | None:
        entry = self._measures.current
        return entry.measure if entry is not None and self._source is self._session.angiogram else None

    def _handle(self, measure: Measure, point: Point) -> Handle | None:
        zoom = float(camera(self._session.viewer).zoom) * abs(float(self._session.need_angiogram().scale[-1]))
        return handle_at(handles(measure), point, REACH / max(zoom, 1e-6))

    def _drag(self, point: Point) -> None:
        held, entry = self._held, self._measures.current
        if held is None or entry is None or entry.measure is None or self._source is None:
            return
        if held.kind == "marker":
            px, _ = place_of(entry.measure, point)
            self._measures.adjust(self._source, entry.measured(with_marker(entry.measure, held.place, px)))
        else:
            self._dragged_to = point
        self.draw_points()

    def _let_go(self, point: Point) -> None:
        held, entry = self._held, self._measures.current
        self._held = self._dragged_to = None
        if held is None or entry is None or entry.measure is None or self._source is None:
            return
        if held.kind == "marker":
            self._measures.settle(self._source)
        elif not _contains(self._source, point):
            self.said.emit("That is beside the frame; the point stays where it was.")
        else:
            clicks: list[Point] = list(entry.measure.segment.clicks)
            clicks[held.place] = point
            self._making.again(self._source, entry, clicks)
        self.draw_points()

    # What is seen

    def show_place(self, px: float | None) -> None:
        """Show a place along the measure that is looked at on its frame, or none."""
        self._place = px
        self.draw_points()

    def draw_points(self, *_: Any) -> None:
        """Draw what can be dragged, what was begun, and the place that is pointed at in the plot."""
        source = self._session.angiogram
        if source is None:
            return
        points: list[tuple[Point, Look]] = []
        entry, up = self._measures.current, self.purpose is not None and source is self._source
        measure = entry.measure if entry is not None else None
        if up and self._begun is not None:
            points += [(point, CLICKED) for point in self._begun.points]
        elif up and measure is not None and self.purpose == "measure":
            points += [(self._seen_at(handle), _look(handle)) for handle in handles(measure)]
        if measure is not None and self._place is not None:
            points.append((tuple(measure.segment.centreline[nearest(measure, self._place)]), AT_POINTER))
        self._drawing(source).show_points(self._session.index, points)

    def _seen_at(self, handle: Handle) -> Point:
        held = self._held
        if held is not None and self._dragged_to is not None and handle[:2] == held[:2]:
            return self._dragged_to
        return handle.point

    def _show_path(self, begun: Begun, point: Point) -> None:
        if self._preview is None or begun.paths is None or not _contains(begun.frame.layer, point):
            return
        path = begun.paths.to(point)
        drawn = np.zeros(begun.paths.cost.frame.shape, np.uint8)
        drawn[tuple(path.T)] = 1
        self._preview.draw(cv2.dilate(drawn, np.ones((2, 2), np.uint8)) > 0)

    def _end_preview(self) -> None:
        if self._preview is not None:
            self._preview.draw(None)

    def _look_ahead(self, begun: Begun) -> None:
        """The paths from where the measure stands, for the preview."""
        start = begun.points[-1]
        begun.paths = None

        def ready(paths: MinimalPaths) -> None:
            if begun.points[-1] == start:
                begun.paths = paths

        run_in_background(self._owner, lambda: begun.frame.paths(start), ready, lambda _: None)

    # What the viewer tells

    def _view_changed(self, event: Any = None) -> None:
        """What was begun belongs to the frame on which it was clicked."""
        if self._begun is not None and self._begun.frame.index != self._session.index:
            self.end()
            self.said.emit("Another frame is shown; what was begun on the one before is given up.")
        if self.purpose is not None and self._session.canvas.hindrance():
            self.take(None)

    def _active_changed(self, event: Any) -> None:
        """Who selects another layer does something else."""
        layer = event.value
        if self._keys is not None and layer not in (None, self._keys) and not layers.is_arriving(layer):
            self.take(None)

    def _removed(self, event: Any) -> None:
        if event.value is self._keys or event.value is self._source:
            self.take(None)

    def _pixels_changed(self, layer: Image) -> None:
        if layer is self._source:
            self.take(None)


def _look(handle: Handle) -> Look:
    return CLICKED if handle.kind == "click" else MARKED


def _contains(layer: Image, point: Point) -> bool:
    height, width = frames.frame_size(layer)
    return -0.5 <= point[0] < height - 0.5 and -0.5 <= point[1] < width - 0.5
