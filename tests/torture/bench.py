"""What trials work on: a tiny training run, how it ends undisturbed, and labels whose masks every process knows."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tests.torture.trial import TRAINING, Child, Trial
from vasomim_core import cli
from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.labels.labelset import LabelSet, pixel_sha256
from vasomim_core.models.checkpoint import read_state
from vasomim_core.synthetic import write_samples
from vasomim_core.training.runs import MODEL, is_finished

TINY = "--architecture unext --frame-size 32 --input-size 32 --batch-size 2 --epochs 6 --device cpu --precision fp32"
SETTINGS = f"{TINY} --save-every 1 --log-every 1".split()
SIDE = 32


class Bench:
    """What is made once and only read by the trials."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.samples = folder / "samples"
        write_samples(self.samples, 6, size=64)

    def finetune(self, run: Path) -> list[str]:
        """The command of the tiny training run."""
        return ["finetune", "--labels", str(self.samples), "--run", str(run), *SETTINGS]

    @cached_property
    def undisturbed(self) -> Path:
        """The folder of the tiny run, when nothing disturbs it."""
        run = self.folder / "undisturbed"
        ended = Child(self.folder / "undisturbed.log", command, *self.finetune(run)).wait(2 * TRAINING)
        if ended.code != 0 or not (run / MODEL).is_file():
            raise SystemExit(f"The tiny run fails undisturbed: {ended.output}")
        return run

    @cached_property
    def weights(self) -> str:
        """What its weights add up to."""
        return weights_of(self.undisturbed)

    def training_goes_on(self, trial: Trial, run: Path) -> None:
        """Whatever was done to a run, it comes to the end that it would have come to undisturbed."""
        trial.judged(finish, run, self.finetune(run), self.weights, limit=TRAINING)


def command(*arguments: str) -> int:
    """Run a command, as the console script does."""
    return cli.run(list(arguments))


def weights_of(run: Path) -> str:
    """SHA-256 of the weights of a run's model, whatever its card says."""
    digest = hashlib.sha256()
    for name, tensor in sorted(read_state(run / MODEL).items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def finish(run: Path, start: list[str], weights: str) -> None:
    """Bring a run to its end, as a person would: look at it, resume it, or start it if it never began."""
    if not is_finished(run):
        begun = (run / "config.yaml").is_file()
        code = command("finetune", "--resume", str(run)) if begun else command(*start)
        if code:
            print(f"LOST: a run that cannot be {'resumed' if begun else 'started'} any more")
            return
    if weights_of(run) != weights:
        print("LOST: other weights than those of a run that nothing disturbed")


# Labels whose content follows from two numbers, so that any process can tell whether one is what it was


def frame_of(number: int) -> np.ndarray:
    """A frame, uint8."""
    return np.random.default_rng([7, number]).integers(0, 255, (SIDE, SIDE)).astype(np.uint8)


def mask_of(number: int, mark: int) -> np.ndarray:
    """A mask of a frame, bool."""
    return np.random.default_rng([8, number, mark]).random((SIDE, SIDE)) < 0.3


def write_labels(folder: Path, told: Path, name: str, seed: int, count: int) -> None:
    """Write masks of a few frames, and tell after each which revision holds it; at times other classes come or go."""
    random = np.random.default_rng(seed)
    labels = LabelSet.open(folder)
    report = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for _ in range(count):
        number, mark = int(random.integers(4)), int(random.integers(1 << 30))
        record = labels.add(frame_of(number), mask_of(number, mark), annotator=f"{name} {mark}", group=f"g{number}")
        os.write(report, f"{record.id} {record.revision} {number} {mark}\n".encode())
        if random.random() < 0.2:
            further = LabelClass(int(random.integers(2, 5)), f"other of {name}", vessel=False)
            labels.set_classes((*VESSEL, *([further] if random.random() < 0.7 else [])))


def judge_labels(folder: Path, told: list[Path], **_: Any) -> None:
    """Everything that was told is in the history; nothing is damaged; writing goes on."""
    labels = LabelSet.open(folder)
    kept = {id: {r.revision: r for r in labels.revisions(id)} for id in (r.id for r in labels.records())}
    for line in (line for path in told if path.exists() for line in path.read_text().splitlines()):
        id, revision, number, mark = line.split()
        record = kept.get(id, {}).get(int(revision))
        expected = pixel_sha256(mask_of(int(number), int(mark)))
        if record is None or record.mask_sha256 != expected or not record.annotator.endswith(f" {mark}"):
            print(f"LOST: revision {revision} of {id}")
        elif pixel_sha256(labels.mask(id, int(revision))) != expected:
            print(f"LOST: the mask of revision {revision} of {id}")
    for problem in labels.check():
        if "has no record" not in problem:  # a frame whose label was never told, which adding completes
            print(f"LOST: {problem}")
    record = labels.add(frame_of(99), mask_of(99, 0), annotator="judge")
    if LabelSet.open(folder).record(record.id) != record:
        print("LOST: what was written afterwards")
