"""The label set that is open: what is in it now, looked at again whenever its folder changes.

Reading happens in a thread: a large set takes its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import QFileSystemWatcher, QObject, QTimer

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.labelling.contents import Contents
from napari_vasomim.notify import report_error, report_errors
from napari_vasomim.session import Session
from vasomim_core.classes import LabelClass
from vasomim_core.errors import InputError, LabelError, VasoMIMError
from vasomim_core.labels.labelset import LabelSet

SETTLE_MS = 100


class WatchedSet:
    """The label set of a session, watched for what others write into it.

    Attributes:
        session: what the panels share.
        contents: the label set when it was last looked at.
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
        self.contents = Contents()
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
        labels, before = self.session.label_set, self.contents
        if labels is not None and self.has_viewer:
            # Before reading: a change while we read is then seen as well.
            for folder in (labels.folder, labels.folder / "records"):  # the index with its classes, and the records
                if folder.is_dir() and str(folder) not in self._watcher.directories():
                    self._watcher.addPath(str(folder))
            self._reading.ask(lambda: (labels, Contents.read(labels, before)))

    def take(self, labels: LabelSet, contents: Contents) -> None:
        """A label set was read, by us or by whoever wrote to it."""
        if labels is not self.session.label_set:
            return
        self.contents = contents
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
        self.contents = Contents()
        self._watch_nothing()
        self.changed.emit()

    def _set_changed(self) -> None:
        if self.session.label_set is not self._labels:
            self._labels = self.session.label_set
            self.contents, self.trouble = Contents(), ""
            self._watch_nothing()
            self.opened.emit()
        self.refresh()

    def _watch_nothing(self) -> None:
        if self._watcher.directories():
            self._watcher.removePaths(self._watcher.directories())
