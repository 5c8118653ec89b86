"""The trainer and its pieces: schedules, batches, events, precision, averages, checkpoints."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import Dataset

from vasomim_core.config import Training
from vasomim_core.errors import RunError
from vasomim_core.training import batches, trainer
from vasomim_core.training.batches import BatchPlan, Moment
from vasomim_core.training.events import FILE, EventLog, read_events
from vasomim_core.training.optimisation import decayed_groups, learning_rate, native_bf16
from vasomim_core.training.processes import Processes
from vasomim_core.training.result import best_validation
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


class Line(nn.Module):
    """Fits 1 = w·x + b in the precision it is given, and keeps what it sees of it."""

    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.zeros(1, 1)), nn.Parameter(torch.zeros(1))
        self.weights, self.kinds, self.modes, self.before = [], set(), set(), lambda moment: None

    def forward(self, batch, moment):
        self.before(moment)
        self.weights.append(self.w.item())
        self.modes.add(self.training)
        product = batch["x"][:, None] @ self.w
        self.kinds.add(product.dtype)
        return {"loss": ((product + self.b - 1).float() ** 2).mean()}


def ready(run: Path, learner: nn.Module, task: dict | None = None, **settings) -> Trainer:
    """For six steps in three epochs, or what the settings say."""
    given = {"epochs": 3, "batch_size": 4, "warmup": 0.0, "learning_rate": 0.1, "device": "cpu", "precision": "fp32"}
    run.mkdir(exist_ok=True)
    job = Task("finetune", learner, decayed_groups(learner, 0.05), Numbers(), lambda *_: None)
    return Trainer(replace(job, **task or {}), Training(**given | settings), run, EventLog(run), Processes())


def fit(run: Path, learner: nn.Module, task: dict | None = None, **settings) -> tuple[str, list[dict]]:
    """How it ended, and the events."""
    return ready(run, learner, task, **settings).run(), list(read_events(run))


def of(events: list[dict], *kinds: str) -> list[tuple]:
    return [(e["event"], e["step"]) for e in events if e["event"] in kinds]


def each(events: list[dict], name: str) -> list:
    return [e[name] for e in events if e["event"] == "step"]


@pytest.mark.parametrize(
    ("precision", "native", "kind"),
    [
        ("fp32", True, torch.float32),
        ("bf16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_it_is_computed_in_the_precision_that_is_told(tmp_path, monkeypatch, precision, native, kind):
    monkeypatch.setattr(trainer, "native_bf16", lambda device: native)
    learner = Line()
    _, events = fit(tmp_path, learner, precision=precision)
    assert learner.kinds == {kind}
    assert learner.w.dtype == torch.float32
    told = next(e["precision"] for e in events if e["event"] == "start")
    assert told == {torch.float32: "fp32", torch.bfloat16: "bf16"}[kind]


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


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_teaches_what_the_whole_batch_does(tmp_path, parts):
    whole, split = Line(), Line()
    expected = fit(tmp_path / "whole", whole, log_every=1, clip=0.5)[1]
    events = fit(tmp_path / "split", split, log_every=1, clip=0.5, accumulate=parts)[1]
    assert len(split.weights) == parts * len(whole.weights)
    assert split.w.item() == pytest.approx(whole.w.item(), rel=1e-5)
    for name in ("loss", "gradient_norm"):
        assert each(events, name) == pytest.approx(each(expected, name), rel=1e-5)


# Two of six steps rise to 0.1, four fall along half a cosine: cos 0, cos π/4, cos π/2, cos 3π/4; or two an epoch.
COSINE = [0.05, 0.1, 0.1, 0.05 * (1 + 0.5**0.5), 0.05, 0.05 * (1 - 0.5**0.5)]
POLY = [0.1 * (1 - epoch / 3) ** 0.9 for epoch in (0, 0, 1, 1, 2, 2)]


@pytest.mark.parametrize(("schedule", "rates"), [("cosine", COSINE), ("poly", POLY)])
def test_each_step_learns_at_the_rate_that_is_told(tmp_path, schedule, rates):
    learner, used = Line(), []
    groups = decayed_groups(learner, 0.0)
    groups[1]["lr_scale"] = 0.5
    made = ready(tmp_path, learner, {"groups": groups}, schedule=schedule, warmup=1 / 3, log_every=1, betas=(0.5, 0.6))
    made.optimiser.register_step_pre_hook(lambda *_: used.append([g["lr"] for g in made.optimiser.param_groups]))
    made.run()
    assert each(read_events(tmp_path), "learning_rate") == pytest.approx(rates)
    assert used == [pytest.approx([rate, rate / 2]) for rate in rates]
    assert [group["betas"] for group in made.optimiser.param_groups] == [(0.5, 0.6)] * 2


def test_gradients_are_cut_to_the_largest_norm_and_told_as_they_were(tmp_path):
    learner, norms = Line(), []
    made = ready(tmp_path, learner, clip=0.5, log_every=1)
    made.optimiser.register_step_pre_hook(
        lambda *_: norms.append(sum(p.grad.square().sum().item() for p in learner.parameters()) ** 0.5)
    )
    made.run()
    told = each(read_events(tmp_path), "gradient_norm")
    assert max(told) > 0.5
    assert norms == pytest.approx([min(0.5, norm) for norm in told], rel=1e-4)


def test_what_a_task_notes_is_that_of_the_epoch(tmp_path):
    events = fit(tmp_path, Line(), {"notes": lambda epoch: {"beta": epoch / 10}}, log_every=1)[1]
    assert each(events, "beta") == [0, 0, 0.1, 0.1, 0.2, 0.2]


def test_layers_draw_from_the_seed_the_step_and_the_process(tmp_path):
    learner, seeds = Line(), []
    learner.before = lambda moment: seeds.append(torch.initial_seed())
    fit(tmp_path, learner, seed=5)
    assert seeds == [int(np.random.SeedSequence((5, step, 0)).generate_state(1)[0]) for step in range(6)]


def test_each_part_of_a_batch_is_told_where_in_the_run_it_stands(tmp_path):
    learner, told = Line(), []
    learner.before = told.append
    fit(tmp_path, learner, accumulate=2, seed=5)
    assert told == [
        Moment(step, epoch, rows, batch_size=4, seed=5)
        for step, epoch in enumerate([0, 0, 1, 1, 2, 2])
        for rows in (slice(0, 2), slice(2, 4))
    ]


def scored(*scores: float) -> tuple[dict, list, list]:
    """A task with these scores; the modes it is validated in; the models it keeps."""
    modes, kept, left = [], [], iter(scores)
    task = {
        "validate": lambda network: modes.append(network.training) or {"dsc": next(left), "cldice": 0.0},
        "save_model": lambda network, scores, epoch: kept.append((scores.get("dsc"), epoch)),
    }
    return task, modes, kept


def test_the_best_model_is_kept_and_patience_counts_from_it(tmp_path):
    task, modes, kept = scored(1, 0, 2, 2, 1, 3)
    learner = Line()
    reason, events = fit(tmp_path, learner, task | {"patience": 2}, epochs=6)
    assert (reason, kept) == ("patience", [(1, 1), (2, 3)])
    assert [e["improved"] for e in events if e["event"] == "validation"] == [True, False, True, False, False]
    assert (modes, learner.modes) == ([False] * 5, {True})
    assert best_validation(tmp_path) == (3, {"dsc": 2, "cldice": 0})
    assert best_validation(tmp_path / "another") is None


def test_a_run_that_is_stopped_before_it_is_validated_has_a_model_and_starts_but_once(tmp_path):
    task, _, kept = scored(1, 2, 3)
    learner = Line()
    learner.before = lambda moment: EventLog(tmp_path).write("stop") if moment.step == 0 else None
    assert fit(tmp_path, learner, task)[0] == "stopped"
    assert kept == [(None, 1)]
    EventLog(tmp_path).write("open")
    _, events = fit(tmp_path, Line(), task | {"validate_start": True})
    assert of(events, "validation") == [("validation", 2), ("validation", 4), ("validation", 6)]
    assert kept == [(None, 1), (1, 1), (2, 2), (3, 3)]


def test_parts_of_a_batch_that_did_not_fit_are_forgotten(tmp_path):
    """Memory ends in the second part of a step, when the gradients of the first are there already."""
    whole, split = Line(), Line()
    fit(tmp_path / "whole", whole)
    calls = []

    def fail_once(moment):
        calls.append(moment.step)
        if calls.count(3) == 2 and len(calls) == 8:
            raise MEMORY[0]

    split.before = fail_once
    fit(tmp_path / "split", split, accumulate=2)
    assert calls == [0, 0, 1, 1, 2, 2, 3, 3, *[3] * 4, *[4] * 4, *[5] * 4]
    assert split.w.item() == pytest.approx(whole.w.item(), rel=1e-5)


@pytest.mark.parametrize(("now", "then"), [(1, 2), (2, 6), (3, 6), (6, None)])
def test_a_batch_of_six_divides_without_a_rest(now, then):
    assert BatchPlan(8, Training(batch_size=6, accumulate=now), Processes()).more_parts() == then


def test_the_average_of_the_weights_is_validated_and_saved(tmp_path):
    learner, validated, saved = Line(), [], []
    task = {
        "validate": lambda network: validated.append(network.w.item()) or {"dsc": -len(validated)},
        "save_model": lambda network, scores, epoch: saved.append((network.w.item(), scores, epoch)),
    }
    fit(tmp_path, learner, task, ema=0.4)
    weights = [*learner.weights[1:], learner.w.item()]  # after each of the six steps
    average = weights[1]  # the first two are taken whole
    averages = [average]
    for weight, decay in zip(weights[2:], (1 - 2 ** (-2 / 3), 0.4, 0.4, 0.4), strict=True):  # the first: warming up
        average = decay * average + (1 - decay) * weight
        averages.append(average)
    assert validated == pytest.approx([averages[0], averages[2], averages[4]], rel=1e-5)
    assert saved == [(pytest.approx(averages[0], rel=1e-5), {"dsc": -1}, 1)]
    assert learner.w.item() != pytest.approx(averages[4], rel=1e-3)


@pytest.mark.parametrize("log_every", [1, 100])
def test_a_request_to_stop_ends_the_run_after_the_step_in_hand(tmp_path, log_every):
    learner = Line()
    learner.before = lambda moment: EventLog(tmp_path).write("stop") if moment.step == 3 else None
    reason, events = fit(tmp_path, learner, log_every=log_every)
    assert (reason, len(learner.weights)) == ("stopped", 4)
    assert of(events, "checkpoint") == [("checkpoint", 4)]
    assert torch.load(tmp_path / "state.pt", weights_only=True)["state"]["step"] == 4
    log = EventLog(tmp_path)
    log.write("open")  # which takes the request back
    again, whole = Line(), Line()
    assert fit(tmp_path, again, log_every=log_every)[0] == "finished"
    fit(tmp_path / "whole", whole, log_every=log_every)
    assert learner.weights + again.weights == whole.weights
    last = [list(read_events(run))[-2] for run in (tmp_path, tmp_path / "whole")]
    assert (last[0]["event"], last[0]["loss"]) == ("step", last[1]["loss"])  # of steps before it was stopped, too
    assert again.w.item() == whole.w.item()


def test_a_loss_that_is_no_number_ends_the_run_before_anything_is_kept(tmp_path):
    class Broken(Line):
        def forward(self, batch, moment):
            losses = super().forward(batch, moment)
            return {"loss": losses["loss"] * (float("nan") if moment.step == 2 else 1)}

    task = {"validate": lambda network: pytest.fail("validated"), "validate_every": 2}
    with pytest.raises(RunError, match=r"step 4 \(epoch 2\).*below 0\.1"):
        fit(tmp_path, Broken(), task, log_every=100)
    assert not (tmp_path / "state.pt").exists()


def earlier_checkpoint() -> dict:
    """Of a run that was stopped after its third step, as it was written before there was a `Trainer`."""
    learned, averaged = (0.21768072247505188, 0.24763281643390656), (0.20348729193210602, 0.22607636451721191)
    moments = [(-0.6337384581565857, 2.8802127838134766), (-0.2751987874507904, 0.24378907680511475)]
    shapes = [(1, 1), (1,)]
    options = {"lr": 0.075, "betas": (0.9, 0.95), "eps": 1e-08, "amsgrad": False, "maximize": False, "foreach": None}
    options |= {"capturable": False, "differentiable": False, "fused": True, "decoupled_weight_decay": True}
    return {
        "learner": {n: torch.full(s, v) for n, s, v in zip("wb", shapes, learned, strict=True)},
        "ema": {n: torch.full(s, v) for n, s, v in zip("wb", shapes, averaged, strict=True)},
        "optimiser": {
            "state": {
                n: {"step": torch.tensor(3.0), "exp_avg": torch.full(s, m), "exp_avg_sq": torch.full(s, v)}
                for n, (s, (m, v)) in enumerate(zip(shapes, moments, strict=True))
            },
            "param_groups": [{**options, "weight_decay": decay, "params": [n]} for n, decay in enumerate((0.05, 0.0))],
        },
        "state": {
            **{"step": 3, "best": 0.1793241798877716, "stale": 0, "counted": 1},
            "totals": {"loss": 0.185245543718338},
        },
    }


def test_a_checkpoint_of_an_earlier_version_is_resumed_exactly(tmp_path):
    saved = earlier_checkpoint()
    torch.save(saved, tmp_path / "state.pt")
    learner = Line()
    task = {"validate": lambda network: {"dsc": network.w.item()}}
    reason, events = fit(tmp_path, learner, task, ema=0.9, log_every=100)
    assert (reason, learner.weights[0]) == ("finished", saved["learner"]["w"].item())
    assert next(e["resumed"] for e in events if e["event"] == "start") == 3
    # What that version itself came to.
    assert [(e["step"], e["loss"]) for e in events if e["event"] == "step"] == [(4, 0.191807), (6, 0.309963)]
    assert [e["best"] for e in events if e["event"] == "validation"] == pytest.approx(
        [0.21899938583374023, 0.2300286591053009], rel=1e-6
    )
    assert learner.w.item() == pytest.approx(0.23685581982135773, rel=1e-6)
    assert learner.b.item() == pytest.approx(0.3010222315788269, rel=1e-6)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    fit(tmp_path, Line(), save_every=2)
    with pytest.raises(RunError, match="does not fit the settings in its run folder; start a new run"):
        fit(tmp_path, Line(), {"groups": [{"params": nn.Linear(1, 1).parameters()}]})
    (tmp_path / "state.pt").write_bytes(b"PK\3\4")
    with pytest.raises(RunError, match="start a new run"):
        fit(tmp_path, Line())


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    torch.save({"learner": Path("x"), "optimiser": {}, "ema": None, "state": {}}, tmp_path / "state.pt")
    with pytest.raises(RunError, match=r"(?s)start a new run.*weights_only"):
        fit(tmp_path, Line())


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


class Two(Processes):
    """Two processes that agree in all."""

    def mean(self, value):
        return float(value)

    def any(self, flag, device):
        return flag


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_share_the_gradients_of_the_last_part_and_the_first_one_writes(tmp_path, monkeypatch, rank):
    said = []

    class Parallel(nn.Module):
        def __init__(self, module, device_ids):
            super().__init__()
            self.module = module
            said.append(device_ids)

        def forward(self, batch, moment):
            said.append(moment.rows)
            return self.module(batch, moment)

        @contextmanager
        def no_sync(self):
            said.append("alone")
            yield

    monkeypatch.setattr(trainer, "DistributedDataParallel", Parallel)
    learner, kept = Line(), []
    task = Task("finetune", learner, decayed_groups(learner, 0.0), Numbers(), lambda *_: kept.append(1))
    settings = Training(epochs=1, batch_size=8, accumulate=2, device="cpu", precision="fp32")
    made = Trainer(task, settings, tmp_path, EventLog(tmp_path, rank == 0), Two(rank, 2))
    assert made.run() == "finished"
    assert said == [None, "alone", slice(2 * rank, 2 * rank + 2), slice(4 + 2 * rank, 6 + 2 * rank)]
    assert (tmp_path / "state.pt").exists() is (len(kept) == 1) is (rank == 0)
    assert not made.shrink_batch()


@pytest.mark.parametrize("cores", [None, 2, 64])
@pytest.mark.parametrize(("device", "workers"), [("cpu", 0), ("cuda", min)])
def test_frames_are_read_ahead_where_a_gpu_waits_for_them(monkeypatch, device, workers, cores):
    made = {}
    monkeypatch.setattr(batches, "DataLoader", lambda frames, **options: made.update(options) or [])
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    expected = min(8, cores or 1) if workers else 0
    for told in (None, 0, 3):
        count = expected if told is None else told
        BatchPlan(8, Training(batch_size=4, workers=told), Processes()).loader(Numbers(), torch.device(device), 0)
        assert (made["num_workers"], made["pin_memory"]) == (count, device == "cuda")
        assert made["worker_init_fn"] is (batches._one_thread if count else None)


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bf16_is_native_from_ampere_on_and_where_a_cpu_has_either_unit(monkeypatch, capability, native):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert native_bf16(torch.device("cuda")) is native
    for avx, amx in np.ndindex(2, 2):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: bool(avx))
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: bool(amx))
        assert native_bf16(torch.device("cpu")) is bool(avx or amx)


def test_a_warm_up_of_part_of_a_step_ends_at_the_full_rate():
    """2.5 of 10 steps: three rise by thirds, then half a cosine over the 7.5 that are left."""
    settings = Training(learning_rate=0.3, warmup=0.25, epochs=10)
    rates = [learning_rate(step, 10, step, settings) for step in range(10)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[3:] == pytest.approx([0.15 * (1 + np.cos(np.pi * (step - 2.5) / 7.5)) for step in range(3, 10)])
    assert learning_rate(0, 1, 0, Training(learning_rate=0.3, warmup=0)) == 0.3


def test_biases_and_vectors_do_not_decay():
    layer = nn.Linear(2, 3)
    layer.fixed = nn.Parameter(torch.zeros(2, 2), requires_grad=False)
    decayed, others = decayed_groups(layer, 0.05)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    assert ([p.shape for p in decayed["params"]], [p.shape for p in others["params"]]) == ([(3, 2)], [(3,)])
