"""Runs over a real SSH server: what comes back is what a run here leaves, and nothing stays there unasked."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.core.remote.conftest import NAME
from tests.core.training.test_resume import PRETRAINING, losses, vasomim
from vasomim_core.config import FinetuneConfig, Training
from vasomim_core.errors import ConfigError, RemoteError, RunError
from vasomim_core.remote import asked, copying, running
from vasomim_core.remote import far as far_side
from vasomim_core.remote.connection import Connection, Lost
from vasomim_core.remote.machine_check import look
from vasomim_core.remote.machines import Machine, save_machine
from vasomim_core.remote.place import Place, place_of
from vasomim_core.remote.running import Watcher, cancel, train_elsewhere
from vasomim_core.remote.sending import list_parcel
from vasomim_core.training.events import EventLog, read_events
from vasomim_core.training.finetune import finetune
from vasomim_core.training.runs import save_config

PATIENT = "MUELLER_ANNA"
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.timeout(1200),
]  # each run is a process that loads torch, on a machine that may be busy
TRAINING = Training(epochs=4, batch_size=4, device="cpu", precision="fp32", log_every=1, save_every=1)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(asked, "PAUSES", (0.05,))


@pytest.fixture
def config(labelled, tmp_path) -> FinetuneConfig:
    """Six frames in files and groups that are called like a patient."""
    labels = tmp_path / "near" / PATIENT
    for kind in ("images", "masks"):
        (labels / kind).mkdir(parents=True)
        for n in range(6):
            os.link(labelled / kind / f"{n}.png", labels / kind / f"{PATIENT} {n}.png")
    groups = {f"{PATIENT} {n}": {"group": f"{PATIENT} {'zyxw'[n // 2]}"} for n in range(6)}
    (labels / "frames.json").write_text(json.dumps(groups))
    return FinetuneConfig(
        labels, tmp_path / "run", architecture="unext", frame_size=64, input_size=64, training=TRAINING
    )


class Seen(Watcher):
    """Keeps what it is told, and does something about it."""

    def __init__(self, **does):
        self.does, self.sentences, self.steps, self.listings = does, [], [], []

    def listed(self, listing):
        self.listings.append(listing)

    def said(self, sentence):
        self.sentences.append(sentence)
        for words, action in self.does.items():
            if words in sentence:
                action()

    def event(self, event):
        if action := self.does.get(event["event"]):
            action()
        if event["event"] == "step":
            self.steps.append(event["step"])
            if action := self.does.get(f"step{event['step']}"):
                action()


def hidden_files(folder: Path) -> bytes:
    return b"".join(str(path).encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_run_that_is_cut_off_is_the_run_that_it_would_have_been_here(config, far, server, tmp_path):
    gate, there = tmp_path / "gate", []
    far.described(WAIT_FOR=gate)

    def cut_off():
        there.append(hidden_files(far.folder))
        server.cut_off()

    def back():
        if server.process is None:
            server.start()
            gate.touch()

    watcher = Seen(step3=cut_off, tries=back)
    outcome = train_elsewhere(config, NAME, watcher=watcher)
    assert outcome.reason == "finished"
    assert any("cannot be reached" in sentence for sentence in watcher.sentences)
    assert (watcher.listings[0].frames, watcher.listings[0].masks, watcher.listings[0].new) == (6, 6, 12)
    assert watcher.steps == [1, 2, 3, 4]
    assert b"images/frame-000005.png" in there[0]
    assert PATIENT.encode() not in there[0]
    assert b"MUELLER" not in there[0].upper()
    assert not far.folder.exists()
    assert not list(tmp_path.rglob("owned"))

    here = replace(config, run=tmp_path / "here")
    finetune(here)
    assert losses(config.run) == losses(here.run)
    for name in ("model.safetensors", "data.json"):
        assert (config.run / name).read_bytes() == (here.run / name).read_bytes()
    kinds = [event["event"] for event in read_events(here.run) if event["event"] != "prepare"]
    events = list(read_events(config.run))
    ways = ("prepare", "sent", "unreachable", "reached")
    assert [event["event"] for event in events if event["event"] not in ways] == kinds
    (sent, *_), (cut, *_), (back,) = ([e for e in events if e["event"] == way] for way in ways[1:])
    assert 0 < sent["done"] <= sent["total"]
    assert "cannot be reached" in cut["message"]
    assert cut["time"] < back["time"]
    assert {path.name for path in config.run.iterdir()} - {path.name for path in here.run.iterdir()} == {"remote.json"}
    with pytest.raises(RunError, match="is finished"):
        train_elsewhere(config, resume=True)


def test_a_run_that_was_left_is_found_again_stopped_and_cancelled(config, far, tmp_path, monkeypatch):
    gate = tmp_path / "gate"
    far.described(WAIT_FOR=gate)
    leave = Seen(step3=lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert train_elsewhere(config, NAME, watcher=leave).reason == "left"
    assert "end" not in [event["event"] for event in read_events(config.run)]

    with pytest.raises(RunError, match=f"is on {NAME}, not on other"):
        train_elsewhere(config, "other", resume=True)
    with pytest.raises(ConfigError, match="its own settings"):
        train_elsewhere(replace(config, training=replace(TRAINING, epochs=9)), resume=True)

    EventLog(config.run).write("stop")  # of an earlier life: it is not obeyed
    found_again = copying.Events.found_again

    def then_stop(events):
        found_again(events)
        EventLog(config.run).write("stop")

    monkeypatch.setattr(copying.Events, "found_again", then_stop)
    again = Seen(stops=gate.touch)
    outcome = train_elsewhere(config, resume=True, watcher=again)
    assert again.steps == []
    assert outcome.reason == "stopped"
    assert "vasomim machines --clean" in outcome.message
    assert (config.run / "model.safetensors").exists()
    events = list(read_events(config.run))
    starts = [event for event in events if event["event"] == "start"]
    assert [start["resumed"] for start in starts] == [0, 3]
    assert {start["pid"] for start in starts} == {os.getpid()}
    assert [event["step"] for event in events if event["event"] == "step"] == [1, 2, 3]
    assert far.files()

    cancel(config.run)
    assert not far.folder.exists()
    assert list(read_events(config.run))[-1]["reason"] == "cancelled"
    with pytest.raises(RunError, match="nothing of the run"):
        train_elsewhere(config, resume=True)


def test_a_killed_pretraining_goes_on_from_its_last_state(labelled, far, tmp_path, capsys):
    data = tmp_path / PATIENT
    frames = np.stack([np.random.default_rng(n).integers(60, 200, (80, 64), np.uint8) for n in range(3)])
    tifffile.imwrite(data.with_name("x.tif"), frames, photometric="minisblack")
    data.mkdir()
    data.with_name("x.tif").rename(data / f"{PATIENT}.tif")
    for n in range(5):
        os.link(labelled / "images" / f"{n}.png", data / f"{PATIENT} {n}.png")
    run = tmp_path / "run"
    options = ("--data", data, *PRETRAINING, "--epochs", 2)
    far.described(DIE_AT=3)
    assert vasomim("pretrain", *options, "--run", run, "--on", NAME) == 1
    said = capsys.readouterr().err
    assert f"sends to {NAME} (far:{far.folder}): 8 frames " in said
    assert "gone without a word" in said
    end = list(read_events(run))[-1]
    assert (end["reason"], "resuming it goes on" in end["message"]) == ("failed", True)
    assert PATIENT.encode() not in hidden_files(far.folder)
    far.described()
    assert vasomim("pretrain", "--resume", run) == 0
    assert not far.folder.exists()
    here = tmp_path / "here"
    assert vasomim("pretrain", *options, "--run", here) == 0
    assert losses(run) == losses(here)
    assert losses(run / "segmentor") == losses(here / "segmentor")
    for name in ("model.safetensors", "segmentor/model.safetensors"):
        assert (run / name).read_bytes() == (here / name).read_bytes()
    settings = (run / "segmentor" / "config.yaml").read_text()
    assert settings == (here / "segmentor" / "config.yaml").read_text().replace(str(here), str(run))


def test_several_processes_share_a_run_and_stop_together(config, far, capsys):
    far.machine = replace(far.machine, gpus=2)
    far.described(PACE=0.2)
    many = replace(config, training=replace(TRAINING, epochs=500, save_every=100))
    outcome = train_elsewhere(many, NAME, watcher=Seen(step3=lambda: signal.raise_signal(signal.SIGINT)))
    assert outcome.reason == "stopped"
    assert (config.run / "model.safetensors").exists()
    (start,) = [event for event in read_events(config.run) if event["event"] == "start"]
    assert start["processes"] == 2
    assert any(path.name == "state.pt" for path in far.files())
    far.machine = replace(far.machine, gpus=64)
    far.described()
    with pytest.raises(RemoteError, match=r"GPUs that torch can use, and runs there take 64"):
        list_parcel(replace(config, training=replace(TRAINING, device="auto")), NAME)


@pytest.mark.parametrize(
    ("known", "key", "words"),
    [
        ("unknown", "user", "not known yet"),
        ("changed", "user", "another host key"),
        ("known", "stranger", "does not let"),
    ],
)
def test_a_host_that_is_not_trusted_gets_nothing(config, far, server, known, key, words):
    machine = far.described()
    far.machine = replace(machine, ssh_config=server.config(known, key))
    far.described()
    with pytest.raises(RemoteError, match=words) as refused:
        train_elsewhere(config, NAME)
    assert not isinstance(refused.value, Lost)
    assert not config.run.exists()
    assert not far.folder.exists()


def test_what_would_be_sent_is_listed_and_not_sent(config, far, capsys):
    far.described()
    read = []
    listing, notes = list_parcel(config, NAME, progress=lambda done, total: read.append((done, total)))
    assert read[-1] == (6, 6)
    assert look(Connection(NAME, far.machine)).memory > 0
    assert (listing.frames, listing.masks, listing.new, listing.folder) == (6, 6, 12, str(far.folder))
    assert any("no GPU" in note for note in notes) or look(Connection(NAME, far.machine)).gpus
    assert not config.run.exists()
    assert not far.folder.exists()


def test_what_fails_at_once_leaves_nothing_but_frames_where_that_was_asked_for(config, far, capsys):
    far.machine = replace(far.machine, keep_frames=True)
    far.described(FAIL=1)
    with pytest.raises(RunError, match="it had saved no state"):
        train_elsewhere(config, NAME)
    assert sorted({path.suffix for path in far.files()}) == ["", ".bin"]
    assert len(far.files()) == 13
    again, seen = replace(config, run=config.run.with_name("again")), Seen()
    far.machine = replace(far.machine, keep_frames=False)
    far.described(FAIL=1)
    with pytest.raises(RunError, match="gone without a word"):
        train_elsewhere(again, NAME, watcher=seen)
    assert seen.listings[0].new == 0
    assert not far.folder.exists()


def test_what_is_left_there_of_a_finished_run_is_taken_away_and_it_stays_finished(config, monkeypatch):
    save_machine(NAME, Machine("far"))
    save_config(config.run / "config.yaml", config)
    (config.run / "model.safetensors").touch()
    EventLog(config.run).write("end", reason="finished", message="")
    Place(NAME, state="there").write(config.run)
    taken = []
    monkeypatch.setattr(running, "take_away", lambda connection, job: taken.append(job))
    cancel(config.run)
    cancel(config.run)
    assert taken == [place_of(config.run).job]
    assert list(read_events(config.run))[-1]["reason"] == "finished"


@pytest.mark.parametrize(("times", "reason"), [(1, "stopped"), (2, "cancelled")])
def test_ctrl_c_stops_a_run_and_twice_cancels_it(config, far, times, reason):
    far.described(READS_FOR_EVER=1)

    def interrupt():
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)

    seen = Seen(prepare=interrupt)
    assert train_elsewhere(config, NAME, watcher=seen).reason == reason
    assert list(read_events(config.run))[-1]["reason"] == reason
    assert not far.folder.exists()
    with pytest.raises(RunError, match="nothing of the run"):
        train_elsewhere(config, resume=True)


def test_a_run_that_is_stopped_while_it_is_sent_leaves_nothing(config, far):
    far.described()
    far.folder.mkdir()  # by the person, whose folder stays

    class Stops(Watcher):
        def sent(self, done, total):
            EventLog(config.run).write("stop")

    with pytest.raises(RunError, match="stopped before it began; nothing of it is on"):
        train_elsewhere(config, NAME, watcher=Stops())
    assert list(far.folder.iterdir()) == []
    assert list(read_events(config.run))[-1]["reason"] == "failed"


def test_versions_are_compared_before_anything_is_sent(config, far, monkeypatch, capsys):
    from vasomim_core.remote import machine_check

    far.described()
    assert vasomim("machines", "--check", NAME) == 0
    assert "VasoMIM 0.1.0" in capsys.readouterr().out
    monkeypatch.setattr(machine_check, "__version__", "9.9")
    with pytest.raises(RemoteError, match=r"has VasoMIM 0\.1\.0 and this computer 9\.9"):
        train_elsewhere(config, NAME)
    assert not config.run.exists()


@pytest.mark.parametrize(
    "name", ["../x", "run/x", "/etc/x", "labels/../../x", "process.json", "labels//x", ".x", "X y"]
)
def test_nothing_outside_a_job_can_be_written(name, tmp_path):
    with pytest.raises(far_side.Refused):
        far_side._within(tmp_path, name)
