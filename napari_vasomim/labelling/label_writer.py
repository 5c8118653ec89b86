"""Writing the label of the shown frame: accepted, skipped or flagged.

Writing happens in a thread: a label is flushed to the disk file by file, which takes its time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from psygnal import Signal
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QMessageBox

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.canvas import frames
from napari_vasomim.correcting.corrections import correction_of, drawn, drawn_values
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.correcting.following import Following
from napari_vasomim.correcting.palette import Palette
from napari_vasomim.keys import key_of
from napari_vasomim.labelling.asking import Answer, ask_to_replace
from napari_vasomim.labelling.contents import Contents
from napari_vasomim.labelling.groups import Groups
from napari_vasomim.labelling.saved_masks import SavedMasks
from napari_vasomim.labelling.sources import frame_index
from napari_vasomim.labelling.watched_set import WatchedSet
from napari_vasomim.napari_compat import main_window
from napari_vasomim.notify import report_error, report_errors
from napari_vasomim.plain import message_box
from vasomim_core.classes import ClassMask, unknown_values
from vasomim_core.errors import LabelError, VasoMIMError
from vasomim_core.labels.labelset import LabelSet, Record, Status
from vasomim_core.labels.mask import mask_sha256
from vasomim_core.labels.readers import OthersLabelError, Replacing, same_reader
from vasomim_core.labels.readings import Reading


@dataclass(frozen=True)
class Saved:
    """A label that was written.

    Attributes:
        layer: the angiogram.
        index: the frame, from 0.
        record: what the set has now.
        before: what it had before; None for a new label.
        mask: uint8 (H, W), as it was drawn, in the values of the layer; None if only the status changed.
        labels: the set.
        contents: what is in it now.
        reading: the second reading that the mask was kept as; the label is as it was.
    """

    layer: Image
    index: int
    record: Record
    before: Record | None
    mask: ClassMask | None
    labels: LabelSet
    contents: Contents
    reading: Reading | None = None

    def __str__(self) -> str:
        """A sentence that names the frame: another one may be shown by the time that it is read."""
        several = frames.frame_count(self.layer) > 1
        frame = f"frame {self.index + 1} of {self.layer.name}" if several else self.layer.name
        if self.reading is not None:
            kept = f"Second reading of {frame} by {self.reading.annotator}"
            by = f" by {self.record.annotator}" if self.record.annotator else ""
            return f"{kept}, kept." if self.reading.blind else f"{kept}; the label{by} stays."
        if self.before is None:
            return f"New label: {frame}, {self.record.status}."
        if self.record.settled and self.record != self.before:
            return (
                f"Settled by {self.record.annotator}: {frame}, revision {self.record.revision}; all readings are kept."
            )
        if self.record.revision > self.before.revision:
            return f"Revision {self.record.revision} of {frame}, {self.record.status}; the older one is kept."
        frame = frame[0].upper() + frame[1:]
        if self.record.status != self.before.status:
            return f"{frame} is {self.record.status} now; its mask stays (revision {self.record.revision})."
        return f"{frame} was {self.record.status} already; revision {self.record.revision} stays."


class LabelWriter:
    """Writes labels into the label set that is open, one at a time."""

    working = Signal()
    """Writing has begun, or ended: see `busy`."""
    saved = Signal(object)
    """A label was written (`Saved`)."""

    def __init__(self, watched: WatchedSet, groups: Groups, kept: SavedMasks):
        self.session = watched.session
        self._watched, self._groups, self._kept = watched, groups, kept
        self._owner = QObject()
        self._writing = LatestRequest(self._owner, self._written, self._not_written)
        self._ask: Callable[[OthersLabelError], None] = report_error
        self.session.accept_requested.connect(report_errors(self.accept))

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._writing.busy

    def accept(self) -> None:
        """Keep the mask of the shown frame as a label to learn from; about an empty one, ask first.

        Raises:
            LabelError: no label set is open, nothing can be drawn on this angiogram yet, or what is seen on the frame
                is a proposal that nobody has taken.
            InputError: no angiogram is open, or its frame is not what is seen.
        """
        self._watched.need_label_set()
        layer, index = self.session.need_shown()
        mask = drawn(correction_of(self.session.viewer, layer), index)
        if (following := Following.known(self.session.viewer)) is not None and following.shown(layer, index):
            raise LabelError(
                "What is seen on this frame is a proposal and no label: press “Take proposal” in the panel Correct, "
                "look at it, then accept."
            )
        if mask is None:
            raise LabelError("Nothing is drawn on this angiogram yet; start one in the panel Correct, then accept.")
        if mask.any():
            self.save("accepted")
        else:
            self._ask_about_empty(layer, index)

    def _ask_about_empty(self, layer: Image, index: int) -> None:
        question = message_box(
            main_window(self.session.viewer),
            "Empty mask",
            "Nothing is drawn on this frame. Is there really no vessel in it?",
            "A model that learns from it will learn to see nothing here.",
        )
        empty = question.addButton("Accept empty", QMessageBox.ButtonRole.AcceptRole)
        cancel = question.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
        question.setDefaultButton(cancel)
        question.setEscapeButton(cancel)

        def answered(*_: Any) -> None:
            shown = self.session.angiogram is layer and self.session.index == index
            if question.clickedButton() is empty and shown:
                self.save("accepted")

        question.finished.connect(report_errors(answered))
        question.finished.connect(question.deleteLater)
        question.open()

    def skip(self) -> None:
        """Leave the shown frame out, and remember that."""
        self.save("skipped")

    def flag(self, note: str) -> None:
        """Have the shown frame looked at again, for a reason."""
        self.save("flagged", note.strip())

    def save(self, status: Status, note: str | None = None) -> None:
        """Write the label of the shown frame: with what is drawn on it, else the status alone.

        A call while another label is being written does nothing: that one is not left before it is safe.

        Raises:
            LabelError: no label set is open, or something is drawn in a class that it does not have.
            InputError: no angiogram is open, or its frame is not what is seen.
        """
        labels, (layer, index) = self._watched.need_label_set(), self.session.need_shown()
        if self.busy:
            return
        correction = correction_of(self.session.viewer, layer)
        mask = drawn_values(correction, index)
        if status != "accepted" and mask is not None and (not mask.any() or self._is_draft(correction, index)):
            mask = None  # nobody has drawn anything
        annotator, contents, blind = self.session.annotator, self._watched.whole, self._watched.blind
        if blind is not None and status != "accepted":
            raise LabelError(f"In a second reading a frame is read or left: {key_of('next')} leaves it.")
        settles = self._watched.settling
        if settles is not None and (settles.layer is not layer or status != "accepted"):
            settles = None
        model, palette = None, Palette()
        if correction is not None and mask is not None:
            editor = editor_of(self.session, correction)
            editor.classes.need_known()
            model, palette = editor.models.get(index), editor.classes.palette

        def work(agreed: int, keep: bool) -> Saved:
            frame, place = frames.stored(layer, index), frame_index(layer, index)
            values = np.zeros(frame.shape, np.uint8) if mask is None else palette.values(mask)
            _refuse_unknown(values, palette, labels)
            before = labels.find(frame, place)
            group = self._groups.of(layer, before) or None
            same = (
                mask is not None and before is not None and before.mask_sha256 == mask_sha256(values, palette.classes)
            )
            replacing = Replacing(annotator, agreed)
            if settles is not None and before is not None and before.id == settles.id:
                record = labels.settle(before.id, values, annotator, model, settles.revision)
                return Saved(layer, index, record, before, mask, labels, Contents.read(labels, contents))
            own = before is None or same_reader(before.annotator, annotator)
            if before is not None and (keep or (blind is not None and not own)):
                drawn_by = (blind.share, blind.seed) if blind is not None and before.id in blind.ids else None
                reading = labels.add_reading(before.id, values, annotator, model, blind is not None, drawn_by)
                return Saved(layer, index, before, before, mask, labels, Contents.read(labels, contents), reading)
            if before is not None and (mask is None or (same and status != "accepted")):
                record = labels.set_status(before.id, status, note, replacing)
            else:
                record = labels.add(
                    frame,
                    values,
                    status=status,
                    group=group,
                    annotator=annotator,
                    model=None if mask is None else before.model if same and before is not None else model,
                    frame_index=place,
                    note=note,
                    replacing=replacing,
                )
            return Saved(layer, index, record, before, mask, labels, Contents.read(labels, contents))

        self._write(work, status)

    def _write(self, work: Callable[[int, bool], Saved], status: Status, agreed: int = 0, keep: bool = False) -> None:
        """Do the work; where another reader's label would be replaced, ask, then do it as was answered."""

        def ask(error: OthersLabelError) -> None:
            record = error.record

            def answered(answer: Answer) -> None:
                if answer == "cancel":
                    self._watched.said.emit(f"Not saved: the label by {record.annotator} stays as it is.")
                elif self.busy:
                    self._watched.said.emit("Not saved: another label is being written. Accept once more.")
                else:
                    self._write(work, status, record.revision, answer == "keep")

            ask_to_replace(self.session.viewer, record, status, status == "accepted", answered)

        self._ask = ask
        self._writing.ask(partial(work, agreed, keep))
        self.working.emit()

    def _is_draft(self, correction: Labels | None, index: int) -> bool:
        return correction is not None and editor_of(self.session, correction).draft == index

    def _written(self, saved: Saved) -> None:
        self.working.emit()
        correction = correction_of(self.session.viewer, saved.layer)
        if correction is not None and saved.mask is not None:
            self._kept.remember(correction, saved.index, saved.mask)
        self._watched.take(saved.labels, saved.contents)
        self._watched.said.emit(str(saved))
        self.session.label_set_changed.emit(self.session.label_set)
        self.saved.emit(saved)

    def _not_written(self, error: Exception) -> None:
        self.working.emit()
        if isinstance(error, OthersLabelError):
            self._watched.said.emit(f"Not saved yet: {error.record.annotator} accepted the label of this frame.")
            self._watched.refresh()
            self._ask(error)
            return
        report_error(error)
        self._watched.said.emit(
            f"Not saved. {error if isinstance(error, VasoMIMError) else 'What you drew is still here.'}"
        )
        self._watched.refresh()


def _refuse_unknown(values: ClassMask, palette: Palette, labels: LabelSet) -> None:
    """Nothing is written of which the set, as it is now, cannot say what it means: one class alone takes any value.

    Raises:
        LabelError: a value is of no class; somebody took it away since the panels looked.
    """
    unknown = unknown_values(values, labels.classes) if palette.several else []
    if unknown:
        raise LabelError(
            f"{palette.name(unknown[0])} ({unknown[0]}) is drawn here, and the label set {labels.name} has no such "
            "class any more: say in the panel Correct what becomes of it."
        )
