"""How many epochs fit into the minutes that every method gets: measured once for each, then written down."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from vasomim_core.errors import RunError
from vasomim_core.files import open_ordinary, write_json
from vasomim_core.training.events import read_events
from vasomim_core.training.result import TrainingResult

STEPS = 8
"""That are timed; the first is left out, in which memory is taken."""


@dataclass(frozen=True)
class Plan:
    """What a pretraining run will do.

    Attributes:
        epochs: as many.
        step_seconds: one step took, in the median; 0 = it was not asked.
    """

    epochs: int
    step_seconds: float = 0.0


def planned(path: Path, steps_per_epoch: int, minutes: float, trial: Callable[[Path, int], TrainingResult]) -> Plan:
    """The plan that is written down in a file, or a new one by timing a few steps.

    A run that goes on keeps its plan, however fast the machine is on which it does.

    Args:
        path: of the file.
        steps_per_epoch: of the run that is planned.
        minutes: that it may take.
        trial: trains for so many steps in a folder, with an entry of the losses after each.

    Raises:
        RunError: the trial has left no times.
    """
    if path.is_file():
        with open_ordinary(path) as file:
            return Plan(**json.load(file))
    folder = path.with_suffix(".trial")
    shutil.rmtree(folder, ignore_errors=True)
    trial(folder, STEPS)
    times = [event["time"] for event in read_events(folder) if event["event"] in ("start", "step")]
    if len(times) < 3:
        raise RunError(f"{folder} has no times of steps; give --epochs instead of --minutes")
    seconds = statistics.median(b - a for a, b in pairwise(times[1:]))
    plan = Plan(max(1, round(60 * minutes / max(1e-6, seconds * steps_per_epoch))), round(seconds, 4))
    write_json(path, asdict(plan))
    shutil.rmtree(folder, ignore_errors=True)
    return plan


@dataclass(frozen=True)
class Spent:
    """What a run took.

    Attributes:
        minutes: in which a process worked on it.
        memory: bytes at its most: of the GPU with CUDA, else of the process.
        epochs: that it learned for.
    """

    minutes: float
    memory: float
    epochs: int


def spent(run: Path) -> Spent:
    """What a run has taken so far; the time between two processes is not counted."""
    events = list(read_events(run))
    seconds = sum(b["time"] - a["time"] for a, b in pairwise(events) if b["event"] != "open")
    memory = max((event.get("memory") or 0 for event in events if event["event"] == "step"), default=0)
    epochs = max((event.get("epoch", 0) for event in events if event["event"] == "step"), default=0)
    return Spent(seconds / 60, memory, epochs)
