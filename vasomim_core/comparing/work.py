"""The work of a comparison, in jobs that any number of processes may take; what is done is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from vasomim_core.comparing.budget import Plan, planned, spent
from vasomim_core.comparing.clustering import clustering, tokens_of, write_clustering
from vasomim_core.comparing.datasets import DataSet, data_sets, pretraining_frames, some_frames, write_held_out
from vasomim_core.comparing.rows import Row, pretraining, rows_of, takes_segmentor
from vasomim_core.comparing.scoring import Segmenter, by_model, filter_alone, write_scores
from vasomim_core.comparing.settings import Comparison, settle_settings
from vasomim_core.comparing.standing import SCORES
from vasomim_core.config import FinetuneConfig, Pretraining, SegmentorConfig, Training
from vasomim_core.data.store import FrameStore
from vasomim_core.errors import LockedError, VasoMIMError
from vasomim_core.labels.labelled import LabelledFrame
from vasomim_core.locks import locked
from vasomim_core.reading.folders import Progress
from vasomim_core.training.finetune import finetune
from vasomim_core.training.pretrain import pretrain
from vasomim_core.training.result import TrainingResult
from vasomim_core.training.runs import MODEL, SETTINGS, is_finished
from vasomim_core.training.segmentor import train_segmentor

SEGMENTOR_EPOCHS = 20
SEGMENTOR_SHARE = 0.1
"""Of the minutes of a method that asks a segmentor S, those in which S is trained."""
BUSY = 5.0
"""Seconds after which a job that another process does is looked at again."""
SEED = 0
"""Of pretraining, the same for all rows."""


@dataclass(frozen=True)
class Job:
    """A piece of the work.

    Attributes:
        name: for people.
        needs: names of jobs that come before.
        done: whether it need not be done any more.
        work: does it.
    """

    name: str
    needs: tuple[str, ...]
    done: Callable[[], bool]
    work: Callable[[], None]


class Stopped(Exception):
    """A run was asked to stop: the comparison stops too, and goes on when it is asked to."""


@dataclass
class Outcome:
    """How far the work has come.

    Attributes:
        failures: a sentence for each job that could not be done, by its name.
        stopped: it was asked to stop before its end.
    """

    failures: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


class Work:
    """The jobs of one comparison.

    Args:
        out: its folder.
        comparison: its settings, see `settle_settings`.
        tell: is called with the name of a job that begins.
        progress: called with (done, total) frames while they are prepared.

    Raises:
        ConfigError: settings that cannot be, or that contradict the folder's.
        LabelError: labelled frames that cannot be used.
    """

    def __init__(
        self,
        out: Path,
        comparison: Comparison,
        tell: Callable[[str], None] = lambda name: None,
        progress: Progress = lambda done, total: None,
    ):
        rows_of(comparison.methods, comparison.ablation)
        self.out, self.tell, self.progress = out, tell, progress
        self.comparison = settle_settings(out, comparison)
        self.rows = rows_of(self.comparison.methods, self.comparison.ablation)
        self.sets = data_sets(self.comparison, out)
        self._reported: dict[str, list[LabelledFrame]] = {}

    def run(self) -> Outcome:
        """Do what is missing; a job that fails does not end the others, but for those that need it."""
        outcome = Outcome()
        waiting = list(self.jobs.values())
        while waiting:
            busy = []
            for job in waiting:
                if job.done():
                    continue
                if failed := [need for need in job.needs if need in outcome.failures]:
                    outcome.failures[job.name] = f"{failed[0]} failed"
                    continue
                if not all(self.jobs[need].done() for need in job.needs):
                    busy.append(job)
                    continue
                try:
                    with self._turn(job.name):
                        if not job.done():  # by another process, a moment ago
                            self.tell(job.name)
                            job.work()
                except Stopped:
                    outcome.stopped = True
                    return outcome
                except LockedError:
                    busy.append(job)
                except VasoMIMError as error:
                    outcome.failures[job.name] = str(error)
                except (RuntimeError, MemoryError, OSError) as error:  # such as a GPU without memory for this method
                    outcome.failures[job.name] = f"{type(error).__name__}: {error}"
            if len(busy) == len(waiting):
                time.sleep(BUSY)  # all that is left is done by another process, or waits for what is
            waiting = busy
        return outcome

    @cached_property
    def jobs(self) -> dict[str, Job]:
        """All jobs by name, each after those that it needs."""
        return {job.name: job for job in self._all_jobs()}

    def _all_jobs(self) -> Iterator[Job]:
        if any(row.kind == "pretrained" and takes_segmentor(row) for row in self.rows):
            yield Job("segmentor", (), partial(is_finished, self.out / "segmentor"), self._train_segmentor)
        for row in self.rows:
            before: tuple[str, ...] = ()
            if row.kind == "pretrained":
                needs = ("segmentor",) if takes_segmentor(row) else ()
                run = self.pretrained(row)
                yield Job(f"pretrain {row.name}", needs, partial(is_finished, run), partial(self._pretrain, row))
                before = (f"pretrain {row.name}",)
                for one in self.sets if self.comparison.clustering else ():
                    path = self.clustered(row, one)
                    yield Job(f"cluster {row.name} {one.name}", before, path.is_file, partial(self._cluster, row, one))
            for one in self.sets:
                if row.kind == "filter":
                    yield self._score_job(row, one, 0, ())
                    continue
                for seed in range(self.comparison.seeds):
                    run = self.finetuned(row, one, seed)
                    name = f"finetune {row.name} {one.name} seed {seed}"
                    yield Job(name, before, partial(is_finished, run), partial(self._finetune, row, one, seed))
                    yield self._score_job(row, one, seed, (name,))

    def _score_job(self, row: Row, one: DataSet, seed: int, needs: tuple[str, ...]) -> Job:
        folder = self.scored(row, one, seed)
        name = f"score {row.name} {one.name} seed {seed}"
        return Job(name, needs, (folder / "scores.csv").is_file, partial(self._score, row, one, seed))

    # Where everything is.

    def pretrained(self, row: Row) -> Path:
        """The run folder of a row's pretraining."""
        return self.out / "pretraining" / row.name

    def finetuned(self, row: Row, one: DataSet, seed: int) -> Path:
        """The run folder of a row's finetuning."""
        return self.out / "finetuning" / one.name / row.name / f"seed-{seed}"

    def scored(self, row: Row, one: DataSet, seed: int) -> Path:
        """The folder with a row's scores."""
        return self.out / SCORES / one.name / row.name / f"seed-{seed}"

    def clustered(self, row: Row, one: DataSet) -> Path:
        """The file with a row's clustering."""
        return self.out / "clustering" / one.name / f"{row.name}.json"

    def reported(self, one: DataSet) -> list[LabelledFrame]:
        """The frames of a data set that are reported on."""
        if one.name not in self._reported:
            self._reported[one.name] = one.reported()
        return self._reported[one.name]

    @cached_property
    def frames(self) -> FrameStore:
        """The frames that all rows are pretrained on."""
        return pretraining_frames(self.comparison, self.sets, self.out, self.progress)

    def plan(self, name: str) -> Path:
        """The file with the plan of a pretraining."""
        return self.out / "plans" / f"{name}.json"

    # What is done.

    def _train_segmentor(self) -> None:
        minutes, epochs = self.comparison.minutes, self.comparison.epochs
        if minutes is None:
            plan = Plan(min(SEGMENTOR_EPOCHS, epochs or 1))
        else:
            plan = self._planned("segmentor", SEGMENTOR_SHARE * minutes, self._segmentor)
        _leave_if_stopped(self._segmentor(self.out / "segmentor", plan.epochs, self.frames))

    def _segmentor(self, run: Path, epochs: int, frames: FrameStore, every: int = 10) -> TrainingResult:
        settings = SegmentorConfig(data=self.out, run=run, input_size=self.comparison.input_size)
        training = replace(
            settings.training,
            epochs=epochs,
            batch_size=self.comparison.batch_size,
            device=self.comparison.device,
            seed=SEED,
            log_every=every,
        )
        return train_segmentor(replace(settings, training=training), None, _begun(run), frames)

    def _pretrain(self, row: Row) -> None:
        minutes = self.comparison.minutes
        if minutes is None:
            plan = Plan(self.comparison.epochs or 1)
        else:
            if takes_segmentor(row):  # the minutes in which S was trained are this method's too
                minutes = max(minutes / 2, minutes - spent(self.out / "segmentor").minutes)
            plan = self._planned(row.name, minutes, partial(self._pretraining, row))
        _leave_if_stopped(self._pretraining(row, self.pretrained(row), plan.epochs, self.frames))

    def _pretraining(self, row: Row, run: Path, epochs: int, frames: FrameStore, every: int = 10) -> TrainingResult:
        config = self.pretraining_of(row, run, epochs)
        training = replace(config.training, log_every=every)
        return pretrain(replace(config, training=training), None, _begun(run), frames=frames)

    def pretraining_of(self, row: Row, run: Path, epochs: int) -> Pretraining:
        """The settings of a row's pretraining."""
        segmentor = self.out / "segmentor" / MODEL if takes_segmentor(row) else None
        return pretraining(row, self.comparison, run, epochs, segmentor)

    def _planned(
        self, name: str, minutes: float, train: Callable[[Path, int, FrameStore, int], TrainingResult]
    ) -> Plan:
        batch = self.comparison.batch_size

        def trial(folder: Path, steps: int) -> TrainingResult:
            few = some_frames(self.frames, steps * batch, self.out / "frames" / "few")
            epochs = -(-steps // max(1, len(few) // batch))
            return train(folder, epochs, few, 1)

        return planned(self.plan(name), max(1, len(self.frames) // batch), minutes, trial)

    def _finetune(self, row: Row, one: DataSet, seed: int) -> None:
        write_held_out(one)
        run = self.finetuned(row, one, seed)
        comparison, side = self.comparison, 2 * self.comparison.input_size
        config = FinetuneConfig(
            labels=one.train,
            val=one.choose,
            leave_out=one.held_out,
            run=run,
            init=str(self.pretrained(row) / MODEL) if row.kind == "pretrained" else None,
            architecture=row.architecture,
            encoder=comparison.encoder,
            width=8,
            fraction=comparison.fraction,
            frame_size=side,
            input_size=side,
            validate_every=min(4, comparison.finetuning_epochs),
            training=Training(
                epochs=comparison.finetuning_epochs,
                batch_size=8,
                learning_rate=4e-3,
                betas=(0.9, 0.999),
                clip=1.0,
                device=comparison.device,
                seed=seed,
            ),
        )
        _leave_if_stopped(finetune(config, None, _begun(run)))

    def _score(self, row: Row, one: DataSet, seed: int) -> None:
        folder = self.scored(row, one, seed)
        write_scores(folder, self.reported(one), self._segmenter(row, one, seed))

    def _segmenter(self, row: Row, one: DataSet, seed: int) -> Segmenter:
        if row.kind == "filter":
            return filter_alone
        return by_model(self.finetuned(row, one, seed) / MODEL, self.comparison.device)

    def _cluster(self, row: Row, one: DataSet) -> None:
        model, comparison = self.pretrained(row) / MODEL, self.comparison
        tokens = tokens_of(model, self.reported(one), comparison.input_size, comparison.device)
        write_clustering(self.clustered(row, one), clustering(*tokens))

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        """One process alone does this; raises `LockedError` where another one does."""
        folder = self.out / "turns"
        folder.mkdir(exist_ok=True)
        with locked(folder / f"{name.replace(' ', '-')}.lock"):
            yield


def _begun(run: Path) -> bool:
    return (run / SETTINGS).is_file()


def _leave_if_stopped(result: TrainingResult) -> None:
    if result.reason == "stopped":
        raise Stopped
