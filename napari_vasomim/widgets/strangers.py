"""What becomes of what is drawn in classes that the open label set does not have: asked, never guessed."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QFormLayout, QFrame, QVBoxLayout

from napari_vasomim.correcting.editing import Editor
from napari_vasomim.plain import plain_label
from napari_vasomim.widgets.kit import button, choice, hint
from napari_vasomim.widgets.swatches import swatch
from vasomim_core.classes import LabelClass

ERASE = 0


class Strangers(QFrame):
    """Offers the classes of the set for each class that it does not have; hidden where all is known.

    Attributes:
        choices: by the value of the class that the set does not have.
    """

    def __init__(self) -> None:
        super().__init__()
        self._editor: Editor | None = None
        self._shown: tuple[dict[int, str], tuple[LabelClass, ...]] | None = None
        self.choices: dict[int, QComboBox] = {}
        self.setFrameShape(QFrame.Shape.StyledPanel)
        layout = QVBoxLayout(self)
        self.text = hint()
        layout.addWidget(self.text)
        self._form = QFormLayout()
        layout.addLayout(self._form)
        self.take = button(
            "Change the drawing", self._take, "On all frames of this angiogram; what can be undone begins anew", True
        )
        layout.addWidget(self.take)
        self.hide()

    def show_of(self, editor: Editor | None, classes: tuple[LabelClass, ...]) -> None:
        """Ask about the strangers of a correction; `classes` are those of the open set."""
        self._editor = editor
        strangers = editor.classes.strangers if editor is not None else {}
        if editor is not None and strangers:
            self.text.setText(
                f"{editor.classes.problem} It is drawn on in its own classes, and cannot be accepted. "
                "Open the set that it was drawn for, or say what each becomes:"
            )
            if self._shown != (strangers, classes):
                self._build(strangers, classes)
                self._shown = dict(strangers), classes
        self.setVisible(bool(strangers))
        self._enable()

    def _build(self, strangers: dict[int, str], classes: tuple[LabelClass, ...]) -> None:
        while self._form.rowCount():
            self._form.removeRow(0)
        self.choices = {}
        for value, name in strangers.items():
            made = choice(("choose…", None))
            for one in classes:
                made.addItem(swatch(one.colour), one.name, one.value)
                if one.name.casefold() == name.casefold():
                    made.setCurrentIndex(made.count() - 1)
            made.addItem("nothing: erase it", ERASE)
            made.currentIndexChanged.connect(self._enable)
            self.choices[value] = made
            self._form.addRow(plain_label(f"{name} ({value}) becomes"), made)

    def _enable(self, *_: object) -> None:
        self.take.setEnabled(all(made.currentData() is not None for made in self.choices.values()))

    def _take(self) -> None:
        if self._editor is not None:
            self._editor.fit({value: int(made.currentData()) for value, made in self.choices.items()})
