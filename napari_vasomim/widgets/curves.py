"""The curves of a run while it trains: the loss, and the DSC on the validation frames."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
import qtpy
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtGui import QColor, QPalette, QShowEvent
from qtpy.QtWidgets import QSizePolicy, QStackedLayout, QVBoxLayout, QWidget

from napari_vasomim.plain import Marked, plain_label

REDRAW_MS = 250
DOTTED = 60
"""Up to so many validations each has a dot of its own."""

# Orange and blue stay apart for every kind of colour vision; the darker pair is for light themes.
LOSS = {False: "#c25700", True: "#f0a030"}
DSC = {False: "#0067a8", True: "#5ab4ec"}


class Curves(QWidget):
    """Loss over steps (thin, and smoothed thick) on the left axis, validation DSC in percent on the right one.

    The best epoch is marked. Fed with the events of `vasomim_core.training.events`; draws at most four times a
    second, and not at all while hidden.
    """

    _made = False

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        pg = plotting()
        self._dark = True
        self._plot = pg.PlotWidget()
        self._plot.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)  # the wheel scrolls the panel
        self._plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._item = item = self._plot.getPlotItem()
        item.hideButtons()
        item.setMenuEnabled(False)
        for side, label in (("bottom", "step"), ("left", "loss"), ("right", "DSC (%)")):
            item.setLabel(side, label, **{"font-size": "9pt"})
            axis = item.getAxis(side)
            axis.enableAutoSIPrefix(False)
            axis.setStyle(maxTickLevel=0, tickTextOffset=4)
        item.getAxis("bottom").setHeight(40)
        item.layout.setContentsMargins(2, 8, 6, 4)  # room for the last labels of the axes
        item.setDownsampling(auto=True, mode="peak")
        item.setClipToView(True)
        self._right = pg.ViewBox(enableMouse=False, enableMenu=False)
        self._right.setLimits(yMin=0, yMax=100, minYRange=2)
        item.scene().addItem(self._right)
        item.getAxis("right").linkToView(self._right)
        self._right.setXLink(item)
        item.vb.sigResized.connect(self._overlay)
        self._raw = item.plot(skipFiniteCheck=True)
        self._smooth = item.plot(skipFiniteCheck=True)
        self._dsc = pg.PlotDataItem(symbol="o", symbolSize=5)
        self._mark = pg.ScatterPlotItem(size=14, symbol="star")
        self._right.addItem(self._dsc)
        self._right.addItem(self._mark)

        self._legend = Marked()
        self._legend.setWordWrap(True)
        self._legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        drawn = QWidget()
        column = QVBoxLayout(drawn)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self._legend)
        column.addWidget(self._plot, 1)
        self._empty = plain_label("No steps yet")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setToolTip("Loss of the training steps, and DSC on the validation frames with a star at the best epoch")
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self._empty)
        self._pages.addWidget(drawn)
        self.setMinimumSize(320, 180)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)

        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW_MS)
        self._timer.timeout.connect(self._tick)
        self.clear()
        self._made = True
        self.set_theme()

    def clear(self) -> None:
        """Forget everything; for another run."""
        self._steps, self._losses = array("q"), array("d")
        self._validations: list[tuple[int, int, float]] = []
        self.redraw()

    def add_events(self, events: Iterable[dict[str, Any]]) -> None:
        """Take the next events of a run: "step" and "validation" are drawn, others are passed over.

        A "start" that resumes at an earlier step takes back what came after it.
        """
        for event in events:
            kind = event.get("event")
            if kind == "step" and event.keys() >= {"step", "loss"}:
                self._steps.append(event["step"])
                self._losses.append(event["loss"])
            elif kind == "validation" and "dsc" in (event.get("scores") or {}):
                self._validations.append((event["step"], event["epoch"], event["scores"]["dsc"]))
            elif kind == "start":
                self._keep_until(event.get("resumed", 0))
        if not self._timer.isActive():
            self._timer.start()

    def redraw(self) -> None:
        """Draw what is known now."""
        self._timer.stop()
        steps, losses = np.array(self._steps), np.array(self._losses)
        self._raw.setData(steps, losses)
        smoothed = smooth(losses)
        self._smooth.setData(steps, smoothed)
        at, _, scores = np.array(self._validations, dtype=float).reshape(-1, 3).T
        self._dsc.setData(at, scores, symbol="o" if len(scores) <= DOTTED else None)
        best = [int(scores.argmax())] if len(scores) else []
        self._mark.setData(at[best], scores[best])
        self._item.showAxis("right", bool(best))
        self._numbers = [("loss", "■", f"loss {smoothed[-1]:.3g}")] if len(steps) else []
        if (known := self.best()) is not None:
            self._numbers.append(("dsc", "■", f"DSC {scores[-1]:.1f}"))
            self._numbers.append(
                ("dsc", "★", f"{known[1]:.1f} " + (f"in epoch {known[0]}" if known[0] else "at the start"))
            )
        self._show_numbers()
        self._pages.setCurrentIndex(1 if len(steps) or best else 0)

    def best(self) -> tuple[int, float] | None:
        """Epoch (0 = before the first) and DSC in percent of the best validation so far; None before there is one."""
        if not self._validations:
            return None
        _, epoch, score = max(self._validations, key=lambda validation: validation[2])
        return epoch, score

    def set_theme(self) -> None:
        """Take the colours from the palette; done by itself whenever the theme changes."""
        self.ensurePolished()
        text = self.palette().color(QPalette.ColorRole.WindowText)
        self._dark = text.lightness() > 128
        loss, dsc = QColor(LOSS[self._dark]), QColor(DSC[self._dark])
        # Mixed with the background, not transparent: dense lines would add up and hide the smoothed one.
        ground = self.palette().color(QPalette.ColorRole.Window)
        faint = QColor(
            *(round(0.45 * a + 0.55 * b) for a, b in zip(loss.getRgb()[:3], ground.getRgb()[:3], strict=True))
        )
        pg = plotting()
        self._plot.setBackground(None)
        for side, color in (("bottom", text), ("left", loss), ("right", dsc)):
            axis = self._item.getAxis(side)
            axis.setPen(pg.mkPen(text, width=1))
            axis.setTextPen(pg.mkPen(color))
        self._raw.setPen(pg.mkPen(faint, width=1))
        self._smooth.setPen(pg.mkPen(loss, width=2))
        self._dsc.setPen(pg.mkPen(dsc, width=2))
        self._dsc.setSymbolPen(None)
        self._dsc.setSymbolBrush(dsc)
        self._mark.setPen(pg.mkPen(text, width=1))
        self._mark.setBrush(dsc)
        self._show_numbers()

    def sizeHint(self) -> QSize:
        """Wide enough for the axes, flat enough for a panel."""
        return QSize(320, 220)

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if self._made and event is not None and event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self.set_theme()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Draw what came in while hidden."""
        super().showEvent(event)
        self.set_theme()
        self.redraw()

    def _tick(self) -> None:
        if self.isVisible():  # otherwise `showEvent` makes up for it
            self.redraw()

    def _overlay(self) -> None:
        self._right.setGeometry(self._item.vb.sceneBoundingRect())
        self._right.linkedViewChanged(self._item.vb, self._right.XAxis)

    def _keep_until(self, step: int) -> None:
        kept = int(np.searchsorted(np.array(self._steps), step, side="right"))
        del self._steps[kept:], self._losses[kept:]
        self._validations = [validation for validation in self._validations if validation[0] <= step]

    def _show_numbers(self) -> None:
        colors = {"loss": LOSS[self._dark], "dsc": DSC[self._dark]}
        parts = (
            f'<span style="color: {colors[of]}">{sign}</span>&nbsp;{text.replace(" ", "&nbsp;")}'
            for of, sign, text in self._numbers
        )
        self._legend.setText(f'<span style="font-size: 9pt">{" &nbsp; ".join(parts)}</span>')


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean around each value, over a thirtieth of the whole and 5 values at least.

    It is centred and therefore does not lag behind a falling loss, as an exponential average does.

    Args:
        values: (n,) float64.

    Returns:
        (n,) float64.
    """
    half = max(2, len(values) // 60)
    at = np.arange(len(values))
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[high] - sums[low]) / (high - low)


def plotting() -> Any:
    """The plotting library on the binding that qtpy has; a fifth of a second at the first call, so not at start-up."""
    os.environ.setdefault("PYQTGRAPH_QT_LIB", qtpy.API_NAME)
    import pyqtgraph

    return pyqtgraph
