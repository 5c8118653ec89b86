"""What of a prediction is shown: every vessel or main branches alone, and which classes."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QSizePolicy, QWidget

from napari_vasomim.prediction import Prediction
from napari_vasomim.widgets.swatches import swatch
from vasomim_core.classes import LabelClass
from vasomim_core.config import Vessels

COLUMNS = 2
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
    """One box a class, with its colour; a click hides or shows it.

    Attributes:
        toggled: emitted when the person has clicked.
    """

    toggled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._boxes: dict[str, QCheckBox] = {}
        self._classes: tuple[LabelClass, ...] = ()
        self.hidden: frozenset[str] = frozenset()

    def fill(self, classes: Sequence[LabelClass]) -> None:
        """Offer these classes; those that were hidden by name stay so."""
        if tuple(classes) == self._classes:
            return
        self._classes = tuple(classes)
        for box in self._boxes.values():
            self._grid.removeWidget(box)
            box.deleteLater()
        self._boxes = {}
        for number, one in enumerate(classes):
            box = QCheckBox(one.name.replace("&", "&&"))
            box.setIcon(swatch(one.colour))
            box.setChecked(one.name not in self.hidden)
            box.setToolTip(f"Show or hide {one.name}")
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # a long name is cut, not the panel
            box.clicked.connect(self._clicked)
            self._grid.addWidget(box, number // COLUMNS, number % COLUMNS)
            self._boxes[one.name] = box

    def _clicked(self) -> None:
        shown = {name for name, box in self._boxes.items() if box.isChecked()}
        self.hidden = (self.hidden | self._boxes.keys()) - shown
        self.toggled.emit()


def classes_of(prediction: Prediction | None) -> tuple[LabelClass, ...]:
    """The classes that can be shown or hidden: those of what is shown, where there are several."""
    if prediction is None or prediction.seen == "main" or len(prediction.classes) == 1:
        return ()
    return prediction.classes
