"""The Labels panel: keep what was corrected, frame by frame, in a folder that a model learns from."""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSettings, Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
)

from napari_vasomim import layers
from napari_vasomim.labelling.queue import FileSource, count_words
from napari_vasomim.labelling.walk import Walk
from napari_vasomim.notify import told
from napari_vasomim.widgets.frame_strip import FrameStrip
from napari_vasomim.widgets.kit import Panel, button, choice, header, hint, row
from vasomim_core.data.labelset import STATUSES, LabelSet, Record
from vasomim_core.errors import LabelError

HERE, FOLDER, CHOOSE = range(3)
RECENT = "label_set"
WHY_GROUPS = (
    "Frames of one patient or one run must stay together: if some teach a model and others test it, "
    "the test says nothing. Frames with the same group are never separated.\n"
    "Write a number or a pseudonym, never a patient's name. For DICOM files it is made for you, "
    "from a hash that names nobody."
)


class LabelSetPanel(Panel):
    """A label set, the queue of frames, accept / skip / flag, and the earlier revisions of a label."""

    title = "Labels"
    purpose = "Keep corrected masks to teach a model."

    def build(self) -> None:
        """Make the widgets."""
        self.walk = Walk.of(self.viewer)
        self.labelling = self.walk.labelling
        self._settings = QSettings("vasomim", "napari-vasomim")
        self._build_set()
        self._build_label()
        self._build_queue()
        self._build_keeping()
        self._build_history()
        self.follow(self.labelling.changed, self._show_set)
        self.follow(self.labelling.looked, self._show_known)
        self.follow(self.labelling.working, self._show_working)
        self.follow(self.labelling.said, self._say)
        self.follow(self.session.label_set_changed, self._label_set_changed)
        self.follow(self.session.frame_changed, self._moved)
        self.follow(self.session.angiogram_changed, self._moved)
        self.follow(self.walk.changed, self._show_queue)
        self._show_set()
        self._show_queue()
        self._show_known()

    def _build_set(self) -> None:
        self.body.addWidget(header("Label set"))
        self.name = _Elided()
        self.body.addWidget(self.name)
        self.counts = hint()
        self.more = QToolButton()
        self.more.setText("By group")
        self.more.setCheckable(True)
        self.more.setToolTip("Show the counts of each group")
        self.body.addWidget(self.counts)
        self.table = _table("group", *STATUSES)
        self.table.hide()
        self.body.addWidget(self.table)
        self.trouble = hint()
        self.trouble.setStyleSheet("color: #ff8a65")
        self.body.addWidget(self.trouble)
        self.recent = button("", self.open_recent, primary=True)
        self.recent.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.body.addWidget(self.recent)
        self.make = button("New…", self.choose_new, "Make a label set: a plain folder with frames, masks and records")
        self.other = button("Open…", self.choose_open, "Open a label set: a folder with labelset.json in it")
        line = row(self.make, self.other)
        line.addWidget(self.more)
        self.body.addLayout(line)
        self.more.toggled.connect(self.table.setVisible)

    def _build_queue(self) -> None:
        form = self.section("Frames to annotate")
        self.source = choice(
            ("the open angiogram", HERE),
            ("a folder…", CHOOSE),
            tooltip="Work through the frames of the open angiogram, or through all angiograms of a folder. "
            "Its files are opened one by one, and closed again when what is drawn on them is kept",
        )
        self.order = choice(
            ("file order", "file"),
            ("most uncertain first", "uncertain"),
            tooltip="Most uncertain first: frames on which the model is least sure teach it most. "
            "Segment them first; those not segmented come last",
        )
        self.every = QSpinBox()
        self.every.setRange(1, 100)
        self.every.setMaximumWidth(104)
        self.every.setPrefix("1 in ")
        self.every.setSpecialValueText("all")
        self.every.setToolTip(
            "Neighbours in a cine are near copies; to take one frame in five costs little and saves most"
        )
        form.addRow("from", self.source)
        order = row(self.order)
        order.addWidget(self.every)
        form.addRow("order", order)
        self.source.activated.connect(told(self._source_chosen))
        self.order.activated.connect(lambda: self.walk.set_order(self.order.currentData()))
        self.every.valueChanged.connect(self.walk.set_every)

    def _build_label(self) -> None:
        self.body.addWidget(header("This frame"))
        self.strip = FrameStrip(self._strip_clicked)
        self.body.addWidget(self.strip)
        self.position = hint()
        self.body.addWidget(self.position)
        self.previous = button("◀ Previous", self.walk.previous, "The frame before, in this order")
        self.next = button("Next ▶", self.walk.next, "The next frame, in this order")
        self.unlabelled = button("Unlabelled ▶▶", self.walk.next_unlabelled, "The next frame without a label")
        self.body.addLayout(row(self.previous, self.next, self.unlabelled))
        self.known = hint()
        self.known.setAlignment(Qt.AlignmentFlag.AlignTop)
        # Two lines, also where one would do: the buttons below must not move from frame to frame.
        self.known.setMinimumHeight(2 * self.known.fontMetrics().lineSpacing())
        self.body.addWidget(self.known)
        self.keep = button(
            "Accept && next",
            self.accept,
            "Keep what is drawn on this frame as a label, and go to the next one without (A on the correction layer)",
            primary=True,
        )
        self.keep.setMinimumHeight(30)
        self.body.addWidget(self.keep)
        self.skip = button("Skip", self.labelling.skip, "Leave this frame out, remember that, and go on")
        self.flag = button(
            "Flag", self._flag, "Have this frame looked at again later, for the reason beside, and go on"
        )
        self.note = QLineEdit()
        self.note.setPlaceholderText("why it is flagged")
        self.note.setToolTip("Kept with the label when you flag the frame; no patient's name")
        self.note.returnPressed.connect(told(self._flag))
        line = row(self.skip, self.flag)
        line.addWidget(self.note, 3)
        self.body.addLayout(line)
        self.show_label = button(
            "Show its label",
            self.labelling.show_label,
            "Put the kept mask onto the correction layer; undo takes it away",
        )
        self.body.addWidget(self.show_label)
        self.state = hint()
        self.body.addWidget(self.state)

    def _build_keeping(self) -> None:
        self.annotator = QLineEdit(self.session.annotator)
        self.annotator.setPlaceholderText("who draws or approves")
        self.annotator.setToolTip("Kept with each label: who drew or approved it")
        self.annotator.editingFinished.connect(told(self._annotator_written))
        form = self.section("Kept with each label")
        self.group = QLineEdit()
        self.group.setPlaceholderText("patient or run, as a pseudonym")
        self.group.setToolTip(WHY_GROUPS)
        self.group.editingFinished.connect(told(self._group_written))
        form.addRow("annotator", self.annotator)
        form.addRow("group", self.group)

    def _build_history(self) -> None:
        self.past = header("Revisions")
        self.body.addWidget(self.past)
        self.history = _table("", "when", "who", "from model")
        self.history.setToolTip("Select one to see its mask on the angiogram")
        self.history.itemSelectionChanged.connect(told(self._revision_selected))
        self.body.addWidget(self.history)
        self.back = button(
            "Take back this revision", self._take_back, "Make it the current mask again; no revision is lost by that"
        )
        self.body.addWidget(self.back)

    # What the person does

    def accept(self) -> None:
        """Keep the drawn mask of the shown frame and go on to the next one without a label."""
        self.labelling.accept()

    def choose_new(self) -> None:
        """Ask where the new label set shall be."""
        folder, _ = QFileDialog.getSaveFileName(
            self, "New label set: name its folder", self._start_folder(), "Folder (*)"
        )
        if folder:
            self.labelling.create(folder)

    def choose_open(self) -> None:
        """Ask which label set to open."""
        folder = QFileDialog.getExistingDirectory(self, "Open a label set", self._start_folder())
        if folder:
            self.labelling.open(folder)

    def choose_folder(self) -> None:
        """Ask which folder to work through."""
        folder = QFileDialog.getExistingDirectory(self, "Work through the angiograms of a folder")
        if folder:
            self.walk.work_through(folder)
        self._show_source()

    def open_recent(self) -> None:
        """Open the label set of the last time."""
        self.labelling.open(str(self._settings.value(RECENT, "")))

    def _start_folder(self) -> str:
        recent = str(self._settings.value(RECENT, ""))
        return str(Path(recent).parent) if recent else ""

    def _annotator_written(self) -> None:
        self.session.annotator = self.annotator.text()
        self.annotator.setText(self.session.annotator)

    def _group_written(self) -> None:
        if self.session.angiogram is not None and self.group.isModified():
            self.group.setModified(False)
            self.labelling.set_group(self.group.text())

    def _source_chosen(self) -> None:
        what = self.source.currentData()
        if what == CHOOSE:
            self.choose_folder()
        elif what == HERE and self.walk.folder is not None:
            self.walk.work_here()

    def _strip_clicked(self, cell: int) -> None:
        self.walk.go(self.walk.strip()[0][cell])

    def _flag(self) -> None:
        self.labelling.flag(self.note.text())

    def _selected(self) -> int | None:
        items = self.history.selectedItems()
        return int(items[0].data(0, Qt.ItemDataRole.UserRole)) if items else None

    def _revision_selected(self) -> None:
        revision = self._selected()
        self.back.setEnabled(revision is not None)
        self.labelling.show_revision(revision)

    def _take_back(self) -> None:
        revision = self._selected()
        if revision is not None:
            self.labelling.take_back(revision)

    # What is shown

    def _label_set_changed(self, labels: LabelSet | None) -> None:
        if labels is not None:
            self._settings.setValue(RECENT, str(labels.folder))

    def _show_set(self) -> None:
        labels, contents = self.session.label_set, self.labelling.contents
        trouble = self.labelling.trouble
        if labels is None:
            self.name.set_text("none open yet", "")
            self.counts.setText("Labels are kept in a folder: make one, or open one you have.")
        else:
            self.name.set_text(f"{labels.name}   in {labels.folder.parent}", str(labels.folder))
            groups = sum(group is not None for group in contents.by_group)
            ungrouped = sum(contents.by_group.get(None, {}).values())
            words = [count_words(contents.by_status), f"{groups} group{'s' * (groups != 1)}" if groups else ""]
            words.append(f"{ungrouped} without group" if ungrouped else "")
            self.counts.setText(", ".join(word for word in words if word))
        self.trouble.setText(trouble)
        self.trouble.setVisible(bool(trouble))
        self.more.setVisible(bool(contents.records))
        self.table.setVisible(bool(contents.records) and self.more.isChecked())
        self._fill_table()
        recent = self._recent_name() if labels is None else ""
        self.recent.setText(f"Open “{recent}” again")
        self.recent.setToolTip(str(self._settings.value(RECENT, "")))
        self.recent.setVisible(bool(recent))
        self._enable()

    def _recent_name(self) -> str:
        folder = str(self._settings.value(RECENT, ""))
        with contextlib.suppress(LabelError):
            return LabelSet(folder).name if folder else ""
        return ""

    def _fill_table(self) -> None:
        self.table.clear()
        for group, counts in self.labelling.contents.by_group.items():
            cells = [group or "no group", *(str(counts[status] or "") for status in STATUSES)]
            self.table.addTopLevelItem(QTreeWidgetItem(cells))
        _fit_height(self.table, 6)

    def _show_source(self) -> None:
        """Name the folder in the choice of the source."""
        folder = self.walk.folder
        place = self.source.findData(FOLDER)
        if place >= 0:
            self.source.removeItem(place)
        if folder is not None:
            self.source.insertItem(1, f"folder “{folder.name}”", FOLDER)
        self.source.setCurrentIndex(self.source.findData(HERE if folder is None else FOLDER))

    def _show_queue(self) -> None:
        queue, contents = self.walk.queue, self.labelling.contents
        self._show_source()
        places, shown = self.walk.strip()
        records = [queue.record(place, contents) for place in places]
        cells = [None if record is None else record.status for record in records]
        many_files = len(queue.sources) > 1

        def words(cell: int) -> str:
            place, status = places[cell], cells[cell] or "no label yet"
            source = queue.sources[place.file]
            file = f" ({source.path.name})" if isinstance(source, FileSource) else ""
            return f"file {place.file + 1}{file}: {status}" if many_files else f"frame {place.frame + 1}: {status}"

        self.strip.set_cells(cells, shown, words)
        self.strip.setVisible(len(places) > 1)
        self.position.setText(self._position_words())
        self._enable()

    def _position_words(self) -> str:
        walk, queue = self.walk, self.walk.queue
        if not queue.sources:
            return "Open an angiogram, or choose a folder to work through."
        if walk.done:
            then = "Teach a model with them in Finetune, or" if walk.accepted else "Go back to one of them, or"
            return f"All done: {walk.summary()}. {then} choose another folder below."
        if walk.message:
            return walk.message
        place = walk.place
        if place is None:
            return "The angiogram on show is not of this folder; Next leads back to it."
        count, files = queue.count(place.file), len(queue.sources)
        words = f"Frame {place.frame + 1} of {count}"
        if files > 1:
            words = f"{words}, file {place.file + 1} of {files}" if count > 1 else f"File {place.file + 1} of {files}"
        record = queue.record(place, self.labelling.contents)
        words += f" · {record.status}" if record is not None else ""
        if queue.order == "uncertain":
            bits = queue.uncertainty.get(place)
            words += f" · {bits:.3f} bits" if bits is not None else ""
            if not queue.segmented:
                words += ". No frame is segmented yet, so they come in file order."
            elif files > 1 or queue.segmented < len(queue.of_file(place.file)):
                words += f". {queue.segmented} segmented; the others come last."
        if queue.problems:
            words += f". {len(queue.problems)} file{'s' * (len(queue.problems) > 1)} cannot be read and are left out."
        return words

    def _moved(self, *_: Any) -> None:
        """Another frame is shown: what was known belongs to the one before until the set has answered."""
        if not self.labelling.is_current():
            self._clear_history()
        self._enable()

    def _clear_history(self) -> None:
        selected = self._selected() is not None
        self.history.blockSignals(True)
        self.history.clear()
        self.history.blockSignals(False)
        self.back.setEnabled(False)
        if selected:
            self.labelling.show_revision(None)

    def _show_known(self) -> None:
        known = self.labelling.known
        record = known.record
        if not self.group.isModified():
            self.group.setText(known.group)
        if record is not None:
            self.known.setText(_words(record))
        elif known.layer is None:
            self.known.setText("No angiogram is open: drop a file here, or use File ▸ Open Sample.")
        elif self.session.label_set is None:
            self.known.setText("Make or open a label set to keep what you draw.")
        else:
            self.known.setText(known.problem or "no label yet")
        if not self.note.hasFocus():
            self.note.setText(record.note if record is not None else "")
        selected = self._selected()
        shown = [int(item.data(0, Qt.ItemDataRole.UserRole)) for item in _items(self.history)]
        revisions = known.revisions[::-1]
        if shown != [revision.revision for revision in revisions] or selected is None:
            self._clear_history()
            for revision in revisions:
                cells = [str(revision.revision), _when(revision.modified), revision.annotator or "unknown"]
                item = QTreeWidgetItem([*cells, revision.model or "none"])
                item.setData(0, Qt.ItemDataRole.UserRole, revision.revision)
                item.setToolTip(2, revision.annotator)
                item.setToolTip(3, revision.model or "drawn from nothing")
                self.history.addTopLevelItem(item)
        _fit_height(self.history, 5)
        for widget in (self.past, self.history, self.back):
            widget.setVisible(bool(revisions))
        self._enable()

    def _show_working(self, working: bool) -> None:
        if working:
            self.state.setText("Saving…")
        self._enable()

    def _say(self, sentence: str) -> None:
        self.state.setText(sentence)
        self.viewer.status = sentence

    def _enable(self) -> None:
        angiogram, ready = self.session.angiogram, self.session.label_set is not None
        usable = ready and angiogram is not None and not self.labelling.busy
        for widget in (self.keep, self.skip, self.flag, self.note):
            widget.setEnabled(usable)
        self.group.setEnabled(ready and angiogram is not None)
        record = self.labelling.known.record if self.labelling.is_current() else None
        self.show_label.setEnabled(record is not None)
        queue = self.walk.queue
        for widget in (self.previous, self.next, self.unlabelled, self.order, self.every):
            widget.setEnabled(bool(queue.sources))
        cine = len(queue.sources) > 1 or (angiogram is not None and layers.frame_count(angiogram) > 1)
        self.every.setVisible(cine)

    def showEvent(self, event: Any) -> None:
        """Look at the label set again: on some drives, nobody tells of changes."""
        super().showEvent(event)
        self.labelling.refresh()


class _Elided(QLabel):
    """One line that is cut in the middle where it does not fit; the whole is in the tooltip."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def set_text(self, text: str, tooltip: str) -> None:
        self._whole = text
        self.setToolTip(tooltip)
        self._fit()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        metrics = QFontMetrics(self.font())
        self.setText(metrics.elidedText(self._whole, Qt.TextElideMode.ElideMiddle, max(40, self.width())))


def _table(*columns: str) -> QTreeWidget:
    table = QTreeWidget()
    table.setHeaderLabels(list(columns))
    table.setRootIsDecorated(False)
    table.setUniformRowHeights(True)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    heading = QHeaderView(Qt.Orientation.Horizontal)
    table.setHeader(heading)
    heading.setMinimumSectionSize(24)
    heading.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    heading.setStretchLastSection(True)
    return table


def _items(table: QTreeWidget) -> list[QTreeWidgetItem]:
    found = (table.topLevelItem(row) for row in range(table.topLevelItemCount()))
    return [item for item in found if item is not None]


def _fit_height(table: QTreeWidget, most: int) -> None:
    """As high as its rows, up to `most`."""
    line = max(table.sizeHintForRow(0), table.fontMetrics().height() + 4)
    heading = table.header()
    rows = min(most, max(1, table.topLevelItemCount()))
    table.setFixedHeight((heading.sizeHint().height() if heading else 0) + rows * line + 2 * table.frameWidth() + 2)


def _when(time: str) -> str:
    """A time of a record as the clock on the wall shows it."""
    try:
        return datetime.fromisoformat(time.replace("Z", "+00:00")).astimezone().strftime("%d %b %Y %H:%M")
    except ValueError:
        return time


def _words(record: Record) -> str:
    by = f" by {record.annotator}" if record.annotator else ""
    note = f" “{record.note}”" if record.note else ""
    return f"{record.status}{by} on {_when(record.modified)}, revision {record.revision}.{note}"
