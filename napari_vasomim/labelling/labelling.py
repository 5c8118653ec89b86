"""Keeping labels: what the label set knows of the shown frame, and what is written to it. The state behind the panel.

Reading and writing happen in a thread: a label is flushed to the disk file by file, which takes its time.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QFileSystemWatcher, QObject, QTimer
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_vasomim import layers
from napari_vasomim.background import Newest
from napari_vasomim.correcting.corrections import LayerSource, drawn, ensure_correction, frame_index, stored_frame
from napari_vasomim.correcting.strokes import apply_values
from napari_vasomim.labelling.queue import Contents, sha_of_frames
from napari_vasomim.notify import tell, told
from napari_vasomim.session import Session
from vasomim_core.angiogram import patient_group
from vasomim_core.data.labelset import LabelSet, Record, Status, pixel_sha256
from vasomim_core.errors import InputError, LabelError, VasoMIMError

SETTLE_MS = 100


@dataclass(frozen=True)
class Known:
    """What the label set knows of a frame.

    Attributes:
        layer: the angiogram, None if none is open.
        index: the frame, from 0.
        record: its record; None if the set does not have it.
        revisions: records of its masks, oldest first.
        group: the group it will be kept under; empty for none.
        problem: why the frame cannot be kept; empty if it can.
    """

    layer: Image | None = None
    index: int = 0
    record: Record | None = None
    revisions: tuple[Record, ...] = ()
    group: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Saved:
    """A label that was written.

    Attributes:
        layer: the angiogram.
        index: the frame, from 0.
        record: what the set has now.
        before: what it had before; None for a new label.
        mask: bool (H, W), as it was written; None if only the status changed.
        labels: the set.
        contents: what is in it now.
    """

    layer: Image
    index: int
    record: Record
    before: Record | None
    mask: NDArray[np.bool_] | None
    labels: LabelSet
    contents: Contents

    def __str__(self) -> str:
        frame = f"frame {self.index + 1}" if layers.frame_count(self.layer) > 1 else "this frame"
        if self.before is None:
            return f"New label: {frame}, {self.record.status}."
        if self.record.revision > self.before.revision:
            return f"Revision {self.record.revision} of {frame}, {self.record.status}; the older one is kept."
        if self.record.status != self.before.status:
            return (
                f"{frame.capitalize()} is {self.record.status} now; its mask stays (revision {self.record.revision})."
            )
        return f"{frame.capitalize()} was {self.record.status} already; revision {self.record.revision} stays."


class Labelling:
    """The labels of one viewer; get it with `Labelling.of`.

    Attributes:
        session: what the panels share.
        contents: the label set when it was last looked at.
        trouble: what is wrong with the label set, in one sentence; empty if nothing is.
        known: what it knows of the shown frame.
    """

    changed = Signal()
    """The content of the label set was read again, or another one was opened."""
    looked = Signal()
    """`known` is about another frame, or about more."""
    working = Signal(bool)
    """Something is being written."""
    saved = Signal(object)
    """A label was written (`Saved`)."""
    said = Signal(str)
    """A sentence about what was just done."""

    _all: ClassVar[weakref.WeakKeyDictionary[ViewerModel, Labelling]] = weakref.WeakKeyDictionary()

    @classmethod
    def of(cls, viewer: Any) -> Labelling:
        """The labels of a viewer, made at first need."""
        session = Session.of(viewer)
        if session.viewer not in cls._all:
            cls._all[session.viewer] = cls(session)
        return cls._all[session.viewer]

    def __init__(self, session: Session):
        self.session = session
        self.contents = Contents()
        self.trouble = ""
        self.known = Known()
        self._labels: LabelSet | None = None
        self._kept: weakref.WeakKeyDictionary[Labels, dict[int, str]] = weakref.WeakKeyDictionary()
        self._groups: weakref.WeakKeyDictionary[Image, str] = weakref.WeakKeyDictionary()
        self._owner = QObject()
        self._opening = Newest(self._owner, session.open_label_set)
        self._reading = Newest(self._owner, self._read, self._unreadable)
        self._looking = Newest(self._owner, self._found)
        self._showing, self._restoring, self._regrouping = (Newest(self._owner, lambda act: act()) for _ in range(3))
        self._writing = Newest(self._owner, self._written, self._not_written)
        # Other windows and programs write to the same folder.
        self._watcher = QFileSystemWatcher(self._owner)
        self._settle = _timer(self._owner, self.look)
        self._again = _timer(self._owner, self.refresh)
        self._watcher.directoryChanged.connect(lambda _: self._again.start())
        session.label_set_changed.connect(told(lambda _: self._set_changed()))
        session.angiogram_changed.connect(told(lambda _: self._settle.start()))
        session.frame_changed.connect(told(lambda: self._settle.start()))
        session.accept_requested.connect(told(self.accept))
        self._set_changed()

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._writing.busy

    def need_label_set(self) -> LabelSet:
        """The label set.

        Raises:
            LabelError: none is open.
        """
        if self.session.label_set is None:
            raise LabelError("No label set is open; make one with New… in the panel Labels, or open one there.")
        return self.session.label_set

    # The set

    def open(self, folder: Path | str) -> None:
        """Open a label set."""
        self._opening.ask(lambda: LabelSet.open(folder))

    def create(self, folder: Path | str) -> None:
        """Make a label set in a new or empty folder, whose name it takes."""
        self._opening.ask(lambda: LabelSet.create(folder, Path(folder).name))

    def refresh(self) -> None:
        """Look at the label set again."""
        if not self._is_open():
            return
        labels, before = self.session.label_set, self.contents
        if labels is not None:
            # Before reading: a change while we read is then seen as well.
            records = labels.folder / "records"
            if records.is_dir() and str(records) not in self._watcher.directories():
                self._watcher.addPath(str(records))
            self._reading.ask(lambda: (labels, Contents.read(labels, before)))

    def _set_changed(self) -> None:
        if self.session.label_set is not self._labels:
            self._labels = self.session.label_set
            self.contents, self.trouble, self.known = Contents(), "", Known()
            self._groups.clear()
            self._watch_nothing()
            self.changed.emit()
        self.refresh()
        self._settle.start()

    def _read(self, result: tuple[LabelSet, Contents]) -> None:
        labels, contents = result
        if labels is not self.session.label_set:
            return
        self.contents = contents
        self.trouble = contents.damaged[0] if contents.damaged else ""
        if len(contents.damaged) > 1:
            self.trouble += f" (The first of {len(contents.damaged)} such records.)"
        self.changed.emit()
        self.look()

    def _unreadable(self, error: Exception) -> None:
        if not isinstance(error, VasoMIMError):
            tell(error)
            return
        self.trouble = str(error)
        self.contents = Contents()
        self._watch_nothing()
        self.changed.emit()
        self.look()

    def _watch_nothing(self) -> None:
        if self._watcher.directories():
            self._watcher.removePaths(self._watcher.directories())

    # The shown frame

    def look(self) -> None:
        """Ask the label set about the shown frame."""
        if not self._is_open():
            return
        layer, index, contents = self.session.angiogram, self.session.index, self.contents
        labels = self.session.label_set if contents.records else None
        if layer is None:
            self.known = Known()
            self.looked.emit()
            return
        self._looking.ask(lambda: self._look(layer, index, labels, contents))

    def _is_open(self) -> bool:
        """Whether the viewer is still there: timers and threads may come back later."""
        try:
            return self.session.viewer is not None
        except InputError:
            return False

    def _look(self, layer: Image, index: int, labels: LabelSet | None, contents: Contents) -> Known:
        try:
            sha = pixel_sha256(stored_frame(layer, index))
            record = contents.find(sha, frame_index(layer, index))
            revisions = tuple(labels.revisions(record.id)) if record is not None and labels is not None else ()
            return Known(layer, index, record, revisions, self._group_of(layer, record))
        except VasoMIMError as error:
            return Known(layer, index, problem=str(error))

    def _found(self, known: Known) -> None:
        if self._is_open() and known.layer is self.session.angiogram and known.index == self.session.index:
            self.known = known
            self.looked.emit()

    def is_current(self) -> bool:
        """Whether `known` is about the frame that is shown."""
        return self.known.layer is self.session.angiogram and self.known.index == self.session.index

    # Groups

    def _group_of(self, layer: Image, record: Record | None) -> str:
        """What the person wrote, else what the set has, else the patient's pseudonym, else a run's own."""
        written = layers.facts(layer).get("group")
        if written is not None:
            return str(written)
        if record is not None and record.group:
            return record.group
        if layer not in self._groups:
            self._groups[layer] = self._default_group(layer)
        return self._groups[layer]

    def _default_group(self, layer: Image) -> str:
        path = layers.facts(layer).get("source") or layer.source.path
        labels = self.session.label_set
        if labels is not None and isinstance(path, (str, Path)):
            try:
                group = patient_group(path, labels.key)
            except LabelError:  # the key was taken out, as before giving the set away
                group = None
            if group:
                return group
        # Like `import_pairs`: the frames of a run are near copies of each other.
        return pixel_sha256(stored_frame(layer, 0))[:16] if layers.frame_count(layer) > 1 else ""

    def set_group(self, group: str) -> None:
        """Keep all frames of the angiogram, also those that the set has already, under this group; "" for none."""
        layer, group = self.session.need_angiogram(), group.strip()
        layers.tag(layer, "angiogram", group=group)
        self.look()
        labels, contents = self.session.label_set, self.contents
        if labels is not None and contents.records:
            self._regrouping.ask(lambda: self._regroup(labels, contents, layer, group))

    def _regroup(self, labels: LabelSet, contents: Contents, layer: Image, group: str) -> Any:
        known = [contents.find(sha, index) for index, sha in sha_of_frames(LayerSource(layer))]
        others = [record for record in known if record is not None and (record.group or "") != group]
        for record in others:
            labels.set_group(record.id, group or None)

        def done() -> None:
            if others:
                what = f"in the group {group}" if group else "without a group"
                self.said.emit(f"{len(others)} kept label{'s' * (len(others) > 1)} of this angiogram: now {what}.")
                self.session.label_set_changed.emit(labels)

        return done

    # Writing

    def accept(self) -> None:
        """Keep the mask of the shown frame as a label to learn from; about an empty one, ask first.

        Raises:
            LabelError: no label set is open, or nothing can be drawn on this angiogram yet.
        """
        self.need_label_set()
        layer, index = self.session.need_angiogram(), self.session.index
        mask = drawn(self.correction(layer), index)
        if mask is None:
            raise LabelError("Nothing is drawn on this angiogram yet; start one in the panel Correct, then accept.")
        if mask.any():
            self.save("accepted")
        else:
            self._ask_about_empty(layer, index)

    def _ask_about_empty(self, layer: Image, index: int) -> None:
        question = QMessageBox(_window_of(self.session.viewer))
        question.setIcon(QMessageBox.Icon.Question)
        question.setWindowTitle("Empty mask")
        question.setText("Nothing is drawn on this frame. Is there really no vessel in it?")
        question.setInformativeText("A model that learns from it will learn to see nothing here.")
        empty = question.addButton("Accept empty", QMessageBox.ButtonRole.AcceptRole)
        cancel = question.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
        question.setDefaultButton(cancel)
        question.setEscapeButton(cancel)

        def answered(*_: Any) -> None:
            shown = self.session.angiogram is layer and self.session.index == index
            if question.clickedButton() is empty and shown:
                self.save("accepted")

        question.finished.connect(told(answered))
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
            LabelError: no label set is open.
            InputError: no angiogram is open.
        """
        labels, layer, index = self.need_label_set(), self.session.need_angiogram(), self.session.index
        if self.busy:
            return
        correction = self.correction(layer)
        mask = drawn(correction, index)
        if status != "accepted" and mask is not None and not mask.any():
            mask = None
        annotator, contents = self.session.annotator, self.contents
        model = layers.facts(correction).get("model") if correction is not None else None

        def work() -> Saved:
            frame, place = stored_frame(layer, index), frame_index(layer, index)
            before = labels.find(frame, place)
            group = self._group_of(layer, before) or None
            if mask is None and before is not None:
                record = labels.set_status(before.id, status, note)
            else:
                kept = before if before is not None and mask is not None else None
                proposed = kept.model if kept and kept.mask_sha256 == pixel_sha256(mask) else model  # type: ignore[arg-type]
                record = labels.add(
                    frame,
                    np.zeros(frame.shape, bool) if mask is None else mask,
                    status=status,
                    group=group,
                    annotator=annotator,
                    model=proposed if mask is not None else None,
                    frame_index=place,
                    note=note,
                )
            return Saved(layer, index, record, before, mask, labels, Contents.read(labels, contents))

        self._writing.ask(work)
        self.working.emit(True)

    def _written(self, saved: Saved) -> None:
        self.working.emit(False)
        correction = self.correction(saved.layer)
        if correction is not None and saved.mask is not None:
            self._remember(correction, saved.index, saved.record, saved.mask)
        if saved.labels is self.session.label_set:
            self.contents = saved.contents
            self.changed.emit()
        self.said.emit(str(saved))
        self.session.label_set_changed.emit(self.session.label_set)
        self.saved.emit(saved)

    def _not_written(self, error: Exception) -> None:
        self.working.emit(False)
        tell(error)
        self.said.emit(f"Not saved. {error if isinstance(error, VasoMIMError) else 'What you drew is still here.'}")
        self.refresh()

    def _remember(self, correction: Labels, index: int, record: Record, mask: NDArray[np.bool_]) -> None:
        accepted = set(layers.facts(correction).get("accepted", ())) - {index}
        if record.status == "accepted":
            accepted.add(index)
        layers.tag(correction, "correction", accepted=accepted)
        self._kept.setdefault(correction, {})[index] = pixel_sha256(mask)
        now = drawn(correction, index)
        if now is not None and np.array_equal(now, mask):  # else it was drawn on while the mask was written
            self.session.accepted.emit(correction, index)

    # What was drawn

    def correction(self, layer: Image) -> Labels | None:
        """The correction layer of an angiogram, if there is one."""
        correction = layers.labels_of(self.session.viewer, "correction", layer)
        fits = correction is not None and correction.data.shape == layers.result_shape(layer)
        return correction if fits else None

    def unkept(self, layer: Image) -> list[int]:
        """Frames of an angiogram whose drawing is in no label set."""
        correction = self.correction(layer)
        if correction is None:
            return []
        data = np.asarray(correction.data)
        frames = data[None] if data.ndim == 2 else data
        kept = self._kept.get(correction, {})
        return [
            int(i) for i in np.flatnonzero(frames.any(axis=(1, 2))) if kept.get(int(i)) != pixel_sha256(frames[i] != 0)
        ]

    def show_label(self) -> None:
        """Put the kept mask of the shown frame onto the correction layer, as one step that can be undone."""
        known, labels = self.known, self.need_label_set()
        layer, record = known.layer, known.record
        if layer is None or record is None or not self.is_current():
            return

        def work() -> Any:
            mask = labels.mask(record.id)
            return lambda: self._load(layer, known.index, record, mask)

        self._showing.ask(work)

    def take_back(self, revision: int) -> None:
        """Make an earlier mask of the shown frame the current one, and put it onto the correction layer."""
        known, labels = self.known, self.need_label_set()
        layer, record = known.layer, known.record
        if layer is None or record is None or not self.is_current():
            return

        def work() -> Any:
            restored = labels.restore(record.id, revision)
            mask = labels.mask(record.id)

            def done() -> None:
                self._load(layer, known.index, restored, mask)
                same = restored.revision == record.revision
                what = f"Revision {revision} is the current one already" if same else f"Revision {revision} taken back"
                self.said.emit(f"{what}, as revision {restored.revision}; all revisions are kept.")
                self.session.label_set_changed.emit(labels)

            return done

        self._restoring.ask(work)

    def _load(self, layer: Image, index: int, record: Record, mask: NDArray[np.bool_]) -> None:
        if layer not in self.session.viewer.layers:
            return
        correction = ensure_correction(self.session.viewer, layer)
        apply_values(correction, None if correction.ndim == 2 else index, mask.astype(np.uint8))
        if layers.facts(correction).get("model") is None:
            layers.tag(correction, "correction", model=record.model)
        self._remember(correction, index, record, mask)

    def show_revision(self, revision: int | None) -> None:
        """Show an earlier mask on a layer of its own, that cannot be drawn on; None takes the layer away."""
        viewer, known = self.session.viewer, self.known
        if revision is None:
            for layer in [layer for layer in viewer.layers if layers.role(layer) == "revision"]:
                viewer.layers.remove(layer)
            return
        layer, record, labels = known.layer, known.record, self.need_label_set()
        if layer is None or record is None or not self.is_current():
            return

        def work() -> Any:
            mask = labels.mask(record.id, revision)

            def show() -> None:
                if self.known is known or self.is_current():
                    layers.put_frame(viewer, layer, "revision", known.index, mask, "revision", opacity=0.6)

            return show

        self._showing.ask(work)


def _timer(owner: QObject, act: Any) -> QTimer:
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(SETTLE_MS)
    timer.timeout.connect(told(act))
    return timer


def _window_of(viewer: ViewerModel) -> QWidget | None:
    window = getattr(viewer, "window", None)
    return getattr(window, "_qt_window", None)
