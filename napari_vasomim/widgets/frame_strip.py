"""A strip with a cell for each frame to annotate: its colour says what became of it, a click goes there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QEvent, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QHelpEvent, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_vasomim.notify import report_errors
from napari_vasomim.plain import tooltip

COLOURS = {"accepted": "#4caf7a", "skipped": "#8d8d8d", "flagged": "#ffb000"}
COLOURS |= {"anchor": "#ffb000", "draft": "#ffb000", "followed": "#f06fd0", "unsure": "#e2604f"}
HEIGHT, WIDEST = 18, 26
# Small marks besides the colours, for those who cannot tell them apart: share of the cell's height that is filled.
FILLED = {"accepted": 1.0, "skipped": 0.35, "flagged": 0.65}
FILLED |= {"anchor": 1.0, "draft": 0.65, "followed": 0.65, "unsure": 0.35}


class FrameStrip(QWidget):
    """Cells side by side.

    Args:
        clicked: gets the number of the cell.
    """

    def __init__(self, clicked: Callable[[int], Any]):
        super().__init__()
        self._clicked = report_errors(clicked)
        self._cells: list[str | None] = []
        self._words: Callable[[int], str] = str
        self._shown = -1
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def set_cells(self, cells: Sequence[str | None], shown: int, words: Callable[[int], str]) -> None:
        """Show a status, or None, for each cell, and which one is looked at (-1 = none); `words` makes the tooltip."""
        self._cells, self._shown, self._words = list(cells), shown, words
        self.update()

    def sizeHint(self) -> QSize:
        """As high as a line of text."""
        return QSize(200, HEIGHT)

    def cell_at(self, x: float) -> int:
        """The cell at a place; -1 beside them."""
        cell = int(x // self._width()) if self._cells and x >= 0 else -1
        return cell if cell < len(self._cells) else -1

    def middle(self, cell: int) -> int:
        """The horizontal middle of a cell."""
        return int((cell + 0.5) * self._width())

    def _width(self) -> float:
        return min(WIDEST, self.width() / max(1, len(self._cells)))

    def mousePressEvent(self, event: Any) -> None:
        """Go to the frame under the pointer."""
        cell = self.cell_at(event.pos().x())
        if cell >= 0:
            self._clicked(cell)

    def event(self, event: QEvent | None) -> bool:
        """Say in a tooltip what is under the pointer."""
        if isinstance(event, QHelpEvent):
            cell = self.cell_at(event.pos().x())
            QToolTip.showText(event.globalPos(), tooltip(self._words(cell)) if cell >= 0 else "", self)
            return True
        return super().event(event)

    def paintEvent(self, event: Any) -> None:
        """Draw the cells."""
        with QPainter(self) as painter:  # ended at once: one that outlives its widget is a crash
            width, text = self._width(), self.palette().windowText().color()
            gap = 1.0 if width > 4 else 0.0
            frame = QColor(text)
            frame.setAlpha(55)
            for number, status in enumerate(self._cells):
                cell = QRectF(number * width, 3, max(width - gap, 1), HEIGHT - 6)
                painter.fillRect(cell, frame)
                if status is not None:
                    filled = QRectF(cell)
                    filled.setTop(cell.bottom() - FILLED[status] * cell.height())
                    painter.fillRect(filled, QColor(COLOURS[status]))
            if 0 <= self._shown < len(self._cells):
                painter.setPen(QPen(text, 2))
                painter.drawRect(QRectF(self._shown * width, 1, max(width - gap, 3), HEIGHT - 2))
