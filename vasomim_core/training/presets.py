"""Settings for a time one has: quick (minutes), balanced (an hour), thorough (a night); and a look before the start.

    preset = finetune_preset("quick", frames=20, memory=8 << 30, cuda=False, init="vasomim-demo")
    config = apply_preset(config, preset)
    estimate(config, frames=20)        # seconds

A preset is a plain dict of field changes, so that a form can show them before anything runs. torch is not loaded here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from vasomim_core.config import FinetuneConfig, PretrainConfig
from vasomim_core.errors import LabelError, VasoMIMError
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.report import check_labels, passed_over
from vasomim_core.labels.splitting import split_validation, take_fraction, validation_count
from vasomim_core.models.catalogue import Card, find_model, read_card
from vasomim_core.schema import check

Name = Literal["quick", "balanced", "thorough"]
C = TypeVar("C", FinetuneConfig, PretrainConfig)


@dataclass(frozen=True)
class Plan:
    """What a preset aims at.

    Attributes:
        seconds: of steps on the measured machine.
        steps: the most, however small the network is: from then on it only learns its few frames by heart.
        batch: frames of a step.
        side: of the crops in px of convolutional networks; a ViT keeps 256.
        validations: about so many over the run.
        patience: validations without a gain after which the run ends.
        pretraining_steps: of a pretraining run on the CPU.
    """

    seconds: float
    steps: int
    batch: int
    side: int
    validations: int
    patience: int | None
    pretraining_steps: int


PLANS: dict[Name, Plan] = {
    "quick": Plan(seconds=240, steps=300, batch=4, side=256, validations=10, patience=None, pretraining_steps=600),
    "balanced": Plan(
        seconds=3_000, steps=5_000, batch=8, side=384, validations=40, patience=15, pretraining_steps=3_500
    ),
    "thorough": Plan(
        seconds=7 * 3_600, steps=20_000, batch=16, side=512, validations=100, patience=30, pretraining_steps=5_000
    ),
}


@dataclass(frozen=True)
class Cost:
    """What a network with default options takes, measured on 2 cores (AMD EPYC, AVX512-BF16); grows with the area.

    Attributes:
        title: of the network, for people.
        step: seconds per frame of a training step at 256 px.
        validation: seconds per validated frame of 512 px.
        memory: bytes per frame of a training step at 256 px.
    """

    title: str
    step: float
    validation: float
    memory: float


COSTS: dict[str, Cost] = {
    "unext": Cost("UNeXt-S", 0.016, 0.036, 20e6),
    "unet": Cost("U-Net", 0.077, 0.11, 75e6),
    "resunet": Cost("residual U-Net", 0.02, 0.065, 30e6),
    "effunet": Cost("U-Net over EfficientNet-Lite", 0.08, 0.14, 100e6),
    "effunet-small": Cost("small U-Net over EfficientNet-Lite", 0.06, 0.09, 100e6),
    "vit": Cost("ViT", 0.14, 0.5, 160e6),
}
PRETRAINING = 0.09
"""Per frame of a pretraining step of ViT-S with its default decoder at 224 px; grows with the area."""
ENCODER: dict[str, float] = {"tiny": 0.4, "small": 1.0, "base": 3.5, "large": 11.0}
"""Work of an encoder with its decoder, relative to "small"; the two largest from their number of parameters."""
START, PREPARE = 12.0, 0.04
"""Seconds until torch is loaded; seconds per frame to read it, scale it and (pretraining) extract its anatomy."""
BASE = 1.0e9
"""Bytes that a training process takes before its first batch."""


def finetune_preset(name: Name, frames: int, memory: int, cuda: bool, init: str | None) -> dict[str, Any]:
    """Changes to a `FinetuneConfig`.

    Quick takes a few hundred steps on small batches: minutes on 2 cores. Balanced takes up to an hour there, thorough
    up to a night; both end early when scores do not rise any more.

    Args:
        name: how long it may take.
        frames: labelled frames; some of them are validated on, see `validation_count`.
        memory: bytes available, of the GPU with CUDA; a batch that does not fit is split into parts.
        cuda: whether it runs on CUDA, where batches are larger.
        init: the model to start from, by name or path; one that cannot be read counts as none.

    Returns:
        Values by field name, those of `training` in a dict of their own; for `apply_preset`.
    """
    plan, card = PLANS[name], _card(init)
    changes = _network(card, init, plan.side)
    architecture = changes["architecture"]
    larger = _area(changes["input_size"], 256) * _size(architecture, changes.get("encoder"))
    learned = max(1, frames - validation_count(frames))
    # A power of two, and no more frames than there are to learn from: they would only repeat.
    batch = min(plan.batch * (4 if cuda and name != "quick" else 1), 2 ** int(math.log2(learned)))
    steps = plan.steps if cuda else min(plan.steps, plan.seconds / (batch * COSTS[architecture].step * larger))
    epochs = min(10_000, max(1, round(steps / max(1, learned // batch))))
    return {
        **changes,
        "augment": True,
        "validate_every": max(1, min(1000, epochs // plan.validations)),
        "patience": plan.patience,
        "training": {
            "epochs": epochs,
            "batch_size": batch,
            "accumulate": _parts(batch, COSTS[architecture].memory * larger, memory),
            "learning_rate": _rate(card, architecture),
        },
    }


def pretrain_preset(name: Name, frames: int, memory: int, cuda: bool) -> dict[str, Any]:
    """Changes to a `PretrainConfig`: quick and balanced train ViT-Ti at 128 px, thorough ViT-S at 224 px.

    Args:
        name: how long it may take.
        frames: unlabelled frames.
        memory: bytes available, of the GPU with CUDA; a batch that does not fit is split into parts.
        cuda: whether it runs on CUDA, where batches are larger.

    Returns:
        As `finetune_preset`.
    """
    small = name == "thorough" or (cuda and name == "balanced")
    steps = PLANS[name].pretraining_steps * (4 if cuda else 1)
    batch = min(64 if small else 32, 2 ** int(math.log2(max(1, frames))))
    each_epoch = max(1, frames // batch)
    network: dict[str, Any] = (
        {"encoder": "small", "input_size": 224, "decoder_width": 256, "decoder_depth": 4, "decoder_heads": 8}
        if small
        else {"encoder": "tiny", "input_size": 128, "decoder_width": 192, "decoder_depth": 2, "decoder_heads": 6}
    )
    each = COSTS["vit"].memory * _area(network["input_size"], 256) * _size("vit", network["encoder"])
    return {
        **network,
        "segmentor_epochs": min(10_000, max(1, round(min(1_000, steps / 5) / each_epoch))),
        "training": {
            "epochs": min(10_000, max(1, round(steps / each_epoch))),
            "batch_size": batch,
            "accumulate": _parts(batch, each, memory),
            # The rate of the published runs is that of the whole batch of 64.
            "learning_rate": 5e-4,
        },
    }


def apply_preset(config: C, preset: dict[str, Any]) -> C:
    """The config with a preset's changes; every field that the preset does not name stays.

    Raises:
        ConfigError: a value out of range.
    """
    changes = dict(preset)
    training = replace(config.training, **changes.pop("training", {}))
    changed = replace(config, **changes, training=training)
    check(changed)
    return changed


def estimate(config: FinetuneConfig | PretrainConfig, frames: int, cores: int = 2) -> float | None:
    """About how many seconds a run takes on the CPU: within a factor of two on an idle machine like the measured one.

    Args:
        config: the settings; early stopping is not foreseen.
        frames: labelled frames (finetuning, validation part included) or unlabelled ones (pretraining).
        cores: of this machine; what was measured on 2 is taken to shrink with the cores, up to 8.

    Returns:
        Seconds; None on CUDA, where nothing was measured.
    """
    if config.training.device.startswith("cuda"):
        return None
    t, speed = config.training, min(max(cores, 1), 8) / 2
    if isinstance(config, PretrainConfig):
        each = PRETRAINING * _area(config.input_size, 224) * ENCODER[config.encoder]
        work = _steps(frames, t.batch_size, t.epochs) * t.batch_size * each
        if config.segmentor is None and config.consistency > 0:
            segmentor = COSTS["unext"].step * _area(config.input_size, 256)
            work += _steps(frames, t.batch_size, config.segmentor_epochs) * t.batch_size * segmentor
        return START + (PREPARE * frames + work) / speed
    card = _card(config.init)
    architecture = card.architecture if card and card.kind != "autoencoder" else config.architecture
    encoder = card.options.get("encoder", config.encoder) if card else config.encoder
    factor = _size(architecture, encoder)
    used = math.ceil(frames * config.fraction)
    validated = used if config.val is not None else validation_count(used)
    learned = used if config.val is not None else max(1, used - validated)
    each = COSTS[architecture].step * _area(config.input_size, 256) * factor
    views = 2 if card and card.preprocessing.mirrored else 1
    validation = COSTS[architecture].validation * _area(config.frame_size, 512) * factor * validated * views
    work = _steps(learned, t.batch_size, t.epochs) * t.batch_size * each
    work += math.ceil(t.epochs / config.validate_every) * validation
    return START + (PREPARE * used + work) / speed


def describe(preset: dict[str, Any]) -> str:
    """What a preset does, in one sentence."""
    t = preset["training"]
    network = preset.get("architecture", "vit")
    named = network_title(network) + (f" ({preset.get('encoder', 'small')})" if network == "vit" else "")
    parts = f" in {t['accumulate']} parts, to fit into memory" if t["accumulate"] > 1 else ""
    early = ", ends early when scores do not rise any more" if preset.get("patience") else ""
    return (
        f"{named}: {t['epochs']} epochs on crops of {preset['input_size']} px, batches of {t['batch_size']}{parts}, "
        f"learning rate {t['learning_rate']:g}{early}."
    )


def network_title(architecture: str) -> str:
    """What people call a network; one that is not known here is a ViT."""
    return COSTS.get(architecture, COSTS["vit"]).title


def check_before_training(
    labels: Path, val: Path | None = None, fraction: float = 1.0, seed: int = 0
) -> tuple[list[str], list[str], dict[str, Any]]:
    """Look at labelled frames before a run; reads each of them once (about 20 ms a frame), so not in a window's thread.

    Args:
        labels: as for `open_labels`.
        val: frames to validate on, likewise; None = some of `labels`, which then needs two groups.
        fraction: share of `labels` that will be used, in (0, 1].
        seed: of the draw of that share.

    Returns:
        Problems (sentences; a run would fail), warnings (sentences; probably mistakes), and counts: `frames`,
        `groups`, `vessel` (mean share in percent), `sizes` (frames by "W×H"). Counts are empty when nothing opens.
    """
    try:
        frames = open_labels(labels)
        validation = open_labels(val) if val is not None else []
    except (VasoMIMError, OSError) as error:
        return [str(error)], [], {}
    found = check_labels(frames)
    counts = {
        "frames": found.frames,
        "groups": found.groups,
        "vessel": round(100 * found.vessel, 1),
        "sizes": {f"{w}×{h}": count for (h, w), count in found.sizes.items()},
    }
    problems, warnings = [], [*passed_over(labels), *passed_over(val), *found.warnings]
    used = take_fraction(frames, fraction, seed) if fraction < 1 else frames
    shared = {frame.frame_sha256 for frame in used} & {frame.frame_sha256 for frame in validation}
    if shared:
        warnings.append(f"{len(shared)} of {len(validation)} validation frames are also learned from: scores flatter.")
    try:
        if val is None:
            split_validation(used, seed)
    except LabelError:
        which = f"The {len(used)} labelled frames" + (f" that a fraction of {fraction:g} takes" if fraction < 1 else "")
        problems.append(
            f"{which} are all of one group (one patient or sequence), so that none can be held out to validate on: "
            "accept frames of a second patient in the Labels panel, or choose other labelled frames as val under "
            "All settings."
        )
    if len(found.empty) == found.frames:
        problems.append("No mask has a single vessel pixel: there is nothing to learn from.")
    if found.frames < 5:
        warnings.append(f"There are only {found.frames} labelled frames: scores on so few say little.")
    return problems, warnings, counts


def _card(init: str | None) -> Card | None:
    try:
        return read_card(find_model(init)) if init else None
    except (VasoMIMError, OSError):
        return None


def _network(card: Card | None, init: str | None, side: int) -> dict[str, Any]:
    """Architecture and sizes: those of the model to start from, since vessels must look to it as wide as they did."""
    if card is not None and card.kind == "autoencoder":
        options = card.options
        return {
            "architecture": "vit",
            "encoder": options["encoder"],
            "patch_size": options["patch_size"],
            "frame_size": 512,
            "input_size": 256,
        }
    if card is not None:
        sizes = {
            "frame_size": card.preprocessing.frame_size or 512,
            "input_size": card.options.get("input_size", side),
        }
        encoder = {"encoder": card.options["encoder"]} if "encoder" in card.options else {}
        return {"architecture": card.architecture, **encoder, **sizes}
    # A foreign checkpoint is an encoder; from nothing, the smallest network learns the most from a few frames.
    if init:
        return {"architecture": "vit", "frame_size": 512, "input_size": 256}
    return {"architecture": "unext", "frame_size": 512, "input_size": side}


def _rate(card: Card | None, architecture: str) -> float:
    """Lower from a segmentation model than from scratch: of 3e-4, 1e-3, 2e-3 the second was best for vasomim-demo."""
    if architecture == "unext":
        return 1e-3 if card else 2e-3
    if card is not None and card.kind == "autoencoder":
        return 4e-3 if card.options.get("encoder") == "tiny" else 1e-3
    return 5e-4 if card else 1e-3


def _parts(batch: int, each: float, memory: int) -> int:
    """Into how many parts a batch is split so that one fits into 60 % of the memory: a power of two."""
    room = max(0.0, 0.6 * memory - BASE)
    parts = 1
    while parts < batch and batch / parts * each > room:
        parts *= 2
    return parts


def _steps(frames: int, batch: int, epochs: int) -> int:
    return max(1, frames // batch) * epochs


def _area(side: int, measured: int) -> float:
    return (side / measured) ** 2


def _size(architecture: str, encoder: str | None) -> float:
    return ENCODER[encoder or "small"] if architecture == "vit" else 1.0
