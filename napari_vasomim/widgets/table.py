"""A small table in a panel: flat rows, one selected at a time, as high as it has rows."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem


class Table(QTreeWidget):
    """A table of a few columns.

    Args:
        columns: their headings.
        most: rows up to which it grows; where there are more, it scrolls.
    """

    def __init__(self, *columns: str, most: int):
        super().__init__()
        self._most = most
        self.setHeaderLabels(list(columns))
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        heading = QHeaderView(Qt.Orientation.Horizontal)
        self.setHeader(heading)
        heading.setMinimumSectionSize(24)
        heading.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        heading.setStretchLastSection(True)

    def rows(self) -> list[QTreeWidgetItem]:
        """Its rows, from the top."""
        found = (self.topLevelItem(row) for row in range(self.topLevelItemCount()))
        return [item for item in found if item is not None]

    def fit_height(self) -> None:
        """Become as high as the rows that are there now."""
        line = max(self.sizeHintForRow(0), self.fontMetrics().height() + 4)
        heading = self.header()
        rows = min(self._most, max(1, self.topLevelItemCount()))
        self.setFixedHeight((heading.sizeHint().height() if heading else 0) + rows * line + 2 * self.frameWidth() + 2)
