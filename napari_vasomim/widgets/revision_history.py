"""The revisions of the shown frame's label: listed, looked at, taken back. The last section of the panel Labels."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QTreeWidgetItem
from superqt.utils import signals_blocked

from napari_vasomim.labelling.contents import when
from napari_vasomim.labelling.revisions import Revisions
from napari_vasomim.labelling.shown_label import ShownLabel
from napari_vasomim.notify import report_errors
from napari_vasomim.plain import tooltip
from napari_vasomim.widgets.kit import Panel, button, header
from napari_vasomim.widgets.table import Table


class RevisionHistory:
    """A table of the revisions, hidden where there are none.

    Args:
        panel: gets the widgets at the end of its column.
        shown: what the label set knows of the shown frame.
        revisions: brings its masks back.
    """

    def __init__(self, panel: Panel, shown: ShownLabel, revisions: Revisions):
        self._shown, self._revisions = shown, revisions
        self._header = header("Revisions")
        self.table = Table("", "when", "who", "from model", most=5)
        self.table.setToolTip("Select one to see its mask on the angiogram")
        self.table.itemSelectionChanged.connect(report_errors(self._selection_changed))
        self.back = button(
            "Take back this revision", self._take_back, "Make it the current mask again; no revision is lost by that"
        )
        for widget in (self._header, self.table, self.back):
            panel.body.addWidget(widget)
        panel.follow(shown.looked, self._show)
        panel.follow(panel.session.frame_changed, self._moved)
        panel.follow(panel.session.angiogram_changed, self._moved)
        self._show()

    def _selected(self) -> int | None:
        items = self.table.selectedItems()
        return int(items[0].data(0, Qt.ItemDataRole.UserRole)) if items else None

    def _selection_changed(self) -> None:
        revision = self._selected()
        self.back.setEnabled(revision is not None)
        self._revisions.show(revision)

    def _take_back(self) -> None:
        revision = self._selected()
        if revision is not None:
            self._revisions.take_back(revision)

    def _moved(self, *_: Any) -> None:
        """Another frame is shown: what was known belongs to the one before until the set has answered."""
        if not self._shown.is_current():
            self._clear()

    def _clear(self) -> None:
        selected = self._selected() is not None
        with signals_blocked(self.table):
            self.table.clear()
        self.back.setEnabled(False)
        if selected:
            self._revisions.show(None)

    def _show(self) -> None:
        revisions = self._shown.known.revisions[::-1]
        listed = [int(item.data(0, Qt.ItemDataRole.UserRole)) for item in self.table.rows()]
        if listed != [revision.revision for revision in revisions] or self._selected() is None:
            self._clear()
            for revision in revisions:
                cells = [str(revision.revision), when(revision.modified), revision.annotator or "unknown"]
                cells[2] += ", settled" * revision.settled
                item = QTreeWidgetItem([*cells, revision.model or "none"])
                item.setData(0, Qt.ItemDataRole.UserRole, revision.revision)
                item.setToolTip(2, tooltip(revision.annotator))
                item.setToolTip(3, tooltip(revision.model or "drawn from nothing"))
                self.table.addTopLevelItem(item)
        self.table.fit_height()
        for widget in (self._header, self.table, self.back):
            widget.setVisible(bool(revisions))
