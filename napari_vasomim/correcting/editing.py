"""What goes with a correction layer as long as it is in the viewer: vessel tools, journal, undo that is seen."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from psygnal import Signal

from napari_vasomim.attached import attach, attached, detach
from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.drawn_classes import DrawnClasses
from napari_vasomim.correcting.journal import Journal
from napari_vasomim.correcting.keys import bind_tool_keys
from napari_vasomim.correcting.tools.shown_frame import ShownFrame
from napari_vasomim.correcting.tools.toolbox import VesselTools
from napari_vasomim.correcting.unfinished import Entry
from napari_vasomim.notify import inform
from napari_vasomim.prediction import Prediction
from napari_vasomim.session import Session
from vasomim_core.classes import VESSEL, ClassMask, LabelClass
from vasomim_core.correction.mask_tools import grow
from vasomim_core.errors import InputError
from vasomim_core.labels.class_list import classes_from, classes_to
from vasomim_core.labels.labelset import pixel_sha256


@cache
def journal() -> Journal:
    """The journal of this process."""
    return Journal()


class Editor:
    """Looks after one correction layer; get it with `editor_of`.

    Attributes:
        layer: the correction.
        source: its angiogram.
        classes: those in which it is drawn.
        frame: that frame of it which is shown.
        tools: the vessel tools on it.
        unsaved: frames that were changed since they were last accepted.
        grow_threshold: probability down to which growing goes; None = the model's own threshold.
        models: which model's mask the correction of a frame began with, by frame; drawn from nothing where none is.
        taken: the pixels that a model or a followed correction proposed and a person took, by frame, as their
            `pixel_sha256`, until that person accepts them.
        draft: the frame that shows a model's mask which nobody has touched; None where there is none.
    """

    unsaved_changed = Signal()
    """A frame was accepted."""

    def __init__(self, session: Session, layer: Labels, source: Image, continues: Entry | None = None):
        self._session = session
        self.layer, self.source = layer, source
        self.unsaved: set[int] = set(continues.frames) if continues else set()
        self.grow_threshold: float | None = None
        self.models: dict[int, str] = _models_of(continues)
        self.taken: dict[int, str] = _taken_of(continues)
        self.draft: int | None = None
        self.classes = DrawnClasses(session, layer, _classes_of(continues))
        self.frame = ShownFrame(session.viewer, layer, source, self._probability, lambda: self.classes.palette)
        self.tools = VesselTools(self.frame)
        self._undo = undo.UndoFollows(session.viewer, layer)
        undo.steps(layer).made.connect(self._changed)
        journal().follow(layer, self._about(), continues)
        self.classes.changed.connect(self._classes_changed)
        self.classes.chosen.connect(self.tools.palette_changed)
        session.accepted.connect(self._accepted)
        session.predicted.connect(self._predicted)
        session.pixels_changed.connect(self._pixels_changed)
        session.viewer.layers.events.removed.connect(self._removed)
        bind_tool_keys(layer, self.tools)

    def close(self) -> None:
        """Let go of the layer; what was drawn and not accepted is kept to be offered."""
        self.tools.close()
        self.classes.close()
        self._undo.close()
        undo.steps(self.layer).made.disconnect(self._changed)
        self._session.accepted.disconnect(self._accepted)
        self._session.predicted.disconnect(self._predicted)
        self._session.pixels_changed.disconnect(self._pixels_changed)
        self._session.viewer.layers.events.removed.disconnect(self._removed)
        (journal().leave if self.unsaved else journal().done)(self.layer)
        detach(self.layer, Editor)

    def discard(self) -> None:
        """The person does not want what is not accepted."""
        self.unsaved.clear()

    def propose(self, index: int, model: str | None, taken: bool = False) -> None:
        """Remember that the correction of a frame begins with what is drawn there now.

        Args:
            index: of the frame.
            model: who found it; None = a person drew it.
            taken: a person took it as it was proposed, and has not said that it is right.
        """
        if index == self.draft:
            self._touched()
        before = self.models.get(index), self.taken.get(index)
        for known, new in (
            (self.models, model),
            (self.taken, pixel_sha256(np.asarray(self._plane(index))) if taken else None),
        ):
            known.pop(index, None)
            if new is not None:
                known[index] = new
        if before != (self.models.get(index), self.taken.get(index)):
            journal().describe(self.layer, self._about())
            self._session.drawn.emit(self.layer)

    def drawn(self) -> set[int]:
        """Frames with anything on them."""
        data = np.asarray(self.layer.data)
        return {int(i) for i in np.flatnonzero((data[None] if data.ndim == 2 else data).max(axis=(1, 2)))}

    def is_draft(self, index: int) -> bool:
        """Whether what is drawn on a frame is just what was proposed: nobody has corrected or accepted it."""
        return index == self.draft or (
            index in self.taken and self.taken[index] == pixel_sha256(np.asarray(self._plane(index)))
        )

    def _plane(self, index: int) -> NDArray[np.uint8]:
        """What is drawn on a frame, (H, W)."""
        plane: NDArray[np.uint8] = self.layer.data if self.layer.ndim == 2 else self.layer.data[index]
        return plane

    def _probability(self, index: int) -> NDArray[np.float32] | None:
        prediction = self._session.predictions.get(self.source)
        return prediction.probability(index) if prediction is not None and index in prediction else None

    def _about(self) -> dict[str, Any]:
        path = layers.facts(self.source).path
        return {
            "angiogram": self.source.name,
            "path": str(path) if path is not None else None,
            "frame": list(frames.frame_size(self.source)),
            "frames": frames.frame_count(self.source),
            "models": {str(index): model for index, model in self.models.items()},
            "taken": {str(index): sha for index, sha in self.taken.items()},
            "classes": classes_to(self.classes.palette.classes),
        }

    # A draft: what a model found, until the person touches it, accepts it, or leaves the frame

    def put_draft(self, index: int, values: ClassMask, model: str) -> bool:
        """Begin the correction of a frame with what a model found, without any step of the person's.

        It is no label and no work of anybody: neither undo nor journal know it until it is touched, and `withdraw`
        takes it away. The layer is called after it meanwhile.

        Args:
            index: of the frame.
            values: uint8 (H, W), in the classes of the correction.
            model: name of the model.

        Returns:
            Whether it was put: not over anything that is drawn, or was.
        """
        plane = self._plane(index)
        if self.draft is not None or self.classes.strangers or index in self.unsaved or np.asarray(plane).any():
            return False
        plane[...] = values
        self.draft, self.models[index] = index, model
        results.call(self.layer, f"draft by {model}")
        self.layer.refresh()
        self.tools.end()
        self._session.drawn.emit(self.layer)
        return True

    def withdraw(self) -> None:
        """Take the draft away again, if there is one."""
        if self.draft is not None:
            self._plane(self.draft)[...] = 0
            self.models.pop(self.draft, None)
            self._no_draft()
            self.layer.refresh()

    def _no_draft(self) -> None:
        self.draft = None
        results.call(self.layer, "correction")
        self._session.drawn.emit(self.layer)

    def _touched(self) -> None:
        """The draft is the person's work from now on, and is kept like it."""
        if self.draft is not None:
            self.unsaved.add(self.draft)
            self._no_draft()
            journal().describe(self.layer, self._about())
            journal().catch_up(self.layer)

    def fit(self, becomes: Mapping[int, int]) -> None:
        """Say what becomes of the pixels whose class the open label set does not have; undo begins anew.

        Args:
            becomes: for each stranger of `classes` the value of a class of the set, or 0 to erase it.

        Raises:
            LabelError: nothing is said about one of them, or no class has such a value.
        """
        data, touched = self.classes.fitted(becomes)
        self.classes.adopt()
        journal().describe(self.layer, self._about(), with_next_step=True)
        self.unsaved |= touched
        self.layer.data = data
        self.classes.look()

    def _classes_changed(self) -> None:
        journal().describe(self.layer, self._about())
        self.tools.palette_changed()
        self._session.drawn.emit(self.layer)  # the digits are the classes' now, or napari's again

    def _changed(self, step: undo.Step) -> None:
        if step.boxes is None or self.draft in {box.frame for box in step.boxes}:
            self._touched()
        if step.boxes is None:
            self.unsaved.add(frames.current_index(self._session.viewer, self.layer))
        self.unsaved.update(box.frame for box in step.boxes or ())
        if self.classes.strangers:
            self.classes.look()  # the last of them may have been erased
        self._session.drawn.emit(self.layer)

    def _accepted(self, layer: Labels, index: int) -> None:
        if layer is self.layer and index == self.draft:
            self._no_draft()
            self.unsaved_changed.emit()
        if layer is self.layer and index in self.unsaved:
            self.unsaved.discard(index)
            if self.taken.pop(index, None) is not None:
                self._session.drawn.emit(self.layer)
            if not self.unsaved:  # what is kept in a label set is not offered as unfinished
                journal().done(layer)
                journal().follow(layer, self._about())
            self.unsaved_changed.emit()

    def _predicted(self, prediction: Prediction) -> None:
        if prediction is self._session.predictions.get(self.source):
            self.frame.probability_changed()

    def _pixels_changed(self, source: Image) -> None:
        if source is self.source:
            self.tools.pixels_changed()

    def _removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.close()
            self._session.drawn.emit(None)

    def grow(self) -> None:
        """Add to the shown frame what the model sees and what hangs together with the mask; says so where that is none.

        Down to the probability that the panel has set, else to the model's threshold.

        Raises:
            InputError: this frame was not segmented, nothing is drawn on it, or it is not shown.
        """
        self.frame.need_shown()
        palette, plane = self.frame.palette, self.frame.plane
        probability, mask = self.frame.probability, palette.mine(plane)
        if probability is None:
            raise InputError("Growing needs the model's probability; segment this frame first.")
        if not mask.any():
            which = f"something of {palette.chosen.name}" if palette.several else "something"
            raise InputError(f"Growing needs {which} to start from; trace or paint a piece of a vessel first.")
        threshold = self.grow_threshold
        if threshold is None:
            threshold = self._session.predictions[self.source].threshold
        allowed = np.where(palette.others(plane), np.float32(-1), probability)  # not through other classes
        if not self.frame.paint(grow(mask, allowed, threshold)):
            inform(f"Down to a probability of {threshold:.2f} nothing more touches the mask; move “down to” lower.")


def _classes_of(entry: Entry | None) -> tuple[LabelClass, ...] | None:
    """In which a journal's entry was drawn; older ones knew one class."""
    if entry is None:
        return None
    listed = entry.about.get("classes")
    return VESSEL if listed is None else classes_from(listed, entry.path)


def _models_of(entry: Entry | None) -> dict[int, str]:
    """By frame, from a journal's entry; older ones name one model for all frames."""
    if entry is None:
        return {}
    one = entry.about.get("model")
    known = {str(index): one for index in entry.frames} if one else {}
    return {int(index): str(model) for index, model in (known | entry.about.get("models", {})).items()}


def _taken_of(entry: Entry | None) -> dict[int, str]:
    """By frame, from a journal's entry; older ones do not tell."""
    known = {} if entry is None else entry.about.get("taken", {})
    return {int(index): str(sha) for index, sha in known.items()}


def editor_of(session: Session, layer: Labels, continues: Entry | None = None) -> Editor:
    """The editor of a correction layer, made at first need.

    Args:
        session: of the viewer that shows it.
        layer: a Labels layer with the role "correction".
        continues: the journal entry that the layer was restored from.
    """
    editor = attached(layer, Editor)
    if editor is None:
        made = layers.result(layer)
        if made is None:
            raise ValueError("only a layer with the role correction has an editor")
        editor = Editor(session, layer, made.source, continues)
        attach(layer, editor)
    return editor


def editors(session: Session) -> list[Editor]:
    """All editors of a viewer."""
    found = (attached(layer, Editor) for layer in session.viewer.layers)
    return [editor for editor in found if editor is not None]
