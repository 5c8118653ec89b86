"""One run followed live: what is shown of each state, and what its buttons do to the process."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_vasomim.runs import jobs
from napari_vasomim.widgets.run_view import RunView
from vasomim_core.config import FinetuneConfig
from vasomim_core.models import catalogue
from vasomim_core.training.events import EventLog
from vasomim_core.training.runs import save_config

from ..mouse import click

GB = 10**9


pytestmark = pytest.mark.usefixtures("no_orphans")


@pytest.fixture
def config(endless, tmp_path) -> FinetuneConfig:
    """A run that goes on for longer than a test waits, in a folder that names a person."""
    return replace(endless, run=tmp_path / "Run of Smith")


@pytest.fixture
def view(qtbot) -> RunView:
    made = RunView()
    qtbot.addWidget(made)
    made.resize(340, 500)
    return made


@pytest.fixture
def log(config, view) -> EventLog:
    """The events of a run that only pretends: its process is this one."""
    save_config(config.run / "config.yaml", config)
    made = EventLog(config.run)
    made.write("open", job="finetune", pid=os.getpid())
    return made


def alive(monkeypatch, living):
    monkeypatch.setattr(jobs.RunFolder, "process", lambda self: psutil.Process() if living else None)


def able(view):
    names = ("stop", "cancel", "resume", "use", "before_after", "report")
    return {name for name in names if getattr(view, name).isEnabled()}


def until(qtbot, view, *states):
    qtbot.waitUntil(lambda: view.job.status().state in states, timeout=120_000)
    view.refresh()
    return view.job.status()


def test_without_a_run_there_is_nothing_to_see(view):
    assert view.isHidden()
    assert view.run is None
    view.refresh()


def test_each_state_has_its_words_and_buttons(view, log, config, monkeypatch):
    alive(monkeypatch, True)
    view.show_run(jobs.attach(config.run))
    assert "preparing" in view.state.text()
    assert able(view) == {"stop", "cancel", "report"}
    log.write("prepare", done=3, total=6)
    view.refresh()
    assert "3 of 6" in view.state.text()
    log.write("start", steps=100, epochs=50, resumed=0, pid=os.getpid(), device="cuda:0")
    log.write("step", step=25, epoch=13, loss=0.5, eta=600.0, memory=2 * GB)
    log.write("validation", step=25, epoch=13, scores={"dsc": 71.0}, best=71.0, improved=True)
    view.refresh()
    assert "running\nTrains: epoch 13 of 50; best DSC 71.0 % at epoch 13." in view.state.text()
    assert view.bar.value() == 250
    assert not view.bar.isHidden()
    assert view.facts.text() == "10 min left · on CUDA:0 · 2.0 GB at most"
    assert view.curves.best() == (13, 71.0)
    shutil.copyfile(catalogue.find_model("vasomim-demo"), config.run / "model.safetensors")
    log.write("stop")
    view.refresh()
    assert "Stops after the step in hand" in view.state.text()
    assert able(view) == {"cancel", "use", "before_after", "report"}
    log.write("end", reason="patience", message="")
    alive(monkeypatch, False)
    view.refresh()
    assert "scores did not rise any more" in view.state.text()  # why it stopped is never a secret
    assert able(view) == {"use", "before_after", "report"}
    assert view.bar.isHidden()


def test_warnings_of_the_run_are_shown_and_those_of_an_earlier_life_are_not(view, log, config, monkeypatch):
    alive(monkeypatch, True)
    view.show_run(jobs.attach(config.run))
    assert view.warnings.isHidden()
    log.write("warning", message="memory did not suffice; batches are now computed in 2 parts <b>")
    view.refresh()
    assert "computed in 2 parts <b>" in view.warnings.text()
    assert not view.warnings.isHidden()
    log.write("open", job="finetune", pid=os.getpid())
    view.refresh()
    assert view.warnings.isHidden()


def test_a_folder_that_goes_or_breaks_is_said_once(view, log, config, notifications):
    view.show_run(jobs.attach(config.run))
    log.write("step", nothing=1)
    log.write("validation", scores=None)
    view.refresh()
    shutil.rmtree(config.run)
    view.refresh()
    assert "moved or deleted" in view.state.text()
    assert able(view) == set()
    assert notifications == []


@pytest.mark.once  # of processes and files, not of Qt
@pytest.mark.timeout(300)
def test_a_kill_is_a_failure_resume_goes_on_and_a_later_window_stops_it(qtbot, view, config, notifications):
    view.show_run(jobs.start(config))
    assert "starting" in view.state.text()
    ends, resumed = [], []
    view.ended.connect(ends.append)
    view.resumed.connect(resumed.append)
    qtbot.waitUntil(lambda: view.curves.best() is not None, timeout=120_000)  # the view follows by itself
    with open(config.run / "output.log", "a") as output:
        output.write(f"Traceback:\nlast words of {config.labels}/Smith.png\n")
    os.kill(view.job.status().pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    until(qtbot, view, "failed")
    assert [end.state for end in ends] == ["failed"]
    assert "SIGKILL" in view.state.text()
    assert "last words" in view.state.text()
    click(qtbot, view.report)
    report = QApplication.clipboard().text()
    assert "last words" in report
    assert "Smith" not in report.replace(config.run.name, "")
    for path in (config.labels, config.run.parent, Path.home()):
        assert str(path) not in report
    assert "clipboard" in notifications.pop().message

    click(qtbot, view.resume)
    assert resumed == [view.job]
    until(qtbot, view, "running")
    qtbot.waitUntil(lambda: view.curves.best() is not None, timeout=120_000)
    view.job.leave()
    view.show_run(jobs.attach(config.run))
    assert view.curves.best() is not None
    click(qtbot, view.stop)
    status = until(qtbot, view, "stopped")
    assert [end.state for end in ends] == ["failed", "stopped"]
    assert catalogue.read_card(status.model).kind == "segmentation model"
    assert able(view) == {"resume", "use", "before_after", "report"}


@pytest.mark.timeout(300)
def test_cancel_asks_and_leaves_no_process(qtbot, view, config, monkeypatch):
    view.show_run(jobs.start(config))
    pid = view.job.status().pid
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "exec_", lambda _: answers.pop(0))
    click(qtbot, view.cancel)
    assert psutil.pid_exists(pid)
    ends, go, cancel = [], threading.Event(), view.job.cancel
    view.ended.connect(ends.append)
    monkeypatch.setattr(view.job, "cancel", lambda: go.wait(20) and cancel())
    click(qtbot, view.cancel)  # comes back before the process has ended
    assert psutil.pid_exists(pid)
    go.set()
    qtbot.waitUntil(lambda: bool(ends), timeout=20_000)
    assert [end.state for end in ends] == ["cancelled"]
    assert not psutil.pid_exists(pid)
    assert able(view) == {"resume", "report"}


def test_the_model_that_a_run_started_from_is_not_offered_as_its_own(view, log, config, monkeypatch):
    alive(monkeypatch, False)
    shutil.copyfile(catalogue.find_model("vasomim-demo"), config.run / "model.safetensors")
    log.write("start", steps=100, epochs=50, resumed=0, pid=os.getpid(), device="cpu")
    log.write("validation", step=0, epoch=0, scores={"dsc": 71.0}, best=71.0, improved=True)
    log.write("validation", step=100, epoch=50, scores={"dsc": 70.0}, best=71.0, improved=False)
    log.write("end", reason="finished", message="")
    view.show_run(jobs.attach(config.run))
    assert "that of the model it started from" in view.state.text()
    assert not view.use.isEnabled()
    assert "nothing new to use" in view.use.toolTip()
