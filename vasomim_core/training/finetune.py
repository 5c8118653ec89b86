"""Finetune a segmentation model on labelled frames; the best validated epoch is the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vasomim_core.classes import VESSEL, LabelClass, vessel_of
from vasomim_core.config import FinetuneConfig, card_settings
from vasomim_core.data.store import Coded, Pair
from vasomim_core.evaluation.metrics import dsc, mean_overlap
from vasomim_core.models.catalogue import Card, Preprocessing
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.class_mask import class_mask
from vasomim_core.models.prediction import predict
from vasomim_core.models.segmentation_loss import SegmentationLoss
from vasomim_core.training.finetune_data import material
from vasomim_core.training.optimisation import layer_decayed_groups
from vasomim_core.training.processes import Processes
from vasomim_core.training.result import TrainingResult
from vasomim_core.training.runs import MODEL, finish_run, open_run
from vasomim_core.training.seeding import weights_from
from vasomim_core.training.segmentation import SegmentationLearner
from vasomim_core.training.start import start_network
from vasomim_core.training.task import Task
from vasomim_core.training.trainer import Trainer


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
        start_network(config)  # one that cannot be begun from is told before frames are read
        found = material(config, log, processes)
        lesson = found.lesson
        with weights_from(config.training.seed):
            start = start_network(config, lesson.classes)
            network, architecture, options = start.network, start.architecture, start.options
        for note in start.notes:
            log.write("warning", message=note)
        # A ViT's positions are those of its training crops: larger frames are seen in tiles of that size.
        tiled = architecture == "vit" and config.input_size < config.frame_size
        tile = config.input_size if tiled else None
        preprocessing = Preprocessing(
            frame_size=config.frame_size, tile=tile, mirrored=start.mirrored, class_thresholds=lesson.thresholds
        )
        if config.training.compile:
            network.compile()
        loss = SegmentationLoss(lesson.classes, lesson.meaning, config.dice_weight, config.cldice_weight)
        learner = SegmentationLearner(network, preprocessing, loss)
        learned, judged = len(found.labelled), len(found.validation)

        def save_model(trained: SegmentationLearner, scores: dict[str, float], epoch: int) -> None:
            card = Card(
                kind="segmentation model",
                architecture=architecture,
                options=options,
                classes=lesson.classes,
                preprocessing=preprocessing,
                config=card_settings(config),
                data=found.data.facts,
                scores={"validation": {"frames": judged, **scores}},
                description=f"{architecture} finetuned on {learned} labelled frames"
                if epoch
                else f"the model it started from, unchanged: {learned} labelled frames did not make it better",
            )
            save_checkpoint(config.run / MODEL, trained.network.state_dict(), card)

        def validate(trained: SegmentationLearner) -> dict[str, float]:
            return score_network(trained.network, preprocessing, found.judged(), lesson.classes, lesson.labelled)

        task = Task(
            name="finetune",
            learner=learner,
            # Slower lower layers keep what was pretrained; a network from scratch has nothing to keep.
            groups=layer_decayed_groups(
                network, config.layer_decay if config.init else 1.0, config.training.weight_decay
            ),
            frames=found.batches(config),
            save_model=save_model,
            validate=validate,
            validate_every=config.validate_every,
            validate_start=start.segments,
            patience=config.patience,
        )
        trainer = Trainer(task, config.training, config.run, log, processes)
        return finish_run(config.run, trainer.run(), trainer.epoch, log, processes)


def score_network(
    network: nn.Module,
    preprocessing: Preprocessing,
    pairs: Iterable[Pair | Coded],
    classes: Sequence[LabelClass] = VESSEL,
    labelled: Sequence[int] | None = None,
) -> dict[str, float]:
    """DSC first, then clDice, in percent: means over frames at their own size, at the model's thresholds.

    Both are those of labelled vessel, of whatever class. Where several classes are labelled, the DSC of each follows,
    over the frames in which either has it.

    Args:
        network: in eval mode.
        preprocessing: how it is fed.
        pairs: frame uint8 (H, W) and mask (H, W), bool or class values, read one at a time.
        classes: of the network, in the order of its outputs.
        labelled: values of those that the masks have; None = all.
    """
    device = next(network.parameters()).device
    judged = [one for one in classes if labelled is None or one.value in labelled]
    each: dict[str, list[float]] = {one.name: [] for one in judged}

    def compared() -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        for frame, mask in pairs:
            truth = mask.astype(np.uint8)
            found = predict(network, preprocessing, frame, device, classes=classes)
            drawn = class_mask(found, classes, preprocessing.threshold, preprocessing.class_thresholds)
            for one in judged:
                a, b = drawn == one.value, truth == one.value
                if a.any() or b.any():
                    each[one.name].append(100 * dsc(a, b))
            yield vessel_of(drawn, judged), vessel_of(truth, judged)

    overlap, line = mean_overlap(compared())
    scores = {"dsc": round(overlap, 3), "cldice": round(line, 3)}
    if len(judged) > 1:
        scores |= {f"dsc {name}": round(float(np.mean(of)), 3) for name, of in each.items() if of}
    return scores
