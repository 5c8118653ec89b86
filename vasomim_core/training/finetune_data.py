"""What a finetuning run learns from and is validated on: settled once, and from then on in the run's cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import VESSEL, LabelClass, check_classes
from vasomim_core.config import FinetuneConfig
from vasomim_core.data.augment import Grey, finetuning_crop
from vasomim_core.data.completion import completed, completed_by
from vasomim_core.data.spool import spool
from vasomim_core.data.store import Coded, FrameStore, build_store
from vasomim_core.data.synthetic import coded_contrast, coded_synthetic
from vasomim_core.data.unlabelled import open_unlabelled
from vasomim_core.errors import ConfigError, InputError, LabelError, RunError
from vasomim_core.labels.labelled import Keep, LabelledFrame, labels_fingerprint, open_labels
from vasomim_core.labels.leaving_out import without_those_in
from vasomim_core.labels.report import check_labels, passed_over
from vasomim_core.labels.splitting import training_and_validation
from vasomim_core.models.prediction import Model
from vasomim_core.models.registry import load_model
from vasomim_core.reading import read_angiogram
from vasomim_core.schema import from_dict
from vasomim_core.training.events import EventLog
from vasomim_core.training.lesson import Lesson, lesson_of
from vasomim_core.training.mixture import Ingredient, Mixture
from vasomim_core.training.processes import Processes
from vasomim_core.training.run_data import Items, RunData, read_run_data, settle
from vasomim_core.training.runs import CACHE, DATA, progress_events

VALIDATION, SYNTHETIC, UNLABELLED, CONTRAST = "validation", "synthetic", "unlabelled", "contrast"
"""Folders of further stores within a run's cache."""
DETAIL = 2
"""How much finer labels are kept than frames: a pixel then has its share of a vessel's border."""


@dataclass(frozen=True)
class Material:
    """The frames of a run, in its cache.

    Attributes:
        data: the record of them.
        lesson: what there is to tell apart.
        labelled: to learn from, with codes.
        validation: to be judged on, at their own size, with class values.
        others: what takes the place of labelled frames.
        contrast: vessels that are drawn into labelled frames; None = none are.
    """

    data: RunData
    lesson: Lesson
    labelled: FrameStore
    validation: FrameStore
    others: tuple[Ingredient, ...]
    contrast: FrameStore | None

    def batches(self, config: FinetuneConfig) -> Mixture:
        """Views of all of them, as the trainer asks for them."""
        return Mixture(
            self.labelled,
            _view(config, self.labelled),
            self.others,
            config.training.seed,
            self.contrast,
            config.contrast,
        )

    def judged(self) -> Iterator[Coded]:
        """Frames and class masks to be judged on."""
        store = self.validation
        return ((np.array(frame), np.array(mask) if store.coded else _coded(mask)) for frame, mask in store)


def material(config: FinetuneConfig, log: EventLog, processes: Processes) -> Material:
    """Read, complete and draw all frames, or find them in the cache of a run that goes on.

    Args:
        config: the settings.
        log: gets warnings and progress.
        processes: this process's place; the first one does the work, the others wait.

    Raises:
        LabelError: labels that cannot be used or split.
        InputError: unlabelled frames that cannot be read.
        CheckpointError: no such teacher, or one that does not segment.
        RunError: a run that goes on has lost its data.
    """
    if processes.first:
        with spool(config.run) as spooled:
            work = _Preparation(config, log, spooled)
            settle(config.run, log, work.look, work.build, "labels")
    processes.wait()
    data = read_run_data(config.run)
    if data is None:
        raise RunError(f"{config.run / DATA} was written and cannot be read; check the disk")
    stores = {name: FrameStore(config.run / CACHE / name) for name in data.caches}
    shares = {SYNTHETIC: config.synthetic, UNLABELLED: config.unlabelled_share}
    others = tuple(
        Ingredient(stores[name], share, _view(config, stores[name], synthetic=name == SYNTHETIC))
        for name, share in shares.items()
        if name in stores
    )
    classes = check_classes(from_dict(LabelClass, one) for one in data.classes) if data.classes else VESSEL
    lesson = Lesson(classes, tuple(data.labelled or (one.value for one in classes)))
    return Material(data, lesson, stores["."], stores[VALIDATION], others, stores.get(CONTRAST))


def shared_frames(training: Sequence[LabelledFrame], validation: Sequence[LabelledFrame]) -> list[str]:
    """A sentence when frames to choose on are among those to learn from, which flatters every score."""
    seen = {frame.frame_sha256 for frame in training}
    shared = [frame.name for frame in validation if frame.frame_sha256 in seen]
    if not shared:
        return []
    return [f"{len(shared)} of {len(validation)} validation frames (first: {shared[0]}) are also trained on"]


class _Preparation:
    """Of the stores of one run."""

    def __init__(self, config: FinetuneConfig, log: EventLog, keep: Keep):
        self.config, self.log, self.keep = config, log, keep
        self.labels: list[LabelledFrame] = []
        self.val: list[LabelledFrame] = []
        self.notes: list[str] = []

    def look(self, known: Items) -> Items:
        """The labelled frames as they are now; a run that has begun has what it needs in its cache."""
        keep = None if known else self.keep
        frames = open_labels(self.config.labels, keep, self.config.categories)
        self.labels = without_those_in(self.config.leave_out, frames)
        self.val = [] if self.config.val is None else open_labels(self.config.val, keep, self.config.categories)
        return self._items([])

    def build(self, _: Items) -> RunData:
        """Fill the cache."""
        config = self.config
        lesson = lesson_of(config, self.labels[0].classes)
        training, validation = training_and_validation(
            self.labels, self.val or None, config.fraction, config.training.seed
        )
        teacher = None
        if config.teacher and not (config.complete and config.unlabelled is None):
            teacher = load_model(config.teacher, config.training.device)
        unlabelled = open_unlabelled(config.unlabelled) if config.unlabelled is not None else None
        if unlabelled is not None and teacher is None:
            raise ConfigError("unlabelled frames can only be learned from with a teacher; name a segmentation model")
        drawings = sum(config.synthetic_frames for share in (config.synthetic, config.contrast) if share)
        total = len(training) + len(validation) + drawings + (unlabelled.frames if unlabelled else 0)
        done, told = 0, progress_events(self.log)

        def store(name: str, pairs: Iterator[Coded], size: int | None, detail: int) -> FrameStore:
            nonlocal done
            before = done
            built = build_store(
                config.run / CACHE / name,
                pairs,
                total,
                size,
                detail=detail,
                progress=lambda n, _: told(before + n, total),
            )
            done += len(built)
            return built

        # At their own size: a model is judged on whole frames, and learns from scaled ones.
        stores = {VALIDATION: store(VALIDATION, self._judged(validation), None, 1)}
        codes = _with_classes(training) if config.complete else self._completed(training, teacher)
        stores["."] = store(".", codes, config.frame_size, DETAIL)
        seeds = [(config.training.seed, number) for number in range(config.synthetic_frames)]
        if config.synthetic:
            frames = (coded_synthetic(seed, lesson.catheter) for seed in seeds)
            stores[SYNTHETIC] = store(SYNTHETIC, frames, config.frame_size, DETAIL)
        if config.contrast:
            stores[CONTRAST] = store(CONTRAST, map(coded_contrast, seeds), config.frame_size, DETAIL)
        if unlabelled is not None and teacher is not None:
            pairs = self._taught([file.path for file in unlabelled.files], teacher)
            stores[UNLABELLED] = store(UNLABELLED, pairs, config.frame_size, DETAIL)
            self.notes += [f"Left out: {sentence}" for sentence in unlabelled.left_out]
        others = {name: len(stores[name]) for name in (SYNTHETIC, CONTRAST, UNLABELLED) if name in stores}
        return RunData(
            items=self._items(validation),
            caches={name: one.fingerprint for name, one in stores.items()},
            facts={
                "frames": len(training),
                "sha256": labels_fingerprint(training),
                "validation_frames": len(validation),
                "validation_sha256": labels_fingerprint(validation),
                **{f"{name}_frames": count for name, count in others.items()},
            },
            warnings=[
                *passed_over(config.labels),
                *passed_over(config.val),
                *check_labels(training).warnings,
                *shared_frames(training, validation),
                *self.notes,
            ],
            classes=[asdict(one) for one in lesson.classes],
            labelled=list(lesson.labelled),
        )

    def _items(self, validation: list[LabelledFrame]) -> Items:
        judged = {id(one) for one in validation}
        return {
            f"{source}/{one.name}": {
                "frame_sha256": one.frame_sha256,
                "mask_sha256": one.mask_sha256,
                "validation": id(one) in judged,
            }
            for source, frames in (("labels", self.labels), ("val", self.val))
            for one in frames
        }

    def _completed(self, frames: Sequence[LabelledFrame], teacher: Model | None) -> Iterator[Coded]:
        for one in frames:
            frame, labelled = one.frame(), one.class_mask()
            yield frame, completed(frame, labelled) if teacher is None else _asked(teacher, frame, labelled)

    def _taught(self, files: Sequence[Path], teacher: Model) -> Iterator[Coded]:
        for path in files:
            angiogram = read_angiogram(path)
            for index in range(len(angiogram.frames)):
                try:
                    frame = angiogram.grey(index)
                except InputError as error:
                    self.notes.append(f"Left out: {error}")
                    continue
                yield frame, _asked(teacher, frame, None)

    def _judged(self, frames: Sequence[LabelledFrame]) -> Iterator[Coded]:
        """Validation frames, their values those of the classes of equal names that are learned from."""
        had = self.labels[0].classes
        by_name = {one.name.casefold(): one.value for one in had}
        for frame in frames:
            names = [one.name for one in frame.classes]
            if sorted(map(str.casefold, names)) != sorted(by_name):
                raise LabelError(
                    f"{self.config.val} has the classes {', '.join(names)} and {self.config.labels} has "
                    f"{', '.join(one.name for one in had)}: validate on labels of the same classes."
                )
            table = np.zeros(256, np.uint8)
            for one in frame.classes:
                table[one.value] = by_name[one.name.casefold()]
            yield frame.frame(), table[frame.class_mask()]


def _asked(teacher: Model, frame: NDArray[np.uint8], labelled: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    found = teacher.predict_classes(frame)
    other = [k for k, one in enumerate(teacher.classes) if not one.vessel]
    return completed_by(frame, found.vessel, found.classes[other].sum(axis=0) if other else None, labelled)


def _with_classes(frames: Sequence[LabelledFrame]) -> Iterator[Coded]:
    return ((one.frame(), one.class_mask()) for one in frames)


def _view(config: FinetuneConfig, store: FrameStore, synthetic: bool = False) -> partial[tuple[Grey, Grey]]:
    return partial(
        _cut,
        coded=store.coded,
        size=config.input_size,
        augment=config.augment,
        variety=config.variety,
        synthetic=synthetic,
    )


def _cut(frame: Grey, mask: Grey, rng: np.random.Generator, coded: bool, **how: object) -> tuple[Grey, Grey]:
    return finetuning_crop(frame, mask if coded else _coded(mask), rng, **how)  # type: ignore[arg-type]


def _coded(mask: Grey) -> Grey:
    """The codes of a mask as a run of an earlier version has it in its cache: 0 to 255, the share that is vessel."""
    return (np.asarray(mask) > 127).astype(np.uint8)
