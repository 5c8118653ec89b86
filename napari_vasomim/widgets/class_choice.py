"""Which class is drawn in: a button a class, with its colour, name and key."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QWidget

from napari_vasomim.correcting.palette import Palette
from napari_vasomim.notify import report_errors
from napari_vasomim.plain import tooltip
from napari_vasomim.widgets.kit import SPACE
from napari_vasomim.widgets.swatches import swatch
from vasomim_core.classes import LabelClass

SHORT = 10
"""Letters of a name up to which three buttons fit beside each other; else there are two."""
BESIDE = 28
"""Pixels of a button that its words do not have: its colour, and its edges."""
KEYED = 9
"""Classes that have a key."""
CHOSEN = "QPushButton { text-align: left; } QPushButton:checked { background: palette(highlight); \
color: palette(highlighted-text); }"


class ClassChoice(QWidget):
    """The classes to draw in; hidden while there is one alone.

    Args:
        choose: gets the place of the class that was clicked, from 0.

    Attributes:
        buttons: one a class.
    """

    def __init__(self, choose: Callable[[int], Any]):
        super().__init__()
        self._choose = choose
        self._palette: Palette | None = None
        self.buttons: list[QPushButton] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(SPACE)
        self.hide()

    def set_palette(self, palette: Palette) -> None:
        """Show these classes, and which one is chosen."""
        if self._palette is None or palette.classes != self._palette.classes:
            self._build(palette)
        self._palette = palette
        for made, one in zip(self.buttons, palette.classes, strict=True):
            made.setChecked(one == palette.chosen)
        self.setVisible(palette.several)

    def _build(self, palette: Palette) -> None:
        for made in self.buttons:
            self._grid.removeWidget(made)
            made.hide()  # until Qt comes to delete it
            made.deleteLater()
        self.buttons = []
        columns = 3 if all(len(one.name) <= SHORT for one in palette.classes) else 2
        for place, one in enumerate(palette.classes):
            made = _ClassButton(f"{place + 1} " if place < KEYED else "", one)
            made.clicked.connect(report_errors(partial(self._clicked, place)))
            self.buttons.append(made)
            self._grid.addWidget(made, place // columns, place % columns)

    def _clicked(self, place: int, *_: Any) -> None:
        self._choose(place)
        if self._palette is not None:
            self.set_palette(self._palette)  # the one that was chosen already stays pressed


class _ClassButton(QPushButton):
    """Key, colour and name; a name that does not fit is cut in the middle, for many differ in their ends."""

    def __init__(self, key: str, one: LabelClass):
        super().__init__()
        self._key, self._name = key, one.name
        self.setIcon(swatch(one.colour))
        kind = "vessel" if one.vessel else "not counted as vessel"
        self.setToolTip(tooltip(f"Draw {one.name} (value {one.value}, {kind})"))
        self.setCheckable(True)
        self.setStyleSheet(CHOSEN)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._fit()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        metrics = QFontMetrics(self.font())
        space = max(20, self.width() - BESIDE - metrics.horizontalAdvance(self._key))
        shown = metrics.elidedText(self._name, Qt.TextElideMode.ElideMiddle, space)
        self.setText(self._key + shown.replace("&", "&&"))
