"""The registered models: which run each came of, another name, the trash. Packaged ones stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QFile, Qt
from qtpy.QtWidgets import QDialog, QHeaderView, QInputDialog, QLineEdit, QTreeWidget, QTreeWidgetItem, QVBoxLayout

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.notify import counted, report_errors
from napari_vasomim.plain import confirmed, tooltip
from napari_vasomim.runs import jobs
from napari_vasomim.runs.about import shown_name
from napari_vasomim.runs.origin import begun_from, made_by
from napari_vasomim.session import Session
from napari_vasomim.widgets.kit import button, hint, row
from vasomim_core.errors import ConfigError
from vasomim_core.models import catalogue

NAME = Qt.ItemDataRole.UserRole


class ModelsDialog(QDialog):
    """A list of the registered models, and what can be done with the chosen one.

    Args:
        session: is told when a model has another name, or is gone.
        folder: of the runs.
        show_run: shows a run to the person.
        parent: the widget that opens it.
    """

    def __init__(self, session: Session, folder: Path, show_run: Callable[[Path], Any], parent: Any = None):
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Models")
        self._session, self._folder, self._show_run = session, folder, show_run
        self._runs: dict[str, Path] = {}
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["model", "kind", "DSC", "run"])
        self.list.headerItem().setToolTip(2, "In percent, on the frames that each was scored on: not the same ones")
        self.list.setRootIsDecorated(False)
        self.list.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.list.currentItemChanged.connect(report_errors(lambda *_: self._chosen()))
        self.words = hint()
        self.rename = button("Rename…", self.ask_name)
        self.delete = button("Move to the trash…", self.ask_delete)
        self.run = button("Show its run", self.go_to_run)
        for press in (self.rename, self.delete, self.run):
            press.setAutoDefault(False)
        column = QVBoxLayout(self)
        column.addWidget(self.list, 1)
        column.addWidget(self.words)
        column.addLayout(row(self.run, self.rename, self.delete))
        self._finding = LatestRequest(self, self._found)
        self.resize(620, 380)
        self.refresh()

    @property
    def name(self) -> str:
        """The chosen model; "" where none is."""
        item = self.list.currentItem()
        return "" if item is None else str(item.data(0, NAME))

    def refresh(self) -> None:
        """List what is registered now; the runs are found in a thread."""
        chosen = self.name
        self.list.clear()
        for name, card in catalogue.models().items():
            scores = [part["dsc"] for part in card.scores.values() if isinstance(part, dict) and "dsc" in part]
            item = QTreeWidgetItem(self.list, [name, card.kind, f"{scores[0]:.1f}" if scores else ""])
            item.setData(0, NAME, name)
            item.setToolTip(0, tooltip(card.description))
            if catalogue.is_packaged(name):
                item.setText(3, "comes with the package")
            if name == chosen:
                self.list.setCurrentItem(item)
        self._chosen()
        folder = self._folder
        self._finding.ask(lambda: made_by([status.run for status in jobs.list_runs(folder)]))

    def ask_name(self) -> None:
        """Ask for another name of the chosen model.

        Raises:
            ConfigError: it is packaged or gone, or the name is taken or none.
        """
        name = self.name
        catalogue.own_model(name)
        begun = self._begun(name)
        words = f"A new name: letters, digits, '.', '_' and '-'.{begun}"
        new, given = QInputDialog.getText(self, "Rename the model", words, QLineEdit.EchoMode.Normal, name)
        if not given or new == name:
            return
        catalogue.rename_model(name, new)
        if self._session.model == name:  # it is the same model
            self._session.model = new
        self._changed()

    def ask_delete(self) -> None:
        """Move the chosen model to the system's trash, after a question; its run stays.

        Raises:
            ConfigError: it is packaged or gone, or the system has no trash for it.
        """
        name = self.name
        path = catalogue.own_model(name)
        run = f" Its run {shown_name(self._runs[name])} stays." if name in self._runs else ""
        used = f" Segment uses it now, and {catalogue.DEFAULT_MODEL} after that." if name == self._session.model else ""
        if not confirmed(self, "Move a model to the trash", f"Move {name} to the trash?{run}{used}{self._begun(name)}"):
            return
        if not QFile(str(path)).moveToTrash():
            raise ConfigError(f"{path} cannot be moved to the trash here; delete the file yourself")
        if name == self._session.model:
            self._session.model = catalogue.DEFAULT_MODEL
        self._changed()

    def go_to_run(self) -> None:
        """Show the run that the chosen model came of."""
        if (run := self._runs.get(self.name)) is not None:
            self._show_run(run)
            self.close()

    def _begun(self, name: str) -> str:
        """What is lost for the runs that start from this name."""
        runs = [status.run for status in jobs.list_runs(self._folder) if status.state != "finished"]
        begun = counted(len(found), "run") if (found := begun_from(name, runs)) else ""
        return f" {begun} began with it under this name and cannot be resumed then." if begun else ""

    def _changed(self) -> None:
        self._session.models_changed.emit()
        self.refresh()

    def _found(self, runs: dict[str, Path]) -> None:
        self._runs = runs
        for place in range(self.list.topLevelItemCount()):
            item = self.list.topLevelItem(place)
            if (run := runs.get(item.data(0, NAME))) is not None:
                item.setText(3, shown_name(run))
        self._chosen()

    def _chosen(self) -> None:
        name = self.name
        card = catalogue.known_card(name)
        own = bool(name) and not catalogue.is_packaged(name)
        self.words.setText("" if card is None else card.description)
        for press in (self.rename, self.delete):
            press.setEnabled(own)
        self.run.setEnabled(name in self._runs)
