"""The whole method in minutes, on frames that are small enough for a laptop: `vasomim demo`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vasomim_core.anatomy import extract_anatomy, sato
from vasomim_core.config import FinetuneConfig, PretrainConfig
from vasomim_core.errors import ConfigError, LabelError, RunError
from vasomim_core.evaluation.folders import evaluate
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.figures import Panel, masked_frame, overlay, save_panels
from vasomim_core.files import write_json, write_png
from vasomim_core.inference.frame_masking import mask_frame
from vasomim_core.labels.labelled import LabelledFrame, open_labels
from vasomim_core.labels.splitting import split_by_group, take_fraction
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models.catalogue import read_card
from vasomim_core.models.registry import load_model
from vasomim_core.synthetic import write_samples
from vasomim_core.training.finetune import finetune
from vasomim_core.training.pretrain import pretrain

HELD_OUT = 10
VESSEL, TRUTH = (255, 176, 0), (0, 190, 160)


def demonstrate(output: Path, data: Path | None, frames: int, seed: int) -> dict[str, Any]:
    """Pretrain, finetune, segment, score, and draw a picture of every step.

    Args:
        output: new or empty folder for everything that is made.
        data: labelled angiograms; None = synthetic ones.
        frames: number of frames to learn from; about ten more, of other groups, are held out for the scores.
        seed: of everything drawn.

    Returns:
        Scores in percent on the held-out frames (`dsc`, `cldice`, and those of the filter alone), and paths.

    Raises:
        ConfigError: too few frames are asked for.
        RunError: `output` is not empty.
        LabelError: fewer frames than are needed.
    """
    if output.exists() and any(output.iterdir()):
        raise RunError(f"{output} exists and is not empty; give --output a new folder")
    taught, held_out = output / "taught", output / "held-out"
    if frames < 20:
        raise ConfigError(f"--frames is {frames}; the demo needs at least 20 to learn from")
    try:
        taught.mkdir(parents=True)  # whoever makes it has the folder, should two start at once
    except FileExistsError as error:
        raise RunError(f"{output} is in use by another demo; give --output a new folder") from error
    if data is None:
        write_samples(output / "samples", frames + HELD_OUT, seed)
    labelled = open_labels(data or output / "samples")
    if len(labelled) < HELD_OUT + 20:
        raise LabelError(f"{data} holds {len(labelled)} labelled frames; the demo needs at least {HELD_OUT + 20}")
    learning, unseen = split_by_group(labelled, HELD_OUT / len(labelled), seed)
    learning = take_fraction(learning, min(1.0, frames / len(learning)), seed)
    _copy(unseen, held_out)
    _copy(learning, taught)

    settings = PretrainConfig(
        data=taught / "images",
        run=output / "pretrain",
        encoder="tiny",
        input_size=128,
        decoder_width=192,
        decoder_depth=2,
        decoder_heads=6,
        segmentor_epochs=60,
    )
    training = replace(settings.training, epochs=200, batch_size=20, learning_rate=1.5e-3, seed=seed)
    pretrained = pretrain(replace(settings, training=training)).model

    tuned = FinetuneConfig(
        labels=taught,
        run=output / "finetune",
        init=str(pretrained),
        frame_size=256,
        input_size=256,
        width=8,
        validate_every=5,
    )
    tuned = replace(tuned, training=replace(tuned.training, epochs=25, learning_rate=4e-3, seed=seed))
    model = finetune(tuned).model

    network = load_model(model)
    for labelled_frame in open_labels(held_out):
        frame = labelled_frame.frame()
        mask = network.predict(frame) >= network.card.preprocessing.threshold
        write_png(output / "prediction" / f"{labelled_frame.name}.png", mask.astype(np.uint8) * 255)
        write_png(output / "filter" / f"{labelled_frame.name}.png", extract_anatomy(frame).astype(np.uint8) * 255)
    scores = evaluate(output / "prediction", held_out).to_dict()
    filtered = evaluate(output / "filter", held_out).to_dict()
    picture = output / "demo.png"
    draw(picture, open_labels(held_out)[0], model, pretrained, seed)
    result = {
        "dsc": scores["dsc"],
        "cldice": scores["cldice"],
        "filter_dsc": filtered["dsc"],
        "filter_cldice": filtered["cldice"],
        "taught": len(learning),
        "held_out": len(unseen),
        "model": str(model),
        "picture": str(picture),
    }
    write_json(output / "scores.json", result)
    return result


def draw(path: Path, labelled: LabelledFrame, model: Path, pretrained: Path, seed: int) -> None:
    """Nine pictures of one frame: input, vesselness, anatomy, mask, I′, S(I), S(I′), prediction, truth."""
    frame, truth = labelled.frame(), labelled.mask()
    anatomy = extract_anatomy(frame)
    card = read_card(pretrained)
    settings = {name: card.config[name] for name in ("mask_ratio", "sampler", "beta_start", "beta_end", "co_guidance")}
    schedule = MaskingSchedule(**settings, epochs=card.config["training"]["epochs"], seed=seed).for_model(card.options)
    masking = mask_frame(frame, schedule, anatomy=card.config["anatomy"], model=pretrained)
    view = masking.reconstruction
    assert view is not None  # a model was given
    network = load_model(model)
    predicted = network.predict(frame) >= network.card.preprocessing.threshold
    response = sato(frame)
    grey = (0.0, 255.0)
    panels = [
        Panel("input I", frame, limits=grey),
        Panel("vesselness (Sato)", response, "magma", (0, float(np.percentile(response, 99.8)))),
        Panel("anatomy m", overlay(frame, anatomy, VESSEL)),
        Panel(
            f"masked patches (γ {schedule.mask_ratio:g}, β {masking.mask.beta:g})",
            masked_frame(masking.mask.image, masking.mask.masked, schedule.patch_size),
        ),
        Panel("reconstruction I′", view.reconstruction, limits=grey),
    ]
    if view.vessels is not None and view.vessels_again is not None:
        panels += [
            Panel("segmentor S(I)", view.vessels, "magma", (0, 1)),
            Panel("segmentor S(I′)", view.vessels_again, "magma", (0, 1)),
        ]
    panels += [
        Panel(f"prediction (DSC {100 * dsc(predicted, truth):.0f} %)", overlay(frame, predicted, VESSEL)),
        Panel("truth", overlay(frame, truth, TRUTH)),
    ]
    save_panels(path, panels, columns=3)


def _copy(frames: Sequence[LabelledFrame], folder: Path) -> None:
    for number, labelled in enumerate(frames):
        write_png(folder / "images" / f"{number:03d}.png", labelled.frame())
        write_png(folder / "masks" / f"{number:03d}.png", labelled.mask().astype(np.uint8) * 255)
