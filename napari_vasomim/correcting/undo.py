"""One undo for everything that is drawn: napari's own history of a labels layer, by hand and by tool.

What was found in napari 0.9.2 and is worked with here:

- The history holds the last 100 steps of a layer. Older ones cannot be undone; the journal has them all.
- `Labels.events.paint` tells of every finished step, but nothing tells of an undo or a redo. After a stroke of the
  mouse it comes when the pixels are set; for a polygon, and for code outside of `block_history`, just before.
- An undo edits the frame it belongs to, silently if another one is shown.
- A new array (`layer.data = …`) keeps the history of the old one, whose undo then edits the wrong array or fails.
- `Labels.data_setitem` fails after half of its work on a layer that was never shown.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.typing import ArrayLike, NDArray
from psygnal import Signal

from napari_vasomim.attached import attach, attached
from napari_vasomim.canvas.frames import current_index, show_frame
from napari_vasomim.napari_compat import history, unwrap
from vasomim_core.errors import InputError


def apply(layer: Labels, frame: int | None, changed: NDArray[np.bool_], value: int) -> int:
    """Set pixels of one frame to a value, as one step of the layer's own undo history.

    Args:
        layer: (y, x) or (t, y, x). It is shown if it was hidden: an edit that cannot be seen is a trap.
        frame: index of the frame; None for a (y, x) layer.
        changed: bool (H, W), the pixels to set.
        value: the label, within the range of the layer's dtype.

    Returns:
        How many pixels had another value before. If none had, there is no step either.

    Raises:
        InputError: `changed` has another size than a frame, or there is no such frame.
    """
    layer = unwrap(layer)
    plane = _plane(layer, frame, changed)
    return _set(layer, frame, changed & (plane != value), value)


def apply_values(layer: Labels, frame: int | None, new: NDArray[np.uint8]) -> int:
    """Replace a whole frame by other labels, as one step of the layer's own undo history.

    Args:
        layer: (y, x) or (t, y, x), shown if it was hidden.
        frame: index of the frame; None for a (y, x) layer.
        new: uint8 (H, W), the labels from now on.

    Returns:
        How many pixels had another value before. If none had, there is no step either.

    Raises:
        InputError: `new` has another size than a frame, or there is no such frame.
    """
    layer = unwrap(layer)
    changed = _plane(layer, frame, new) != new
    return _set(layer, frame, changed, new[changed])


def undo_depth(layer: Labels) -> int:
    """How many steps can be undone, 0 to 100."""
    return len(history(unwrap(layer), "undo") or ())


def redo_depth(layer: Labels) -> int:
    """How many steps can be redone, 0 to 100."""
    return len(history(unwrap(layer), "redo") or ())


def forget_steps(layer: Labels) -> None:
    """Empty the undo history, as when the layer goes on to another label."""
    layer = unwrap(layer)
    if layer.editable:
        mode = layer.mode
        layer.editable = False  # napari drops the history with the right to edit, and the mode besides
        layer.editable = True
        layer.mode = mode


def show(layer: Labels) -> None:
    """Make a hidden layer visible. Said of a visible one, napari would put its mode back to an earlier one."""
    if not layer.visible:
        layer.visible = True


class Box(NamedTuple):
    """A rectangle of one frame, from `top` and `left` up to but without `bottom` and `right`; frame 0 of a still."""

    frame: int
    top: int
    bottom: int
    left: int
    right: int

    def where(self, ndim: int) -> tuple[int | slice, ...]:
        """What selects the rectangle from an array of 2 or 3 dimensions."""
        area = slice(self.top, self.bottom), slice(self.left, self.right)
        return area if ndim == 2 else (self.frame, *area)


class Step(NamedTuple):
    """One finished step: where pixels may have changed (None: anywhere), and whether it was an undo or a redo."""

    boxes: list[Box] | None
    replayed: bool = False


class Steps:
    """Tells of every finished step of a labels layer: painted by hand or tool, undone, redone, or a new array.

    Get it from `steps(layer)`: there is one for each layer, and it lives as long as the layer.
    """

    made = Signal(Step)

    def __init__(self, layer: Labels) -> None:
        self._layer = weakref.ref(layer)
        self._array = layer.data
        self._awaited: Step | None = None
        layer.events.paint.connect(self._painted)
        layer.events.data.connect(self._replaced)
        layer.events.labels_update.connect(self.settle)
        layer.events.set_data.connect(self.settle)
        # On the instance, since there is no event to observe: `set_data` comes with every redraw, and never while the
        # layer is hidden. napari's key bindings and everyone else call these two public methods.
        layer.undo = partial(self._replay, "undo")
        layer.redo = partial(self._replay, "redo")

    def settle(self, event: Any = None) -> None:
        """Tell of a step whose pixels are set only now: when they are shown, or at the latest before the next step."""
        step, self._awaited = self._awaited, None
        if step:
            self.made.emit(step)

    def _painted(self, event: Any) -> None:
        self.settle()
        layer = self._layer()
        if layer is not None:
            drawn = getattr(event, "value", None)
            step, done = Step(boxes_of(drawn, layer.data.shape)), _is_done(drawn, layer.data)
            if done is not True:
                self._awaited = step
            if done is not False:
                self.made.emit(step)

    def _replaced(self, event: Any) -> None:
        self.settle()
        layer = self._layer()
        if layer is not None and layer.data is not self._array:
            self._array = layer.data
            forget_steps(layer)
            self.made.emit(Step(None))

    def _replay(self, name: Literal["undo", "redo"]) -> None:
        self.settle()
        layer = self._layer()
        if layer is None:
            return
        pending = history(layer, name)
        boxes = boxes_of(pending[-1], layer.data.shape) if pending else None
        unknown = boxes is None and (pending is None or len(pending) > 0)
        before = np.array(layer.data) if unknown else None
        getattr(type(layer), name)(layer)
        if before is not None:
            boxes = list(differing(before, layer.data))
        if boxes:
            self.made.emit(Step(boxes, replayed=True))


def steps(layer: Labels) -> Steps:
    """The steps of a layer (y, x) or (t, y, x); connect to its `made`.

    Raises:
        InputError: the layer has other dimensions or several scales.
    """
    layer = unwrap(layer)
    if layer.multiscale or layer.ndim not in (2, 3):
        raise InputError(f"The layer {layer.name!r} cannot be corrected; use one of shape (y, x) or (t, y, x).")
    made = attached(layer, Steps)
    if made is None:
        made = Steps(layer)
        attach(layer, made)
    return made


class UndoFollows:
    """After an undo or redo, the viewer shows the frame that changed.

    It lasts as long as layer and viewer do, whether or not this object is kept; `close` ends it earlier.
    """

    def __init__(self, viewer: ViewerModel, layer: Labels) -> None:
        self._viewer, self._layer = weakref.ref(unwrap(viewer)), weakref.ref(unwrap(layer))
        self._made = steps(layer).made
        self._slot = self._made.connect(lambda step: self._follow(step))  # the lambda keeps this object alive

    def close(self) -> None:
        """Follow no longer."""
        self._made.disconnect(self._slot, missing_ok=True)

    def _follow(self, step: Step) -> None:
        viewer, layer = self._viewer(), self._layer()
        if viewer is None:
            self.close()
        elif layer is not None and step.replayed and step.boxes and layer in viewer.layers:
            frames = [box.frame for box in step.boxes]
            if current_index(viewer, layer) not in frames:
                show_frame(viewer, layer, frames[0])


def boxes_of(step: Any, shape: Sequence[int]) -> list[Box] | None:
    """Where a step of napari's history changes pixels: one box per frame, in order of the frames.

    Args:
        step: a list of what napari calls history atoms, of any version: with a `slice_key` (since 0.9), or an
            (indices, old values, new values).
        shape: of the layer's array, (H, W) or (T, H, W).

    Returns:
        None for a step in another, unknown form.
    """
    frames: dict[int, Box] = {}
    try:
        for atom in step:
            *time, (top, bottom), (left, right) = _spans(atom, shape)
            for frame in range(*time[0]) if time else (0,):
                old = frames.get(frame, Box(frame, top, bottom, left, right))
                frames[frame] = Box(
                    frame, min(top, old.top), max(bottom, old.bottom), min(left, old.left), max(right, old.right)
                )
    except (TypeError, ValueError, AttributeError):
        return None
    return [frames[frame] for frame in sorted(frames)]


def differing(before: NDArray[Any], after: ArrayLike) -> Iterator[Box]:
    """The box around all differences of two arrays (H, W) or (T, H, W), for each frame that has any."""
    still = before.ndim == 2
    for frame in range(1 if still else len(before)):
        index = ... if still else frame
        different = before[index] != np.asarray(after[index])  # type: ignore[index]
        rows = np.flatnonzero(different.any(1))
        if rows.size:
            columns = np.flatnonzero(different.any(0))
            yield Box(frame, int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def _spans(atom: Any, shape: Sequence[int]) -> list[tuple[int, int]]:
    """(start, stop) of an atom along each axis."""
    if hasattr(atom, "slice_key"):
        return [axis.indices(size)[:2] for axis, size in zip(atom.slice_key, shape, strict=True)]
    indices, _, _ = atom
    spans = [(int(np.min(axis)), int(np.max(axis)) + 1) for axis in indices]
    if len(spans) != len(shape) or any(start < 0 for start, _ in spans):
        raise ValueError("indices of an unknown form")
    return spans


def _is_done(step: Any, data: Any) -> bool | None:
    """Whether the pixels of a step are set in the layer's array yet; None for a step of an unknown form."""
    try:
        if len(step) > 1:
            return True  # several atoms make one step only after all of them
        (atom,) = step
        if hasattr(atom, "slice_key"):
            now = np.asarray(data[atom.slice_key])
            return bool((now if atom.mask is None else now[atom.mask]).flat[0] == atom.new_value)
        indices, _, new = atom
        first = np.asarray(data[tuple(axis[:1] for axis in indices)])
        return bool(first[0] == np.ravel(new)[0])
    except (TypeError, ValueError, IndexError, AttributeError):
        return None


def _plane(layer: Labels, frame: int | None, new: NDArray[Any]) -> NDArray[Any]:
    """The labels (H, W) of a frame, checked against what is to be written there."""
    count = 1 if layer.ndim == 2 else layer.data.shape[0]
    if layer.ndim not in (2, 3) or (frame is None) != (layer.ndim == 2) or not 0 <= (frame or 0) < count:
        raise InputError(f"The layer {layer.name!r} of shape {tuple(layer.data.shape)} has no frame {frame}.")
    plane = np.asarray(layer.data if frame is None else layer.data[frame])
    if plane.shape != new.shape:
        raise InputError(
            f"A frame of the layer {layer.name!r} has {plane.shape} pixels, not {new.shape}; "
            "choose labels that belong to this angiogram."
        )
    return plane


def _set(layer: Labels, frame: int | None, changed: NDArray[np.bool_], value: Any) -> int:
    rows, columns = np.nonzero(changed)
    if rows.size:
        show(layer)
        time = () if frame is None else (np.full(rows.size, frame),)
        with layer.block_history():
            layer.data_setitem((*time, rows, columns), value)
    return int(rows.size)
