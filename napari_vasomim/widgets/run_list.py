"""The list of runs, in which those that wait can be dragged into another order."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget

ON, ROOM = 4, 78
"""The column of the other machine on which a run is, shown behind the name; and its width in pixels."""


class RunList(QTreeWidget):
    """Rows without children; only items that may be dragged move, and only between others."""

    dropped = Signal()
    """A person has moved a row."""

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderLabels(["run", "state", "DSC", "started", "on"])
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)  # two can be compared
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setAccessibleName("Runs")
        head = self.header()
        head.setStretchLastSection(False)
        head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        head.setSectionResizeMode(ON, QHeaderView.ResizeMode.Interactive)  # a long name must not take all the room
        head.resizeSection(ON, ROOM)
        head.moveSection(ON, 1)

    @property
    def dragging(self) -> bool:
        """Whether a row is on its way."""
        return self.state() == QAbstractItemView.State.DraggingState

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Tell of it."""
        super().dropEvent(event)
        self.dropped.emit()
