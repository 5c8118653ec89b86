"""A run is started, followed, stopped, cancelled, lost and found again; its process is a real one."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from napari_vasomim.runs import jobs
from napari_vasomim.runs.folder import RunFolder
from napari_vasomim.runs.jobs import Job, attach, list_runs, new_run_folder, report, resume, start
from vasomim_core.config import FinetuneConfig
from vasomim_core.errors import RunError
from vasomim_core.training.events import FILE, EventLog, Follower, read_events
from vasomim_core.training.runs import exclusive, load_config, save_config

pytestmark = [pytest.mark.usefixtures("no_orphans"), pytest.mark.once]


@pytest.fixture
def config(endless) -> FinetuneConfig:
    """A run of a second and a half once torch is there."""
    return replace(endless, training=replace(endless.training, epochs=2))


def until(job: Job, *states: str, epoch: int = 0) -> jobs.RunStatus:
    deadline = time.monotonic() + 120
    while (status := job.status()).state not in states or status.epoch < epoch:
        assert time.monotonic() < deadline, status
        assert status.alive, status
        time.sleep(0.02)
    return status


def test_a_run_goes_through_its_states_to_a_model_whatever_another_one_does(config, endless, tmp_path):
    other = start(replace(endless, run=tmp_path / "other"))
    job = start(config)
    pid = job.status().pid
    assert pid != other.status().pid
    if sys.platform != "win32":
        assert os.getsid(pid) == pid
    seen, follower, events = [], Follower(config.run), []
    while (status := job.status()).alive:
        seen.append(status.state)
        events += follower.new_events()
        time.sleep(0.02)
    events += follower.new_events()
    assert seen == sorted(seen, key=("starting", "preparing", "running").index)
    assert events == list(read_events(config.run))
    assert (status.state, status.epoch, status.epochs, status.progress) == ("finished", 2, 2, 1.0)
    assert status.model == config.run / "model.safetensors"
    assert status.model.is_file()
    assert status.best["dsc"] >= status.scores["dsc"] >= 0
    assert status.message.startswith("Finished; best DSC")
    assert load_config(config.run) == config
    with pytest.raises(RunError, match="is finished"):
        resume(config.run)
    with pytest.raises(RunError, match="not empty"):
        start(config)

    until(other, "running")
    other.leave()
    again = attach(other.run)
    assert again.status().state == "running"
    process = psutil.Process(again.status().pid)
    again.cancel()
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert again.status().state == attach(other.run).status().state == "cancelled"
    assert load_config(other.run) == replace(endless, run=other.run)
    assert [s.run.name for s in list_runs(tmp_path)] == ["run", "other"]
    assert list_runs(tmp_path)[0] == status


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has priority classes")
def test_a_run_has_the_lowest_priority(config, monkeypatch):
    monkeypatch.setattr(jobs, "LOWEST", 19)
    job = start(config)
    pid = job.status().pid
    assert psutil.Process(pid).nice() == 19
    group = Path(f"/proc/{pid}/autogroup")
    assert not group.exists() or group.read_text().endswith("nice 19\n")
    job.cancel()


def test_stop_keeps_a_model_and_resume_goes_on(endless):
    job = start(endless)
    until(job, "running", epoch=1)
    job.stop()
    assert job.status().state in ("stopping", "stopped")
    stopped = job.wait(60)
    assert stopped.state == "stopped"
    assert stopped.model is not None
    assert "resume" in stopped.message
    shorter = replace(endless, training=replace(endless.training, epochs=stopped.epoch + 2))
    save_config(endless.run / "config.yaml", shorter)
    again = resume(endless.run)
    assert again.status().state == "starting"
    with pytest.raises(RunError, match="still running"):
        resume(endless.run)
    done = again.wait(120)
    assert (done.state, done.epoch) == ("finished", stopped.epoch + 2)


def test_cancel_and_stop_work_before_the_process_has_said_anything(config, tmp_path):
    cancelled, stopped = start(config), start(replace(config, run=tmp_path / "other"))
    cancelled.cancel()
    stopped.stop()
    assert cancelled.status().state == "cancelled"
    status = stopped.wait(30)
    assert (status.state, status.model) == ("stopped", None)
    assert "before there was a model" in status.message


def test_a_killed_process_is_a_failure_with_a_reason(endless):
    job = start(endless)
    status = until(job, "running")
    with open(endless.run / "output.log", "a") as log:
        log.write("the last words\n")
    os.kill(status.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    ended = job.wait(30)
    assert ended.state == "failed"
    if sys.platform != "win32":
        assert "SIGKILL" in ended.message
    assert "the last words" in ended.message
    assert attach(endless.run).status() == ended


def test_a_process_that_nobody_saw_die_is_lost(config):
    save_config(config.run / "config.yaml", config)
    EventLog(config.run).write("open", job="finetune", pid=os.getpid())  # alive, but no process of ours
    assert attach(config.run).status().state == "lost"
    job = attach(config.run)
    job.stop()
    job.cancel()
    assert job.status().state == "lost"


def test_a_process_that_has_no_command_yet_is_ours(config, monkeypatch):
    """As in the instant between the start of a process and its first instruction."""
    save_config(config.run / "config.yaml", config)
    EventLog(config.run).write("spawn", job="finetune", pid=os.getpid())
    monkeypatch.setattr(psutil.Process, "cmdline", lambda self: [])
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 0.0)
    assert attach(config.run).status().state == "starting"


def test_bad_labels_end_in_the_sentence_of_the_command_line(config, tmp_path):
    (tmp_path / "nothing").mkdir()
    status = start(replace(config, labels=tmp_path / "nothing")).wait(60)
    assert status.state == "failed"
    assert status.message.startswith(f"{tmp_path / 'nothing'} holds no labels")
    assert status.message.count("holds no labels") == 1


def test_a_process_that_cannot_begin_is_a_failure_with_its_output(config, monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such interpreter >&2\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    status = start(config).wait(30)
    assert status.state == "failed"
    assert "code 7" in status.message
    assert "no such interpreter" in status.message


def test_a_process_without_a_sign_of_life_is_given_up(config, monkeypatch, tmp_path):
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hanging))
    monkeypatch.setattr(jobs, "PATIENCE", 0.2)
    job = start(config)
    while job.status().alive:
        time.sleep(0.02)
    assert "did not begin to work" in job.status().message


def test_a_broken_folder_is_listed_with_its_reason_and_hides_no_other(tmp_path, config):
    save_config(tmp_path / "good" / "config.yaml", config)
    broken = {"empty": "", "foreign": "job: paint\n", "binary": "\0\1", "list": "job: []\n", "long": "j" * 10**6}
    for name, text in broken.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
    (tmp_path / "folder" / "config.yaml").mkdir(parents=True)
    (tmp_path / "no run").mkdir()
    found = {s.run.name: s for s in list_runs(tmp_path)}
    assert found.keys() == {"good", "folder", *broken}
    for name in ("folder", *broken):
        assert (found[name].state, found[name].job) == ("unreadable", "")
        assert "config.yaml" in found[name].message
        with pytest.raises(RunError, match="holds no run"):
            attach(tmp_path / name)
    assert found["good"].state == "lost"
    assert list_runs(tmp_path / "missing") == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.timeout(60)
def test_a_named_pipe_in_a_run_folder_is_not_waited_for(tmp_path, config):
    for name in ("config.yaml", FILE, "output.log"):
        run = tmp_path / name
        if name != "config.yaml":
            save_config(run / "config.yaml", config)
        run.mkdir(exist_ok=True)
        os.mkfifo(run / name)
    states = {s.run.name: s.state for s in list_runs(tmp_path)}
    assert states == {"config.yaml": "unreadable", FILE: "unreadable", "output.log": "lost"}
    for run in (tmp_path / FILE, tmp_path / "output.log"):
        with pytest.raises(RunError):
            resume(run)


HOSTILE = [
    "[" * 100_000,
    '{"event": "validation", "step": 1, "epoch": 1, "scores": [1]}',
    '{"event": "validation", "step": 1, "epoch": 1, "scores": {"dsc": "much"}}',
    '{"event": "validation", "step": 1, "epoch": 1, "scores": {"dsc": NaN}}',
    '{"event": "validation", "step": "x", "epoch": 1, "scores": {"dsc": 1}}',
    '{"event": "step", "step": 1, "loss": "low"}',
    '{"event": "step", "step": 1, "eta": 1e999}',
    '{"event": "step", "step": -1}',
    '{"event": "start", "pid": 99999999999999999999, "steps": 3}',
    '{"event": "start", "pid": 1, "time": 1e300}',
    '{"event": "start", "pid": 1, "steps": ' + "9" * 6000 + "}",
    '{"event": "end"}',
    '{"event": "end", "reason": ["finished"]}',
    '{"event": ["end"]}',
    '{"event": "warning", "message": {"a": 1}}',
    '"event"',
]


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: line[:60])
def test_a_hostile_line_is_counted_and_passed_over(tmp_path, config, line):
    save_config(tmp_path / "config.yaml", config)
    good = [
        '{"event": "start", "steps": 10, "epochs": 5, "pid": 0, "time": 1.5}',
        '{"event": "step", "step": 4, "epoch": 2, "loss": 0.5, "eta": 3.0}',
    ]
    (tmp_path / FILE).write_text("\n".join([good[0], line + "}" * (line[0] == "["), good[1], '{"event": "st']) + "\n")
    assert [e["event"] for e in read_events(tmp_path)] == ["start", "step"]
    status = attach(tmp_path).status()
    assert (status.state, status.epoch, status.progress) == ("lost", 2, 0.4)
    if line != '"event"':  # which might be the rest of a line that a kill has cut
        assert "1 line of events.jsonl cannot be read (line 2: " in status.message
    assert len(status.message) < 400
    assert report(tmp_path)


def test_a_second_process_is_refused_and_told_who_works_there(config):
    save_config(config.run / "config.yaml", config)
    with exclusive(config.run), pytest.raises(RunError, match=rf"in use: .* process {os.getpid()} on "):
        resume(config.run)
    assert not (config.run / "output.log").exists()


@pytest.mark.timeout(300)
def test_of_two_windows_that_resume_at_once_one_does(endless):
    save_config(endless.run / "config.yaml", endless)
    together = threading.Barrier(2)

    def go_on(_: int) -> Job | RunError:
        together.wait()
        try:
            return resume(endless.run)
        except RunError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(go_on, range(2)))
    (job,) = [answer for answer in answers if isinstance(answer, Job)]
    until(job, "running")
    assert job.status().pid == job.pid
    job.cancel()


def test_the_computer_is_said_to_be_busy_while_nothing_is_heard(config, monkeypatch):
    save_config(config.run / "config.yaml", config)
    EventLog(config.run).write("spawn", job="finetune", pid=os.getpid())
    folder = RunFolder(config.run)
    monkeypatch.setattr(psutil, "getloadavg", lambda: (7.5, 0.0, 0.0))
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 2)
    assert "busy (3.8 ×" in folder.status(alive=True).message
    EventLog(config.run).write("start", steps=100, epochs=5)
    assert "busy" in folder.status(alive=True).message
    EventLog(config.run).write("pace", step=1, epoch=1, eta=300.0)  # after the first step, long before its loss is read
    status = folder.status(alive=True)
    assert (status.eta, status.progress) == (300.0, 0.01)
    assert "busy" not in status.message
    monkeypatch.setattr(psutil, "getloadavg", lambda: (1.0, 0.0, 0.0))
    assert "busy" not in RunFolder(config.run).status(alive=True).message


def test_a_run_in_the_queue_of_a_cluster_says_for_what_it_waits(config):
    save_config(config.run / "config.yaml", config)
    log, folder = EventLog(config.run), RunFolder(config.run)
    log.write("open", job="finetune", pid=os.getpid())
    waits = "Waits in the queue of cluster for resources that others use."
    for event in ("queue", "start", "queue"):  # put back into it after it had begun
        log.write(event, **({"message": waits} if event == "queue" else {"steps": 10, "epochs": 5}))
        status = folder.status(alive=True)
        assert status.state == ("preparing" if event == "queue" else "running")
        assert status.message.startswith(waits) == (event == "queue")


def test_the_follower_waits_for_half_a_line(tmp_path):
    follower = Follower(tmp_path)
    assert follower.new_events() == []
    EventLog(tmp_path).write("prepare", done=1, total=2)
    with open(tmp_path / FILE, "a") as file:
        file.write('{"event": "prepare", ')
    assert [e["done"] for e in follower.new_events()] == [1]
    with open(tmp_path / FILE, "a") as file:
        file.write('"done": 2}\n')
    assert [e["done"] for e in follower.new_events()] == [2]
    assert follower.new_events() == []


def test_what_a_resumed_run_repeats_is_taken_back(tmp_path, config):
    save_config(tmp_path / "config.yaml", config)
    log = EventLog(tmp_path)
    log.write("start", steps=10, epochs=10, resumed=0, pid=0)
    for step, dsc in ((1, 50.0), (2, 90.0)):
        log.write("step", step=step, epoch=step)
        log.write("validation", step=step, epoch=step, scores={"dsc": dsc})
    log.write("start", steps=10, epochs=10, resumed=1, pid=0)
    status = attach(tmp_path).status()
    assert (status.progress, dict(status.best)) == (0.1, {"dsc": 50.0})


def test_a_new_folder_is_made_once_also_for_two_windows_at_the_same_instant(tmp_path):
    together = threading.Barrier(8)

    def make(_: int) -> Path:
        together.wait()
        return new_run_folder(tmp_path / "runs", "same")

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(8)))
    assert len(set(made)) == 8
    assert all(path.is_dir() for path in made)
    first = new_run_folder(tmp_path, "left / right: 2")
    assert (first.name, new_run_folder(tmp_path, "left / right: 2").name) == ("left-right-2", "left-right-2-2")
    assert new_run_folder(tmp_path, "../..").parent == tmp_path


def test_a_report_names_nobody(tmp_path, config, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home" / "doctor")
    labels = tmp_path / "home" / "doctor" / "Patient Smith"
    run = tmp_path / "home" / "doctor" / "runs" / "smith"
    save_config(run / "config.yaml", replace(config, labels=labels, run=run, init=str(labels / "smith.pth")))
    log = EventLog(run)
    log.write("warning", message="1 of 9 labelled frames (first: smith^john_(2)) have an empty mask")
    log.write("end", reason="failed", message=f"{labels}/images/Smith John 1.png has no mask: {labels}/masks/Smith is")
    (run / "output.log").write_text(
        f"OSError: /media/smith/other disk/x: gone\n{run}/state.pt\n{Path.home()}/smith.txt"
    )
    text = report(run)
    assert "smith" not in text.lower()
    assert "doctor" not in text
    assert "has no mask" in text
    assert "RUN" in text
    assert "learning_rate: 0.001" in text
