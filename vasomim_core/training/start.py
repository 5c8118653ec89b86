"""The network that finetuning starts from: with random weights, or those of a segmentation model or an encoder."""

from __future__ import annotations

import math
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
    those of the classes that `classes.inherited` says), a pretrained autoencoder, a foreign ViT checkpoint in MAE or
    timm naming, or for `effunet` and `effunet-small` an EfficientNet-Lite (the encoder is loaded).

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
    sources = inherited(card.classes, classes)
    layer = _LastLayer(card, classes, sources)
    other = build(card.architecture, layer.options)
    own = other.state_dict()
    last = _depend_on_outputs(card.architecture, card.options)
    for name, tensor in network.state_dict().items():
        own[name] = layer.of(tensor, own[name]) if name in last else tensor
    other.load_state_dict(own)
    # It finds vessels already where all that are learned go on from something.
    return Start(other, card.architecture, layer.options, segments=all(sources), mirrored=mirrored, notes=(note,))


def _depend_on_outputs(architecture: str, options: Mapping[str, Any]) -> set[str]:
    """The names of the tensors of a last layer."""
    own = {name: value for name, value in options.items() if name != "parts"}
    with torch.device("meta"):
        one, two = (build(architecture, own | {"outputs": n}).state_dict() for n in (1, 2))
    return {name for name in one if one[name].shape != two[name].shape}


class _LastLayer:
    """The last layer of a model made one for other classes, so that each goes on as what it was.

    Every class has the parts of all classes that it goes on from, and the background those of what is learned no
    longer: what was a catheter does not become a vessel because nobody labels catheters. What several share is split
    evenly, so that the probability of vessel is that of before.
    """

    def __init__(self, card: Card, classes: Sequence[LabelClass], sources: Sequence[tuple[LabelClass, ...]]) -> None:
        kept = [one for some in sources for one in some]
        lost = [one for one in card.classes if one not in kept]
        self._parts = card.options.get("parts") or [1] * (1 + len(card.classes))
        self._outputs = [(None, *lost)] + [some for some in sources]  # None = the background
        self._shared: dict[LabelClass | None, int] = {one: kept.count(one) for one in kept}
        self._had = [None, *card.classes]
        parts = [sum(self._parts[self._had.index(one)] for one in some) or 1 for some in self._outputs]
        self._alone = len(classes) == 1 and parts == [1, 1]  # one logit says it
        self.options = {name: value for name, value in card.options.items() if name not in ("parts", "outputs")}
        if not self._alone:
            self.options["outputs"] = sum(parts)
        if max(parts) > 1:
            self.options["parts"] = parts

    def of(self, old: Tensor, fresh: Tensor) -> Tensor:
        """A tensor of it, with the outputs, or several channels for each, along its first axis.

        Args:
            old: of the model.
            fresh: as initialised for the other classes.
        """
        single = len(self._had) == 2 and self._parts == [1, 1]
        each = old.shape[0] // (1 if single else sum(self._parts))
        rows = old.reshape(-1, each, *old.shape[1:])
        if single:  # a logistic function is a softmax with a background of 0
            rows = torch.stack([torch.zeros_like(rows[0]), rows[0]])
        had = dict(zip(self._had, rows.split(list(self._parts)), strict=True))
        new = fresh.reshape(-1, each, *fresh.shape[1:])
        if fresh.ndim > 1:
            new = 0.1 * new  # what is learned from nothing does not drown what is known
        found: list[Tensor] = []
        for some in self._outputs:
            if not some:
                found.append(new[len(found) : len(found) + 1])
            for one in some:
                # The bias, of one axis, carries the share.
                found.append(had[one] - (math.log(self._shared.get(one, 1)) if fresh.ndim == 1 else 0.0))
        if self._alone:
            return (found[1] - found[0]).reshape(fresh.shape)
        return torch.cat(found).reshape(fresh.shape)


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
