"""One training run: where it stands, its curves, and what can be done with it. Any run folder can be looked at."""

from __future__ import annotations

import time
from pathlib import Path

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QGridLayout, QMessageBox, QProgressBar, QVBoxLayout, QWidget

from napari_vasomim import jobs
from napari_vasomim.background import Newest
from napari_vasomim.notify import copy, inform, told
from napari_vasomim.widgets.curves import Curves
from napari_vasomim.widgets.kit import SPACE, button, hint

POLL_MS = 500
RESUMABLE = ("stopped", "cancelled", "lost", "failed")
STATES = {
    "starting": "starting",
    "preparing": "preparing the frames",
    "running": "running",
    "stopping": "stopping after this step",
    "finished": "finished",
    "stopped": "stopped, model kept",
    "failed": "failed",
    "cancelled": "cancelled",
    "lost": "ended without a word (killed, or the computer was switched off)",
}


class RunView(QWidget):
    """Follows one run; the run belongs to its process, not to this widget."""

    ended = Signal(object)
    """A run that was alive when it was first looked at has ended; carries its `RunStatus`."""
    use_model = Signal(object)
    """The person wants this run's model (its path) as the active one."""
    resumed = Signal(object)
    """A run goes on; carries its `Job`."""
    compare = Signal(object)
    """The person wants to see before and after of this run (its folder)."""

    def __init__(self) -> None:
        super().__init__()
        self.job: jobs.Job | None = None
        self._follower: jobs.Follower | None = None
        self._was_alive = False
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE)
        self.state = hint()
        self.bar = QProgressBar()
        self.facts = hint()
        self.curves = Curves()
        self.stop = button("Stop and keep", self._stop, "Ends after this step and keeps the best model so far")
        self.cancel = button("Cancel run", self._cancel, "Ends the run now; no model is made")
        self.resume = button("Resume", self._resume, "Goes on exactly where the run stood")
        self.use = button("Use this model", self._use, "Make it the model of the Segment panel", primary=True)
        self.before_after = button("Before / after", self._compare, "Held-out frames by the old and the new model")
        self.report = button("Copy report", self._report, "What a developer needs to know; it names no path and no one")
        layout.addWidget(self.state)
        layout.addWidget(self.bar)
        layout.addWidget(self.facts)
        layout.addWidget(self.curves)
        grid = QGridLayout()
        grid.setSpacing(SPACE)
        for place, made in enumerate((self.stop, self.cancel, self.resume, self.use, self.before_after, self.report)):
            grid.addWidget(made, place // 2, place % 2)
        layout.addLayout(grid)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(told(self.refresh))
        self._ending = Newest(self, lambda _: self.refresh())
        self.show_run(None)

    @property
    def run(self) -> Path | None:
        """The run that is looked at."""
        return self.job.run if self.job is not None else None

    def show_run(self, job: jobs.Job | None) -> None:
        """Look at another run."""
        self.job = job
        self._follower = jobs.Follower(job.run) if job is not None else None
        self.curves.clear()
        self.setVisible(job is not None)
        if job is None:
            self._timer.stop()
            return
        self._was_alive = job.status().alive
        self.refresh()
        self._timer.start()

    def refresh(self) -> None:
        """Read what the run has written since."""
        if self.job is None or self._follower is None:
            return
        events = self._follower.new_events()
        if events:
            self.curves.add_events(events)
        status = self.job.status()
        alive = status.alive
        self.state.setText(f"<b>{status.run.name}</b>: {STATES[status.state]}" + _sentence(status.message))
        self.bar.setRange(0, 0 if status.state == "starting" else 1000)
        self.bar.setValue(round(1000 * status.progress))
        self.bar.setVisible(alive)
        self.facts.setText(" · ".join(_facts(status)))
        self.facts.setVisible(bool(self.facts.text()))
        self.stop.setEnabled(status.state in ("preparing", "running"))
        self.cancel.setEnabled(alive)
        self.resume.setEnabled(status.state in RESUMABLE)
        has_model = status.model is not None and status.job != "segmentor"
        self.use.setEnabled(has_model and status.job == "finetune")
        self.before_after.setEnabled(has_model and status.job == "finetune")
        self.before_after.setVisible(status.job == "finetune")
        self.use.setVisible(status.job == "finetune")
        if self._was_alive and not alive:
            self._was_alive = False
            self.ended.emit(status)
        elif alive:
            self._was_alive = True

    def _stop(self) -> None:
        if self.job is not None:
            self.job.stop()
            self.refresh()

    def _cancel(self) -> None:
        question = QMessageBox.question(
            self, "Cancel the run", "End this run now? What it has learned so far is not made into a model."
        )
        if question == QMessageBox.StandardButton.Yes and self.job is not None:
            self.cancel.setEnabled(False)
            self._ending.ask(self.job.cancel)  # waits some seconds for the process to end

    def _resume(self) -> None:
        if self.job is not None:
            job = jobs.resume(self.job.run)
            self.resumed.emit(job)
            self.show_run(job)

    def _use(self) -> None:
        if self.job is not None and (model := self.job.status().model) is not None:
            self.use_model.emit(model)

    def _compare(self) -> None:
        self.compare.emit(self.run)

    def _report(self) -> None:
        if self.job is not None:
            copy(jobs.report(self.job.run))
            inform("The report is in the clipboard.")


def _sentence(message: str) -> str:
    return f". {message}" if message else "."


def _facts(status: jobs.RunStatus) -> list[str]:
    facts: list[str] = []
    if status.epochs and status.epoch:
        facts.append(f"epoch {status.epoch} of {status.epochs}")
    if status.eta is not None and status.alive:
        facts.append(f"{_span(status.eta)} left")
    if "dsc" in status.best:
        facts.append(f"best validation DSC {status.best['dsc']:.1f} (epoch {status.best_epoch})")
    if status.device:
        facts.append(str(status.device))
    if status.memory:
        facts.append(f"{status.memory / 2**30:.1f} GB")
    return facts


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def when(stamp: float) -> str:
    """A time for a list: today's clock time, else the day."""
    moment, now = time.localtime(stamp), time.localtime()
    return time.strftime("%H:%M" if moment[:3] == now[:3] else "%d %b %H:%M", moment)
