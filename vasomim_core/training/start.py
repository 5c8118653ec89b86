"""The network that finetuning starts from: with random weights, or those of a segmentation model or an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vasomim_core.classes import VESSEL, LabelClass, inherited, what_changes
from vasomim_core.config import FinetuneConfig
from vasomim_core.errors import CheckpointError
from vasomim_core.models.catalogue import Card, find_model, read_card
from vasomim_core.models.checkpoint import read_state
from vasomim_core.models.effunet import EffUNet, load_efficientnet
from vasomim_core.models.outputs import outputs_of
from vasomim_core.models.registry import build, filled
from vasomim_core.models.segmentation import ViTPyramid
from vasomim_core.models.vit import has_relative_positions, load_encoder


@dataclass(frozen=True)
class Start:
    """What finetuning starts from.

    Attributes:
        network: with the weights of `init`, or random ones.
        architecture: its name in the registry.
        options: what it was built with.
        segments: whether it finds vessels already, so that its score before the first step says something.
        mirrored: whether it is averaged over the mirrored frame, as the segmentation model that it was.
        notes: what a person should know of it, in sentences.
    """

    network: nn.Module
    architecture: str
    options: dict[str, Any]
    segments: bool = False
    mirrored: bool = False
    notes: tuple[str, ...] = ()


def start_network(config: FinetuneConfig, classes: Sequence[LabelClass] = VESSEL) -> Start:
    """The network to finetune, with outputs for some classes.

    `init` may be a segmentation model (its architecture is taken over and all tensors are loaded, of the last layer
    those of the classes that `classes.inherited` says), a pretrained
    autoencoder, a foreign ViT checkpoint in MAE or timm naming, or for `effunet` and `effunet-small`
    an EfficientNet-Lite (the encoder is loaded).

    Raises:
        CheckpointError: `init` fits none of these.
    """
    if config.init is None:
        options = _options(config, classes)
        return Start(build(config.architecture, options), config.architecture, options)
    start = _loaded(config, config.init, classes)
    if isinstance(start.network, EffUNet):
        start.network.keep_depthwise()
    return start


def _loaded(config: FinetuneConfig, init: str, classes: Sequence[LabelClass]) -> Start:
    given = Path(init)
    path = given if given.is_file() else find_model(init)
    card = read_card(path) if path.suffix == ".safetensors" else None
    if card is not None and card.segments:
        return _continued(card, read_state(path), path, classes)
    if card is not None and config.architecture == "vit":
        own: dict[str, Any] = {
            "encoder": "base",
            "patch_size": 16,
            **card.options,
        }
        config = replace(config, encoder=own["encoder"], patch_size=own["patch_size"])
    options, state = _options(config, classes), read_state(path)
    if config.architecture == "vit" and has_relative_positions(state):
        options["relative_positions"] = True
    network = build(config.architecture, options)
    if isinstance(network, ViTPyramid):
        load_encoder(network.encoder, state, str(path))
    elif isinstance(network, EffUNet):
        load_efficientnet(network.encoder, state, str(path))
    else:
        raise CheckpointError(
            f"{path} is an encoder; start from it with architecture vit (or effunet, where it is an EfficientNet), not "
            f"{config.architecture}"
        )
    return Start(network, config.architecture, options)


def _continued(card: Card, state: Mapping[str, Tensor], path: Path, classes: Sequence[LabelClass]) -> Start:
    """A segmentation model that goes on, with other outputs where it is to tell other classes apart."""
    network, mirrored = filled(card, state, path), card.preprocessing.mirrored
    note = what_changes(card.classes, classes)
    if not note:
        return Start(network, card.architecture, card.options, segments=True, mirrored=mirrored)
    options = card.options | {"outputs": outputs_of(classes)}
    other = build(card.architecture, options)
    own = other.state_dict()
    for name, tensor in network.state_dict().items():
        own[name] = tensor if tensor.shape == own[name].shape else _handed_on(tensor, own[name], card.classes, classes)
    other.load_state_dict(own)
    # It finds vessels already where all that are learned go on from vessels.
    return Start(other, card.architecture, options, mirrored=mirrored, notes=(note,))


def _handed_on(old: Tensor, fresh: Tensor, had: Sequence[LabelClass], classes: Sequence[LabelClass]) -> Tensor:
    """A tensor of a last layer for other classes: theirs, one after the other, along its first axis.

    Args:
        old: of the model, (n · outputs, …).
        fresh: as initialised for the other classes.
        had: classes of the model.
        classes: to be learned.
    """
    before, after = outputs_of(had), outputs_of(classes)
    each = old.shape[0] // before
    if old.shape[1:] != fresh.shape[1:] or (each * before, each * after) != (old.shape[0], fresh.shape[0]):
        return fresh
    rows = old.reshape(before, each, *old.shape[1:])
    # A softmax over one class is a logistic function of the difference to the background.
    background = rows[0] if before > 1 else torch.zeros_like(rows[0])
    new = fresh.reshape(after, each, *fresh.shape[1:]).clone()
    if fresh.ndim > 1:
        new *= 0.1  # what is learned from nothing does not drown what is known
    if after > 1:
        new[0] = background
    for k, source in enumerate(inherited(had, classes)):
        if source is not None:
            row = rows[had.index(source) + (1 if before > 1 else 0)]
            new[k + (1 if after > 1 else 0)] = row if after > 1 else row - background
    return new.reshape(fresh.shape)


def _options(config: FinetuneConfig, classes: Sequence[LabelClass]) -> dict[str, Any]:
    outputs = {"outputs": outputs_of(classes)} if len(classes) > 1 else {}
    if config.architecture == "vit":
        return {
            "encoder": config.encoder,
            "input_size": config.input_size,
            "patch_size": config.patch_size,
            "width": config.width,
            "drop_path": config.drop_path,
            **outputs,
        }
    return outputs if config.architecture == "unext" else {"width": config.width, **outputs}
