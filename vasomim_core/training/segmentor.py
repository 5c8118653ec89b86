"""Train the segmentor S on pseudo-labels: a UNeXt-S that learns what the vesselness filter finds, and smooths it."""

from __future__ import annotations

from functools import partial

import numpy as np

from vasomim_core.config import SegmentorConfig, card_settings
from vasomim_core.data.augment import Grey, pretraining_crop
from vasomim_core.data.pretraining_frame import FRAME_SIZE
from vasomim_core.data.store import Prepared
from vasomim_core.models.catalogue import Card, Preprocessing
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.registry import build
from vasomim_core.models.segmentation_loss import SegmentationLoss
from vasomim_core.training.crops import Crops
from vasomim_core.training.optimisation import decayed_groups
from vasomim_core.training.processes import Processes
from vasomim_core.training.pseudo_labels import anatomy_store
from vasomim_core.training.result import TrainingResult
from vasomim_core.training.runs import MODEL, finish_run, open_run
from vasomim_core.training.seeding import weights_from
from vasomim_core.training.segmentation import SegmentationLearner
from vasomim_core.training.task import Task
from vasomim_core.training.trainer import Trainer


def train_segmentor(
    config: SegmentorConfig,
    processes: Processes | None = None,
    resume: bool = False,
    store: Prepared | None = None,
    strict: bool = False,
) -> TrainingResult:
    """Run the job.

    Args:
        config: its settings.
        processes: this process's place among several.
        resume: go on with the run in `config.run`.
        store: frames with anatomy that a pretraining run has prepared already.
        strict: end at the first file or frame that cannot be read; else it is left out, with a warning.

    Returns:
        How the run ended, and its model.

    Raises:
        InputError: no angiogram that can be read, or with `strict` one that cannot.
        RunError: the run folder is taken, or the loss is not finite.
    """
    processes = processes or Processes()
    with open_run(config, processes, resume) as log:
        frames = store or anatomy_store(config.data, config.run, config.anatomy, log, processes, strict)
        preprocessing = Preprocessing(frame_size=FRAME_SIZE)
        with weights_from(config.training.seed):
            learner = SegmentationLearner(build("unext", {}), preprocessing, SegmentationLoss())

        def save_model(trained: SegmentationLearner, scores: dict[str, float], epoch: int) -> None:
            card = Card(
                kind="segmentor",
                architecture="unext",
                preprocessing=preprocessing,
                config=card_settings(config),
                data={"frames": len(frames), "sha256": frames.fingerprint},
                description="segmentor S, trained on pseudo-labels from vesselness",
            )
            save_checkpoint(config.run / MODEL, trained.network.state_dict(), card)

        task = Task(
            name="segmentor",
            learner=learner,
            groups=decayed_groups(learner, config.training.weight_decay),
            frames=Crops(frames, partial(_crop, size=config.input_size), config.training.seed),
            save_model=save_model,
        )
        trainer = Trainer(task, config.training, config.run, log, processes)
        return finish_run(config.run, trainer.run(), trainer.epoch, log, processes)


def _crop(frame: Grey, anatomy: Grey, rng: np.random.Generator, size: int) -> tuple[Grey, Grey]:
    """A crop whose anatomy, 0 or 255, is coded as background and vessel."""
    frame, anatomy = pretraining_crop(frame, anatomy, rng, size)
    return frame, (anatomy > 127).astype(np.uint8)
