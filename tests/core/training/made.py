"""Small learners, and runs of a few steps with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

from vasomim_core.config import Training
from vasomim_core.training.events import EventLog, read_events
from vasomim_core.training.optimisation import decayed_groups
from vasomim_core.training.processes import Processes
from vasomim_core.training.task import Task
from vasomim_core.training.trainer import Trainer


class Numbers(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, key):
        return {"x": torch.tensor(float(key[1]))}


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


MEMORY = [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 1")]


def train(run: Path, learner: nn.Module, log_every: int = 1) -> str:
    settings = Training(epochs=2, batch_size=4, warmup=0.0, learning_rate=0.1, device="cpu", log_every=log_every)
    task = Task("finetune", learner, [{"params": learner.parameters()}], Numbers(), lambda *_: None)
    return Trainer(task, settings, run, EventLog(run), Processes()).run()


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


def scored(*scores: float) -> tuple[dict, list, list]:
    """A task with these scores; the modes it is validated in; the models it keeps."""
    modes, kept, left = [], [], iter(scores)
    task = {
        "validate": lambda network: modes.append(network.training) or {"dsc": next(left), "cldice": 0.0},
        "save_model": lambda network, scores, epoch: kept.append((scores.get("dsc"), epoch)),
    }
    return task, modes, kept
