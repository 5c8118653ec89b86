"""Where a run is to be computed: on this computer, or on another machine that was described; and what that one is."""

from __future__ import annotations

from qtpy.QtCore import QSettings, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.notify import report_errors
from napari_vasomim.session import Session
from napari_vasomim.widgets.kit import SPACE, button, choice, follow, hint, row
from napari_vasomim.widgets.machines import MachinesDialog
from vasomim_core.errors import ConfigError
from vasomim_core.remote.connection import Connection
from vasomim_core.remote.machine_check import Found, differences, look, obstacles
from vasomim_core.remote.machines import machine_named, machines

HERE = "this computer"


class Where(QWidget):
    """The choice of a place, remembered for the next window. A machine is asked what it is as soon as it is chosen.

    Args:
        session: of the viewer.

    Attributes:
        found: what the chosen machine has said of itself; None = this computer is chosen, or it has not answered.
    """

    changed = Signal()
    """Another place is chosen, or more is known of it."""

    def __init__(self, session: Session):
        super().__init__()
        self._session = session
        self._settings = QSettings("vasomim", "napari-vasomim")
        self.found: Found | None = None
        self._asked = False
        self.choice = choice(tooltip="Which computer trains. The window, the list of runs and their models stay here")
        self.choice.setAccessibleName("where")
        self.manage = button("Machines…", self.open_machines, "Describe, check and forget other machines")
        self.told = hint()
        self.told.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE)
        side = row(self.choice, self.manage)
        side.setStretch(1, 0)
        layout.addLayout(side)
        layout.addWidget(self.told)
        self._looking = LatestRequest(self, self._looked, self._unknown, waits=True)
        self._fill(str(self._settings.value("where", "")))
        self.choice.activated.connect(report_errors(self._chosen))
        follow(self, session.machines_changed, self._renew)

    @property
    def machine(self) -> str:
        """The name of the chosen machine; empty = this computer."""
        return str(self.choice.currentData() or "")

    def showEvent(self, event: QShowEvent | None) -> None:
        """Ask a machine that was remembered when somebody looks, not before."""
        super().showEvent(event)
        if self.machine and not self._asked:
            self._look()

    def open_machines(self) -> None:
        """Describe machines, check and forget them."""
        MachinesDialog(self._session, self).show()

    def _fill(self, chosen: str) -> None:
        """List all places; the chosen one stays so where it is described."""
        told = ""
        try:
            known = list(machines())
        except ConfigError as error:
            known, told = [], f"✖ {error}"
        with signals_blocked(self.choice):
            self.choice.clear()
            for words, name in ((HERE, ""), *((name, name) for name in known)):
                self.choice.addItem(words, name)
            self.choice.setCurrentIndex(max(0, self.choice.findData(chosen)))
        self._tell(told)

    def _chosen(self, *_: object) -> None:
        self._settings.setValue("where", self.machine)
        self._tell("")
        self._look()

    def _renew(self) -> None:
        self._fill(self.machine)
        self._look()

    def _look(self) -> None:
        name, self.found, self._asked = self.machine, None, True
        if name:
            self._tell(f"Asks {name} what it is…")
            self._looking.ask(lambda: (name, look(Connection(name, machine_named(name)))))
        self.changed.emit()

    def _looked(self, answer: tuple[str, Found]) -> None:
        name, found = answer
        if name != self.machine:
            return
        self.found = found
        lines = [f"✖ {sentence}" for sentence in obstacles(name, found)]
        lines += [f"⚠ {sentence}" for sentence in differences(name, found)]
        self._tell("\n".join([f"Has {', '.join(found.gpus)}."] * bool(found.gpus) + lines))
        self.changed.emit()

    def _unknown(self, error: Exception) -> None:
        if self.machine:
            self._tell(f"✖ {error}")

    def _tell(self, words: str) -> None:
        self.told.setText(words)
        self.told.setVisible(bool(words))
