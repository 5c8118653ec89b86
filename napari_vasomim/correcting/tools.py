"""The vessel tools at work on a correction layer: trace, join, remove a piece, cut, grow; every one an undoable step.

What a click would do is seen under the cursor before the click, on a preview layer that is hidden without a tool.
Dragging still moves the camera, except while cutting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_vasomim.canvas import frames, layers
from napari_vasomim.canvas.canvas import Canvas
from napari_vasomim.correcting import strokes
from napari_vasomim.notify import told
from vasomim_core.correction.tracing import Tracer, branch_at, cut, grow, piece_at
from vasomim_core.errors import InputError

Tool = Literal["trace", "join", "remove", "cut"]
CLICK_PX = 4
"""The pointer may move this far on the screen between press and release of a click."""
PREVIEW = {"trace": "#63ff8f", "join": "#63ff8f", "remove": "#ff4d6d", "cut": "#ff4d6d"}
HELP = {
    "trace": "Click along a vessel; the green path is what the next click paints. Right click or Esc ends it, "
    "Backspace takes the last piece back.",
    "join": "Click the far end of a missed branch; the green path from what is drawn already is painted.",
    "remove": "Click a piece to remove all of it, or with Shift its branch under the pointer alone; red is what goes.",
    "cut": "Drag across a vessel; red is what is erased.",
}


class Anchor(NamedTuple):
    """Where a trace stands after a click.

    Attributes:
        point: (row, column).
        painted: whether the piece that leads here changed a pixel, and so is a step of the undo history.
    """

    point: tuple[float, float]
    painted: bool


class VesselTools:
    """The tools of one correction layer.

    Args:
        viewer: where it is shown.
        layer: the correction, uint8 (y, x) or (t, y, x), 1 = vessel.
        source: its angiogram.
        probability: gives the vessel probability (H, W) of a frame, or None where none was computed.
    """

    changed = Signal(object)
    """Another tool was taken up (its name), or put down (None)."""

    def __init__(
        self,
        viewer: ViewerModel,
        layer: Labels,
        source: Image,
        probability: Callable[[int], NDArray[np.float32] | None],
    ):
        self._viewer, self.layer, self._source, self._probability = viewer, layer, source, probability
        self.tool: Tool | None = None
        self._preview: Labels | None = None
        self._tracer: Tracer | None = None
        self._traced = -1
        self._joined: tuple[Tracer, NDArray[np.bool_]] | None = None
        self._seen: NDArray[np.float32] | None = None
        self._anchors: list[Anchor] = []
        self._stepping = False
        self._pointer = (0.0, 0.0)
        self._press, self._move, self._double = told(self._released), told(self._moved), told(self._double_clicked)
        self._drag = self._dragged
        layer.events.mode.connect(self._unusable)
        strokes.steps(layer).made.connect(self._other_step)
        for event in self._viewer_events():
            event.connect(self._viewer_changed)
        viewer.layers.events.removed.connect(self._layer_removed)
        viewer.layers.selection.events.active.connect(self._keep_layer_active)

    # Taking up and putting down

    def take(self, tool: Tool | None) -> None:
        """Take up a tool, or put it down with None; the same tool again puts it down.

        Raises:
            InputError: the viewer does not show single frames of the layer, or not its angiogram.
        """
        if tool is not None and not self._shows_frames():
            raise InputError(
                "The vessel tools work in the 2-D view of single frames; "
                "go back to it with the buttons below the layer list."
            )
        if tool is not None:
            self._need_shown()
        if tool == self.tool:
            tool = None
        self._put_down()
        if tool is not None:
            strokes.show(self.layer)  # before the mode: napari brings back the one it had when it was hidden
            self.layer.mode = "pan_zoom"  # first: while a tool is up, a change of the mode puts it down
            self.tool = tool
            self._viewer.layers.selection.active = self.layer
            self._show_preview(PREVIEW[tool])
            self.layer.mouse_pan = tool != "cut"
            self.layer.cursor = "crosshair"
            for callbacks, ours in self._callbacks():
                callbacks.append(ours)
            self._viewer.help = HELP[tool]
            self._look_ahead_soon()
        self.changed.emit(tool)

    def close(self) -> None:
        """Put the tool down and let go of layer and viewer."""
        self._put_down()
        self._remove_preview()
        self.layer.events.mode.disconnect(self._unusable)
        strokes.steps(self.layer).made.disconnect(self._other_step, missing_ok=True)
        for event in self._viewer_events():
            event.disconnect(self._viewer_changed)
        self._viewer.layers.events.removed.disconnect(self._layer_removed)
        self._viewer.layers.selection.events.active.disconnect(self._keep_layer_active)

    def probability_changed(self) -> None:
        """The model was asked again; most often about other frames than the one that is traced on."""
        if self._tracer is not None:
            seen: Any = self._seen
            now: Any = self._probability(self._traced)
            self._tracer = self._tracer if np.array_equal(seen, now) else None

    def pixels_changed(self) -> None:
        """The angiogram got other pixels."""
        self._tracer = None
        if self._preview is not None and frames.result_shape(self._source) != self.layer.data.shape:
            self._unusable()  # these are no longer the pixels that are corrected here

    def _put_down(self) -> None:
        if self.tool is not None:
            self._viewer.help = ""
        self.tool = None
        self._anchors, self._joined = [], None
        if self._preview is not None:
            self._show(None)
            self._preview.visible = False
        for callbacks, ours in self._callbacks():
            if ours in callbacks:
                callbacks.remove(ours)
        if self.layer.mode == "pan_zoom":
            self.layer.mouse_pan = True
            self.layer.cursor = "standard"

    def _callbacks(self) -> list[tuple[list[Any], Any]]:
        return [
            (self.layer.mouse_drag_callbacks, self._drag),
            (self.layer.mouse_move_callbacks, self._move),
            (self.layer.mouse_double_click_callbacks, self._double),
        ]

    def _viewer_events(self) -> tuple[Any, ...]:
        events = self._viewer.dims.events
        return events.current_step, events.ndisplay, events.order

    def _shows_frames(self) -> bool:
        """Whether rows and columns of the layer are what is seen."""
        dims = self._viewer.dims
        return dims.ndisplay == 2 and tuple(dims.displayed) == (dims.ndim - 2, dims.ndim - 1)

    def _unusable(self, *_: Any) -> None:
        """The person took up one of napari's own tools, or the tool cannot work any longer."""
        if self.tool is not None:
            self._put_down()
            self.changed.emit(None)

    def _viewer_changed(self, *_: Any) -> None:
        if self.tool is not None and not self._shows_frames():
            self._unusable()
        self.end_trace()

    def _layer_removed(self, event: Any) -> None:
        if event.value is self._preview:
            self._preview = None
            self._unusable()
        elif event.value is self._source:
            self._unusable()
            self._remove_preview()

    def _keep_layer_active(self, event: Any) -> None:
        if event.value is not None and event.value is self._preview:
            self._viewer.layers.selection.active = self.layer

    def _other_step(self, step: strokes.Step) -> None:
        """Something else than a click changed the layer: Backspace may not take that back."""
        if not self._stepping:
            self.end_trace()

    @contextmanager
    def _own_step(self) -> Iterator[None]:
        self._stepping = True
        try:
            yield
        finally:
            self._stepping = False

    def _need_shown(self) -> None:
        """Nothing is drawn on a frame that is not the one on the canvas."""
        canvas = Canvas.known(self._viewer)
        if canvas is None:
            return
        if canvas.chosen is not self._source:
            raise InputError(f"The angiogram {self._source.name!r} of this correction is not shown; choose it first.")
        if hindrance := canvas.hindrance():
            raise InputError(hindrance)

    # What the tools do; each also without a mouse, for keys, buttons and scripts

    @property
    def index(self) -> int:
        """The shown frame."""
        return frames.current_index(self._viewer, self.layer)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The vessels of the shown frame, bool (H, W)."""
        data: Any = self.layer.data if self.layer.ndim == 2 else self.layer.data[self.index]
        return np.asarray(data) > 0

    def trace_to(self, point: tuple[float, float]) -> int:
        """Begin a trace, or paint the vessel from where it stands to a point; returns how many pixels changed."""
        tracer = self._get_tracer()
        painted = 0
        if self._anchors:
            path = tracer.path_to(point)
            with self._own_step():
                painted = self._apply(tracer.painted(path), 1)
            point = (float(path[-1][0]), float(path[-1][1]))
        tracer.start(point)
        self._anchors.append(Anchor(point, painted > 0))
        self._show(None)
        self._look_ahead_soon()
        return painted

    def end_trace(self) -> None:
        """The next click begins another trace."""
        self._anchors = []
        self._show(None)

    def step_back(self) -> None:
        """Take the last traced piece back and go on from where it began."""
        if len(self._anchors) < 2:
            self.end_trace()
            return
        if self._anchors.pop().painted:
            with self._own_step():
                self.layer.undo()
        self._get_tracer().start(self._anchors[-1].point)
        self.hover(self._pointer)

    def join_at(self, point: tuple[float, float]) -> int:
        """Paint the vessel that leads from what is drawn already to a point.

        Raises:
            InputError: nothing is drawn on this frame.
        """
        joiner = self._get_joiner()
        painted = self._apply(joiner.painted(joiner.path_to(point)), 1)
        self._look_ahead_soon()
        return painted

    def remove_at(self, point: tuple[float, float], branch: bool = False) -> int:
        """Erase the connected piece at a point, or only its branch there."""
        return self._apply((branch_at if branch else piece_at)(self.mask, point), 0)

    def cut(self, a: tuple[float, float], b: tuple[float, float]) -> int:
        """Erase across a vessel, from a to b."""
        return self._apply(cut(self.mask, a, b), 0)

    def grow(self, threshold: float) -> int:
        """Add what the model sees at this threshold and what hangs together with the mask.

        Raises:
            InputError: this frame was not segmented, nothing is drawn on it, or it is not shown.
        """
        self._need_shown()
        probability = self._probability(self.index)
        if probability is None:
            raise InputError("Growing needs the model's probability; segment this frame first.")
        if not self.mask.any():
            raise InputError("Growing needs something to start from; trace or paint a piece of a vessel first.")
        return self._apply(grow(self.mask, probability, threshold), 1)

    def _apply(self, changed: NDArray[np.bool_], value: int) -> int:
        return strokes.apply(self.layer, None if self.layer.ndim == 2 else self.index, changed, value)

    def _get_tracer(self) -> Tracer:
        if self._tracer is None or self._traced != self.index:
            self._traced = self.index
            self._seen = self._probability(self.index)
            self._tracer = Tracer(frames.grey(self._source, self.index), self._seen)
            if self._anchors:
                self._tracer.start(self._anchors[-1].point)
        return self._tracer

    def _look_ahead_soon(self) -> None:
        """Once what was done is seen, and before the pointer is far."""
        QTimer.singleShot(0, self._look_ahead)

    @told
    def _look_ahead(self) -> None:
        if self.tool == "trace":
            self._get_tracer().look_ahead()
        elif self.tool == "join" and self.mask.any():
            self._get_joiner().look_ahead()

    def _get_joiner(self) -> Tracer:
        """A tracer that starts at all that is drawn; the costs of the frame are kept from one step to the next."""
        tracer, mask = self._get_tracer(), self.mask
        if self._joined is None or self._joined[0] is not tracer or not np.array_equal(mask, self._joined[1]):
            tracer.start_from(mask)
            self._joined = tracer, mask
        return tracer

    # The mouse

    def _dragged(self, layer: Labels, event: Any) -> Iterator[None]:
        """What napari drives through press, moves and release."""
        start, a = np.array(event.pos), frames.pixel_at(self.layer, event.position)
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged |= bool(np.abs(np.array(event.pos) - start).max() > CLICK_PX)
            if self.tool == "cut" and event.button == 1:
                self._show(cut(np.ones(self.mask.shape, bool), a, frames.pixel_at(self.layer, event.position)))
            yield
        self._press(event, a, dragged)

    def _released(self, event: Any, a: tuple[float, float], dragged: bool) -> None:
        point = frames.pixel_at(self.layer, event.position)
        if self.tool == "cut":
            self._show(None)
            if dragged and event.button == 1:
                self.cut(a, point)
        elif dragged:
            return  # the camera was moved
        elif event.button == 2:
            self.end_trace()
        elif event.button == 1 and self._inside(point):
            if self.tool == "trace":
                self.trace_to(point)
            elif self.tool == "join":
                self.join_at(point)
                self._show(None)
            elif self.tool == "remove":
                self.remove_at(point, "Shift" in event.modifiers)
                self._show(None)

    def _double_clicked(self, layer: Labels, event: Any) -> None:
        self.end_trace()

    def _moved(self, layer: Labels, event: Any) -> None:
        self.hover(frames.pixel_at(self.layer, event.position), "Shift" in event.modifiers)

    def hover(self, point: tuple[float, float], branch: bool = False) -> None:
        """Show what a click at this point would do; `branch` as in `remove_at`."""
        self._pointer = point
        if not self._inside(point):
            self._show(None)
        elif self.tool == "trace" and self._anchors:
            tracer = self._get_tracer()
            self._show(tracer.painted(tracer.path_to(point)))
        elif self.tool == "join":
            if self.mask.any():
                joiner = self._get_joiner()
                self._show(joiner.painted(joiner.path_to(point)))
        elif self.tool == "remove":
            self._show((branch_at if branch else piece_at)(self.mask, point))

    def _inside(self, point: tuple[float, float]) -> bool:
        height, width = self.mask.shape
        return -0.5 <= point[0] < height - 0.5 and -0.5 <= point[1] < width - 0.5

    # The preview

    def _show_preview(self, colour: str) -> None:
        """On top of all, in a colour; made at first need and then kept, since napari takes long to make a layer."""
        placed = frames.placed_like(self.layer)
        if self.layer.ndim == 3:  # one frame that is seen at all times
            placed = {name: value[-2:] for name, value in placed.items() if name in ("scale", "translate", "units")}
            placed["rotate"], placed["shear"] = self.layer.rotate[-2:, -2:], self.layer.shear[-1:]
            placed["affine"] = self.layer.affine.set_slice([1, 2])
        if self._preview is None:
            preview = Labels(
                np.zeros(frames.frame_size(self.layer), np.uint8), name="tool preview", opacity=0.75, **placed
            )
            layers.tag(preview, "preview", self._source)
            layers.add(self._viewer, preview)
            preview.editable = False
            self._preview = preview  # only now: before, its selection by napari would be answered while it goes on
            self._viewer.layers.selection.active = self.layer
        for name, value in placed.items():
            setattr(self._preview, name, value)
        self._viewer.layers.move(self._viewer.layers.index(self._preview), len(self._viewer.layers))
        self._preview.colormap = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: colour})
        self._preview.visible = True

    def _remove_preview(self) -> None:
        preview, self._preview = self._preview, None
        if preview is not None:
            layers.remove(self._viewer, preview)

    def _show(self, mask: NDArray[np.bool_] | None) -> None:
        preview = self._preview
        if preview is None or preview not in self._viewer.layers:
            return
        if mask is None:
            if not preview.data.any():
                return
            preview.data[...] = 0
        else:
            preview.data[...] = mask
        preview.refresh()
