"""The loop: precision, rates, gradients, averages, the best model, several processes."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from tests.core.training.made import Line, Numbers, each, fit, ready, scored
from vasomim_core.config import Training
from vasomim_core.errors import RunError
from vasomim_core.training import trainer
from vasomim_core.training.batches import Moment
from vasomim_core.training.events import EventLog, read_events
from vasomim_core.training.optimisation import decayed_groups
from vasomim_core.training.processes import Processes
from vasomim_core.training.result import best_validation
from vasomim_core.training.task import Task
from vasomim_core.training.trainer import Trainer


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
        Moment(step, epoch, rows, batch_size=4, seed=5, steps=6)
        for step, epoch in enumerate([0, 0, 1, 1, 2, 2])
        for rows in (slice(0, 2), slice(2, 4))
    ]


def test_the_best_model_is_kept_and_patience_counts_from_it(tmp_path):
    task, modes, kept = scored(1, 0, 2, 2, 1, 3)
    learner = Line()
    reason, events = fit(tmp_path, learner, task | {"patience": 2}, epochs=6)
    assert (reason, kept) == ("patience", [(1, 1), (2, 3)])
    assert [e["improved"] for e in events if e["event"] == "validation"] == [True, False, True, False, False]
    assert (modes, learner.modes) == ([False] * 5, {True})
    assert best_validation(tmp_path) == (3, {"dsc": 2, "cldice": 0})
    assert best_validation(tmp_path / "another") is None


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


def test_a_loss_that_is_no_number_ends_the_run_before_anything_is_kept(tmp_path):
    class Broken(Line):
        def forward(self, batch, moment):
            losses = super().forward(batch, moment)
            return {"loss": losses["loss"] * (float("nan") if moment.step == 2 else 1)}

    task = {"validate": lambda network: pytest.fail("validated"), "validate_every": 2}
    with pytest.raises(RunError, match=r"step 4 \(epoch 2\).*below 0\.1"):
        fit(tmp_path, Broken(), task, log_every=100)
    assert not (tmp_path / "state.pt").exists()


class Two(Processes):
    """Two processes that agree in all."""

    def mean(self, value):
        return float(value)

    def any(self, flag, device):
        return flag

    def says(self, number):
        return number


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
