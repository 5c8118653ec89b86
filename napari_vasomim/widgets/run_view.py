"""One training run: where it stands, its curves, and what can be done with it. Any run folder can be looked at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QGridLayout, QProgressBar, QVBoxLayout, QWidget

from napari_vasomim.background.threads import run_in_background
from napari_vasomim.notify import copy, inform, report_error, report_errors
from napari_vasomim.plain import confirmed
from napari_vasomim.runs import jobs
from napari_vasomim.runs.origin import origin
from napari_vasomim.widgets.curves import Curves
from napari_vasomim.widgets.kit import SPACE, button, hint
from napari_vasomim.widgets.send import SendDialog
from vasomim_core.config import FinetuneConfig, Pretraining
from vasomim_core.errors import RunError
from vasomim_core.training.runs import load_config

POLL_MS = 500
STATES = {
    "waiting": "waiting",
    "starting": "starting",
    "preparing": "preparing",
    "sending": "sending",
    "running": "running",
    "cut off": "cut off",
    "not followed": "not followed",
    "stopping": "ending",
    "finished": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "cancelled": "cancelled",
    "lost": "ended without a word",
    "unreadable": "cannot be read",
}
USE = {
    "finetune": "Put it among the models and make it the model of the Segment panel",
    "pretrain": "Put it among the models: Finetune can start from it, and Masking shows what it reconstructs",
}
AS_BEFORE = "The best model of this run is the one that it started from: there is nothing new to use"
RESUME = "Goes on exactly where the run stood"
FOLLOW = "Brings what the run on {} has told and made meanwhile, and goes on with it should it have been killed"
TO = {"sending": "to", "cut off": "from"}
"""What stands between a state and the other machine; mostly "on"."""
STOPPABLE = ("preparing", "sending", "running", "cut off")
HEIGHT = 200
"""Of the curves, in pixels."""


class RunView(QWidget):
    """Follows one run; the run belongs to its process, not to this widget."""

    ended = Signal(object)
    """A run that was alive when it was first looked at has ended; carries its `RunStatus`."""
    use_model = Signal(object)
    """The person wants this run's model (its path)."""
    resumed = Signal(object)
    """A run goes on; carries its `Job`."""
    compare = Signal(object)
    """The person wants to see before and after of this run (its folder)."""

    def __init__(self) -> None:
        super().__init__()
        self.job: jobs.Job | None = None
        self._follower: jobs.Follower | None = None
        self._was_alive = False
        self._cancelling: Path | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE)
        self._warnings: list[str] = []
        self.state = hint()
        self.warnings = hint()
        self.bar = QProgressBar()
        self.facts = hint()
        self.origin = hint()
        self.curves = Curves()
        self.curves.setMinimumWidth(0)  # the panel knows how wide it is
        self.curves.setFixedHeight(HEIGHT)
        self.stop = button("Stop and keep", self._stop, "Ends after this step and keeps the best model so far")
        self.cancel = button("Cancel run", self._cancel, "Ends the run now, without waiting for the step in hand")
        self.resume = button("Resume", self._resume, RESUME)
        self.use = button("Use this model", self._use, primary=True)
        self.before_after = button("Before / after", self._compare, "Held-out frames by the old and the new model")
        self.report = button("Copy report", self._report, "What a developer needs to know; it names no path and no one")
        for widget in (self.state, self.bar):
            layout.addWidget(widget)
        grid = QGridLayout()
        grid.setSpacing(SPACE)
        for place, made in enumerate((self.stop, self.cancel, self.resume, self.report, self.use, self.before_after)):
            grid.addWidget(made, place // 2, place % 2)
        layout.addLayout(grid)  # above what grows: in sight also on a low screen
        for widget in (self.facts, self.origin, self.warnings, self.curves):
            layout.addWidget(widget)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._tick)  # a method: a closure may be collected before its timer
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
        self._warnings.clear()
        self._show_warnings([])
        self._origin, self._name = "", ""
        self.setVisible(job is not None)
        if job is None:
            self._timer.stop()
            return
        self._was_alive = False
        self._timer.start()
        self.refresh()

    def refresh(self) -> None:
        """Read what the run has written since."""
        if self.job is None or self._follower is None:
            return
        try:
            status = self.job.status()
            events = self._follower.new_events()
        except (OSError, ValueError):
            self._show_gone()
            return
        if events:
            self.curves.add_events(events)
            self._show_warnings(events)
        alive = status.alive
        self._name = status.name
        where = f" {TO.get(status.state, 'on')} {status.machine}" if status.whereabouts in ("sending", "there") else ""
        self._show_state(f"{STATES[status.state]}{where}", status.message)
        self.bar.setRange(0, 0 if status.state in ("starting", "sending") else 1000)
        self.bar.setValue(round(1000 * status.progress))
        self.bar.setVisible(alive)
        self.facts.setText(" · ".join(_facts(status)))
        self.facts.setVisible(bool(self.facts.text()))
        left = status.state == "not followed"
        self.stop.setEnabled(status.state in STOPPABLE)
        cancelling = self._cancelling == self.run
        self.cancel.setEnabled((alive or left) and not cancelling)
        self.resume.setEnabled(status.resumable and not cancelling)
        self.resume.setText("Follow again" if left else "Resume")
        self.resume.setToolTip(FOLLOW.format(status.machine) if left else RESUME)
        as_before = bool(status.best) and status.best_epoch == 0
        self.use.setEnabled(status.model is not None and status.job in USE and not as_before)
        self.use.setToolTip(AS_BEFORE if as_before else USE.get(status.job, ""))
        self._origin = self._origin or origin(self.job.run)  # settled once, some seconds after the start
        said = [self._origin, f"{AS_BEFORE}." if as_before and not alive else "", status.notes]
        self.origin.setText("\n".join(filter(None, said)))
        self.origin.setVisible(bool(self.origin.text()))
        self.before_after.setEnabled(status.model is not None)
        self.before_after.setVisible(status.job == "finetune")
        self.report.setEnabled(True)
        if self._was_alive and not alive:
            self._was_alive = False
            self.ended.emit(status)
        elif alive:
            self._was_alive = True

    @report_errors
    def _tick(self) -> None:
        self.refresh()

    def _show_state(self, word: str, message: str) -> None:
        name = self._name or (self.run.name if self.run is not None else "")
        self.state.setText("\n".join([f"{name}: {word}", *message.splitlines()]))

    def _show_warnings(self, events: Iterable[dict[str, Any]]) -> None:
        for event in events:
            if event["event"] == "open":  # of an earlier life: it is said again where it still holds
                self._warnings.clear()
            elif event["event"] == "warning":
                self._warnings.append(str(event.get("message", "")))
        self.warnings.setText("\n".join(f"⚠ {sentence}" for sentence in self._warnings))
        self.warnings.setVisible(bool(self._warnings))

    def _show_gone(self) -> None:
        self._timer.stop()
        self._show_state("gone", "Its folder cannot be read any more; it was moved or deleted.")
        for made in (self.stop, self.cancel, self.resume, self.use, self.before_after, self.report):
            made.setEnabled(False)
        for widget in (self.bar, self.facts, self.origin):
            widget.hide()

    def _stop(self) -> None:
        if self.job is not None:
            self.job.stop()
            self.refresh()

    def _cancel(self) -> None:
        job = self.job
        if job is None:
            return
        status = job.status()
        lost = "What it has learned since its last saved state is lost."
        if status.machine:
            lost = f"What it has learned is lost: nothing of it stays on {status.machine}, and it cannot be resumed."
        if confirmed(self, "Cancel the run", f"End {self._name} now? {lost}"):
            self._cancelling = job.run
            self.refresh()
            run_in_background(self, job.cancel, self._cancelled, self._not_cancelled, waits=True)

    def _cancelled(self, _: object = None) -> None:
        self._cancelling = None
        self.refresh()

    def _not_cancelled(self, error: Exception) -> None:
        report_error(error)
        self._cancelled()

    def _resume(self) -> None:
        if self.job is not None:
            status = self.job.status()
            if status.whereabouts == "sending" and not self._may_be_sent(status):
                return
            job = jobs.resume(self.job.run)
            self.show_run(job)
            self.resumed.emit(job)

    def _may_be_sent(self, status: jobs.RunStatus) -> bool:
        """What did not come to its machine is listed again: files may have changed since."""
        config = load_config(status.run)
        if not isinstance(config, FinetuneConfig | Pretraining):
            raise RunError(f"the run in {status.run} is none of this panel's; resume it on the command line")
        return SendDialog(config, status.machine, self).ask()

    def _use(self) -> None:
        if self.job is not None and (model := self.job.status().model) is not None:
            self.use_model.emit(model)

    def _compare(self) -> None:
        self.compare.emit(self.run)

    def _report(self) -> None:
        if self.job is not None:
            copy(jobs.report(self.job.run))
            inform("The report is in the clipboard.")


def _facts(status: jobs.RunStatus) -> list[str]:
    facts: list[str] = []
    if status.eta is not None and status.alive:
        facts.append(f"{_span(status.eta)} left")
    if status.device:
        device, of, there = status.device.partition(" of ")
        facts.append(f"on {device.upper()}{of}{there}")
    if status.memory:
        facts.append(f"{status.memory / 1e9:.1f} GB at most")
    return facts


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
