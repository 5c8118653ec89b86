"""Other machines on which runs can be computed: described once, checked, cleaned, forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHeaderView,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.notify import counted, report_error, report_errors
from napari_vasomim.plain import confirmed, make_plain, plain_label, tooltip
from napari_vasomim.runs import jobs
from napari_vasomim.session import Session
from napari_vasomim.widgets.forms import LABEL_WIDTH, ConfigForm
from napari_vasomim.widgets.kit import SPACE, button, hint, row
from vasomim_core.errors import ConfigError, VasoMIMError
from vasomim_core.remote.connection import Connection
from vasomim_core.remote.machine_check import look, words
from vasomim_core.remote.machines import Machine, machine_named, machines, remove_machine, save_machine

WIDTH = 560
NONE = "No machine is described yet. One needs SSH with a key, and the same VasoMIM installed there."


class MachinesDialog(QDialog):
    """A list of the described machines, and what can be done with the chosen one.

    Args:
        session: is told when one is described or forgotten.
        parent: the widget that opens it.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Machines")
        self._session = session
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["machine", "host", "folder there"])
        self.list.setRootIsDecorated(False)
        self.list.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.list.currentItemChanged.connect(report_errors(lambda *_: self._selected()))
        self.told = hint()
        self.describe = button("Describe…", self.ask_new, "Describe another machine")
        self.change = button(
            "Change…", self.ask_change, "Change its description; the name stays, for runs know it by it"
        )
        self.check = button("Check", self.look, "Whether it can be reached, what is there, and in what it differs")
        self.clean = button(
            "Clean…", self.ask_clean, "Remove the runs there that are not at work, and frames that no other run needs"
        )
        self.forget = button("Forget…", self.ask_forget, "Nothing changes on the machine itself")
        column = QVBoxLayout(self)
        column.addWidget(self.list, 1)
        column.addWidget(self.told)
        column.addLayout(row(self.describe, self.change, self.check, self.clean, self.forget))
        for press in (self.describe, self.change, self.check, self.clean, self.forget):
            press.setAutoDefault(False)
        self._asking = LatestRequest(self, self._answered, self._refused, waits=True)
        self.resize(640, 320)
        make_plain(self)
        self.refresh()

    @property
    def name(self) -> str:
        """The chosen machine; "" where none is."""
        item = self.list.currentItem()
        return "" if item is None else item.text(0)

    def refresh(self, chosen: str = "") -> None:
        """List what is described now."""
        chosen, told = chosen or self.name, ""
        self.list.clear()
        try:
            known = machines()
        except ConfigError as error:
            known, told = {}, f"✖ {error}"
        for name, one in known.items():
            item = QTreeWidgetItem(self.list, [name, one.host, one.folder])
            item.setToolTip(0, tooltip(f"{one.python} on {one.host}"))
            if name == chosen or len(known) == 1:
                self.list.setCurrentItem(item)
        self._selected()
        self.told.setText(told or ("" if known else NONE))

    def ask_new(self) -> None:
        """Have a person describe another one."""
        self._edit(MachineForm(self, "", Machine("")))

    def ask_change(self) -> None:
        """Have a person change the description of the chosen one.

        Raises:
            ConfigError: it is gone.
        """
        self._edit(MachineForm(self, self.name, machine_named(self.name)))

    def look(self) -> None:
        """Ask the chosen one what it is."""
        self._ask(self.name, "Asks {} what it is…", lambda to: "\n".join(words(to.name, look(to, node=True))))

    def ask_clean(self) -> None:
        """Clean the chosen one, after a question."""
        name = self.name
        told = "Runs that are not at work, and frames that no other run needs, are removed there"
        if confirmed(self, "Clean a machine", f"Clean {name}? {told}; a stopped run cannot be resumed then."):
            self._ask(name, "Cleans {}…", _cleaned)

    def ask_forget(self) -> None:
        """Forget the chosen one, after a question.

        Raises:
            ConfigError: it is gone, or the file of the machines cannot be used.
        """
        name = self.name
        there = [
            status
            for status in jobs.list_runs(jobs.default_runs_folder())
            if (status.machine, status.whereabouts) == (name, "there")
        ]
        lost = f" It has {counted(len(there), 'run')} that cannot be found again then." if there else ""
        if confirmed(self, "Forget a machine", f"Forget {name}? Nothing changes on it.{lost}"):
            remove_machine(name)
            self._changed()

    def _edit(self, form: MachineForm) -> None:
        if form.exec_():
            self._changed(form.name)
        form.deleteLater()

    def _changed(self, chosen: str = "") -> None:
        self.refresh(chosen)
        self._session.machines_changed.emit()

    def _ask(self, name: str, meanwhile: str, question: Callable[[Connection], str]) -> None:
        self.told.setText(meanwhile.format(name))
        self._asking.ask(lambda: (name, question(Connection(name, machine_named(name)))))

    def _answered(self, answer: tuple[str, str]) -> None:
        if answer[0] == self.name:
            self.told.setText(answer[1])

    def _refused(self, error: Exception) -> None:
        if isinstance(error, VasoMIMError):
            self.told.setText(f"✖ {error}")
        else:
            self.told.setText("")
            report_error(error)

    def _selected(self) -> None:
        self.told.setText("")
        for press in (self.change, self.check, self.clean, self.forget):
            press.setEnabled(bool(self.name))


class MachineForm(QDialog):
    """The description of one machine.

    Args:
        parent: the widget that opens it.
        name: of the machine that is described already; empty = another one.
        machine: what to begin with.
    """

    def __init__(self, parent: QWidget, name: str, machine: Machine):
        super().__init__(parent)
        self.setWindowTitle(f"Change {name}" if name else "Describe a machine")
        self.setMinimumWidth(WIDTH)
        self._known = name
        self._name = QLineEdit(name)
        self._name.setReadOnly(bool(name))
        self._name.setPlaceholderText("what you want to call it")
        self.form = ConfigForm(machine)
        self.problem = hint()
        top = QFormLayout()
        label = plain_label("name")
        label.setFixedWidth(LABEL_WIDTH)
        top.addRow(label, self._name)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(report_errors(self.accept))
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setSpacing(SPACE)
        column.addLayout(top)
        column.addWidget(self.form)
        column.addWidget(self.problem)
        column.addStretch(1)
        column.addWidget(buttons)
        make_plain(self)

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name.text().strip()

    def accept(self) -> None:
        """Keep the description, or say in the dialog why it is none."""
        try:
            if self.name != self._known and self.name in machines():
                raise ConfigError(f"{self.name} is described already; give another name, or change that one")
            save_machine(self.name, _whole(self.form.value()))
        except VasoMIMError as error:
            self.problem.setText(f"✖ {error}")
            return
        super().accept()


def _whole(machine: Machine) -> Machine:
    """The same with whole paths of this computer: the program may be started in another folder next time."""
    paths: dict[str, Any] = {name: value for name, value in vars(machine).items() if isinstance(value, Path)}
    return replace(machine, **{name: path.expanduser().resolve() for name, path in paths.items()})


def _cleaned(connection: Connection) -> str:
    answer = connection.ask("clean")
    return f"{connection.name}: {counted(answer['removed'], 'run')} removed, {answer['running']} at work."
