"""Masks that the label set has of the shown frame, brought back: to be looked at, or onto the correction layer."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import partial
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QObject

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.canvas import layers, results
from napari_vasomim.correcting.corrections import correction_of, drawn, ensure_correction
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.correcting.undo import apply_values
from napari_vasomim.labelling.asking import Answer, ask_to_replace
from napari_vasomim.labelling.saved_masks import SavedMasks
from napari_vasomim.labelling.shown_label import ShownLabel
from napari_vasomim.notify import report_errors
from vasomim_core.classes import ClassMask, LabelClass
from vasomim_core.labels.labelset import LabelSet, Record
from vasomim_core.labels.readers import OthersLabelError, Replacing, same_reader
from vasomim_core.labels.readings import Reading


@dataclass(frozen=True)
class _Frame:
    """A frame that the label set has."""

    labels: LabelSet
    layer: Image
    index: int
    record: Record
    reading: Reading | None = None


class Revisions:
    """The earlier and the current mask of the frame that is shown.

    Args:
        shown: what the label set knows of that frame.
        kept: is told of what comes onto the correction layer.
    """

    def __init__(self, shown: ShownLabel, kept: SavedMasks):
        self._shown, self._kept = shown, kept
        self._session = shown.session
        self._owner = QObject()
        # What the thread has read comes back as a function to be called in the window.
        self._offered: weakref.WeakKeyDictionary[Image, set[int]] = weakref.WeakKeyDictionary()
        shown.looked.connect(report_errors(self._show_again))
        self._showing, self._restoring = (LatestRequest(self._owner, lambda act: act()) for _ in range(2))

    def show_label(self) -> None:
        """Put the kept mask of the shown frame onto the correction layer, as one step that can be undone."""
        self._show_label(unasked=False)

    def _show_label(self, unasked: bool) -> None:
        frame = self._frame()
        if frame is None:
            return

        def work() -> Any:
            read = _read(frame)

            def show() -> None:
                if not (unasked and self._is_drawn_on(frame.layer, frame.index)):  # while the mask was read
                    self._load(frame, frame.record, *read)

            return show

        self._showing.ask(work)

    def _show_again(self) -> None:
        """Who comes back to a frame with a label sees its mask; once, and never over what is drawn there."""
        known = self._shown.known
        if known.layer is None or known.record is None or known.record.status == "skipped":
            return
        offered = self._offered.setdefault(known.layer, set())
        if known.index in offered or not self._shown.is_current() or self._shown.watched.settling is not None:
            return
        correction = correction_of(self._session.viewer, known.layer)
        if correction is not None and editor_of(self._session, correction).classes.strangers:
            return  # later: the drawing has other classes, about which the panel asks
        offered.add(known.index)
        if not self._is_drawn_on(known.layer, known.index):
            self._show_label(unasked=True)

    def take_back(self, revision: int) -> None:
        """Make an earlier mask of the shown frame the current one, and put it onto the correction layer."""
        frame = self._frame()
        if frame is not None:
            self._take_back(frame, revision, agreed=0)

    def _take_back(self, frame: _Frame, revision: int, agreed: int) -> None:
        replacing = Replacing(self._session.annotator, agreed)

        def work() -> Any:
            try:
                restored = frame.labels.restore(frame.record.id, revision, replacing)
            except OthersLabelError as error:
                return partial(self._ask, frame, revision, error.record)
            read = _read(frame)

            def done() -> None:
                self._load(frame, restored, *read)
                same = restored.revision == frame.record.revision
                what = f"Revision {revision} is the current one already" if same else f"Revision {revision} taken back"
                self._shown.watched.said.emit(f"{what}, as revision {restored.revision}; all revisions are kept.")
                self._session.label_set_changed.emit(frame.labels)

            return done

        self._restoring.ask(work)

    def _ask(self, frame: _Frame, revision: int, record: Record) -> None:
        """Ask before the label of another reader is replaced with an earlier revision."""
        earlier = next((one for one in self._shown.known.revisions if one.revision == revision), None)
        if earlier is None:
            return
        keeps = bool(earlier.annotator) and not same_reader(earlier.annotator, record.annotator)

        def keep() -> Any:
            mask, _ = _read(frame, revision)
            frame.labels.add_reading(frame.record.id, mask, earlier.annotator, earlier.model)

            def done() -> None:
                self._shown.watched.said.emit(f"Revision {revision} is a second reading now; the label stays.")
                self._session.label_set_changed.emit(frame.labels)

            return done

        def answered(answer: Answer) -> None:
            if answer == "replace":
                self._take_back(frame, revision, record.revision)
            elif answer == "keep":
                self._restoring.ask(keep)

        ask_to_replace(self._session.viewer, record, "accepted", keeps, answered)

    def show(self, revision: int | None) -> None:
        """Show an earlier mask on a layer of its own, that cannot be drawn on; None takes the layer away."""
        viewer, known = self._session.viewer, self._shown.known
        if revision is None:
            layers.remove(viewer, *(layer for layer in viewer.layers if layers.role(layer) == "revision"))
            return
        frame = self._frame()
        if frame is None:
            return

        def work() -> Any:
            mask, classes = _read(frame, revision)

            def show() -> None:
                if self._shown.known is known or self._shown.is_current():
                    put = results.put_frame(viewer, frame.layer, "revision", frame.index, mask, "revision", opacity=0.6)
                    put.colormap = results.colormap("revision", classes)

            return show

        self._showing.ask(work)

    def _is_drawn_on(self, layer: Image, index: int) -> bool:
        mask = drawn(correction_of(self._session.viewer, layer), index)
        return mask is not None and bool(mask.any())

    def _frame(self) -> _Frame | None:
        """The shown frame, if the label set has it."""
        known, labels = self._shown.known, self._shown.watched.need_label_set()
        if known.layer is None or known.record is None or not self._shown.is_current():
            return None
        return _Frame(labels, known.layer, known.index, known.record, known.reading)

    def _load(self, frame: _Frame, record: Record, mask: ClassMask, classes: tuple[LabelClass, ...]) -> None:
        viewer = self._session.viewer
        if frame.layer not in viewer.layers or frame.labels is not self._session.label_set:
            return
        self._session.take_classes(classes)  # a class may have come with this label
        correction = ensure_correction(viewer, frame.layer)
        editor_of(self._session, correction).classes.need_known()
        apply_values(correction, None if correction.ndim == 2 else frame.index, mask)
        editor_of(self._session, correction).propose(frame.index, record.model)
        self._kept.remember(correction, frame.index, mask)


def _read(frame: _Frame, revision: int | None = None) -> tuple[ClassMask, tuple[LabelClass, ...]]:
    """The mask of a frame and what its values mean; in this order, for a class is there before it is drawn."""
    if frame.reading is not None:  # a second reader sees her own mask alone
        return frame.labels.reading_mask(frame.record.id, frame.reading.number), frame.labels.classes
    return frame.labels.class_mask(frame.record.id, revision), frame.labels.classes
