"""What the open label set knows of the frame that is shown: its record, its revisions, its group.

Looking happens in a thread: the frame is read, and found by its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.canvas import frames
from napari_vasomim.labelling.contents import Contents
from napari_vasomim.labelling.groups import Groups
from napari_vasomim.labelling.sources import frame_index
from napari_vasomim.labelling.watched_set import SETTLE_MS, WatchedSet
from napari_vasomim.notify import report_errors
from vasomim_core.errors import VasoMIMError
from vasomim_core.labels.labelset import LabelSet, Record, pixel_sha256
from vasomim_core.labels.readings import Reading


@dataclass(frozen=True)
class LabelFacts:
    """What the label set knows of a frame.

    Attributes:
        layer: the angiogram, None if none is open.
        index: the frame, from 0.
        record: its record; None if the set does not have it.
        revisions: records of its masks, oldest first.
        reading: in a second reading, what the reader has read; `record` tells of that, and no mask of the set is shown
            but this one.
        group: the group it will be kept under; empty for none.
        problem: why the frame cannot be kept; empty if it can.
    """

    layer: Image | None = None
    index: int = 0
    record: Record | None = None
    revisions: tuple[Record, ...] = ()
    reading: Reading | None = None
    group: str = ""
    problem: str = ""


class ShownLabel:
    """The frame that the viewer shows, in the eyes of the label set.

    Attributes:
        watched: the label set that is open.
        known: what it knows of the shown frame; of an earlier one until it has answered.
    """

    looked = Signal()
    """`known` is about another frame, or about more."""

    def __init__(self, watched: WatchedSet, groups: Groups):
        self.watched = watched
        self.session = watched.session
        self.known = LabelFacts()
        self._groups = groups
        self._owner = QObject()
        self._looking = LatestRequest(self._owner, self._found)
        self._settle = QTimer(self._owner, singleShot=True, interval=SETTLE_MS)
        self._settle.timeout.connect(report_errors(self._ask))
        watched.opened.connect(report_errors(self._forget))
        watched.changed.connect(report_errors(self.look))
        self.session.angiogram_changed.connect(report_errors(lambda _: self.look()))
        self.session.frame_changed.connect(report_errors(self.look))
        self.look()

    def is_current(self) -> bool:
        """Whether `known` is about the frame that is shown."""
        return self.known.layer is self.session.angiogram and self.known.index == self.session.index

    def set_group(self, group: str) -> None:
        """Keep the shown angiogram under this group; "" for none.

        Raises:
            InputError: no angiogram is open.
        """
        self._groups.set(self.session.need_angiogram(), group.strip())
        self.look()

    def look(self) -> None:
        """Ask the label set about the shown frame, after the last event of a burst."""
        self._settle.start()

    def _ask(self) -> None:
        if not self.watched.has_viewer:
            return
        layer, index, contents = self.session.angiogram, self.session.index, self.watched.contents
        labels = self.session.label_set if contents.records else None
        if layer is None:
            self.known = LabelFacts()
            self.looked.emit()
            return
        self._looking.ask(lambda: self._look(layer, index, labels, contents))

    def _look(self, layer: Image, index: int, labels: LabelSet | None, contents: Contents) -> LabelFacts:
        try:
            sha = pixel_sha256(frames.stored(layer, index))
            record = contents.find(sha, frame_index(layer, index))
            reading = contents.own.get(record.id) if record is not None else None
            revisions: tuple[Record, ...] = ()
            if record is not None and labels is not None and not contents.blind:
                revisions = tuple(labels.revisions(record.id))
            return LabelFacts(layer, index, record, revisions, reading, self._groups.of(layer, record))
        except VasoMIMError as error:
            return LabelFacts(layer, index, problem=str(error))

    def _found(self, known: LabelFacts) -> None:
        if self.watched.has_viewer and known.layer is self.session.angiogram and known.index == self.session.index:
            self.known = known
            self.looked.emit()

    def _forget(self) -> None:
        self.known = LabelFacts()
        self.look()
