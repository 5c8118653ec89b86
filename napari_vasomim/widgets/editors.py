"""The editors of one setting each: a number, a word, yes or no, a path, several of them, or nothing.

Every editor has `get`, `set` and the signal `edited`. `get` raises ValueError with the end of a sentence that begins
with the field's name.
"""

from __future__ import annotations

import re
import types
import typing
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_vasomim.plain import plain_label
from napari_vasomim.widgets.kit import SPACE
from vasomim_core.config import Ui

LARGEST = 1e15
"""Whole numbers up to here are exact in a spin box, which counts in doubles."""


def editor_for(annotation: Any, ui: Ui, help_line: str, value: Any, start: float = 1) -> Any:
    """The editor of a field.

    Args:
        annotation: its plain type.
        ui: its range, step and unit.
        help_line: says whether a path is a file or a folder, and what None means.
        value: the value to start from.
        start: the number to start from once it is no longer None.
    """
    kinds = get_args(annotation) if get_origin(annotation) in (types.UnionType, typing.Union) else (annotation,)
    kind = next(k for k in kinds if k is not type(None))
    if type(None) in kinds:
        editor = editor_for(kind, ui, help_line, value)
        if isinstance(editor, NumberBox) and value is None:
            editor.set(min(max(start, editor.low), editor.high))
        meaning = re.search(r"None = ([^;.]+)", help_line)
        return OptionalEditor(editor, meaning[1] if meaning else "none")
    if get_args(kind) == (str, ...):
        return WordsEditor()
    if get_origin(kind) is tuple:
        return TupleEditor([editor_for(k, ui, help_line, v) for k, v in zip(get_args(kind), value, strict=True)])
    if get_origin(kind) is Literal:
        return ChoiceBox(get_args(kind))
    if kind is bool:
        return Flag()
    if kind in (int, float):
        return NumberBox(kind, ui, value)
    return TextEditor(kind, help_line)


class NumberBox(QDoubleSpinBox):
    """A spin box of whole or real numbers that shows every digit and takes scientific notation.

    The arrows stay within the range. What is typed may leave it, so that the form can say so instead of silently
    putting back the old number.

    Args:
        kind: int or float.
        ui: range, step and unit.
        value: the step is no larger than this default.
    """

    edited = Signal()

    def __init__(self, kind: type[int] | type[float], ui: Ui, value: float | None):
        super().__init__()
        self._kind = kind
        self.low = -LARGEST if ui.min is None else ui.min
        self.high = LARGEST if ui.max is None else ui.max
        step = ui.step or (1 if kind is int else 0.1)
        self._step = Decimal(str(min(step, abs(value)) if value and kind is float else step))
        self.setDecimals(323)  # as many as Qt has: a double passes unrounded
        self.setRange(-LARGEST, LARGEST)
        if ui.unit:
            self.setSuffix(f" {ui.unit}")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(90)
        self._kept = 0.0
        self.valueChanged.connect(self.edited)
        # Qt calls a value changed only where it differs by more than rounding, and a text may be no number yet.
        self.lineEdit().textChanged.connect(self.edited)
        self.editingFinished.connect(self._finished)

    def get(self) -> int | float:
        """The number."""
        if not self.hasAcceptableInput():
            raise ValueError(f"is {self._digits(self.text())!r}; give a {'whole ' * (self._kind is int)}number")
        return self._kind(self.value())

    def set(self, value: float) -> None:
        """Show a number."""
        self.setValue(value)
        self._kept = self.value()

    def textFromValue(self, value: float) -> str:
        """The shortest text that is exactly this number."""
        if self._kind is int:
            return str(int(value))
        if 0 < abs(value) < 1e-3:
            return np.format_float_scientific(value, trim="-", exp_digits=2)
        return np.format_float_positional(value, trim="0")

    def valueFromText(self, text: str | None) -> float:
        """The number that a text stands for; a decimal comma is taken too."""
        return float(self._digits(text))

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Whether a text is a number, may become one, or never will."""
        digits = self._digits(text)
        state = QValidator.State.Intermediate
        try:
            number = float(digits)
            if abs(number) <= LARGEST and (self._kind is float or number.is_integer()):
                state = QValidator.State.Acceptable
        except ValueError:
            if not re.fullmatch(r"[-+.eE\d]*", digits):
                state = QValidator.State.Invalid
        return state, text or "", position

    def fixup(self, text: str | None) -> str:
        """What is left as no number becomes the number from before, not the last number on the way ("1" of "1e-")."""
        return self.textFromValue(self._kept)

    def stepBy(self, steps: int) -> None:
        """Go up or down in decimal steps (0.1 + 0.2 is 0.3), to the end of the range at most."""
        number = float(Decimal(repr(self.value())) + steps * self._step)
        self.set(min(max(number, self.low), self.high))
        self.selectAll()

    def stepEnabled(self) -> QDoubleSpinBox.StepEnabledFlag:
        """Which arrows lead anywhere."""
        flag = QDoubleSpinBox.StepEnabledFlag
        up = flag.StepUpEnabled if self.value() < self.high else flag.StepNone
        return up | (flag.StepDownEnabled if self.value() > self.low else flag.StepNone)

    def _finished(self) -> None:
        self._kept = self.value()
        self.edited.emit()

    def _digits(self, text: str | None) -> str:
        return (text or "").removesuffix(self.suffix()).strip().replace(",", ".")


class ChoiceBox(QComboBox):
    """One of several words."""

    edited = Signal()

    def __init__(self, items: tuple[str, ...]):
        super().__init__()
        self.addItems(items)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.currentIndexChanged.connect(lambda _: self.edited.emit())

    def get(self) -> str:
        """The chosen word."""
        return self.currentText()

    def set(self, value: str) -> None:
        """Choose a word."""
        self.setCurrentText(value)


class Flag(QCheckBox):
    """Yes or no."""

    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.toggled.connect(lambda _: self.edited.emit())

    def get(self) -> bool:
        """Whether it is checked."""
        return self.isChecked()

    def set(self, value: bool) -> None:
        """Check it or not."""
        self.setChecked(value)


class TextEditor(QWidget):
    """A line of text; a path can be looked for.

    Args:
        kind: str or Path.
        help_line: a text whose help line speaks of a path may be one; only where it speaks of a file, or of a path at
            large, a file can be chosen and not only a folder. Where it says what empty means, nothing may be written.
    """

    edited = Signal()

    def __init__(self, kind: type[str] | type[Path], help_line: str):
        super().__init__()
        self._kind = kind
        self._may_be_empty = kind is str and "empty =" in help_line
        self.line = QLineEdit()
        self.line.textChanged.connect(lambda _: self.edited.emit())
        self.setFocusProxy(self.line)
        row = _row(self, self.line)
        row.setStretch(0, 1)
        words = set(re.findall(r"\w+", help_line))
        if kind is Path or "path" in words:
            self.browse = QPushButton("…")
            self.browse.setFixedWidth(28)
            self.browse.setAccessibleName("Browse")
            row.addWidget(self.browse)
            if words & {"file", "path"}:
                menu = QMenu(self.browse)
                menu.addAction("Folder…", self._choose_folder)
                menu.addAction("File…", self._choose_file)
                self.browse.clicked.connect(
                    lambda _: menu.popup(self.browse.mapToGlobal(self.browse.rect().bottomLeft()))
                )
            else:
                self.browse.clicked.connect(lambda _: self._choose_folder())

    def get(self) -> str | Path:
        """The text or path."""
        if not self.line.text() and not self._may_be_empty:
            raise ValueError("is empty; choose a folder" if self._kind is Path else "is empty; give a name")
        return self._kind(self.line.text())

    def set(self, value: str | Path) -> None:
        """Show a text or path."""
        self.line.setText(str(value))

    def _choose_folder(self) -> None:
        self._take(QFileDialog.getExistingDirectory(self, "Choose a folder", self.line.text()))

    def _choose_file(self) -> None:
        self._take(QFileDialog.getOpenFileName(self, "Choose a file", self.line.text())[0])

    def _take(self, path: str) -> None:
        if path:
            self.line.setText(path)


class TupleEditor(QWidget):
    """Several values side by side."""

    edited = Signal()

    def __init__(self, editors: list[Any]):
        super().__init__()
        self.editors = editors
        self.setFocusProxy(editors[0])
        _row(self, *editors)
        for editor in editors:
            editor.edited.connect(self.edited)

    def get(self) -> tuple[Any, ...]:
        """All values."""
        return tuple(editor.get() for editor in self.editors)

    def set(self, values: tuple[Any, ...]) -> None:
        """Show all values."""
        for editor, value in zip(self.editors, values, strict=True):
            editor.set(value)


class WordsEditor(QLineEdit):
    """Any number of words, with spaces between them; none is an answer, too."""

    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.textChanged.connect(lambda _: self.edited.emit())

    def get(self) -> tuple[str, ...]:
        """The words."""
        return tuple(self.text().split())

    def set(self, words: tuple[str, ...]) -> None:
        """Show words."""
        self.setText(" ".join(words))


class OptionalEditor(QWidget):
    """A value or None: a checkbox before the editor, and the meaning of None in its place while unchecked."""

    edited = Signal()

    def __init__(self, editor: Any, meaning: str):
        super().__init__()
        self.check = QCheckBox()
        self.check.setAccessibleName("Set a value")
        self.editor = editor
        self._meaning = plain_label(meaning)
        self._meaning.setWordWrap(True)
        self._meaning.setMinimumHeight(editor.sizeHint().height())
        self.setFocusProxy(self.check)
        row = _row(self, self.check, editor, self._meaning)
        row.setStretch(1, 1)
        row.setStretch(2, 1)
        self.editor.hide()
        self.check.toggled.connect(self._toggled)
        editor.edited.connect(self.edited)

    def get(self) -> Any:
        """The value, or None."""
        return self.editor.get() if self.check.isChecked() else None

    def set(self, value: Any) -> None:
        """Show a value or None; the value before None stays for the next time."""
        if value is not None:
            self.editor.set(value)
        self.check.setChecked(value is not None)

    def _toggled(self, on: bool) -> None:
        self.editor.setVisible(on)
        self._meaning.setVisible(not on)
        self.edited.emit()


def _row(parent: QWidget, *widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout(parent)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(SPACE)
    for widget in widgets:
        row.addWidget(widget)
    return row
