"""What a run tells of itself: losses, scores, its pace and the time left."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.core.training.made import MEMORY, Hungry, Line, each, fit, of, ready, train
from vasomim_core.training import trainer
from vasomim_core.training.events import read_events


def test_what_a_run_is_told_at_its_start(tmp_path):
    learner = Line()
    learner.fixed = nn.Parameter(torch.zeros(7), requires_grad=False)
    events = fit(tmp_path, learner, epochs=1)[1]
    told = {"job": "finetune", "frames": 8, "steps": 2, "epochs": 1, "device": "cpu", "precision": "fp32"}
    told |= {"processes": 1, "parameters": 2, "resumed": 0, "pid": os.getpid()}
    assert {name: value for name, value in events[0].items() if name not in ("event", "time")} == told


@pytest.mark.parametrize(("batch", "warned"), [(8, False), (9, True)])
def test_frames_that_do_not_fill_a_batch_are_told(tmp_path, batch, warned):
    events = fit(tmp_path, Line(), batch_size=batch, epochs=1)[1]
    warnings = [e["message"] for e in events if e["event"] == "warning"]
    assert warnings == (["8 frames are fewer than a batch of 9; frames repeat in a batch"] if warned else [])


def test_each_event_has_the_step_after_which_it_was(tmp_path):
    scores = iter(range(9))
    task = {"validate": lambda network: {"dsc": next(scores)}, "validate_every": 2, "validate_start": True}
    reason, events = fit(tmp_path, Line(), task, epochs=3, log_every=3, save_every=5)
    assert reason == "finished"
    assert of(events, "step", "pace", "validation", "checkpoint") == [
        ("validation", 0),
        ("pace", 1),
        ("step", 3),
        ("step", 4),  # losses are looked at before a validation, and before anything is saved
        ("validation", 4),
        ("step", 5),
        ("checkpoint", 5),
        ("step", 6),
        ("validation", 6),  # and after the last epoch, whichever it is
        ("checkpoint", 6),
    ]
    epochs = [(e["step"], e["epoch"]) for e in events if e["event"] in ("step", "validation")]
    assert epochs == [(0, 0), (3, 2), (4, 2), (4, 2), (5, 3), (6, 3), (6, 3)]
    assert each(fit(tmp_path / "all", Line(), log_every=1)[1], "step") == [1, 2, 3, 4, 5, 6]


def test_a_loss_is_the_mean_since_the_last_one_that_was_told(tmp_path):
    one, two = (each(fit(tmp_path / str(n), Line(), log_every=n)[1], "loss") for n in (1, 2))
    assert two == pytest.approx([(a + b) / 2 for a, b in zip(one[::2], one[1::2], strict=True)], abs=2e-6)


def test_what_a_task_notes_is_that_of_the_epoch(tmp_path):
    events = fit(tmp_path, Line(), {"notes": lambda epoch: {"beta": epoch / 10}}, log_every=1)[1]
    assert each(events, "beta") == [0, 0, 0.1, 0.1, 0.2, 0.2]


def test_the_time_left_is_told_after_the_first_step_however_seldom_losses_are_read(tmp_path, monkeypatch):
    assert train(tmp_path, Hungry(MEMORY[0], fits=4), log_every=100) == "finished"
    told = [(e["event"], e["step"]) for e in read_events(tmp_path) if e["event"] in ("step", "pace")]
    assert told == [("pace", 1), ("step", 4)]
    assert next(e["eta"] for e in read_events(tmp_path) if e["event"] == "pace") >= 0
    monkeypatch.setattr(trainer, "PACE", 0.0)
    (tmp_path / "again").mkdir()
    train(tmp_path / "again", Hungry(MEMORY[0], fits=4), log_every=100)
    assert [e["step"] for e in read_events(tmp_path / "again") if e["event"] == "pace"] == [1, 2, 3]


def test_pace_speed_and_time_left_are_those_of_the_clock(tmp_path, monkeypatch):
    """16 s a step: the pace is told after the first one, then whenever more than 30 s went by without a word."""
    now = [0.0]
    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    learner = Line()
    learner.before = lambda moment: now.append(now.pop() + 16)
    events = fit(tmp_path, learner, epochs=5, log_every=6)[1]
    assert of(events, "step", "pace") == [
        *(("pace", 1), ("pace", 3), ("pace", 5), ("step", 6)),
        *(("pace", 8), ("step", 10)),
    ]
    told = {e["step"]: e for e in events if e["event"] in ("step", "pace")}
    assert {step: e["eta"] for step, e in told.items()} == {step: 16.0 * (10 - step) for step in told}
    assert told[6]["frames_per_second"] == told[10]["frames_per_second"] == 4 / 16
    assert told[6]["memory"] > 2**20


def test_a_pace_is_told_after_thirty_seconds_and_not_before(tmp_path, monkeypatch):
    for seconds, paces in ((30, [1, 3, 5]), (30.5, [1, 2, 3, 4, 5])):
        now = [0.0]
        monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda now=now: now[0]))
        learner = Line()
        learner.before = lambda moment, now=now, seconds=seconds: now.append(now.pop() + seconds)
        events = fit(tmp_path / str(seconds), learner, log_every=100)[1]
        assert [step for _, step in of(events, "pace")] == paces


def test_a_resumed_run_tells_its_own_speed_and_goes_on_counting(tmp_path, monkeypatch):
    fit(tmp_path, Line(), epochs=1)
    now = [0.0]
    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    learner = Line()
    learner.before = lambda moment: now.append(now.pop() + 8)
    made = ready(tmp_path, learner, log_every=1)
    assert (made.first, made.bar.n, made.bar.total, made.epoch) == (2, 2, 6, 1)
    made.run()
    steps = [e for e in read_events(tmp_path) if e["event"] == "step"][-4:]
    assert [(e["step"], e["eta"], e["frames_per_second"]) for e in steps] == [
        (step, 8.0 * (6 - step), 0.5) for step in (3, 4, 5, 6)
    ]
