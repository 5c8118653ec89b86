"""The open angiograms as pictures: a click shows one alone."""

from __future__ import annotations

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QSizePolicy

from napari_vasomim import plain
from napari_vasomim.canvas import layers
from napari_vasomim.notify import report_errors
from napari_vasomim.session import Session
from napari_vasomim.viewing.thumbnails import SIDE, Thumbnails, words
from napari_vasomim.widgets.kit import SPACE, follow

COLUMN, LINES, MOST_ROWS = SIDE + 13, 3, 3
# Letters in which angles fit below a picture; the shown one in the colour of a chosen tab.
LOOK = """
QListWidget { font-size: 11px; }
QListWidget::item:selected { background: palette(highlight); color: palette(highlighted-text); }
"""


class OpenRuns(QListWidget):
    """A picture, name, angles and number of frames for each open angiogram; the shown one is marked.

    Args:
        session: of the viewer.
    """

    def __init__(self, session: Session):
        super().__init__()
        self._session = session
        self._known: list[Image] = []
        self._pictures = Thumbnails(self, self._fill)
        self.setViewMode(QListWidget.ViewMode.IconMode)
        self.setResizeMode(QListWidget.ResizeMode.Adjust)
        self.setMovement(QListWidget.Movement.Static)
        self.setIconSize(QSize(SIDE, SIDE))
        self.setStyleSheet(LOOK)
        self.ensurePolished()  # so that the letters are known
        self._cell = QSize(COLUMN, SIDE + LINES * self.fontMetrics().lineSpacing() + 12)
        self.setGridSize(self._cell)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.itemClicked.connect(report_errors(self._clicked))
        follow(self, session.angiogram_changed, self._fill)
        follow(self, session.frame_changed, self._look)
        follow(self, session.pixels_changed, self._renew)
        self._fill()

    def _renew(self, layer: Image) -> None:
        self._pictures.forget(layer)
        self._fill()

    def _look(self) -> None:
        """The fullest frame of some may be known by now."""
        for layer in self._known:
            self._pictures.get(layer)

    def _fill(self, *_: object) -> None:
        self._known = known = layers.angiograms(self._session.viewer)
        while self.count() > len(known):
            self.takeItem(self.count() - 1)
        while self.count() < len(known):
            self.addItem(QListWidgetItem())
        for number, layer in enumerate(known):
            item, lines = self.item(number), words(layer)
            picture = self._pictures.get(layer)
            item.setText("\n".join(map(self._fitting, lines)))
            item.setToolTip(plain.tooltip("\n".join(lines)))
            item.setIcon(_icon(picture))
            if layer is self._session.angiogram:
                self.setCurrentItem(item)
        rows = min(-(-max(len(known), 1) // 3), MOST_ROWS)
        self.setFixedHeight(rows * self._cell.height() + 2 * self.frameWidth() + SPACE)
        self.setVisible(bool(known))

    def _fitting(self, line: str) -> str:
        return self.fontMetrics().elidedText(line, Qt.TextElideMode.ElideMiddle, COLUMN - 4)

    def _clicked(self, item: QListWidgetItem) -> None:
        """Show it alone, also where it was hidden by hand."""
        layer = self._known[self.row(item)]
        self._session.angiogram = layer
        self._session.canvas.choose(layer)


def _icon(picture: NDArray[np.uint8] | None) -> QIcon:
    """A picture in the middle of its square; an empty square while there is none."""
    square = np.zeros((SIDE, SIDE), np.uint8)
    if picture is not None:
        rows, columns = picture.shape
        top, left = (SIDE - rows) // 2, (SIDE - columns) // 2
        square[top : top + rows, left : left + columns] = picture
    pixmap = QPixmap.fromImage(QImage(square.data, SIDE, SIDE, SIDE, QImage.Format.Format_Grayscale8))
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)  # not tinted: the frame around it marks the shown one
    return icon
