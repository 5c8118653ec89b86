"""What a right click on a run offers: its name, notes, folder and models, another run beside it, the trash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QFile, QPoint, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QInputDialog, QLineEdit, QMenu, QWidget

from napari_vasomim.background.threads import run_in_background
from napari_vasomim.notify import counted, inform, report_errors
from napari_vasomim.plain import confirmed
from napari_vasomim.runs import jobs
from napari_vasomim.runs.about import LONGEST_NAME, LONGEST_NOTES, read_about, shown_name, write_about
from napari_vasomim.runs.origin import begun_from, models_of
from napari_vasomim.widgets.run_comparison import RunComparison
from vasomim_core.errors import RunError
from vasomim_core.remote import running
from vasomim_core.remote.place import place_of
from vasomim_core.training.runs import MODEL, exclusive

TITLE = "Move a run to the trash"


class RunMenu:
    """The actions on runs; each can be called without the menu.

    Args:
        parent: of its dialogs.
        changed: is called when a run has got another name or notes, or is gone.
        begun: is called with a run that waited and has begun out of its turn.
    """

    def __init__(self, parent: QWidget, changed: Callable[[], Any], begun: Callable[[jobs.Job], Any]):
        self._parent, self._changed, self._begun = parent, changed, begun

    def show(self, chosen: Sequence[jobs.RunStatus], at: QPoint) -> None:
        """Offer what can be done with one run, or with two."""
        menu = QMenu(self._parent)

        def offer(text: str, action: Callable[[], Any], able: bool = True) -> None:
            made = menu.addAction(text)
            made.setEnabled(able)
            made.triggered.connect(lambda *_: report_errors(action)())

        if len(chosen) == 1:
            (run,) = chosen
            if run.state == "waiting":
                offer("Begin now, beside what runs", lambda: self._begun(jobs.begin(run.run)))
            offer("Rename…", lambda: self.rename(run.run))
            offer("Notes…", lambda: self.note(run.run))
            offer("Open folder", lambda: open_folder(run.run))
            offer("Its models…", lambda: self.tell_models(run.run), run.model is not None)
            offer("Compare: select a second run with Ctrl+click", lambda: None, False)
            offer("Move to the trash…", lambda: self.delete(run.run), not run.alive)
        elif len(chosen) == 2:
            offer("Compare these two runs…", lambda: self.compare(chosen[0].run, chosen[1].run))
        if menu.actions():
            menu.exec_(at)

    def rename(self, run: Path) -> None:
        """Ask for the name that lists show; the folder keeps its own.

        Raises:
            RunError: it cannot be kept.
        """
        about = read_about(run)
        words = f"Name in lists (the folder stays {run.name}). No names of patients."
        name, given = QInputDialog.getText(
            self._parent, "Rename the run", words, QLineEdit.EchoMode.Normal, about.name or run.name
        )
        if given:
            name = " ".join(name.split())[:LONGEST_NAME]
            write_about(run, replace(about, name="" if name == run.name else name))
            self._changed()

    def note(self, run: Path) -> None:
        """Ask for notes.

        Raises:
            RunError: they cannot be kept.
        """
        about = read_about(run)
        words = "What is to be remembered of this run. No names of patients."
        notes, given = QInputDialog.getMultiLineText(self._parent, f"Notes on {shown_name(run)}", words, about.notes)
        if given:
            write_about(run, replace(about, notes=notes.strip()[:LONGEST_NOTES]))
            self._changed()

    def tell_models(self, run: Path) -> None:
        """Say which registered models came of a run."""
        models = models_of(run, _beside(run))
        none = "no registered model came of it yet; Use this model makes one"
        inform(f"{shown_name(run)}: {', '.join(models) if models else none}.")

    def compare(self, one: Path, other: Path) -> None:
        """Two runs side by side.

        Raises:
            ConfigError: the settings of one cannot be read.
        """
        RunComparison(one, other, self._parent).show()

    def delete(self, run: Path) -> None:
        """Move a run to the system's trash, after a question; models that came of it stay.

        What of it is on another machine is removed there first. Where that cannot be done, it is asked again.

        Raises:
            RunError: it is running, in use, or the system has no trash for it.
        """
        _check_idle(run)
        name, models = shown_name(run), models_of(run, _beside(run))
        stay = f" {', '.join(models)}, which came of it, stays among the models." if models else ""
        begun = begun_from(str(run / MODEL), _beside(run)) + begun_from(str(run), _beside(run))
        lost = f" {counted(len(begun), 'other run')} began with its model and cannot be resumed then." if begun else ""
        place = place_of(run)
        there = place.machine if place is not None and place.state != "gone" else ""
        ended = f" What of it is on {there} is removed there first; is it at work, it is ended." if there else ""
        if not confirmed(self._parent, TITLE, f"Move {name} to the trash?{ended}{stay}{lost}"):
            return
        if not there:
            self._throw_away(run)
            return

        def kept(error: Exception) -> None:
            clean = f"removed by Clean… under Machines…, or `vasomim machines --clean {there}`"
            stays = f"What it has there stays; at work, it goes on to its end. Later it is {clean}."
            if confirmed(self._parent, TITLE, f"{error}. Move {name} to the trash all the same? {stays}"):
                report_errors(self._throw_away)(run)

        inform(f"Removes {name} from {there} first.")
        run_in_background(self._parent, lambda: running.cancel(run), lambda _: self._throw_away(run), kept, waits=True)

    def _throw_away(self, run: Path) -> None:
        _check_idle(run)  # the question may have stood for long
        if not QFile(str(run)).moveToTrash():
            raise RunError(f"{run} cannot be moved to the trash here; delete the folder yourself")
        self._changed()


def open_folder(run: Path) -> None:
    """Show a run's folder in the system's file manager."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(run)))


def _check_idle(run: Path) -> None:
    """Whether nothing works in a run's folder.

    Raises:
        RunError: something does.
    """
    if any(status.alive for status in jobs.list_runs(run.parent) if status.run == run):
        raise RunError(f"{shown_name(run)} is running; stop or cancel it before it is deleted")
    with exclusive(run):
        pass


def _beside(run: Path) -> list[Path]:
    return [status.run for status in jobs.list_runs(run.parent) if status.run != run]
