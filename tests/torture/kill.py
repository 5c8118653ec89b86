"""Writers are killed at random moments; what they said to have written is there, and work goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tests.torture.bench import Bench, command, judge_labels, write_labels
from tests.torture.trial import TRAINING, Trial
from vasomim_core.labels.labelset import LabelSet

SHARE = 0.45
SHAPE = (3, 24, 32)


def trials(bench: Bench) -> dict[str, Callable[[Trial], None]]:
    """By name."""
    found: dict[str, Callable[[Trial], None]] = {
        "labels": kill_labels,
        "run": lambda trial: kill_run(trial, bench),
    }
    if find_spec("napari"):
        found["journal"] = kill_journal
    return found


def kill_labels(trial: Trial) -> None:
    """Someone who writes labels."""
    folder, told = trial.folder / "set", trial.folder / "told"
    LabelSet.create(folder, "torture")
    for life in range(int(trial.random.integers(1, 4))):
        writer = trial.start(write_labels, folder, told, f"life {life}", int(trial.random.integers(1 << 30)), 10_000)
        trial.pause(0.4)
        writer.kill()
        trial.examine(writer.wait(), killed=True)
    trial.judged(judge_labels, folder, [told])


def kill_run(trial: Trial, bench: Bench) -> None:
    """A training run, at its start, in a step, while it saves, and while it is resumed."""
    run = trial.folder / "run"
    for _ in range(int(trial.random.integers(1, 4))):
        begun = (run / "config.yaml").is_file()
        arguments = ["finetune", "--resume", str(run)] if begun else bench.finetune(run)
        child = trial.start(command, *arguments)
        trial.pause(3.0)
        if child.running():
            child.kill()
            trial.examine(child.wait(), killed=True)
        else:
            trial.examine(child.wait())
            break
    bench.training_goes_on(trial, run)


def kill_journal(trial: Trial) -> None:
    """Someone who paints."""
    told = trial.folder / "told"
    painter = trial.start(_paint, trial.folder / "journal", told, 10_000)
    trial.pause(1.5)
    painter.kill()
    trial.examine(painter.wait(TRAINING), killed=True)
    trial.judged(_judge_journal, trial.folder / "journal", told)


def _paint(folder: Path, told: Path, count: int) -> None:
    from napari.layers import Labels

    from napari_vasomim.correcting.journal import Journal
    from napari_vasomim.correcting.undo import apply

    layer = Labels(np.zeros(SHAPE, np.uint8), name="correction")
    Journal(folder).follow(layer, {"angiogram": "torture"})
    report = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for step in range(count):
        apply(layer, *_stroke(step), step % 3)
        os.write(report, f"{step}\n".encode())


def _stroke(step: int) -> tuple[int, np.ndarray]:
    drawn = np.random.default_rng([9, step]).random(SHAPE[1:]) < 0.2
    return step % SHAPE[0], drawn


def _judge_journal(folder: Path, told: Path) -> None:
    from napari_vasomim.correcting.unfinished import restore, unfinished

    last = int(told.read_text().split()[-1]) if told.exists() and told.read_text() else -1
    entries = unfinished(folder)
    painted = np.zeros(SHAPE, np.uint8)
    wanted = []
    for step in range(last + 2):  # the one after the last that was told may be there already
        frame, drawn = _stroke(step)
        painted[frame][drawn] = step % 3
        if step >= last:
            wanted.append(painted.copy())
    if last < 1:  # nothing visible was told: step 0 paints background
        return
    if len(entries) != 1 or not any(np.array_equal(restore(entries[0]), one) for one in wanted):
        print(f"LOST: what was painted up to stroke {last}; {len(entries)} journals are offered")
