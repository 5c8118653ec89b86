"""The label set that is open: what is in it now, looked at again whenever its folder changes.

Reading happens in a thread: a large set takes its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import QFileSystemWatcher, QObject, QTimer

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.labelling.contents import Contents
from napari_vasomim.notify import report_error, report_errors
from napari_vasomim.session import Session
from vasomim_core.classes import LabelClass
from vasomim_core.errors import InputError, LabelError, VasoMIMError
from vasomim_core.labels.folder import READINGS
from vasomim_core.labels.labelset import LabelSet

SETTLE_MS = 100


@dataclass(frozen=True)
class Blind:
    """A second reading.

    Attributes:
        reader: who reads.
        share: of the labels of others that are to be read, in (0, 1].
        seed: by which they were drawn.
        ids: of the frames.
        drafts: they come with the prediction of the model.
    """

    reader: str
    share: float
    seed: int
    ids: frozenset[str]
    drafts: bool = False


@dataclass(frozen=True)
class Settles:
    """A frame of which two readings are shown: what is accepted there settles its label.

    Attributes:
        layer: the angiogram, a still.
        id: of the frame.
        revision: of the label that is looked at.
    """

    layer: Image
    id: str
    revision: int


class WatchedSet:
    """The label set of a session, watched for what others write into it.

    Attributes:
        session: what the panels share.
        contents: what may be seen of the label set, as it was when it was last looked at: all of it, or in a second
            reading what `Contents.seen_by` leaves.
        whole: all of it.
        settling: the frame that is being settled; None = none is.
        blind: the second reading that goes on, whose reader must not see the labels of others; None = none does.
        trouble: what is wrong with it, in one sentence; empty if nothing is.
    """

    opened = Signal()
    """Another label set was opened; what is in it is not known yet."""
    changed = Signal()
    """Its content was read again."""
    said = Signal(str)
    """A sentence about what was just done to it."""

    def __init__(self, session: Session):
        self.session = session
        self.whole = Contents()
        self.blind: Blind | None = None
        self.settling: Settles | None = None
        self.contents = self.whole
        self.trouble = ""
        self._labels: LabelSet | None = None
        self._owner = QObject()
        self._opening = LatestRequest(self._owner, session.open_label_set)
        self._reading = LatestRequest(self._owner, lambda result: self.take(*result), self._unreadable)
        self._changing = LatestRequest(self._owner, lambda result: self._classes_changed(*result), self._not_changed)
        # Other windows and programs write to the same folder.
        self._watcher = QFileSystemWatcher(self._owner)
        self._again = QTimer(self._owner, singleShot=True, interval=SETTLE_MS)
        self._again.timeout.connect(report_errors(self.refresh))
        self._watcher.directoryChanged.connect(lambda _: self._again.start())
        session.label_set_changed.connect(report_errors(lambda _: self._set_changed()))
        self._set_changed()

    def need_label_set(self) -> LabelSet:
        """The label set.

        Raises:
            LabelError: none is open.
        """
        if self.session.label_set is None:
            raise LabelError("No label set is open; make one with New… in the panel Labels, or open one there.")
        return self.session.label_set

    @property
    def is_changing(self) -> bool:
        """Whether its classes are being changed."""
        return self._changing.busy

    def change_classes(self, change: Callable[[tuple[LabelClass, ...]], Iterable[LabelClass]]) -> None:
        """Change the classes that the label set has by then. While that is being done, nothing else can be asked for.

        Args:
            change: makes the new classes of those that there are; its errors are told.

        Raises:
            LabelError: no label set is open, or the last change is still being written.
        """
        labels = self.need_label_set()
        if self.is_changing:
            raise LabelError("The last change of the classes is still being written; wait a moment.")
        self._changing.ask(lambda: (labels, labels.set_classes(change)))
        self.changed.emit()

    def _classes_changed(self, labels: LabelSet, classes: tuple[LabelClass, ...]) -> None:
        if labels is self.session.label_set:
            self.session.take_classes(classes)
            self.changed.emit()
            self.refresh()

    def _not_changed(self, error: Exception) -> None:
        report_error(error)
        self.said.emit(str(error) if isinstance(error, VasoMIMError) else "The classes are as they were.")
        self.changed.emit()
        self.refresh()

    @property
    def has_viewer(self) -> bool:
        """Whether the viewer is still there: timers and threads may come back later."""
        try:
            return self.session.viewer is not None
        except InputError:
            return False

    def open(self, folder: Path | str) -> None:
        """Open a label set."""
        self._opening.ask(lambda: LabelSet.open(folder))

    def create(self, folder: Path | str) -> None:
        """Make a label set in a new or empty folder, whose name it takes."""
        self._opening.ask(lambda: LabelSet.create(folder, Path(folder).name))

    def refresh(self) -> None:
        """Look at the label set again."""
        labels, before = self.session.label_set, self.whole
        if labels is not None and self.has_viewer:
            # Before reading: a change while we read is then seen as well.
            # The index with its classes, the records, and the readings.
            for folder in (labels.folder, labels.folder / "records", labels.folder / READINGS):
                if folder.is_dir() and str(folder) not in self._watcher.directories():
                    self._watcher.addPath(str(folder))
            self._reading.ask(lambda: (labels, Contents.read(labels, before)))

    def keep_from(self, blind: Blind | None) -> None:
        """Keep the labels of others from a second reader from now on; None = from nobody."""
        self.blind, self.settling = blind, None
        self._hold(self.whole)
        self.changed.emit()

    def seen(self, contents: Contents) -> Contents:
        """What may be seen of all that a set holds."""
        return contents if self.blind is None else contents.seen_by(self.blind.reader)

    def _hold(self, contents: Contents) -> None:
        self.whole, self.contents = contents, self.seen(contents)

    def take(self, labels: LabelSet, contents: Contents) -> None:
        """A label set was read, by us or by whoever wrote to it."""
        if labels is not self.session.label_set:
            return
        self._hold(contents)
        self.session.take_classes(contents.classes)
        self.trouble = contents.damaged[0] if contents.damaged else ""
        if len(contents.damaged) > 1:
            self.trouble += f" (The first of {len(contents.damaged)} such files.)"
        self.changed.emit()

    def _unreadable(self, error: Exception) -> None:
        if not isinstance(error, VasoMIMError):
            report_error(error)
            return
        self.trouble = str(error)
        self._hold(Contents())
        self._watch_nothing()
        self.changed.emit()

    def _set_changed(self) -> None:
        if self.session.label_set is not self._labels:
            self._labels = self.session.label_set
            self.blind, self.settling, self.trouble = None, None, ""
            self._hold(Contents())
            self._watch_nothing()
            self.opened.emit()
        self.refresh()

    def _watch_nothing(self) -> None:
        if self._watcher.directories():
            self._watcher.removePaths(self._watcher.directories())
