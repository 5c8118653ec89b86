"""Runs wait for those before them: one at a time, in an order that can be changed, known by their folders alone."""

from __future__ import annotations

import psutil
import pytest

from napari_vasomim.runs import jobs, queue
from napari_vasomim.runs.folder import QUEUED
from vasomim_core.config import FinetuneConfig, Training
from vasomim_core.errors import RunError
from vasomim_core.locks import locked
from vasomim_core.training.events import EventLog
from vasomim_core.training.runs import _check_room, load_config

pytestmark = pytest.mark.once


@pytest.fixture
def alive(monkeypatch):
    """The runs whose process lives: those that were begun, until they are taken out of here. Nothing trains."""
    living = set()

    def spawn(run, job, arguments):
        assert arguments == ["--config", str(run / "config.yaml"), "--run", str(run)]
        assert _check_room(load_config(run)) is False  # the process will find room in its folder
        EventLog(run).write("spawn", job=job, pid=1)
        living.add(run)
        return jobs.Job(run)

    monkeypatch.setattr(jobs, "_spawn", spawn)
    monkeypatch.setattr(jobs.RunFolder, "process", lambda self: psutil.Process() if self.run in living else None)
    return living


def waiting(folder, *names):
    for name in names:
        queue.enqueue(FinetuneConfig(folder.parent / "labels", folder / name, training=Training(epochs=1)))
    return [folder / name for name in names]


def states(folder):
    return {status.run.name: status.state for status in jobs.list_runs(folder)}


def test_one_at_a_time_in_their_order(tmp_path, alive):
    folder = tmp_path / "runs"
    a, b, c = waiting(folder, "a", "b", "c")
    assert states(folder) == {"a": "waiting", "b": "waiting", "c": "waiting"}
    assert queue.busy(folder)
    queue.reorder([c, a, b])
    assert [status.run.name for status in jobs.list_runs(folder)] == ["c", "a", "b"]
    assert queue.begin_next(folder).run == c
    assert queue.begin_next(folder) is None  # c is alive
    assert states(folder) == {"a": "waiting", "b": "waiting", "c": "starting"}
    queue.reorder([c, b, a])  # c has begun
    assert not (c / QUEUED).exists()
    EventLog(c).write("end", reason="failed", message="")
    alive.clear()
    with locked(folder / queue.LOCK):  # another window is about it
        assert queue.begin_next(folder) is None
    assert queue.begin_next(folder).run == b
    assert jobs.begin(a).run == a  # out of its turn, beside b
    assert alive == {a, b}
    alive.clear()
    assert queue.begin_next(folder) is None
    assert not queue.busy(folder)


def test_what_cannot_begin_says_so_and_waits_no_more(tmp_path, alive, monkeypatch):
    (run,) = waiting(tmp_path / "runs", "a")
    (run / QUEUED).write_text("first")
    assert states(run.parent) == {"a": "lost"}  # no place that can be read
    (run / QUEUED).write_text("1")

    def fails(*_):
        raise RunError("there is no memory for a process")

    monkeypatch.setattr(jobs, "_spawn", fails)
    with pytest.raises(RunError, match="no memory"):
        queue.begin_next(run.parent)
    (status,) = jobs.list_runs(run.parent)
    assert status.state == "failed"
    assert "no memory" in status.message
    with pytest.raises(RunError, match="does not wait"):
        jobs.begin(run)
    with pytest.raises(RunError, match="not empty"):
        waiting(run.parent, "a")
