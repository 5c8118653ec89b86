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
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QFormLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_vasomim.plain import plain_label, tooltip
from napari_vasomim.widgets.editors import editor_for
from napari_vasomim.widgets.kit import SPACE, header, keep_wheel_for_scrolling
from vasomim_core.config import Ui, check, fields
from vasomim_core.errors import ConfigError

LABEL_WIDTH = 104
LONGEST_TITLE = 260
"""Of a fold, in pixels."""
RED = {False: "#b3261e", True: "#ff7b72"}
"""Of a sentence about a problem, on a light and on a dark theme."""

STARTS = {"ema": 0.999, "patience": 10, "port": 22}
"""What a number that was None starts from where 1, the rule, is never meant."""


class ConfigForm(QWidget):
    """Edits a frozen dataclass of `vasomim_core.config`.

    Fields are named by their path, "epochs" or "training.epochs". Those with `Ui.advanced` are folded away under
    "All settings"; the fields of a nested dataclass stand under its name.

    Args:
        config: the settings to start from.
        hidden: fields, or whole nested dataclasses, that are not shown and keep their value.
        flat: fold nothing away; for a form that is in a fold as a whole.
        parent: the widget it belongs to.

    Raises:
        ConfigError: `config` is out of range.
    """

    changed = Signal(object)
    """The new settings, after every edit that leaves all of them in range."""
    problem_changed = Signal(str)
    """What keeps the settings from being used, as one sentence; empty when all is well."""

    def __init__(self, config: Any, hidden: Collection[str] = (), flat: bool = False, parent: QWidget | None = None):
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
            row = self._rows[leaf.key] = columns[leaf.ui.advanced and not flat].add(leaf)
            row.editor.edited.connect(functools.partial(self._edited, leaf.key))
        self._fold.body.addWidget(columns[True])
        self._fold.setVisible(not flat and any(leaf.ui.advanced for leaf in shown))
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

    def last_value(self) -> Any:
        """The newest settings that could be used; those of the form unless there is a problem."""
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

    def set_title(self, title: str) -> None:
        """Another heading, cut where it does not fit; the whole is in the tooltip."""
        shown = self._head.fontMetrics().elidedText(title, Qt.TextElideMode.ElideRight, LONGEST_TITLE)
        self._head.setText(shown.replace("&", "&&"))
        self._head.setToolTip(tooltip(title) if shown != title else "")

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
    own = fields(type(config))
    # What is in a section of its own comes last: a subclass adds its fields behind those of its base.
    for name in sorted(own, key=lambda name: dataclasses.is_dataclass(getattr(config, name))):
        annotation, ui = own[name]
        value = getattr(config, name)
        key = f"{section}.{name}" if section else name
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, key)
        else:
            yield _Leaf(key, section, annotation, ui, helps.get(name, ""), value)


def help_lines(config_type: type) -> dict[str, str]:
    """The help line of every field, from the section "Attributes" of the docstrings of the class and its bases."""
    lines: dict[str, str] = {}
    for kind in reversed(config_type.__mro__):
        _, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
        found = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", attributes, re.MULTILINE)
        lines |= {name: " ".join(text.split()) for name, text in found}
    return lines


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
        name = plain_label(leaf.label)
        name.setWordWrap(True)
        name.setFixedWidth(LABEL_WIDTH)
        name.setBuddy(self.editor)
        # As rich text a tooltip wraps; a person sees a checkbox where the engine says None.
        tooltip = f"<p>{html.escape(leaf.help.replace('None =', 'unchecked ='))}</p>" if leaf.help else ""
        name.setToolTip(tooltip)
        self.editor.setToolTip(tooltip)
        self._problem: QLabel | None = None
        form.addRow(name, self.editor)

    def show_problem(self, sentence: str) -> None:
        if self._problem is not None:
            self._form.removeRow(self._problem)
            self._problem = None
        if sentence:
            self._problem = plain_label(sentence)
            self._problem.setWordWrap(True)
            self._problem.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
            self._form.insertRow(self._form.getWidgetPosition(self.editor)[0] + 1, self._problem)
            self._problem.ensurePolished()  # only then does the palette know the theme
            dark = self._problem.palette().color(QPalette.ColorRole.WindowText).lightness() > 128
            self._problem.setStyleSheet(f"color: {RED[dark]}")
