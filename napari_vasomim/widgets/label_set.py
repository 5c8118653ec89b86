"""The Labels panel: keep what was corrected, frame by frame, in a folder that a model learns from."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLineEdit

from napari_vasomim.keys import with_key
from napari_vasomim.labelling.contents import when
from napari_vasomim.labelling.desk import LabellingDesk
from napari_vasomim.notify import report_errors, untagged
from napari_vasomim.plain import plain_label
from napari_vasomim.widgets.frame_queue import QueueChoice, QueuePosition
from napari_vasomim.widgets.frames_ahead import FramesAhead
from napari_vasomim.widgets.kit import SPACE, Panel, button, header, hint, row
from napari_vasomim.widgets.label_exchange import LabelExchange
from napari_vasomim.widgets.open_label_set import OpenLabelSet
from napari_vasomim.widgets.revision_history import RevisionHistory
from napari_vasomim.widgets.two_readers import TwoReaders
from vasomim_core.labels.labelset import Record

WHY_READER = (
    "Kept with each label: who drew or approved it. A short name that you choose for yourself, such as A or reader 2; "
    "never a patient's.\nWhat you accepted is yours to replace; before a label of another reader is, you are asked."
)
WHY_GROUPS = (
    "Frames of one patient or one run must stay together: if some teach a model and others test it, "
    "the test says nothing. Frames with the same group are never separated.\n"
    "Write a number or a pseudonym, never a patient's name. For DICOM files it is made for you, "
    "from a hash that names nobody."
)


class LabelSetPanel(Panel):
    """The open label set, the shown frame (accept, skip, flag), the queue of frames, and earlier revisions."""

    title = "Labels"
    purpose = "Keep corrected masks to teach a model."
    keys = MappingProxyType({"flag": "_flag"})

    def build(self) -> None:
        """Make the widgets."""
        self.desk = LabellingDesk.of(self.viewer)
        self.shown, self.saving, self.navigator = self.desk.shown, self.desk.saving, self.desk.navigator
        self.set = OpenLabelSet(self, self.desk.watched)
        self.exchange = LabelExchange(self, self.desk.watched)
        self.body.addWidget(header("This frame"))
        self.position = QueuePosition(self, self.navigator, self.desk.watched)
        self._build_frame()
        self.queue = QueueChoice(self, self.navigator)
        self.ahead = FramesAhead(self)
        self.readers = TwoReaders(self, self.desk)
        self.history = RevisionHistory(self, self.shown, self.desk.revisions)
        self.follow(self.desk.watched.said, self._say)
        self.follow(self.saving.working, self._show_working)
        self.follow(self.shown.looked, self._show_known)
        self._read_at: tuple[Any, int] | None = None
        for signal in (self.session.frame_changed, self.session.angiogram_changed):
            self.follow(signal, self._moved)
        for signal in (
            self.desk.watched.opened,
            self.desk.second.changed,
            self.session.frame_changed,
            self.session.angiogram_changed,
        ):
            self.follow(signal, self._enable)
        self._show_known()

    def _build_frame(self) -> None:
        self.known = hint()
        self.known.setAlignment(Qt.AlignmentFlag.AlignTop)
        # Two lines, also where one would do: the buttons below must not move from frame to frame.
        self.known.setMinimumHeight(2 * self.known.fontMetrics().lineSpacing())
        self.body.addWidget(self.known)
        self._build_kept_with_each()
        self.keep = button(
            with_key("Accept && next", "accept"),
            self.accept,
            "Keep what is drawn on this frame as a label, and go to the next one without",
            primary=True,
        )
        self.keep.setMinimumHeight(30)
        self.body.addWidget(self.keep)
        self.skip = button(with_key("Skip", "skip"), self.saving.skip, "Leave this frame out, remember that, and go on")
        self.flag = button(
            with_key("Flag", "flag"),
            self._flag,
            "Have this frame looked at again later, for the reason beside, and go on",
        )
        self.note = QLineEdit()
        self.note.setPlaceholderText("why it is flagged")
        self.note.setToolTip("Kept with the label when you flag the frame; no patient's name")
        self.note.returnPressed.connect(report_errors(self._flag))
        line = row(self.skip, self.flag)
        line.addWidget(self.note, 3)
        self.body.addLayout(line)
        self.show_label = button(
            "Show its label",
            self.desk.revisions.show_label,
            "Put the kept mask onto the correction layer; undo takes it away",
        )
        self.body.addWidget(self.show_label)
        self.state = hint()
        self.body.addWidget(self.state)

    def _build_kept_with_each(self) -> None:
        self.annotator = QLineEdit(self.session.annotator)
        self.annotator.setPlaceholderText("who draws or approves")
        self.annotator.setToolTip(WHY_READER)
        self.annotator.editingFinished.connect(report_errors(self._annotator_written))
        self.follow(self.session.annotator_changed, lambda: self.annotator.setText(self.session.annotator))
        self.group = QLineEdit()
        self.group.setPlaceholderText("patient or run, as a pseudonym")
        self.group.setToolTip(WHY_GROUPS)
        self.group.editingFinished.connect(report_errors(self._group_written))
        line = QHBoxLayout()
        line.setSpacing(SPACE)
        for words, field in (("by", self.annotator), ("group", self.group)):
            line.addWidget(plain_label(words))
            line.addWidget(field, 1)
        self.body.addLayout(line)

    # What the person does

    def accept(self) -> None:
        """Keep the drawn mask of the shown frame and go on to the next one without a label."""
        self.saving.accept()

    def _flag(self) -> None:
        self.saving.flag(self.note.text())

    def _annotator_written(self) -> None:
        if self.annotator.isModified():
            self.annotator.setModified(False)
            self.session.annotator = self.annotator.text()

    def _group_written(self) -> None:
        if self.session.angiogram is not None and self.group.isModified():
            self.group.setModified(False)
            self.shown.set_group(self.group.text())

    # What is shown

    def _show_known(self) -> None:
        known, record = self.shown.known, self.shown.known.record
        if not self.group.isModified():
            self.group.setText(known.group)
            self.group.setCursorPosition(0)
        blind = self.desk.watched.blind
        if known.reading is not None:
            self.known.setText(f"read by {known.reading.annotator} on {when(known.reading.created)}")
        elif blind is not None and record is None and known.layer is not None:
            self.known.setText(f"A second reading by {blind.reader}: labels of others are not shown.")
        elif record is not None:
            self.known.setText(_words(record))
        elif known.layer is None:
            self.known.setText("No angiogram is open: drop a file here, or use File ▸ Open Sample.")
        elif self.session.label_set is None:
            self.known.setText("Make or open a label set to keep what you draw.")
        else:
            self.known.setText(known.problem or "no label yet")
        if not self.note.hasFocus():
            self.note.setText(record.note if record is not None else "")
        self._enable()

    def _show_working(self) -> None:
        if self.saving.busy:
            self.state.setText("Saving…")
        self._enable()

    def _say(self, sentence: str) -> None:
        self.state.setText(sentence)
        self.viewer.status = untagged(sentence)
        self._read_at = None

    def _moved(self, *_: Any) -> None:
        """What was said stays at the frame that accepting leads to, and goes with it."""
        here = self.session.angiogram, self.session.index
        if self._read_at is None:
            self._read_at = here
        elif here != self._read_at and not self.saving.busy:
            self.state.clear()

    def _enable(self, *_: Any) -> None:
        usable = self.session.angiogram is not None and self.session.label_set is not None
        self.group.setEnabled(usable)
        blind = self.desk.watched.blind is not None
        self.annotator.setEnabled(not blind)
        for widget in (self.keep, self.skip, self.flag, self.note):
            widget.setEnabled(usable and not self.saving.busy and (widget is self.keep or not blind))
        self.show_label.setVisible(self.shown.is_current() and self.shown.known.record is not None)

    def showEvent(self, event: Any) -> None:
        """Look at the label set again: on some drives, nobody tells of changes."""
        super().showEvent(event)
        self.desk.watched.refresh()


def _words(record: Record) -> str:
    by = f" by {record.annotator}" if record.annotator else ""
    note = f" “{record.note}”" if record.note else ""
    status = "settled" if record.settled and record.status == "accepted" else record.status
    return f"{status}{by} on {when(record.modified)}, revision {record.revision}.{note}"
