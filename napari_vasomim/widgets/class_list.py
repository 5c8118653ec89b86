"""The classes of the open label set: their colours and names, and which of them count as vessel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qtpy.QtCore import QSize
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QCheckBox, QColorDialog, QGridLayout, QLineEdit, QToolButton, QWidget

from napari_vasomim.labelling.watched_set import WatchedSet
from napari_vasomim.notify import report_errors
from napari_vasomim.plain import tooltip
from napari_vasomim.widgets.forms import Fold
from napari_vasomim.widgets.kit import Panel, button, row
from napari_vasomim.widgets.swatches import SIDE, swatch
from vasomim_core.classes import LabelClass, new_class

Classes = tuple[LabelClass, ...]
WHY_VESSEL = "Its pixels count as vessel: in training of a model that knows no classes, in measures and in pictures"


class ClassRow:
    """The widgets of one class.

    Args:
        one: the class.
        change: gets a function that makes the new classes of those that there are.

    Attributes:
        colour: a click chooses another one.
        name: another one is taken with Enter, or when the field is left.
        vessel: whether it counts as vessel.
        remove: takes the class away.
    """

    def __init__(self, one: LabelClass, change: Callable[[Callable[[Classes], Classes]], None]):
        self._one, self._change = one, change
        self.colour = QToolButton()
        self.colour.setIcon(swatch(one.colour))
        self.colour.setIconSize(QSize(SIDE, SIDE))
        self.colour.setToolTip(tooltip(f"Colour of {one.name}, value {one.value} in the masks; click for another"))
        self.colour.clicked.connect(report_errors(lambda *_: self._choose_colour()))
        self.name = QLineEdit(one.name)
        self.name.setToolTip(tooltip(f"Name of the value {one.value} in the masks"))
        self.name.editingFinished.connect(report_errors(self._named))
        self.vessel = QCheckBox("vessel")
        self.vessel.setChecked(one.vessel)
        self.vessel.setToolTip(WHY_VESSEL)
        self.vessel.clicked.connect(report_errors(lambda checked: self._set(vessel=bool(checked))))
        self.remove = QToolButton()
        self.remove.setText("×")
        self.remove.setToolTip(tooltip(f"Take {one.name} away; not while a label or an earlier revision has it"))
        self.remove.clicked.connect(report_errors(lambda *_: self._remove()))

    @property
    def widgets(self) -> tuple[QWidget, ...]:
        """From left to right."""
        return self.colour, self.name, self.vessel, self.remove

    def ask_colour(self) -> QColor:
        """Have a person choose; invalid for none."""
        return QColorDialog.getColor(QColor(self._one.colour), self.colour, f"Colour of {self._one.name}")

    def _choose_colour(self) -> None:
        chosen = self.ask_colour()
        if chosen.isValid():
            self._set(colour=chosen.name())

    def _named(self) -> None:
        name = self.name.text().strip()
        if self.name.isModified() and name != self._one.name:
            self.name.setModified(False)
            self._set(name=name)

    def _set(self, **fields: str | bool) -> None:
        value = self._one.value
        self._change(lambda classes: tuple(replace(c, **fields) if c.value == value else c for c in classes))  # type: ignore[arg-type]

    def _remove(self) -> None:
        value = self._one.value
        self._change(lambda classes: tuple(c for c in classes if c.value != value))


class ClassList:
    """The list, folded away; each change is written at once.

    Args:
        panel: gets the widgets at the end of its column.
        watched: the label set that is open.

    Attributes:
        fold: holds the list, under a line that names the classes.
        rows: one a class.
        another: the name of a class to be made.
        add: makes it.
    """

    def __init__(self, panel: Panel, watched: WatchedSet):
        self._panel, self._watched = panel, watched
        self.fold = Fold("Classes")
        self.rows: list[ClassRow] = []
        self._grid = QGridLayout()
        self._grid.setColumnStretch(1, 1)
        self.fold.body.addLayout(self._grid)
        self.another = QLineEdit()
        self.another.setPlaceholderText("name of another class")
        self.another.returnPressed.connect(report_errors(self._add))
        self.add = button("Add", self._add, "Make a class of this name; the masks that there are stay as they are")
        line = row(self.another)
        line.addWidget(self.add)
        self.fold.body.addLayout(line)
        panel.body.addWidget(self.fold)
        self._listed: Classes | None = None
        panel.follow(watched.opened, self._show)
        panel.follow(watched.changed, self._show)
        panel.follow(panel.session.classes_changed, self._show)
        self._show()

    def _add(self) -> None:
        name = self.another.text().strip()
        if name:
            self._change(lambda classes: (*classes, new_class(classes, name)))
            self.another.clear()

    def _change(self, change: Callable[[Classes], Classes]) -> None:
        self._listed = None  # what the rows say is true again once it was written, or refused
        self._watched.change_classes(change)

    def _show(self) -> None:
        session, busy = self._panel.session, self._watched.is_changing
        if not busy and session.classes != self._listed:  # else nobody's typing is disturbed
            self._list(session.classes)
        names = ", ".join(one.name for one in session.classes[:3])
        more = len(session.classes) - 3
        self.fold.set_title(f"Classes: {names}" + (f" and {more} more" if more > 0 else ""))
        self.fold.setVisible(session.label_set is not None)
        for widget in (self.another, self.add, *(widget for one in self.rows for widget in one.widgets)):
            widget.setEnabled(not busy)
        if len(self.rows) == 1:
            self.rows[0].remove.setEnabled(False)

    def _list(self, classes: Classes) -> None:
        self._listed = classes
        for one in self.rows:
            for widget in one.widgets:
                self._grid.removeWidget(widget)
                widget.hide()
                widget.deleteLater()
        self.rows = [ClassRow(one, self._change) for one in classes]
        for place, one in enumerate(self.rows):
            for column, widget in enumerate(one.widgets):
                self._grid.addWidget(widget, place, column)
