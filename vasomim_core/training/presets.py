"""Settings for a time one has: quick (minutes), balanced (an hour), thorough (a night).

    preset = finetune_preset("quick", frames=20, memory=8 << 30, cuda=False, init="vasomim-demo")
    config = apply_preset(config, preset)

A preset is a plain dict of field changes, so that a form can show them before anything runs. torch is not loaded here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from vasomim_core.config import FinetuneConfig, MaskedPretraining, PretrainConfig, Pretraining
from vasomim_core.labels.splitting import validation_count
from vasomim_core.models.catalogue import Card, known_card
from vasomim_core.schema import check, fields
from vasomim_core.training.costs import BASE, COSTS, area, encoder_work, network_title

Name = Literal["quick", "balanced", "thorough"]
C = TypeVar("C", FinetuneConfig, Pretraining)


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
    plan, card = PLANS[name], known_card(init)
    changes = _network(card, init, plan.side)
    architecture = changes["architecture"]
    larger = area(changes["input_size"], 256) * encoder_work(architecture, changes.get("encoder"))
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


def pretrain_preset(
    name: Name, frames: int, memory: int, cuda: bool, kind: type[Pretraining] = PretrainConfig
) -> dict[str, Any]:
    """Changes to a pretraining method's settings: quick and balanced train ViT-Ti at 128 px, thorough ViT-S at 224 px.

    Args:
        name: how long it may take.
        frames: unlabelled frames.
        memory: bytes available, of the GPU with CUDA; a batch that does not fit is split into parts.
        cuda: whether it runs on CUDA, where batches are larger.
        kind: the settings class of the method.

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
    each = COSTS["vit"].memory * area(network["input_size"], 256) * encoder_work("vit", network["encoder"])
    parts = _parts(batch, each, memory)
    if kind.whole_batches:
        batch, parts = max(2, batch // parts), 1
    changes = network | {
        "segmentor_epochs": min(10_000, max(1, round(min(1_000, steps / 5) / each_epoch))),
        "small_size": max(16, round(network["input_size"] * 96 / 224 / 16) * 16),
    }
    if getattr(kind, "decoder_depth", None) != MaskedPretraining.decoder_depth:
        del changes["decoder_depth"]  # a method whose decoder is deeper by its nature
    own = fields(kind)
    return {
        **{field: value for field, value in changes.items() if field in own},
        "training": {
            "epochs": min(10_000, max(1, round(steps / each_epoch))),
            "batch_size": batch,
            "accumulate": parts,
            "learning_rate": kind.rate(batch),
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


def _network(card: Card | None, init: str | None, side: int) -> dict[str, Any]:
    """Architecture and sizes: those of the model to start from, since vessels must look to it as wide as they did."""
    if card is not None and card.pretrained:
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
    if card is not None and card.pretrained:
        return 4e-3 if card.options.get("encoder") == "tiny" else 1e-3
    return 5e-4 if card else 1e-3


def _parts(batch: int, each: float, memory: int) -> int:
    """Into how many parts a batch is split so that one fits into 60 % of the memory: a power of two."""
    room = max(0.0, 0.6 * memory - BASE)
    parts = 1
    while parts < batch and batch / parts * each > room:
        parts *= 2
    return parts
