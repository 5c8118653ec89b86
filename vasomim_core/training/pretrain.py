"""Pretrain a masked autoencoder on unlabelled angiograms: VasoMIM, or MAE as its special case."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vasomim_core.config import PretrainConfig, SegmentorConfig, card_settings
from vasomim_core.data.augment import pretraining_crop
from vasomim_core.data.pretraining_frame import FRAME_SIZE
from vasomim_core.data.store import FrameStore
from vasomim_core.errors import CheckpointError
from vasomim_core.masking.sampling import mask_noise
from vasomim_core.masking.schedule import guidance_strength
from vasomim_core.models.catalogue import Card, Preprocessing, find_model, read_card
from vasomim_core.models.checkpoint import read_state, save_checkpoint
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.preprocessing import normalise
from vasomim_core.models.registry import build, load_strictly
from vasomim_core.models.vasomim import VasoMIM
from vasomim_core.training.batches import Batch, Moment
from vasomim_core.training.crops import Crops
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
    config: PretrainConfig, processes: Processes | None = None, resume: bool = False, strict: bool = False
) -> TrainingResult:
    """Run the job; without a segmentor in the settings, S is trained first (in RUN/segmentor).

    Args:
        config: its settings.
        processes: this process's place among several.
        resume: go on with the run in `config.run`.
        strict: end at the first file or frame that cannot be read; else it is left out, with a warning.

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
        options: dict[str, Any] = {
            "encoder": config.encoder,
            "input_size": config.input_size,
            "patch_size": config.patch_size,
            "decoder_width": config.decoder_width,
            "decoder_depth": config.decoder_depth,
            "decoder_heads": config.decoder_heads,
        }
        with weights_from(config.training.seed):
            autoencoder = MaskedAutoencoder(**options)
        needs_segmentor = config.consistency > 0 or config.co_guidance
        segmentor = load_segmentor(config.segmentor) if needs_segmentor and config.segmentor else None
        frames = anatomy_store(config.data, config.run, config.anatomy, log, processes, strict)
        if needs_segmentor and segmentor is None:
            segmentor = _own_segmentor(config, frames, processes)
            if segmentor is None:
                return finish_run(config.run, "stopped", 0, log, processes)
        if config.training.compile:
            autoencoder.compile()
        learner = PretrainLearner(
            VasoMIM(
                autoencoder,
                segmentor,
                config.mask_ratio,
                config.sampler,
                config.co_guidance,
                config.consistency,
            ),
            config,
        )

        def save_model(trained: PretrainLearner, scores: dict[str, float], epoch: int) -> None:
            card = Card(
                kind="autoencoder",
                architecture="mae",
                options=options,
                preprocessing=Preprocessing(frame_size=FRAME_SIZE, stride=config.patch_size),
                config=card_settings(config),
                data={"frames": len(frames), "sha256": frames.fingerprint},
                description=f"ViT-{config.encoder} pretrained by masked image modelling ({config.sampler} masking)",
            )
            save_checkpoint(config.run / MODEL, trained.model.pretrained_state(), card)

        task = Task(
            name="pretrain",
            learner=learner,
            groups=decayed_groups(autoencoder, config.training.weight_decay),
            frames=Crops(frames, partial(pretraining_crop, size=config.input_size), config.training.seed),
            save_model=save_model,
            notes=lambda epoch: {"beta": round(learner.beta(epoch), 4)},
        )
        trainer = Trainer(task, config.training, config.run, log, processes)
        return finish_run(config.run, trainer.run(), trainer.epoch, log, processes)


class PretrainLearner(nn.Module):
    """Draws the masks of a batch and computes L_rec + w·L_cons."""

    def __init__(self, model: VasoMIM, config: PretrainConfig):
        super().__init__()
        self.model, self.config, self.preprocessing = model, config, Preprocessing()

    def beta(self, epoch: int) -> float:
        """The guidance strength of an epoch."""
        return guidance_strength(epoch, self.config.training.epochs, self.config.beta_start, self.config.beta_end)

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """The losses of one batch; the noise behind its masks depends on seed, step and row alone."""
        images = normalise(batch["frame"], self.preprocessing)
        patches = self.model.autoencoder.patch_embed.num_patches
        noise = mask_noise(moment.seed, moment.step, moment.batch_size, patches, images.device)
        losses = self.model(images, batch["mask"] > 127, noise[:, moment.rows], self.beta(moment.epoch))
        return losses._asdict()


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


def _own_segmentor(config: PretrainConfig, frames: FrameStore, processes: Processes) -> nn.Module | None:
    """The segmentor S trained on the frames of this run, by now or before it was interrupted; None = stopped."""
    run = config.run / "segmentor"
    if not is_finished(run):
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
        begun = (run / SETTINGS).is_file()
        if train_segmentor(replace(settings, training=training), processes, begun, frames).reason == "stopped":
            return None
    return load_segmentor(run / MODEL)
