"""Which class is drawn in: a button a class, with its colour, name and key."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QWidget

from napari_vasomim.correcting.palette import Palette
from napari_vasomim.plain import tooltip
from napari_vasomim.widgets.kit import SPACE, button
from napari_vasomim.widgets.swatches import swatch

COLUMNS = 3
WIDEST = 72
"""Of a name on its button, in pixels; the whole name is in the tooltip."""
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
            made.deleteLater()
        self.buttons = []
        for place, one in enumerate(palette.classes):
            key = f"{place + 1}  " if place < KEYED else ""
            made = button("", partial(self._clicked, place))
            shown = QFontMetrics(made.font()).elidedText(one.name, Qt.TextElideMode.ElideRight, WIDEST)
            made.setText(key + shown.replace("&", "&&"))
            made.setIcon(swatch(one.colour))
            kind = "vessel" if one.vessel else "not counted as vessel"
            made.setToolTip(tooltip(f"Draw {one.name} (value {one.value}, {kind})"))
            made.setCheckable(True)
            made.setStyleSheet(CHOSEN)
            made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self.buttons.append(made)
            self._grid.addWidget(made, place // COLUMNS, place % COLUMNS)

    def _clicked(self, place: int) -> None:
        self._choose(place)
        if self._palette is not None:
            self.set_palette(self._palette)  # the one that was chosen already stays pressed
