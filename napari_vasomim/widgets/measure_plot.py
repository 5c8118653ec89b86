"""The diameters along a measure: D(s), the reference, the narrowest place, the lesion, and markers that are dragged."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtGui import QPalette, QShowEvent
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_vasomim.plain import Marked
from napari_vasomim.widgets.curves import plotting
from vasomim_core.measures.measuring import Measure

MLD, REFERENCE, PLACE = "#e0483c", "#2f9e57", "#f0a030"
LESION = (224, 72, 60, 45)
LEGEND = (
    "■ D &nbsp; "
    f'<span style="color: {REFERENCE}">▬ RD, markers</span> &nbsp; '
    f'<span style="color: {MLD}">● MLD, lesion</span>'
)


class MeasurePlot(QWidget):
    """One measure as a plot, in mm where there is a scale, else in px; empty while there is none."""

    marker_moved = Signal(int, float, bool)
    """Which marker was dragged, to which place in px along the segment, and whether it was let go there."""
    pointed = Signal(object)
    """The place under the mouse in px along the segment; None = the mouse has left."""

    _made = False

    def __init__(self) -> None:
        super().__init__()
        pg = plotting()
        self._measure: Measure | None = None
        self._showing = False
        self.plot = pg.PlotWidget()
        self._item = item = self.plot.getPlotItem()
        item.hideButtons()
        item.setMenuEnabled(False)
        item.setMouseEnabled(False, False)
        item.layout.setContentsMargins(2, 6, 6, 2)
        for side in ("bottom", "left"):
            item.getAxis(side).enableAutoSIPrefix(False)
        item.showGrid(x=False, y=True, alpha=0.2)
        self.lesion = pg.LinearRegionItem(brush=LESION, pen=pg.mkPen(None), movable=False)
        item.addItem(self.lesion)
        self.reference = item.plot(pen=pg.mkPen(REFERENCE, width=2, style=Qt.PenStyle.DashLine))
        self.diameter = item.plot()
        self.narrowest = pg.ScatterPlotItem(size=9, pen=None, brush=MLD)
        item.addItem(self.narrowest)
        self.place = pg.InfiniteLine(angle=90, pen=pg.mkPen(PLACE, width=1))
        item.addItem(self.place)
        hover = pg.mkPen(REFERENCE, width=5)
        self.markers = [
            pg.InfiniteLine(angle=90, movable=True, pen=pg.mkPen(REFERENCE, width=3), hoverPen=hover) for _ in range(2)
        ]
        for which, marker in enumerate(self.markers):
            item.addItem(marker)
            marker.sigDragged.connect(lambda line, which=which: self._dragged(which, False))
            marker.sigPositionChangeFinished.connect(lambda line, which=which: self._dragged(which, True))
        self.plot.scene().sigMouseMoved.connect(self._moved)
        self.plot.viewport().installEventFilter(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(Marked(LEGEND))
        column.addWidget(self.plot, 1)
        self.setFixedHeight(190)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Diameters along the measure; drag the two green markers to where the vessel is healthy")
        self._made = True
        self.show_measure(None)
        self._set_theme()

    @property
    def factor(self) -> float:
        """What px are multiplied by: mm per px, or 1."""
        scale = self._measure.scale if self._measure is not None else None
        return scale.mm_per_px if scale is not None else 1.0

    def show_measure(self, measure: Measure | None) -> None:
        """Show a measure, or none."""
        self._measure = measure
        there = measure is not None
        for part in (self.lesion, self.reference, self.diameter, self.narrowest, *self.markers):
            part.setVisible(there)
        self.place.hide()
        unit = "px" if measure is None or measure.scale is None else "mm"
        style = {"font-size": "9pt", "color": self.palette().color(QPalette.ColorRole.WindowText).name()}
        self._item.setLabel("bottom", f"along the vessel ({unit})", **style)
        self._item.setLabel("left", f"diameter ({unit})", **style)
        if measure is None:
            return
        factor, along = self.factor, measure.distance * self.factor
        self.diameter.setData(along, measure.diameter * factor)
        self.reference.setData(along, measure.reference_diameter * factor)
        self.narrowest.setData([along[measure.narrowest]], [measure.mld_px * factor])
        self.lesion.setVisible(measure.lesion is not None)
        if measure.lesion is not None:
            self.lesion.setRegion([along[place] for place in measure.lesion])
        self._showing = True
        for marker, px in zip(self.markers, measure.markers, strict=True):
            if not marker.moving:
                marker.setValue(px * factor)
        self._showing = False
        top = float(max(measure.diameter.max(), measure.reference_diameter.max()))
        self._item.setXRange(0, along[-1], padding=0.02)
        self._item.setYRange(0, 1.15 * factor * top, padding=0)

    def show_place(self, px: float | None) -> None:
        """Show a place along the segment in px, or none."""
        self.place.setVisible(px is not None and self._measure is not None)
        if px is not None:
            self.place.setValue(px * self.factor)

    def sizeHint(self) -> QSize:
        """Flat enough for a panel."""
        return QSize(320, 190)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """The wheel scrolls the panel; what was pointed at ends with the plot."""
        if event is not None and event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        if event is not None and event.type() == QEvent.Type.Leave:
            self.show_place(None)
            self.pointed.emit(None)
        return False

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take the colours of the window."""
        super().showEvent(event)
        self._set_theme()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if self._made and event is not None and event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._set_theme()

    def _set_theme(self) -> None:
        self.ensurePolished()
        text = self.palette().color(QPalette.ColorRole.WindowText)
        pg = plotting()
        self.plot.setBackground(None)
        for side in ("bottom", "left"):
            self._item.getAxis(side).setPen(pg.mkPen(text))
            self._item.getAxis(side).setTextPen(pg.mkPen(text))
        self.diameter.setPen(pg.mkPen(text, width=2))

    def _dragged(self, which: int, finished: bool) -> None:
        if self._measure is not None and not self._showing:
            self.marker_moved.emit(which, float(self.markers[which].value()) / self.factor, finished)

    def _moved(self, at: Any) -> None:
        if self._measure is None:
            return
        px = float(self._item.vb.mapSceneToView(at).x()) / self.factor
        inside = self._item.vb.sceneBoundingRect().contains(at) and 0 <= px <= self._measure.length_px
        px = float(np.clip(px, 0, self._measure.length_px))
        self.show_place(px if inside else None)
        self.pointed.emit(px if inside else None)
