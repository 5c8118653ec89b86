"""The runs of one job, those of earlier sessions too, and a view of the chosen one."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QMenu, QTreeWidgetItem, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_vasomim.background.threads import LatestRequest, run_in_background
from napari_vasomim.notify import inform, report_error, report_errors, warn
from napari_vasomim.plain import tooltip
from napari_vasomim.runs import jobs, queue
from napari_vasomim.session import Session
from napari_vasomim.widgets.comparison_report import ComparisonReport, ask_comparison
from napari_vasomim.widgets.kit import SPACE, button, hint, row
from napari_vasomim.widgets.models import ModelsDialog
from napari_vasomim.widgets.run_list import ON, RunList
from napari_vasomim.widgets.run_menu import RunMenu
from napari_vasomim.widgets.run_view import STATES, RunView
from vasomim_core.comparing.standing import comparisons_in
from vasomim_core.remote.machines import machines

LIST_MS = 2000
SHOWN = 4
"""Rows of the list that are seen without scrolling it."""
RUN = Qt.ItemDataRole.UserRole
OTHER = Path()
"""In the place of a comparison: one that is asked for."""


class Runs(QWidget):
    """Tells of the end of every run, also while another one, or none, is looked at.

    Args:
        session: holds the processes that this window has started.
        job: "finetune" or "pretrain".
    """

    def __init__(self, session: Session, job: str):
        super().__init__()
        self.folder = jobs.default_runs_folder()
        self._session, self._job = session, job
        self._alive: set[Path] = set()
        self._known: dict[str, jobs.RunStatus] = {}
        self._met: set[Path] = set()
        self._waiting, self._beginning = False, False
        self.menu = RunMenu(self, self._run_changed, self.follow)
        self.none = hint("No run yet. Runs of earlier sessions appear here too.")
        self.list = RunList()
        self.list.headerItem().setToolTip(0, "A right click on a run: its name, notes, folder, models, the trash")
        self.list.headerItem().setToolTip(2, "Best DSC on the validation frames, in percent")
        self.list.setColumnHidden(2, job != "finetune")
        self.list.dropped.connect(report_errors(self._dropped))
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.customContextMenuRequested.connect(report_errors(self._offer))
        self.list.setAccessibleName("Runs")
        self.list.currentItemChanged.connect(report_errors(self._selected))
        self.list.hide()
        self.view = RunView()
        self.view.ended.connect(report_errors(lambda _: self.refresh()))
        self.view.resumed.connect(report_errors(self.follow))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE)
        self.comparison = button(
            "Open a comparison…", self.open_comparison, "The report of `vasomim compare`: its tables and pictures"
        )
        self.models = button("Models…", self.open_models, "Rename and delete registered models, and find their runs")
        for widget in (self.none, self.list):
            layout.addWidget(widget)
        layout.addLayout(row(self.models, self.comparison))
        layout.addWidget(self.view)
        self._reading = LatestRequest(self, self._listed)
        self._timer = QTimer(self)
        self._timer.setInterval(LIST_MS)
        self._timer.timeout.connect(self._tick)  # a method: a closure may be collected before its timer
        self._timer.start()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Read the list when somebody looks."""
        super().showEvent(event)
        self.refresh()

    def follow(self, job: jobs.Job) -> None:
        """Show a run that this window has just started or resumed."""
        self._session.jobs.append(job)
        self._alive.add(job.run)
        self._met.add(job.run)
        if self.view.job is not job:
            self.view.show_run(job)
        self.refresh()

    def open_models(self) -> None:
        """Show the registered models."""
        ModelsDialog(self._session, self.folder, self.look_at, self).show()

    def look_at(self, run: Path) -> None:
        """Show a run.

        Raises:
            RunError: there is none in the folder.
        """
        self.view.show_run(self._job_in(run))
        self._mark()

    def open_comparison(self) -> None:
        """Show the report of a comparison: one that lies among the runs, or in a folder that is asked for.

        Raises:
            ConfigError: the folder is no comparison.
            InputError: its report cannot be read.
        """
        near = comparisons_in(self.folder)
        out = _chosen(self.comparison, near) if near else OTHER
        if out == OTHER:
            out = ask_comparison(self, self.folder)
        if out is not None:
            ComparisonReport(out, self).show()

    def refresh(self) -> None:
        """Read the list again, in a thread; while nobody looks, only as long as a run is alive or waits."""
        if not self.isVisible() and not self._alive and not self._waiting:
            return
        for job in self._session.jobs:
            with suppress(OSError, ValueError):
                job.status()  # only whoever started a process learns how it ended
        self._reading.ask(lambda: jobs.list_runs(self.folder))

    @report_errors
    def _tick(self) -> None:
        self.refresh()

    def _listed(self, found: list[jobs.RunStatus]) -> None:
        if self.list.dragging:
            return
        self._begin_next(found)
        runs = [status for status in found if status.job in (self._job, "")]  # a damaged one may be of any job
        self._known = {str(status.run): status for status in runs}
        items = [self.list.topLevelItem(i) for i in range(self.list.topLevelItemCount())]
        if [item.data(0, RUN) for item in items] != [str(status.run) for status in runs]:
            items = self._renew(runs)
        for item, status in zip(items, runs, strict=True):
            item.setText(0, status.name)
            item.setText(1, status.state)
            item.setText(2, f"{status.best['dsc']:.1f}" if "dsc" in status.best else "")
            item.setText(3, when(status.started))
            item.setText(ON, status.machine)
            words = f"{status.name}: {STATES[status.state]}"
            if status.machine:
                words += f", on {status.machine}"
            if status.name != status.run.name:
                words += f", in the folder {status.run.name}"
            if status.state == "unreadable":
                words = f"{words}. {status.message}"
            if status.notes:
                words = f"{words}\n{status.notes}"
            item.setToolTip(0, tooltip(words))
        self.list.setColumnHidden(ON, not any(status.machine for status in runs))
        self._find_again(runs)
        self.none.setVisible(not runs)
        self.list.setVisible(bool(runs))
        ended = [status for status in runs if status.run in self._alive and not status.alive]
        self._alive -= {status.run for status in runs}  # one that was started meanwhile stays
        self._alive |= {status.run for status in runs if status.alive}
        for status in ended:
            _announce(status)
        if self.view.run is None and (alive := [status.run for status in runs if status.alive]):
            self.view.show_run(self._job_in(alive[0]))
            self._mark()

    def _renew(self, runs: list[jobs.RunStatus]) -> list[QTreeWidgetItem]:
        place = self.list.verticalScrollBar().value()
        with signals_blocked(self.list):
            self.list.clear()
            items = [QTreeWidgetItem(self.list) for _ in runs]
            for item, status in zip(items, runs, strict=True):
                item.setData(0, RUN, str(status.run))
                able = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
                item.setFlags(able | Qt.ItemFlag.ItemIsDragEnabled if status.state == "waiting" else able)
                item.setTextAlignment(2, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._mark()
        self.list.verticalScrollBar().setValue(place)
        rows = min(len(runs), SHOWN) * max(self.list.sizeHintForRow(0), 18)
        self.list.setFixedHeight(self.list.header().sizeHint().height() + rows + 2 * self.list.frameWidth() + 2)
        return items

    def _mark(self) -> None:
        """Select the run that is looked at, without looking at it anew."""
        with signals_blocked(self.list):
            for i in range(self.list.topLevelItemCount()):
                if self.list.topLevelItem(i).data(0, RUN) == str(self.view.run):
                    self.list.setCurrentItem(self.list.topLevelItem(i))

    def _find_again(self, runs: list[jobs.RunStatus]) -> None:
        """Follow what was left on another machine: it goes on there, as a run here would, and is to be seen as it does.

        Once a window, and only what nobody followed when it was met: whoever ends the following wants it ended.
        """
        if not self.isVisible():
            return
        left = [status for status in runs if status.state == "not followed" and status.run not in self._met]
        self._met |= {status.run for status in runs}
        for status in left:
            # What hinders it stands in the run's own message, beside the button that tries again.
            work = partial(_again, status.run, status.machine)
            run_in_background(self, work, self._found_again, lambda _: None, waits=True)

    def _found_again(self, job: jobs.Job | None) -> None:
        if job is None:
            return
        self._session.jobs.append(job)
        self._alive.add(job.run)
        if self.view.run in (None, job.run):
            self.view.show_run(job)
            self._mark()
        self.refresh()

    def _begin_next(self, found: list[jobs.RunStatus]) -> None:
        """Let the first run that waits begin, where nothing is alive: of this job, or of the other one."""
        self._waiting = any(status.state == "waiting" for status in found)
        if self._waiting and not self._beginning and not queue.at_work(found):
            self._beginning = True
            run_in_background(self, lambda: queue.begin_next(self.folder), self._begun, self._begin_failed)

    def _begun(self, job: jobs.Job | None) -> None:
        self._beginning = False
        if job is not None and job.status().job == self._job:
            self.follow(job)
        elif job is not None:
            self._session.jobs.append(job)

    def _begin_failed(self, error: Exception) -> None:
        self._beginning = False
        report_error(error)

    def _dropped(self) -> None:
        """The runs that wait have another order; where they stand among the others does not matter."""
        listed = [self.list.topLevelItem(i).data(0, RUN) for i in range(self.list.topLevelItemCount())]
        queue.reorder([Path(run) for run in listed])
        self.refresh()

    def _offer(self, at: QPoint) -> None:
        selected = [self._known.get(item.data(0, RUN)) for item in self.list.selectedItems()]
        self.menu.show([status for status in selected if status is not None], self.list.viewport().mapToGlobal(at))

    def _run_changed(self) -> None:
        """A run has another name or notes, or is gone."""
        if self.view.run is not None and not self.view.run.exists():
            self._session.jobs[:] = [job for job in self._session.jobs if job.run.exists()]
            self.view.show_run(None)
        self.view.refresh()
        self.refresh()

    def _selected(self, item: QTreeWidgetItem | None, _before: QTreeWidgetItem | None = None) -> None:
        if item is not None and (run := Path(item.data(0, RUN))) != self.view.run:
            self.view.show_run(self._job_in(run))

    def _job_in(self, run: Path) -> jobs.Job:
        """The process that this window has started, if it was this window; else what the folder tells."""
        own = (job for job in reversed(self._session.jobs) if job.run == run)
        return next(own, None) or jobs.attach(run)


def _again(run: Path, machine: str) -> jobs.Job | None:
    """Follow a run on another machine; None where that is not described on this computer."""
    return jobs.resume(run) if machine in machines() else None


def _chosen(below: QWidget, comparisons: list[Path]) -> Path | None:
    """Which of these a person takes, from a menu; `OTHER` = one that lies elsewhere."""
    menu = QMenu(below)
    actions = {menu.addAction(path.name.replace("&", "&&")): path for path in comparisons}
    menu.addSeparator()
    actions[menu.addAction("In another folder…")] = OTHER
    return actions.get(menu.exec_(below.mapToGlobal(below.rect().bottomLeft())))


def _announce(status: jobs.RunStatus) -> None:
    """Say what nobody in this window has asked for."""
    if status.state == "finished":
        inform(f"{status.name} has finished.")
    elif status.state in ("failed", "lost", "not followed"):
        warn(f"{status.name}: {status.message.splitlines()[0]}")


def when(stamp: float) -> str:
    """A time for a list: today's clock time, else the day."""
    moment, now = time.localtime(stamp), time.localtime()
    return time.strftime("%H:%M" if moment[:3] == now[:3] else "%d %b", moment)
