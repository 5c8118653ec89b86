"""The disk fills up in the middle of a write: what was there stays, a sentence says so, and work goes on later."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.torture.bench import Bench, command, judge_labels, write_labels
from tests.torture.trial import TRAINING, Trial
from vasomim_core.labels.labelset import LabelSet

SHARE = 0.15


def trials(bench: Bench) -> dict[str, Callable[[Trial], None]]:
    """By name."""
    return {"labels": fill_under_labels, "run": lambda trial: fill_under_run(trial, bench)}


def fill_under_labels(trial: Trial) -> None:
    """While labels are written, by a limit on what a file may hold or by a system that has no space left."""
    folder, told = trial.folder / "set", trial.folder / "told"
    LabelSet.create(folder, "torture")
    seed = int(trial.random.integers(1 << 30))
    trial.run(write_labels, folder, told, "before", seed, 5)
    if trial.random.random() < 0.5:
        trial.run(_limited, int(trial.random.integers(1200)), write_labels, folder, told, "limited", seed + 1, 5)
    else:
        trial.run(_without_space, int(trial.random.integers(30)), write_labels, folder, told, "full", seed + 1, 5)
    trial.judged(judge_labels, folder, [told])


def fill_under_run(trial: Trial, bench: Bench) -> None:
    """While a run saves its frames, its state or its model."""
    run = trial.folder / "run"
    if trial.random.random() < 0.5:
        trial.run(_limited, int(4e6 * trial.random.random() ** 3), command, *bench.finetune(run), limit=TRAINING)
    else:
        trial.run(_without_space, int(trial.random.integers(40)), command, *bench.finetune(run), limit=TRAINING)
    bench.training_goes_on(trial, run)


def _limited(limit: int, work: Callable[..., Any], *arguments: Any) -> Any:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    _say_it_is_full()
    try:
        return work(*arguments)
    finally:  # what is told about it may be written
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _without_space(after: int, work: Callable[..., Any], *arguments: Any) -> Any:
    """From some flush on, no flush succeeds; some of what was written is cut off, as it is then."""
    flush, count = os.fsync, iter(range(1 << 30))

    def full(file: Any) -> None:
        if next(count) >= after:
            descriptor = file if isinstance(file, int) else file.fileno()
            path = Path(f"/proc/self/fd/{descriptor}")
            os.truncate(descriptor, os.fstat(descriptor).st_size // 2)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        flush(file)

    os.fsync = full
    _say_it_is_full()
    return work(*arguments)


def _say_it_is_full() -> None:
    usage = shutil.disk_usage("/")
    shutil.disk_usage = lambda path: usage._replace(free=0)
