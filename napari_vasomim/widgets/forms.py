"""A settings dataclass as a form: one row per field, drawn from its type, its `Ui` and its help line.

The form holds no second truth: every edit builds a new instance from the last one, and the engine's own `check`
says whether it may be used.
"""

from __future__ import annotations

import dataclasses
import functools
import html
import inspect
import re
import types
import typing
from collections.abc import Collection, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPalette, QValidator
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_vasomim.widgets.kit import SPACE, header, keep_wheel_for_scrolling
from vasomim_core.config import Ui, check, fields
from vasomim_core.errors import ConfigError

LABEL_WIDTH = 104
RED = {False: "#b3261e", True: "#ff7b72"}
"""Of a sentence about a problem, on a light and on a dark theme."""

LARGEST = 1e15
"""Whole numbers up to here are exact in a spin box, which counts in doubles."""

STARTS = {"ema": 0.999, "patience": 10}
"""What a number that was None starts from where 1, the rule, would spoil the run."""


class ConfigForm(QWidget):
    """Edits a frozen dataclass of `vasomim_core.config`.

    Fields are named by their path, "epochs" or "training.epochs". Those with `Ui.advanced` are folded away under
    "All settings"; the fields of a nested dataclass stand under its name.

    Args:
        config: the settings to start from.
        hidden: fields, or whole nested dataclasses, that are not shown and keep their value.
        parent: the widget it belongs to.

    Raises:
        ConfigError: `config` is out of range.
    """

    changed = Signal(object)
    """The new settings, after every edit that leaves all of them in range."""
    problem_changed = Signal(str)
    """What keeps the settings from being used, as one sentence; empty when all is well."""

    def __init__(self, config: Any, hidden: Collection[str] = (), parent: QWidget | None = None):
        super().__init__(parent)
        check(config)
        self._config = config
        self._problems: dict[str, str] = {}
        self._filling = False
        self._rows: dict[str, _Row] = {}
        shown = [leaf for leaf in _leaves(config) if not {leaf.key, leaf.section} & set(hidden)]
        self._fold = Fold("All settings")
        columns = {False: _Column(), True: _Column()}
        for leaf in shown:
            row = self._rows[leaf.key] = columns[leaf.ui.advanced].add(leaf)
            row.editor.edited.connect(functools.partial(self._edited, leaf.key))
        self._fold.body.addWidget(columns[True])
        self._fold.setVisible(any(leaf.ui.advanced for leaf in shown))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE)
        layout.addWidget(columns[False])
        layout.addWidget(self._fold)
        layout.addStretch(1)
        keep_wheel_for_scrolling(self)
        self._fill()

    def value(self) -> Any:
        """The settings as they stand in the form.

        Raises:
            ConfigError: what is entered cannot be used; the sentence stands in red under its field.
        """
        if self._problems:
            raise ConfigError(self.problem())
        return self._config

    def set_value(self, config: Any) -> None:
        """Show other settings of the same dataclass.

        Raises:
            ConfigError: they are out of range; the form stays as it was.
        """
        check(config)
        old, problem = self._config, self.problem()
        self._config = config
        self._problems.clear()
        self._fill()
        if problem:
            self.problem_changed.emit("")
        if problem or config != old:
            self.changed.emit(config)

    def problem(self) -> str:
        """What keeps the settings from being used, as one sentence; empty when all is well."""
        return next((self._problems[key] for key in self._rows if key in self._problems), "")

    def editor(self, key: str) -> Any:
        """The widget that edits a field: it has `get`, `set` and the signal `edited`."""
        return self._rows[key].editor

    def unfold(self, unfolded: bool = True) -> None:
        """Show or fold away "All settings"."""
        self._fold.set_open(unfolded)

    def _fill(self) -> None:
        self._filling = True
        try:
            for key, row in self._rows.items():
                row.editor.set(functools.reduce(getattr, key.split("."), self._config))
                row.show_problem("")
        finally:
            self._filling = False

    def _edited(self, key: str) -> None:
        if self._filling:
            return
        before, problem = self._config, self.problem()
        self._problems.pop(key, None)
        try:
            config = _with(self._config, key.split("."), self._rows[key].editor.get())
            check(config)
            self._config = config
        except ValueError as error:
            self._problems[key] = f"{key} {error}"
        except ConfigError as error:
            self._problems[key] = str(error)
        self._rows[key].show_problem(self._problems.get(key, ""))
        if self.problem() != problem:
            self.problem_changed.emit(self.problem())
        if not self._problems and (problem or self._config != before):
            self.changed.emit(self._config)


class Fold(QWidget):
    """A heading that shows or hides what is in its `body`; folded at first."""

    def __init__(self, title: str):
        super().__init__()
        self._head = QToolButton()
        self._head.setText(title)
        font = self._head.font()
        font.setBold(True)
        self._head.setFont(font)
        self._head.setCheckable(True)
        self._head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._head.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._content = QWidget()
        self.body = QVBoxLayout(self._content)
        self.body.setContentsMargins(0, 0, 0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE)
        layout.addWidget(self._head)
        layout.addWidget(self._content)
        self._head.toggled.connect(self.set_open)
        self.set_open(False)

    def set_open(self, is_open: bool) -> None:
        """Show or hide the content."""
        self._head.setChecked(is_open)
        self._head.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self._content.setVisible(is_open)


class _Leaf(NamedTuple):
    """One field that is no dataclass itself."""

    key: str
    section: str
    annotation: Any
    ui: Ui
    help: str
    value: Any

    @property
    def label(self) -> str:
        return self.key.rpartition(".")[2].replace("_", " ")


def _leaves(config: Any, section: str = "") -> Iterator[_Leaf]:
    helps = help_lines(type(config))
    for name, (annotation, ui) in fields(type(config)).items():
        value = getattr(config, name)
        key = f"{section}.{name}" if section else name
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, key)
        else:
            yield _Leaf(key, section, annotation, ui, helps.get(name, ""), value)


def help_lines(config_type: type) -> dict[str, str]:
    """The help line of every field, from the section "Attributes" of the class docstring."""
    _, _, attributes = (inspect.getdoc(config_type) or "").partition("Attributes:\n")
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _with(config: Any, path: list[str], value: Any) -> Any:
    head, *rest = path
    return dataclasses.replace(config, **{head: _with(getattr(config, head), rest, value) if rest else value})


class _Column(QWidget):
    """Rows under one another, with a heading where a section begins."""

    def __init__(self) -> None:
        super().__init__()
        self._section = ""
        self.form = QFormLayout(self)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setSpacing(SPACE)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        self.form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)

    def add(self, leaf: _Leaf) -> _Row:
        if leaf.section != self._section:
            self._section = leaf.section
            self.form.addRow(header(leaf.section.rpartition(".")[2].replace("_", " ").capitalize()))
        return _Row(self.form, leaf)


class _Row:
    """The label and the editor of one field, and a sentence in red below while there is something to say."""

    def __init__(self, form: QFormLayout, leaf: _Leaf):
        self._form = form
        start = STARTS.get(leaf.key.rpartition(".")[2], 1)
        self.editor = editor_for(leaf.annotation, leaf.ui, leaf.help, leaf.value, start)
        self.editor.setAccessibleName(leaf.label)
        label = QLabel(leaf.label)
        label.setWordWrap(True)
        label.setFixedWidth(LABEL_WIDTH)
        label.setBuddy(self.editor)
        # As rich text a tooltip wraps; a person sees a checkbox where the engine says None.
        tooltip = f"<p>{html.escape(leaf.help.replace('None =', 'unchecked ='))}</p>" if leaf.help else ""
        label.setToolTip(tooltip)
        self.editor.setToolTip(tooltip)
        self._problem: QLabel | None = None
        form.addRow(label, self.editor)

    def show_problem(self, sentence: str) -> None:
        if self._problem is not None:
            self._form.removeRow(self._problem)
            self._problem = None
        if sentence:
            self._problem = QLabel()
            self._problem.setWordWrap(True)
            self._problem.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
            self._form.insertRow(self._form.getWidgetPosition(self.editor)[0] + 1, self._problem)
            self._problem.ensurePolished()  # only then does the palette know the theme
            dark = self._problem.palette().color(QPalette.ColorRole.WindowText).lightness() > 128
            self._problem.setText(f'<span style="color: {RED[dark]}">{html.escape(sentence)}</span>')


def editor_for(annotation: Any, ui: Ui, help_line: str, value: Any, start: float = 1) -> Any:
    """The editor of a field.

    Every editor has `get`, `set` and the signal `edited`. `get` raises ValueError with the end of a sentence that
    begins with the field's name.

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
            large, a file can be chosen and not only a folder.
    """

    edited = Signal()

    def __init__(self, kind: type[str] | type[Path], help_line: str):
        super().__init__()
        self._kind = kind
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
        if not self.line.text():
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


class OptionalEditor(QWidget):
    """A value or None: a checkbox before the editor, and the meaning of None in its place while unchecked."""

    edited = Signal()

    def __init__(self, editor: Any, meaning: str):
        super().__init__()
        self.check = QCheckBox()
        self.check.setAccessibleName("Set a value")
        self.editor = editor
        self._meaning = QLabel(meaning)
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
