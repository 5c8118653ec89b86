"""Finetune a segmentation model on labelled frames; the best validated epoch is the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
from torch import nn

from vasomim_core.config import FinetuneConfig, card_settings
from vasomim_core.data.augment import finetuning_crop
from vasomim_core.data.spool import spool
from vasomim_core.data.store import FrameStore, Pair, build_store
from vasomim_core.errors import RunError
from vasomim_core.evaluation.metrics import mean_overlap
from vasomim_core.labels.labelled import LabelledFrame, labels_fingerprint, open_labels
from vasomim_core.labels.report import check_labels, passed_over
from vasomim_core.labels.splitting import training_and_validation
from vasomim_core.models.catalogue import Card, Preprocessing
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.prediction import probability
from vasomim_core.training.crops import Crops
from vasomim_core.training.events import EventLog
from vasomim_core.training.optimisation import layer_decayed_groups
from vasomim_core.training.processes import Processes
from vasomim_core.training.result import TrainingResult
from vasomim_core.training.run_data import Items, RunData, read_run_data, settle
from vasomim_core.training.runs import CACHE, DATA, MODEL, finish_run, open_run, progress_events
from vasomim_core.training.seeding import weights_from
from vasomim_core.training.segmentation import SegmentationLearner
from vasomim_core.training.start import start_network
from vasomim_core.training.task import Task
from vasomim_core.training.trainer import Trainer

VALIDATION = "validation"
"""Folder of the validation frames within a run's cache."""


def finetune(config: FinetuneConfig, processes: Processes | None = None, resume: bool = False) -> TrainingResult:
    """Run the job.

    Args:
        config: its settings.
        processes: this process's place among several.
        resume: go on with the run in `config.run`.

    Returns:
        How the run ended, its model, and the scores that this model reached.

    Raises:
        LabelError: labels that cannot be used or split.
        CheckpointError: `init` is not a model to start from.
        RunError: the run folder is taken, or the loss is not finite.
    """
    processes = processes or Processes()
    with open_run(config, processes, resume) as log:
        with weights_from(config.training.seed):
            start = start_network(config)
            network, architecture, options = start.network, start.architecture, start.options
        # A ViT's positions are those of its training crops: larger frames are seen in tiles of that size.
        tiled = architecture == "vit" and config.input_size < config.frame_size
        tile = config.input_size if tiled else None
        preprocessing = Preprocessing(frame_size=config.frame_size, tile=tile, mirrored=start.mirrored)
        if config.training.compile:
            network.compile()
        data, learned, validation = _data(config, log, processes)
        learner = SegmentationLearner(network, preprocessing, config.dice_weight, config.cldice_weight)

        def save_model(trained: SegmentationLearner, scores: dict[str, float], epoch: int) -> None:
            card = Card(
                kind="segmentation model",
                architecture=architecture,
                options=options,
                preprocessing=preprocessing,
                config=card_settings(config),
                data=data.facts,
                scores={"validation": {"frames": len(validation), **scores}},
                description=f"{architecture} finetuned on {len(learned)} labelled frames"
                if epoch
                else f"the model it started from, unchanged: {len(learned)} labelled frames did not make it better",
            )
            save_checkpoint(config.run / MODEL, trained.network.state_dict(), card)

        def validate(trained: SegmentationLearner) -> dict[str, float]:
            return score_network(trained.network, preprocessing, _stored(validation))

        task = Task(
            name="finetune",
            learner=learner,
            # Slower lower layers keep what was pretrained; a network from scratch has nothing to keep.
            groups=layer_decayed_groups(
                network, config.layer_decay if config.init else 1.0, config.training.weight_decay
            ),
            frames=Crops(
                learned,
                partial(finetuning_crop, size=config.input_size, augment=config.augment),
                config.training.seed,
            ),
            save_model=save_model,
            validate=validate,
            validate_every=config.validate_every,
            validate_start=start.segments,
            patience=config.patience,
        )
        trainer = Trainer(task, config.training, config.run, log, processes)
        return finish_run(config.run, trainer.run(), trainer.epoch, log, processes)


def shared_frames(training: Sequence[LabelledFrame], validation: Sequence[LabelledFrame]) -> list[str]:
    """A sentence when frames to choose on are among those to learn from, which flatters every score."""
    seen = {frame.frame_sha256 for frame in training}
    shared = [frame.name for frame in validation if frame.frame_sha256 in seen]
    if not shared:
        return []
    return [f"{len(shared)} of {len(validation)} validation frames (first: {shared[0]}) are also trained on"]


def score_network(network: nn.Module, preprocessing: Preprocessing, pairs: Iterable[Pair]) -> dict[str, float]:
    """DSC first, then clDice, in percent: means over frames at their own size, at the model's threshold.

    Args:
        network: in eval mode.
        preprocessing: how it is fed.
        pairs: frame uint8 (H, W) and mask bool (H, W), read one at a time.
    """
    device = next(network.parameters()).device
    overlap, line = mean_overlap(
        (probability(network, preprocessing, frame, device) >= preprocessing.threshold, mask) for frame, mask in pairs
    )
    return {"dsc": round(overlap, 3), "cldice": round(line, 3)}


def _data(config: FinetuneConfig, log: EventLog, processes: Processes) -> tuple[RunData, FrameStore, FrameStore]:
    """The record of what is learned from and validated on, and both as they lie in the run's cache."""
    labels: list[LabelledFrame] = []
    val: list[LabelledFrame] = []

    def look(known: Items) -> Items:
        keep = None if known else spooled  # a run that has begun has what it needs in its cache
        labels.extend(open_labels(config.labels, keep))
        val.extend(open_labels(config.val, keep) if config.val is not None else [])
        return items([])

    def items(validation: list[LabelledFrame]) -> Items:
        judged = {id(one) for one in validation}
        return {
            f"{source}/{one.name}": {
                "frame_sha256": one.frame_sha256,
                "mask_sha256": one.mask_sha256,
                "validation": id(one) in judged,
            }
            for source, frames in (("labels", labels), ("val", val))
            for one in frames
        }

    def build(_: Items) -> RunData:
        training, validation = training_and_validation(labels, val or None, config.fraction, config.training.seed)
        folder, progress = config.run / CACHE, progress_events(log)
        total = len(training) + len(validation)
        # At their own size: a model is judged on whole frames, and learns from scaled ones.
        judged = build_store(folder / VALIDATION, _pairs(validation), total, None, progress=progress)
        done = len(validation)
        learned = build_store(
            folder, _pairs(training), total, config.frame_size, progress=lambda n, _: progress(done + n, total)
        )
        return RunData(
            items=items(validation),
            caches={".": learned.fingerprint, VALIDATION: judged.fingerprint},
            facts={
                "frames": len(training),
                "sha256": labels_fingerprint(training),
                "validation_frames": len(validation),
                "validation_sha256": labels_fingerprint(validation),
            },
            warnings=[
                *passed_over(config.labels),
                *passed_over(config.val),
                *check_labels(training).warnings,
                *shared_frames(training, validation),
            ],
        )

    if processes.first:
        with spool(config.run) as spooled:
            settle(config.run, log, look, build, "labels")
    processes.wait()
    data = read_run_data(config.run)
    if data is None:
        raise RunError(f"{config.run / DATA} was written and cannot be read; check the disk")
    return data, FrameStore(config.run / CACHE), FrameStore(config.run / CACHE / VALIDATION)


def _stored(store: FrameStore) -> Iterator[Pair]:
    return ((np.array(frame), np.array(mask) > 0) for frame, mask in store)


def _pairs(frames: Sequence[LabelledFrame]) -> Iterator[Pair]:
    return ((one.frame(), np.asarray(one.mask(), bool)) for one in frames)
