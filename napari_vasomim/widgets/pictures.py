"""Pictures in a window: one that grows with it, and a bar of colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QImage, QLinearGradient, QPainter, QPalette, QPixmap
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

SIDE = 200  # px, of a picture at least


class Picture(QLabel):
    """A picture that grows with its window and keeps its shape."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = QPixmap()
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setMinimumSize(SIDE, SIDE)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)

    def put(self, rgb: NDArray[np.uint8] | None) -> None:
        """Show this, uint8 (H, W, 3); None = nothing."""
        self._whole = QPixmap()
        if rgb is not None:
            rgb = np.ascontiguousarray(rgb)
            height, width, _ = rgb.shape
            self._whole = QPixmap.fromImage(QImage(rgb.data, width, height, 3 * width, QImage.Format.Format_RGB888))
        self._fit()

    def has_picture(self) -> bool:
        """Whether something is shown."""
        return not self._whole.isNull()

    def resizeEvent(self, event: Any) -> None:
        """Fit it anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        self.setPixmap(self._whole.scaled(self.size(), keep, smooth) if self.has_picture() else self._whole)


class ColourBar(QWidget):
    """The colours from 0 to 1, from below to above."""

    def __init__(self, colours: str):
        super().__init__()
        self._colours = ensure_colormap(colours).map(np.linspace(0, 1, 17))
        self.setFixedWidth(38)

    def paintEvent(self, event: Any) -> None:
        """Draw bar and numbers."""
        painter = QPainter(self)
        high = self.fontMetrics().height()
        bar = QRectF(2, high / 2, 12, self.height() - high)
        gradient = QLinearGradient(bar.bottomLeft(), bar.topLeft())
        for place, colour in zip(np.linspace(0, 1, len(self._colours)), self._colours, strict=True):
            gradient.setColorAt(float(place), QColor.fromRgbF(*map(float, colour)))
        painter.fillRect(bar, gradient)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        for value in (0.0, 0.5, 1.0):
            middle = bar.bottom() - value * bar.height()
            painter.drawText(QRectF(17, middle - high / 2, 24, high), Qt.AlignmentFlag.AlignVCenter, f"{value:g}")
        painter.end()
