"""How much of a frame's vessels two masking schedules hide, over the epochs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_vasomim.plain import Marked
from napari_vasomim.widgets.curves import plotting
from napari_vasomim.widgets.pictures import SIDE
from vasomim_core.masking.figures import BY_CHANCE, GUIDED
from vasomim_core.masking.results import OverEpochs

LEGEND = (
    f'<span style="color: {GUIDED}">■</span> A &nbsp; <span style="color: {BY_CHANCE}">■</span> B &nbsp; '
    "full line: vessel patches, dashed: vessel pixels"
)


class VesselCurves(QWidget):
    """How much of the vessels is masked in each epoch: patches in full lines, pixels dashed; A orange, B blue."""

    def __init__(self) -> None:
        super().__init__()
        pg = plotting()
        self._plot = pg.PlotWidget()
        item = self._plot.getPlotItem()
        item.hideButtons()
        item.setMenuEnabled(False)
        item.setMouseEnabled(False, False)
        item.setYRange(0, 1, padding=0.04)
        item.setLabel("bottom", "epoch")
        item.getAxis("left").setTicks([[(share, f"{share:g}") for share in (0, 0.25, 0.5, 0.75, 1)]])
        item.showGrid(x=False, y=True, alpha=0.25)
        self._plot.setBackground(None)
        self._lines = {}
        for which, colour in (("A", GUIDED), ("B", BY_CHANCE)):
            for name, style in (("vessel_patches", Qt.PenStyle.SolidLine), ("vessel_pixels", Qt.PenStyle.DashLine)):
                self._lines[which, name] = item.plot(pen=pg.mkPen(colour, width=2, style=style))
        self._epoch = pg.InfiniteLine(angle=90, pen=pg.mkPen("#888888", style=Qt.PenStyle.DotLine))
        item.addItem(self._epoch)
        legend = Marked(LEGEND)
        legend.setToolTip("For each epoch the mean over 128 masks, drawn from the seed of the panel")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(legend)
        column.addWidget(self._plot, 1)
        self.setMinimumSize(SIDE, SIDE)

    def show_curves(self, known: Mapping[str, OverEpochs], epoch: int) -> None:
        """Show those of A and B that are known, and which epoch's masks are above."""
        for (which, name), line in self._lines.items():
            over = known.get(which)
            values = np.empty(0) if over is None else getattr(over, name)
            there = np.isfinite(values)  # a frame without vessels has none that could be masked
            line.setData(np.empty(0) if over is None else over.epochs[there], values[there])
        self._epoch.setValue(epoch)
