"""Where two readings of a frame differ, and a person who settles what its label is.

The frames that two have read come as a queue of their own, the worst agreement first. On each lies a layer that shows
where they differ, and while it does, what is accepted there is written as settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.canvas import layers, results
from napari_vasomim.correcting.corrections import correction_of, ensure_correction
from napari_vasomim.correcting.desk import CorrectingDesk
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.correcting.undo import apply_values
from napari_vasomim.labelling.label_writer import LabelWriter, Saved
from napari_vasomim.labelling.navigator import QueueNavigator
from napari_vasomim.labelling.queue import AnnotationQueue, Place
from napari_vasomim.labelling.sources import FileSource, remembering_reader
from napari_vasomim.labelling.watched_set import Settles, WatchedSet
from napari_vasomim.notify import report_errors
from vasomim_core.classes import ClassMask, LabelClass
from vasomim_core.errors import LabelError
from vasomim_core.evaluation.agreement import FrameAgreement
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.labels.record import Record

Choice = Literal["first", "second", "either", "both"]


@dataclass(frozen=True)
class Pair:
    """Two readings of the frame that is shown.

    Attributes:
        row: how far they agree.
        layer: the angiogram.
        label: the record of the label as it is now.
        first: the record of the first reading: of the label, or of what it was before it was settled.
        one: uint8 (H, W), class values of the first.
        other: uint8 (H, W), class values of the second.
        classes: what the values mean.
    """

    row: FrameAgreement
    layer: Image
    label: Record
    first: Record
    one: ClassMask
    other: ClassMask
    classes: tuple[LabelClass, ...]

    def mask(self, choice: Choice) -> tuple[ClassMask, str | None]:
        """A mask to take or to begin with, and the model that it goes back to.

        Of "either", the first reader's class counts where both have drawn another; "both" leaves such pixels out.
        """
        if choice == "first":
            return self.one, self.first.model
        if choice == "second":
            return self.other, self.row.reading.model
        one, other = self.one, self.other
        made = np.where(one != 0, one, other) if choice == "either" else one * (one == other)
        return made, self.first.model or self.row.reading.model


def difference(one: ClassMask, other: ClassMask) -> NDArray[np.uint8]:
    """Where two masks differ, uint8 (H, W): 1 = only the first, 2 = only the second, 3 = both, 4 = another class."""
    found = (one != 0) * np.uint8(1) + (other != 0) * np.uint8(2)
    found[(one != other) & (found == 3)] = 4
    return found


class Settling:
    """Goes through the frames that two have read, and settles their labels.

    Args:
        watched: the label set that is open.
        walk: leads through the frames.
        saving: writes what is settled.

    Attributes:
        rows: the frames that two have read, in the order of the queue.
        pair: the readings of the frame that is shown; None where their difference is not.
    """

    changed = Signal()
    """Another of these attributes."""

    def __init__(self, watched: WatchedSet, walk: QueueNavigator, saving: LabelWriter):
        self._watched, self._walk, self._saving = watched, walk, saving
        self._session = watched.session
        self.rows: tuple[FrameAgreement, ...] = ()
        self.pair: Pair | None = None
        self._queue: AnnotationQueue | None = None
        self._owner = QObject()
        self._reading = LatestRequest(self._owner, self._read)
        walk.arrived.connect(report_errors(self._arrived))
        saving.saved.connect(report_errors(self._saved))
        watched.opened.connect(report_errors(lambda: self.take_rows(())))
        for signal in (self._session.frame_changed, self._session.angiogram_changed):
            signal.connect(report_errors(lambda *_: self._moved()))

    def take_rows(self, rows: Sequence[FrameAgreement]) -> None:
        """These frames were compared."""
        self.rows, self._queue = tuple(rows), None
        self.changed.emit()

    def show(self, row: FrameAgreement) -> None:
        """Show where two readings differ, on their frame; the queue is that of the frames that were compared.

        Raises:
            LabelError: no label set is open, or a second reading goes on.
        """
        labels = self._watched.need_label_set()
        if self._watched.blind is not None:
            raise LabelError("A second reading goes on, and this shows labels: end it first.")
        place = Place(self.rows.index(row), 0)
        if self._walk.queue is not self._queue:
            read, records = remembering_reader(), self._watched.whole.records
            files = [FileSource(labels.frame_path(one.id), read, records[one.id].frame_index) for one in self.rows]
            self._walk.work_on(files, labels.folder, "frames that two have read", labelled=True)
            self._queue = self._walk.queue
        self._walk.go(place)

    def take(self, choice: Choice) -> None:
        """Settle the label as one of the readers has drawn it, or begin to draw with what either or both have.

        Raises:
            LabelError: the difference of two readings is not shown.
        """
        if self.pair is None or self._session.angiogram is not self.pair.layer:
            raise LabelError("Choose a frame of the list under “Two readers” first, to see where its readings differ.")
        pair = self.pair
        mask, model = pair.mask(choice)
        self._session.take_classes(pair.classes)
        correction = ensure_correction(self._session.viewer, pair.layer)
        editor = editor_of(self._session, correction)
        editor.classes.need_known()
        apply_values(correction, None, mask)
        editor.propose(0, model)
        self._see_difference(False)
        CorrectingDesk.of(self._session.viewer).show(correction)
        if choice in ("first", "second"):
            self._saving.accept()

    def _arrived(self, place: Place) -> None:
        labels, layer = self._session.label_set, self._session.angiogram
        if self._walk.queue is not self._queue or labels is None or layer is None or place.file >= len(self.rows):
            return
        row = self.rows[place.file]
        self._reading.ask(lambda: (labels, _pair(labels, row, layer)))

    def _read(self, result: tuple[LabelSet, Pair]) -> None:
        labels, pair = result
        viewer = self._session.viewer
        if labels is not self._session.label_set or self._session.angiogram is not pair.layer or self._watched.blind:
            return
        self.pair = pair
        self._watched.settling = Settles(pair.layer, pair.row.id, pair.label.revision)
        results.put_frame(viewer, pair.layer, "difference", 0, difference(pair.one, pair.other), "difference")
        self._see_difference(True)
        self.changed.emit()

    def _see_difference(self, shown: bool) -> None:
        """Either the difference or the correction: two masks on top of each other cannot be told apart."""
        if self.pair is None:
            return
        viewer, layer = self._session.viewer, self.pair.layer
        found, correction = layers.find(viewer, "difference", layer), correction_of(viewer, layer)
        if found is not None:
            found.visible = shown
        if correction is not None:
            correction.visible = not shown

    def _moved(self) -> None:
        if self.pair is not None and self._session.angiogram is not self.pair.layer:
            self.pair = self._watched.settling = None
            self.changed.emit()

    def _saved(self, saved: Saved) -> None:
        """Go on to the worst frame that is not settled yet."""
        if self.pair is None or saved.layer is not self.pair.layer or not saved.record.settled:
            return
        at, id = self.rows.index(self.pair.row), saved.record.id
        self.rows = tuple(replace(row, settled=True) if row.id == id else row for row in self.rows)
        self.changed.emit()
        left = [n for n, row in enumerate(self.rows) if not row.settled]
        if left:
            self._walk.go(Place(next((n for n in left if n > at), left[0]), 0))


def _pair(labels: LabelSet, row: FrameAgreement, layer: Image) -> Pair:
    """Read two readings, in a thread; the classes come last, for a class is there before it is drawn."""
    label = labels.record(row.id)
    before = next((one for one in labels.revisions(row.id) if one.revision == row.reading.beside), label)
    first = before if row.settled or label.settled else label
    one, other = labels.class_mask(row.id, first.revision), labels.reading_mask(row.id, row.reading.number)
    return Pair(row, layer, label, first, one, other, labels.classes)
