"""A run on another machine as its folder tells of it; who follows it is a stand-in."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace

import psutil
import pytest

from napari_vasomim.runs import jobs, queue
from napari_vasomim.runs.folder import RunFolder
from vasomim_core.config import FinetuneConfig
from vasomim_core.errors import RemoteError, RunError
from vasomim_core.remote import running
from vasomim_core.remote.connection import Lost
from vasomim_core.remote.machines import Machine, save_machine
from vasomim_core.remote.place import Place, place_of
from vasomim_core.training.events import EventLog, read_events
from vasomim_core.training.runs import _make_room, load_config, save_config

pytestmark = [pytest.mark.usefixtures("no_orphans"), pytest.mark.once]


@pytest.fixture
def config(tmp_path) -> FinetuneConfig:
    return FinetuneConfig(tmp_path / "labels", tmp_path / "runs" / "run")


@pytest.fixture
def place(config) -> Place:
    """The run is being sent."""
    save_config(config.run / "config.yaml", config)
    made = Place("department")
    made.write(config.run)
    return made


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Starts a shell script in the place of Python: `stand_in("exit 1")`."""

    def written(script: str) -> None:
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return written


def test_every_state_has_its_words(config, place):
    run, log, folder = config.run, EventLog(config.run), RunFolder(config.run)

    def told(alive=True):
        status = folder.status(alive=alive)
        return status.state, status.message.splitlines()[0]

    log.write("spawn", job="finetune", pid=1)
    assert told() == ("starting", "Asks department what it is.")
    log.write("open", job="finetune", pid=1)
    log.write("prepare", done=3, total=6)
    assert told() == ("preparing", "Reads frames: 3 of 6. Nothing is sent to department before all are read.")
    log.write("sent", done=1_500_000, total=6_000_000)
    assert told() == ("sending", "Sends what it reads: 1.5 MB of 6 MB.")
    assert told(alive=False)[0] == "lost"
    place.now("there", run)
    assert told() == ("preparing", "Begins on department.")
    place.write(run)
    log.write("unreachable", message="department (far) cannot be reached; tries again in 4 s")
    assert told() == ("cut off", "department (far) cannot be reached; tries again in 4 s.")
    place.now("there", run)
    log.write("prepare", done=6, total=6)
    assert told() == ("preparing", "Reads frames: 6 of 6.")
    log.write("open", job="finetune", pid=1)
    assert told() == ("preparing", "Finds the run on department again.")
    log.write("start", steps=10, epochs=5, resumed=0, pid=1, device="cpu of department")
    log.write("step", step=2, epoch=1, loss=0.5, eta=9.0)
    assert told() == ("running", "Trains: epoch 1 of 5.")
    log.write("unreachable", message="department (far) cannot be reached; tries again in 8 s")
    assert told() == (
        "cut off", "department (far) cannot be reached; tries again in 8 s. Meanwhile the run goes on there.",
    )  # fmt: skip
    log.write("stop")
    assert told()[0] == "stopping"
    assert "as soon as department can be reached again" in told()[1]
    log.write("reached")
    assert told() == ("stopping", "Stops after the step in hand and keeps its model.")
    assert told(alive=False) == ("not followed", "Is on department and goes on there; nobody here follows it.")
    status = folder.status(alive=False)
    assert (status.machine, status.whereabouts, status.resumable, status.alive) == ("department", "there", True, False)
    log.write("end", reason="stopped", message="")
    assert told(alive=False)[1].endswith("What resuming needs stays on department until the run has ended.")
    place.now("gone", run)
    log.write("end", reason="cancelled", message="")
    assert told(alive=False)[1].startswith("Cancelled; nothing of it is on department any more.")
    assert not folder.status(alive=False).resumable
    with pytest.raises(RunError, match="nothing of the run"):
        jobs.resume(run)


def test_stopped_before_it_began_is_no_failure(config, place):
    log = EventLog(config.run)
    log.write("stop")
    log.write("end", reason="failed", message="the run was stopped before it began")
    assert jobs.attach(config.run).status().state == "stopped"
    place.now("there", config.run)
    assert jobs.attach(config.run).status().state == "failed"


def test_where_a_run_is_cannot_be_read(config, place):
    (config.run / "remote.json").write_text("{}")
    (status,) = jobs.list_runs(config.run.parent)
    assert status.state == "unreadable"
    assert "remote.json does not say where the run is" in status.message


def test_it_is_never_taken_for_one_of_this_computer(config, monkeypatch):
    spawned = []
    monkeypatch.setattr(jobs, "_spawn", lambda run, job, arguments: spawned.append(arguments) or jobs.Job(run))
    jobs.start(config, "department")
    assert spawned == [["--config", str(config.run / "config.yaml"), "--run", str(config.run), "--on", "department"]]
    assert place_of(config.run).machine == "department"  # before its process has said anything
    jobs.resume(config.run)
    assert spawned[1:] == [["--resume", str(config.run)]]
    _make_room(load_config(config.run))  # whoever takes the folder up says anew where it is
    assert place_of(config.run) is None


@pytest.mark.parametrize(("where", "state"), [("there", "not followed"), ("sending", "failed")])
def test_a_follower_that_ends_says_nothing_of_a_run_that_goes_on(config, stand_in, where, state):
    stand_in("echo 'vasomim finetune: department (far) cannot be reached (no route)' >&2\nexit 1")
    job = jobs.start(config, "department")
    place_of(config.run).now(where, config.run) if where == "there" else None
    status = job.wait(30)
    assert (status.state, status.resumable) == (state, True)
    assert "cannot be reached (no route)" in status.message
    assert ("end" in [event["event"] for event in read_events(config.run)]) == (state == "failed")


def test_cancel_ends_who_follows_and_then_the_run_there(config, stand_in, monkeypatch):
    stand_in("exec sleep 600")
    asked = []

    def cancel(run):
        asked.append(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
        if len(asked) == 1:
            raise Lost("department (far) cannot be reached")
        place_of(run).now("gone", run)
        EventLog(run).write("end", reason="cancelled", message="")

    monkeypatch.setattr(running, "cancel", cancel)
    job = jobs.start(config, "department")
    pid = job.status().pid
    place_of(config.run).now("there", config.run)
    with pytest.raises(RemoteError, match="cannot be reached"):
        job.cancel()
    assert job.status().state == "not followed"  # it goes on there, and that is said
    job.cancel()
    assert job.status().state == "cancelled"
    assert asked == [False, False]


def test_a_follower_may_wait_long_for_an_answer(config, stand_in, monkeypatch):
    stand_in("exec sleep 600")
    monkeypatch.setattr(jobs, "PATIENCE", 0.0)
    monkeypatch.setattr(running, "cancel", lambda run: None)
    job = jobs.start(config, "department")
    time.sleep(0.05)
    assert job.status().state == "starting"
    job.cancel()


def test_runs_elsewhere_neither_wait_nor_are_waited_for(config, place, monkeypatch):
    EventLog(config.run).write("spawn", job="finetune", pid=1)
    monkeypatch.setattr(jobs.RunFolder, "process", lambda self: psutil.Process() if self.run == config.run else None)
    monkeypatch.setattr(jobs, "_spawn", lambda run, job, arguments: jobs.Job(run))
    folder = config.run.parent
    assert not queue.busy(folder)
    queue.enqueue(replace(config, run=folder / "local"))
    assert queue.busy(folder)
    assert queue.begin_next(folder).run == folder / "local"


def test_a_report_does_not_name_the_machine(config, place):
    save_machine("department", Machine("muster@gpu.hospital.example"))
    said = "department (muster@gpu.hospital.example) cannot be reached (gpu.hospital.example: no route)"
    EventLog(config.run).write("unreachable", message=said)
    text = jobs.report(config.run)
    assert "MACHINE (HOST) cannot be reached (HOST: no route)" in text
    assert "hospital" not in text
    assert os.environ["VASOMIM_MACHINES"] not in text
