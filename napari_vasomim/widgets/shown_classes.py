"""What of a prediction is shown: every vessel or main branches alone, and which classes."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QToolButton, QWidget

from napari_vasomim.prediction import Prediction
from napari_vasomim.widgets.swatches import swatch
from vasomim_core.classes import LabelClass
from vasomim_core.config import Vessels

WORDS: dict[Vessels, str] = {"every": "every vessel", "main": "main branches"}


class ShownVessels(QComboBox):
    """Every vessel, or main branches alone.

    Attributes:
        chosen: emitted with "every" or "main" when the person has chosen.
    """

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        for value, words in WORDS.items():
            self.addItem(words, value)
        self.setToolTip("Every visible vessel, or only the branches that a SYNTAX score looks at")
        self.activated.connect(lambda _: self.chosen.emit(self.currentData()))


class ClassToggles(QWidget):
    """One button a class, with its colour; a click hides or shows it.

    Attributes:
        toggled: emitted when the person has clicked.
    """

    toggled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._buttons: dict[str, QToolButton] = {}
        self._classes: tuple[LabelClass, ...] = ()
        self.hidden: frozenset[str] = frozenset()

    def fill(self, classes: Sequence[LabelClass]) -> None:
        """Offer these classes; those that were hidden by name stay so."""
        if tuple(classes) == self._classes:
            return
        self._classes = tuple(classes)
        for button in self._buttons.values():
            self._row.removeWidget(button)
            button.deleteLater()
        self._buttons = {}
        for one in classes:
            button = QToolButton()
            button.setText(one.name)
            button.setIcon(swatch(one.colour))
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.setCheckable(True)
            button.setChecked(one.name not in self.hidden)
            button.setToolTip(f"Show or hide {one.name}")
            button.clicked.connect(self._clicked)
            self._row.addWidget(button)
            self._buttons[one.name] = button

    def _clicked(self) -> None:
        shown = {name for name, button in self._buttons.items() if button.isChecked()}
        self.hidden = (self.hidden | self._buttons.keys()) - shown
        self.toggled.emit()


def classes_of(prediction: Prediction | None) -> tuple[LabelClass, ...]:
    """The classes that can be shown or hidden: those of what is shown, where there are several."""
    if prediction is None or prediction.seen == "main" or len(prediction.classes) == 1:
        return ()
    return prediction.classes
