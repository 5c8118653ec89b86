"""The network that finetuning starts from: with random weights, or those of a segmentation model or an encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from vasomim_core.config import FinetuneConfig
from vasomim_core.errors import CheckpointError
from vasomim_core.models.catalogue import find_model, read_card
from vasomim_core.models.checkpoint import read_state
from vasomim_core.models.effunet import EffUNet, load_efficientnet
from vasomim_core.models.registry import build, filled
from vasomim_core.models.segmentation import ViTPyramid
from vasomim_core.models.vit import load_encoder


@dataclass(frozen=True)
class Start:
    """What finetuning starts from.

    Attributes:
        network: with the weights of `init`, or random ones.
        architecture: its name in the registry.
        options: what it was built with.
        segments: whether it finds vessels already, so that its score before the first step says something.
        mirrored: whether it is averaged over the mirrored frame, as the segmentation model that it was.
    """

    network: nn.Module
    architecture: str
    options: dict[str, Any]
    segments: bool = False
    mirrored: bool = False


def start_network(config: FinetuneConfig) -> Start:
    """The network to finetune.

    `init` may be a segmentation model (its architecture is taken over, all tensors are loaded), a pretrained
    autoencoder, a foreign ViT checkpoint in MAE or timm naming, or for `effunet` and `effunet-small`
    an EfficientNet-Lite (the encoder is loaded).

    Raises:
        CheckpointError: `init` fits none of these.
    """
    if config.init is None:
        options = _options(config)
        return Start(build(config.architecture, options), config.architecture, options)
    start = _loaded(config, config.init)
    if isinstance(start.network, EffUNet):
        start.network.keep_depthwise()
    return start


def _loaded(config: FinetuneConfig, init: str) -> Start:
    given = Path(init)
    path = given if given.is_file() else find_model(init)
    card = read_card(path) if path.suffix == ".safetensors" else None
    if card is not None and card.segments:
        network = filled(card, read_state(path), path)
        return Start(network, card.architecture, card.options, segments=True, mirrored=card.preprocessing.mirrored)
    if card is not None and config.architecture == "vit":
        own: dict[str, Any] = {
            "encoder": "base",
            "patch_size": 16,
            **card.options,
        }
        config = replace(config, encoder=own["encoder"], patch_size=own["patch_size"])
    options = _options(config)
    network = build(config.architecture, options)
    if isinstance(network, ViTPyramid):
        load_encoder(network.encoder, read_state(path), str(path))
    elif isinstance(network, EffUNet):
        load_efficientnet(network.encoder, read_state(path), str(path))
    else:
        raise CheckpointError(
            f"{path} is an encoder; start from it with architecture vit (or effunet, where it is an EfficientNet), not "
            f"{config.architecture}"
        )
    return Start(network, config.architecture, options)


def _options(config: FinetuneConfig) -> dict[str, Any]:
    if config.architecture == "vit":
        return {
            "encoder": config.encoder,
            "input_size": config.input_size,
            "patch_size": config.patch_size,
            "width": config.width,
            "drop_path": config.drop_path,
        }
    return {} if config.architecture == "unext" else {"width": config.width}
