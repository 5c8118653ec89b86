"""Pretrain an encoder on unlabelled angiograms, by one of the methods of `vasomim_core.methods`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from vasomim_core.config import Mode, Pretraining, SegmentorConfig, card_settings
from vasomim_core.data.pretraining_frame import FRAME_SIZE
from vasomim_core.data.store import Prepared
from vasomim_core.errors import CheckpointError
from vasomim_core.methods.method import Method
from vasomim_core.methods.settings import learner_of
from vasomim_core.models.catalogue import Card, Preprocessing, find_model, read_card
from vasomim_core.models.checkpoint import read_state, save_checkpoint
from vasomim_core.models.registry import build, load_strictly
from vasomim_core.training.crops import Views
from vasomim_core.training.optimisation import decayed_groups
from vasomim_core.training.processes import Processes
from vasomim_core.training.pseudo_labels import anatomy_store
from vasomim_core.training.result import TrainingResult
from vasomim_core.training.runs import MODEL, SETTINGS, finish_run, is_finished, open_run
from vasomim_core.training.seeding import weights_from
from vasomim_core.training.segmentor import train_segmentor
from vasomim_core.training.task import Task
from vasomim_core.training.trainer import Trainer


def pretrain(
    config: Pretraining,
    processes: Processes | None = None,
    resume: bool = False,
    strict: bool = False,
    frames: Prepared | None = None,
) -> TrainingResult:
    """Run the job; a method that needs a segmentor S and is given none trains it first (in RUN/segmentor).

    Args:
        config: its settings: `PretrainConfig` for VasoMIM, or those of another method (`methods.settings`).
        processes: this process's place among several.
        resume: go on with the run in `config.run`.
        strict: end at the first file or frame that cannot be read; else it is left out, with a warning.
        frames: with their anatomy, prepared already for several runs; None = those of `config.data`.

    Returns:
        How the run ended, and its model; none when it was stopped while S was still trained.

    Raises:
        InputError: no angiogram that can be read, or with `strict` one that cannot.
        CheckpointError: the segmentor is not a UNeXt-S.
        RunError: the run folder is taken, or the loss is not finite.
    """
    processes = processes or Processes()
    with open_run(config, processes, resume) as log:
        # Everything that can be wrong with the settings shows before hours are spent on frames.
        with weights_from(config.training.seed):
            method: Method[Any] = learner_of(config)(config)
        given = getattr(config, "segmentor", None)
        segmentor = load_segmentor(given) if method.needs_segmentor and given else None
        mode: Mode | None = getattr(config, "anatomy", "robust") if method.anatomy else None
        if frames is None:
            frames = anatomy_store(config.data, config.run, mode, log, processes, strict)
        if method.needs_segmentor and segmentor is None:
            segmentor = _own_segmentor(config, frames, processes)
            if segmentor is None:
                return finish_run(config.run, "stopped", 0, log, processes)
        if config.training.compile:
            method.fuse()
        method.begin(frames, segmentor)

        def save_model(trained: Method[Any], scores: dict[str, float], epoch: int) -> None:
            kind, architecture, options, settings = trained.described()
            card = Card(
                kind=kind,  # type: ignore[arg-type]
                architecture=architecture,
                options=options,
                preprocessing=Preprocessing(frame_size=FRAME_SIZE, stride=config.patch_size),
                config=card_settings(config) | settings,
                data={"frames": len(frames), "sha256": frames.fingerprint},
                description=f"ViT-{config.encoder} pretrained by {trained.words()}",
            )
            save_checkpoint(config.run / MODEL, trained.kept(), card)

        groups = decayed_groups(method, config.training.weight_decay)
        if method.rate_scale != 1:
            groups = [{**group, "lr_scale": method.rate_scale} for group in groups]
        task = Task(
            name="pretrain",
            learner=method,
            groups=groups,
            frames=Views(frames, method.view(), config.training.seed),
            save_model=save_model,
            whole_batches=config.whole_batches,
            before_epoch=method.before_epoch,
            before_step=method.before_step,
            after_step=method.after_step,
            notes=method.notes,
        )
        trainer = Trainer(task, config.training, config.run, log, processes)
        return finish_run(config.run, trainer.run(), trainer.epoch, log, processes)


def load_segmentor(source: Path | str) -> nn.Module:
    """The segmentor S from one of our model files, or a UNeXt-S state dict in the original project's naming.

    Raises:
        CheckpointError: it is something else.
    """
    path = Path(source) if Path(source).is_file() else find_model(source)
    if path.suffix == ".safetensors" and (card := read_card(path)).architecture != "unext":
        raise CheckpointError(f"{path} is a {card.architecture} model; the segmentor must be a UNeXt-S")
    network = build("unext", {})
    state = {key.removeprefix("module."): value for key, value in read_state(path).items()}
    load_strictly(network, state, path)
    return network


def _own_segmentor(config: Any, frames: Prepared, processes: Processes) -> nn.Module | None:
    """The segmentor S trained on the frames of this run, by now or before it was interrupted; None = stopped."""
    run = config.run / "segmentor"
    if not processes.says(is_finished(run)):
        settings = SegmentorConfig(config.data, run, config.anatomy, config.input_size)
        training = replace(
            settings.training,
            epochs=config.segmentor_epochs,
            batch_size=config.training.batch_size,
            device=config.training.device,
            precision=config.training.precision,
            workers=config.training.workers,
            seed=config.training.seed,
        )
        begun = bool(processes.says((run / SETTINGS).is_file()))
        if train_segmentor(replace(settings, training=training), processes, begun, frames).reason == "stopped":
            return None
    processes.bring(run / MODEL)
    return load_segmentor(run / MODEL)
