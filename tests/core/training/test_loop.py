"""Pieces of the loop: schedules, batches, events."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import Dataset

from vasomim_core.config import Training
from vasomim_core.errors import RunError
from vasomim_core.training import trainer
from vasomim_core.training.batches import BatchPlan
from vasomim_core.training.events import FILE, EventLog, read_events
from vasomim_core.training.optimisation import learning_rate
from vasomim_core.training.processes import Processes
from vasomim_core.training.task import Task
from vasomim_core.training.trainer import Trainer


def test_cosine_rises_then_falls_to_zero():
    settings = Training(learning_rate=0.1, warmup=0.1, epochs=10)
    rates = [learning_rate(s, 100, s // 10, settings) for s in range(100)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[9] == rates[10] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.05)
    assert rates[-1] < 1e-4


def test_poly_falls_per_epoch():
    settings = Training(learning_rate=1e-3, schedule="poly", warmup=0, epochs=4)
    rates = [learning_rate(s, 8, s // 2, settings) for s in range(8)]
    assert rates[0] == rates[1] == 1e-3
    assert rates[6] == pytest.approx(1e-3 * 0.25**0.9)


@given(st.integers(1, 40), st.sampled_from([(4, 1, 1), (4, 2, 1), (8, 2, 2), (6, 1, 3)]), st.integers(0, 50))
def test_processes_and_parts_share_each_batch_without_overlap(frames, layout, first):
    batch, count, parts = layout
    settings = Training(batch_size=batch, accumulate=parts, epochs=3)
    plans = [BatchPlan(frames, settings, Processes(rank, count)) for rank in range(count)]
    whole = BatchPlan(frames, Training(batch_size=batch, epochs=3), Processes())
    first = min(first, whole.steps - 1)
    single = list(whole.keys(first))
    shared = [list(plan.keys(first)) for plan in plans]
    assert all(len(keys) == parts * len(single) for keys in shared)
    for step, expected in enumerate(single):
        joined = [key for part in range(parts) for keys in shared for key in keys[step * parts + part]]
        assert joined == expected
    rows = [r for part in range(parts) for plan in plans for r in range(batch)[plan.rows(part)]]
    assert rows == list(range(batch))


@given(st.integers(4, 40))
def test_an_epoch_shows_each_frame_at_most_once(frames):
    plan = BatchPlan(frames, Training(batch_size=4, epochs=2), Processes())
    keys = [key for batch in plan.keys(0) for key in batch]
    assert len(keys) == len(set(keys)) == 2 * (frames // 4 * 4)


def test_resuming_goes_on_with_the_same_batches():
    plan = BatchPlan(10, Training(batch_size=4, epochs=5), Processes())
    assert list(plan.keys(3)) == list(plan.keys(0))[3:]


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(RunError, match="multiple of 6"):
        BatchPlan(10, Training(batch_size=8, accumulate=3), Processes(0, 2))


def test_events_are_lines_and_a_torn_one_is_skipped(tmp_path):
    log = EventLog(tmp_path)
    log.write("start", resumed=0)
    log.write("step", step=1, loss=0.5)
    log.write("step", step=2, loss=0.4)
    with open(tmp_path / FILE, "a") as file:
        file.write('{"event": "step", "st')  # killed here
    log = EventLog(tmp_path)
    log.write("start", resumed=1)
    log.write("step", step=2, loss=0.41)
    events = list(read_events(tmp_path))
    assert [(e["step"], e["loss"]) for e in events if e["event"] == "step"] == [(1, 0.5), (2, 0.41)]
    for line in (tmp_path / FILE).read_text().splitlines()[-2:]:
        json.loads(line)


def test_only_the_first_process_writes(tmp_path):
    EventLog(tmp_path, writes=False).write("start")
    assert not (tmp_path / FILE).exists()


class Hungry(nn.Module):
    """Fits 1 = w·x, and from the second step on has no memory for more than `fits` rows."""

    def __init__(self, error: Exception, fits: int):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))
        self.error, self.fits, self.asked = error, fits, []

    def forward(self, batch, moment):
        self.asked.append((moment.step, moment.rows))
        if moment.step >= 1 and len(batch["x"]) > self.fits:
            raise self.error
        return {"loss": ((self.w * batch["x"] - 1) ** 2).mean()}


class Numbers(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, key):
        return {"x": torch.tensor(float(key[1]))}


MEMORY = [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 1")]


def train(run: Path, learner: nn.Module, log_every: int = 1) -> str:
    settings = Training(epochs=2, batch_size=4, warmup=0.0, learning_rate=0.1, device="cpu", log_every=log_every)
    task = Task("finetune", learner, [{"params": learner.parameters()}], Numbers(), lambda *_: None)
    return Trainer(task, settings, run, EventLog(run), Processes()).run()


@pytest.mark.parametrize("error", MEMORY, ids=["cuda", "cpu"])
def test_a_batch_that_does_not_fit_is_split_and_says_so(tmp_path, error):
    runs = {fits: tmp_path / str(fits) for fits in (4, 1)}
    learners = {fits: Hungry(error, fits) for fits in runs}
    for fits, run in runs.items():
        run.mkdir()
        train(run, learners[fits])
    rows = [rows for step, rows in learners[1].asked if step == 2]
    assert rows == [slice(n, n + 1) for n in range(4)]
    events = {fits: list(read_events(run)) for fits, run in runs.items()}
    assert [e["message"] for e in events[1] if e["event"] == "warning"] == [
        "memory did not suffice; batches are now computed in 2 parts",
        "memory did not suffice; batches are now computed in 4 parts",
    ]
    assert not [e for e in events[4] if e["event"] == "warning"]
    losses = {fits: [e["loss"] for e in events[fits] if e["event"] == "step"] for fits in runs}
    assert losses[1] == pytest.approx(losses[4], abs=1e-5)
    assert len(losses[1]) == 4
    assert learners[1].w.item() == pytest.approx(learners[4].w.item(), abs=1e-5)


@pytest.mark.parametrize("error", [MEMORY[0], RuntimeError("shapes do not fit")], ids=["one frame", "another error"])
def test_what_smaller_parts_do_not_help_is_raised(tmp_path, error):
    with pytest.raises(RuntimeError, match=str(error)):
        train(tmp_path, Hungry(error, 0))


def test_the_time_left_is_told_after_the_first_step_however_seldom_losses_are_read(tmp_path, monkeypatch):
    assert train(tmp_path, Hungry(MEMORY[0], fits=4), log_every=100) == "finished"
    told = [(e["event"], e["step"]) for e in read_events(tmp_path) if e["event"] in ("step", "pace")]
    assert told == [("pace", 1), ("step", 4)]
    assert next(e["eta"] for e in read_events(tmp_path) if e["event"] == "pace") >= 0
    monkeypatch.setattr(trainer, "PACE", 0.0)
    (tmp_path / "again").mkdir()
    train(tmp_path / "again", Hungry(MEMORY[0], fits=4), log_every=100)
    assert [e["step"] for e in read_events(tmp_path / "again") if e["event"] == "pace"] == [1, 2, 3]


def test_a_stop_event_ends_the_run_where_signals_do_not_reach(tmp_path):
    class Asking(Hungry):
        def forward(self, batch, moment):
            if moment.step == 1:
                EventLog(tmp_path).write("stop")
            return super().forward(batch, moment)

    log = EventLog(tmp_path)
    log.write("open")
    log.write("stop")  # of the session before
    log.write("open")
    assert train(tmp_path, Asking(MEMORY[0], fits=4)) == "stopped"
    assert [e["step"] for e in read_events(tmp_path) if e["event"] == "step"] == [1, 2]
