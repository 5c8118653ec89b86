"""Two at once: every mask of two writers is kept; in one folder one training run goes on, and the other is refused."""

from __future__ import annotations

from collections.abc import Callable

from tests.torture.bench import Bench, command, judge_labels, write_labels
from tests.torture.trial import TRAINING, Trial
from vasomim_core.labels.labelset import LabelSet

SHARE = 0.2


def trials(bench: Bench) -> dict[str, Callable[[Trial], None]]:
    """By name."""
    return {
        "labels": race_labels,
        "starts": lambda trial: race_starts(trial, bench),
        "resumes": lambda trial: race_resumes(trial, bench),
    }


def race_labels(trial: Trial) -> None:
    """Two write to one set, at times with a third that is killed."""
    folder = trial.folder / "set"
    LabelSet.create(folder, "torture")
    told = [trial.folder / f"told-{name}" for name in "AB"]
    writers = [
        trial.start(write_labels, folder, path, path.name[-1], int(trial.random.integers(1 << 30)), 15) for path in told
    ]
    if trial.random.random() < 0.5:
        third = trial.start(write_labels, folder, trial.folder / "told-C", "C", int(trial.random.integers(1 << 30)), 99)
        trial.pause(0.5)
        third.kill()
        trial.examine(third.wait(), killed=True)
        told.append(trial.folder / "told-C")
    for writer in writers:
        if trial.examine(writer.wait(TRAINING)).code:
            trial.fault("loss", "a writer was refused: " + writer.log.read_text()[-300:])
    trial.judged(judge_labels, folder, told)


def race_starts(trial: Trial, bench: Bench) -> None:
    """Two runs are started in one folder."""
    _one_of_two(trial, bench, bench.finetune(trial.folder / "run"))


def race_resumes(trial: Trial, bench: Bench) -> None:
    """A run that was broken off is resumed twice."""
    run = trial.folder / "run"
    first = trial.start(command, *bench.finetune(run))
    for _ in range(2000):
        if (run / "state.pt").exists() or not first.running():
            break
        trial.pause(0.02)
    if first.running():
        first.kill()
    if trial.examine(first.wait(), killed=True).code == 0:
        return  # it was quicker than we were
    if not (run / "config.yaml").is_file():
        return
    _one_of_two(trial, bench, ["finetune", "--resume", str(run)])


def _one_of_two(trial: Trial, bench: Bench, arguments: list[str]) -> None:
    run = trial.folder / "run"
    two = [trial.start(command, *arguments)]
    trial.pause(0.1)
    two.append(trial.start(command, *arguments))
    ended = [trial.examine(child.wait(TRAINING)) for child in two]
    done = sum(one.code == 0 for one in ended)
    if done != 1:
        trial.fault("loss", f"{done} of two trained in one folder: {[one.output[-200:] for one in ended]}")
    bench.training_goes_on(trial, run)
