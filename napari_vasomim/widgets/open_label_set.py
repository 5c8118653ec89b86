"""Which label set is open, and how much is in it: the first section of the panel Labels."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSettings, Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import QFileDialog, QLabel, QSizePolicy, QToolButton, QTreeWidgetItem

from napari_vasomim.labelling.contents import count_words
from napari_vasomim.labelling.watched_set import WatchedSet
from napari_vasomim.plain import tooltip
from napari_vasomim.widgets.class_list import ClassList
from napari_vasomim.widgets.kit import Panel, button, header, hint, row
from napari_vasomim.widgets.table import Table
from vasomim_core.errors import LabelError
from vasomim_core.labels.labelset import STATUSES, LabelSet

RECENT = "label_set"


class OpenLabelSet:
    """Names the label set, counts its labels, makes or opens another.

    Args:
        panel: gets the widgets at the end of its column.
        watched: the label set that is open.
    """

    def __init__(self, panel: Panel, watched: WatchedSet):
        self._panel, self._watched = panel, watched
        self._settings = QSettings("vasomim", "napari-vasomim")
        self.name = _Elided()
        self.counts = hint()
        self.table = Table("group", *STATUSES, most=6)
        self.table.hide()
        self.trouble = hint()
        self.trouble.setStyleSheet("color: #ff8a65")
        self.recent = button("", self.open_recent, primary=True)
        self.recent.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.make = button("New…", self.choose_new, "Make a label set: a plain folder with frames, masks and records")
        self.other = button("Open…", self.choose_open, "Open a label set: a folder with labelset.json in it")
        self.more = QToolButton()
        self.more.setText("By group")
        self.more.setCheckable(True)
        self.more.setToolTip("Show the counts of each group")
        self.more.toggled.connect(self.table.setVisible)
        for widget in (header("Label set"), self.name, self.counts, self.table, self.trouble, self.recent):
            panel.body.addWidget(widget)
        line = row(self.make, self.other)
        line.addWidget(self.more)
        panel.body.addLayout(line)
        self.classes = ClassList(panel, watched)
        panel.follow(watched.opened, self._show)
        panel.follow(watched.changed, self._show)
        panel.follow(panel.session.label_set_changed, self._remember)
        self._show()

    def choose_new(self) -> None:
        """Ask where the new label set shall be."""
        folder, _ = QFileDialog.getSaveFileName(
            self._panel, "New label set: name its folder", self._start_folder(), "Folder (*)"
        )
        if folder:
            self._watched.create(folder)

    def choose_open(self) -> None:
        """Ask which label set to open."""
        folder = QFileDialog.getExistingDirectory(self._panel, "Open a label set", self._start_folder())
        if folder:
            self._watched.open(folder)

    def open_recent(self) -> None:
        """Open the label set of the last time."""
        self._watched.open(self._recent())

    def _recent(self) -> str:
        return str(self._settings.value(RECENT, ""))

    def _start_folder(self) -> str:
        recent = self._recent()
        return str(Path(recent).parent) if recent else ""

    def _remember(self, labels: LabelSet | None) -> None:
        if labels is not None:
            self._settings.setValue(RECENT, str(labels.folder))

    def _show(self) -> None:
        labels, contents, trouble = self._panel.session.label_set, self._watched.contents, self._watched.trouble
        if labels is None:
            self.name.set_text("none open yet", "")
            self.counts.setText("Labels are kept in a folder: make one, or open one you have.")
        else:
            self.name.set_text(f"{labels.name}   in {labels.folder.parent}", str(labels.folder))
            groups = sum(group is not None for group in contents.by_group)
            ungrouped = sum(contents.by_group.get(None, {}).values())
            words = [count_words(contents.by_status), f"{groups} group{'s' * (groups != 1)}" if groups else ""]
            words.append(f"{ungrouped} without group" if ungrouped else "")
            if contents.blind:
                words = [f"{len(contents.own)} read by {contents.blind} a second time; labels of others are not shown"]
            self.counts.setText(", ".join(word for word in words if word))
        self.trouble.setText(trouble)
        self.trouble.setVisible(bool(trouble))
        self.more.setVisible(bool(contents.records))
        self.table.setVisible(bool(contents.records) and self.more.isChecked())
        self._fill_table()
        recent = self._recent_name() if labels is None else ""
        self.recent.setText(f"Open “{recent}” again")
        self.recent.setToolTip(tooltip(self._recent()))
        self.recent.setVisible(bool(recent))

    def _fill_table(self) -> None:
        self.table.clear()
        for group, counts in self._watched.contents.by_group.items():
            cells = [group or "no group", *(str(counts[status] or "") for status in STATUSES)]
            self.table.addTopLevelItem(QTreeWidgetItem(cells))
        self.table.fit_height()

    def _recent_name(self) -> str:
        folder = self._recent()
        with contextlib.suppress(LabelError):
            return LabelSet(folder).name if folder else ""
        return ""


class _Elided(QLabel):
    """One line that is cut in the middle where it does not fit; the whole is in the tooltip."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def set_text(self, text: str, whole: str) -> None:
        self._whole = text
        self.setToolTip(tooltip(whole))
        self._fit()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        metrics = QFontMetrics(self.font())
        self.setText(metrics.elidedText(self._whole, Qt.TextElideMode.ElideMiddle, max(40, self.width())))
