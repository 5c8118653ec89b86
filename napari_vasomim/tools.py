"""The vessel tools at work on a correction layer: trace, remove a piece, cut, grow; every one an undoable step.

What a click would do is seen under the cursor before the click, on a preview layer that goes with the tool.
Dragging still moves the camera, except while cutting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import cv2
import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from psygnal import Signal

from napari_vasomim import layers, strokes
from napari_vasomim.notify import told
from vasomim_core.correction import Tracer, cut, grow, piece_at
from vasomim_core.errors import InputError

Tool = Literal["trace", "remove", "cut"]
CLICK_PX = 4
"""The pointer may move this far on the screen between press and release of a click."""
PREVIEW = {"trace": "#63ff8f", "remove": "#ff4d6d", "cut": "#ff4d6d"}
HELP = {
    "trace": "Click along a vessel; the green path is what the next click paints. Right click or Esc ends it, "
    "Backspace takes the last piece back.",
    "remove": "Click a piece to remove all of it; red is what goes.",
    "cut": "Drag across a vessel; red is what is erased.",
}


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
        self._traced: tuple[Any, ...] = ()
        self._anchors: list[tuple[float, float]] = []
        self._press, self._move, self._double = told(self._pressed), told(self._moved), told(self._ended)
        self._drag = self._guarded_drag
        layer.events.mode.connect(self._mode_changed)
        viewer.dims.events.current_step.connect(self._frame_changed)

    # Taking up and putting down

    def take(self, tool: Tool | None) -> None:
        """Take up a tool, or put it down with None; the same tool again puts it down."""
        if self._viewer.dims.ndisplay != 2 and tool is not None:
            raise InputError(
                "The vessel tools work in the 2-D view; switch to it with the button below the layer list."
            )
        if tool == self.tool:
            tool = None
        self._put_down()
        self.tool = tool
        if tool is not None:
            # Our own layer's mode first: its change would put the tool down again.
            self.tool = None
            self.layer.mode = "pan_zoom"
            self.tool = tool
            self._viewer.layers.selection.active = self.layer
            self._preview = self._add_preview(PREVIEW[tool])
            self.layer.mouse_pan = tool != "cut"
            self.layer.cursor = "crosshair"
            self.layer.mouse_drag_callbacks.append(self._drag)
            self.layer.mouse_move_callbacks.append(self._move)
            self._viewer.help = HELP[tool]
        self.changed.emit(tool)

    def close(self) -> None:
        """Put the tool down and let go of layer and viewer."""
        self._put_down()
        self.layer.events.mode.disconnect(self._mode_changed)
        self._viewer.dims.events.current_step.disconnect(self._frame_changed)

    def _put_down(self) -> None:
        self.tool = None
        self._anchors = []
        if self._preview is not None and self._preview in self._viewer.layers:
            self._viewer.layers.remove(self._preview)
        self._preview = None
        for callbacks, ours in (
            (self.layer.mouse_drag_callbacks, self._drag),
            (self.layer.mouse_move_callbacks, self._move),
        ):
            if ours in callbacks:
                callbacks.remove(ours)
        if self.layer.mode == "pan_zoom":
            self.layer.mouse_pan = True
            self.layer.cursor = "standard"

    def _mode_changed(self, *_: Any) -> None:
        """The person took up one of napari's own tools."""
        if self.tool is not None:
            self._put_down()
            self.changed.emit(None)

    def _frame_changed(self, *_: Any) -> None:
        self._anchors = []
        self._show(None)

    # What the tools do; each also without a mouse, for keys, buttons and scripts

    @property
    def index(self) -> int:
        """The shown frame."""
        return layers.current_index(self._viewer, self.layer)

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
            painted = self._apply(tracer.painted(path), 1)
            point = (float(path[-1][0]), float(path[-1][1]))
        tracer.start(point)
        self._anchors.append(point)
        self._show(None)
        return painted

    def end_trace(self) -> None:
        """The next click begins another trace."""
        self._anchors = []
        self._show(None)

    def step_back(self) -> None:
        """Take the last traced piece back and go on from where it began."""
        if len(self._anchors) > 1:
            self._anchors.pop()
            self.layer.undo()
            self._get_tracer().start(self._anchors[-1])
        else:
            self.end_trace()

    def remove_at(self, point: tuple[float, float]) -> int:
        """Erase the connected piece at a point."""
        return self._apply(piece_at(self.mask, point), 0)

    def cut(self, a: tuple[float, float], b: tuple[float, float]) -> int:
        """Erase across a vessel, from a to b."""
        return self._apply(cut(self.mask, a, b), 0)

    def grow(self, threshold: float) -> int:
        """Add what the model sees at this threshold and what hangs together with the mask.

        Raises:
            InputError: this frame was not segmented.
        """
        probability = self._probability(self.index)
        if probability is None:
            raise InputError("Growing needs the model's probability; segment this frame first.")
        if not self.mask.any():
            raise InputError("Growing needs something to start from; trace or paint a piece of a vessel first.")
        return self._apply(grow(self.mask, probability, threshold), 1)

    def _apply(self, changed: NDArray[np.bool_], value: int) -> int:
        return strokes.apply(self.layer, None if self.layer.ndim == 2 else self.index, changed, value)

    def _get_tracer(self) -> Tracer:
        probability = self._probability(self.index)
        key = (self.index, bool(layers.facts(self._source).get("bright_vessels")), probability is not None)
        if self._tracer is None or key != self._traced:
            self._tracer = Tracer(layers.frame_of(self._source, self.index), probability)
            self._traced = key
        return self._tracer

    # The mouse

    def _guarded_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """napari drives a generator through press, moves and release."""
        start, a = np.array(event.pos), layers.pixel_at(self.layer, event.position)
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged |= bool(np.abs(np.array(event.pos) - start).max() > CLICK_PX)
            if self.tool == "cut":
                self._show(cut(np.ones(self.mask.shape, bool), a, layers.pixel_at(self.layer, event.position)))
            yield
        self._press(event, a, dragged)

    def _pressed(self, event: Any, a: tuple[float, float], dragged: bool) -> None:
        point = layers.pixel_at(self.layer, event.position)
        if self.tool == "cut":
            self._show(None)
            if dragged:
                self.cut(a, point)
        elif dragged:
            return  # the camera was moved
        elif event.button == 2:
            self.end_trace()
        elif self._inside(point):
            if self.tool == "trace":
                self.trace_to(point)
            elif self.tool == "remove":
                self.remove_at(point)
                self._show(None)

    def _moved(self, layer: Labels, event: Any) -> None:
        point = layers.pixel_at(self.layer, event.position)
        if not self._inside(point):
            self._show(None)
        elif self.tool == "trace" and self._anchors:
            tracer = self._get_tracer()
            self._show(tracer.painted(tracer.path_to(point)))
        elif self.tool == "remove":
            self._show(piece_at(self.mask, point))

    def _ended(self, layer: Labels, event: Any) -> None:
        self.end_trace()

    def _inside(self, point: tuple[float, float]) -> bool:
        height, width = self.mask.shape
        return -0.5 <= point[0] < height - 0.5 and -0.5 <= point[1] < width - 0.5

    # The preview

    def _add_preview(self, colour: str) -> Labels:
        placed = layers.placed_like(self.layer)
        size = layers.frame_size(self.layer)
        if self.layer.ndim == 3:  # one frame that is seen at all times
            placed = {"scale": self.layer.scale[-2:], "translate": self.layer.translate[-2:]}
        preview = self._viewer.add_labels(
            np.zeros(size, np.uint8),
            name="tool preview",
            colormap=DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: colour}),
            opacity=0.75,
            metadata={layers.KEY: {"role": "preview", "source": self._source}},
            **placed,
        )
        preview.editable = False
        self._viewer.layers.selection.active = self.layer
        return preview

    def _show(self, mask: NDArray[np.bool_] | None) -> None:
        preview = self._preview
        if preview is None or preview not in self._viewer.layers:
            return
        if mask is None:
            if not preview.data.any():
                return
            preview.data[...] = 0
        else:
            cv2.copyTo(mask.astype(np.uint8), None, preview.data)
        preview.refresh()
