"""Two runs side by side: their curves in one plot each for loss and DSC, and the settings that differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QHBoxLayout, QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_vasomim.plain import make_plain, tooltip
from napari_vasomim.runs.about import shown_name
from napari_vasomim.runs.origin import differences, origin, scored_alike
from napari_vasomim.widgets.curves import plotting, smooth
from napari_vasomim.widgets.kit import hint
from vasomim_core.masking.figures import BY_CHANCE, GUIDED
from vasomim_core.training.events import read_events

COLOURS = (GUIDED, BY_CHANCE)
"""Orange and blue, for the first and the second run."""


class RunComparison(QDialog):
    """Curves over the epochs, and a table of settings.

    Args:
        one: a run folder; orange.
        other: another; blue.
        parent: the widget that opens it.

    Raises:
        ConfigError: the settings of one cannot be read.
    """

    def __init__(self, one: Path, other: Path, parent: QWidget | None = None):
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Two runs")
        runs, names = (one, other), [shown_name(run) for run in (one, other)]
        self.words = [hint(_in_words(run, name)) for run, name in zip(runs, names, strict=True)]
        self.warning = hint(_warning(one, other))
        self.warning.setVisible(bool(self.warning.text()))
        self.plots = {"loss": _plot("loss"), "dsc": _plot("DSC (%)")}
        self.curves: dict[tuple[str, int], Any] = {}
        pg = plotting()
        for which, run in enumerate(runs):
            for name, (epochs, values) in _curves(run).items():
                pen = pg.mkPen(COLOURS[which], width=2)
                symbol = {"symbol": "o", "symbolSize": 5, "symbolBrush": COLOURS[which], "symbolPen": None}
                item = self.plots[name].getPlotItem()
                self.curves[name, which] = item.plot(epochs, values, pen=pen, **(symbol if name == "dsc" else {}))
        self.plots["dsc"].setVisible(any(len(_curves(run)["dsc"][0]) for run in runs))
        drawn = QHBoxLayout()
        for plot in self.plots.values():
            drawn.addWidget(plot, 1)
        self.table = _table(differences(one, other), names)
        column = QVBoxLayout(self)
        for which, said in enumerate(self.words):
            said.setStyleSheet(f"border-left: 6px solid {COLOURS[which]}; padding-left: 6px;")
            column.addWidget(said)
        column.addWidget(self.warning)
        column.addLayout(drawn, 1)
        column.addWidget(hint(f"{self.table.rowCount()} settings differ" if self.table.rowCount() else "Same settings"))
        column.addWidget(self.table, 1)
        make_plain(self)
        self.resize(900, 640)


def _in_words(run: Path, name: str) -> str:
    best = max(zip(*_curves(run)["dsc"], strict=True), key=lambda at: at[1], default=None)
    score = "" if best is None else f" Best DSC {best[1]:.1f} % in epoch {best[0]:g}."
    return f"{name}. {origin(run)}{score}"


def _warning(one: Path, other: Path) -> str:
    """Where scores must not be compared."""
    if scored_alike(one, other) is False:
        return "⚠ They are scored on different frames or labels: one DSC cannot be held against the other."
    return ""


def _curves(run: Path) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Smoothed loss and DSC over the epochs; what was taken back by a resumed run is left out."""
    losses: list[tuple[int, float, float]] = []
    scores: list[tuple[int, float, float]] = []
    for event in read_events(run):
        kind = event["event"]
        if kind == "step" and "loss" in event:
            losses.append((event["step"], event.get("epoch", 0), event["loss"]))
        elif kind == "validation" and "dsc" in event["scores"]:
            scores.append((event["step"], event.get("epoch", 0), event["scores"]["dsc"]))
        elif kind == "start":
            resumed = event.get("resumed", 0)
            losses, scores = ([at for at in known if at[0] <= resumed] for known in (losses, scores))
    _, in_epoch, loss = np.array(losses, float).reshape(-1, 3).T
    # Steps of an epoch are spread over it.
    first = np.searchsorted(in_epoch, in_epoch, side="left")
    count = np.searchsorted(in_epoch, in_epoch, side="right") - first
    within = (np.arange(len(in_epoch)) - first + 1) / np.maximum(count, 1)
    _, at, dsc = np.array(scores, float).reshape(-1, 3).T
    return {"loss": (in_epoch - 1 + within, smooth(loss)), "dsc": (at, dsc)}


def _plot(label: str) -> Any:
    plot = plotting().PlotWidget()
    item = plot.getPlotItem()
    item.hideButtons()
    item.setMenuEnabled(False)
    item.setMouseEnabled(False, False)
    item.setLabel("bottom", "epoch")
    item.setLabel("left", label)
    item.showGrid(x=False, y=True, alpha=0.25)
    plot.setBackground(None)
    return plot


def _table(rows: list[tuple[str, str, str]], names: list[str]) -> QTableWidget:
    made = QTableWidget(len(rows), 3)
    made.setHorizontalHeaderLabels(["setting", *names])
    made.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    made.verticalHeader().hide()
    for at, row in enumerate(rows):
        for column, value in enumerate(row):
            item = QTableWidgetItem(value)
            item.setToolTip(tooltip(value))
            made.setItem(at, column, item)
    made.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    return made
