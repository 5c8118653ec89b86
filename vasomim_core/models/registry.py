"""From a name or a path (see `catalogue.find_model`) to a ready model with its preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from vasomim_core.errors import CheckpointError, ConfigError
from vasomim_core.models.catalogue import Card, find_model, model_name, read_card
from vasomim_core.models.checkpoint import read_state
from vasomim_core.models.effunet import EffUNet, small_effunet
from vasomim_core.models.encoder import Encoder
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.outputs import add_up
from vasomim_core.models.prediction import Model
from vasomim_core.models.segmentation import ViTPyramid, resunet, unet
from vasomim_core.models.unext import UNeXt
from vasomim_core.models.vasomim import SEGMENTOR, VasoMIM

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "effunet": EffUNet,
    "effunet-small": small_effunet,
    "encoder": Encoder,
    "mae": MaskedAutoencoder,
    "resunet": resunet,
    "unet": unet,
    "unext": UNeXt,
    "vit": ViTPyramid,
}


def load_pretrained(
    name_or_path: str | Path, device: str | torch.device = "auto", input_size: int | None = None
) -> tuple[VasoMIM, Card]:
    """A pretrained autoencoder with its segmentor and masking settings, in eval mode, to look at reconstructions.

    Args:
        name_or_path: see `load_model`.
        device: see `load_model`.
        input_size: side of the square that it is to see in px, to which its positions are resampled; None = the side
            that it was pretrained with.

    Raises:
        CheckpointError: no such model, or one that was not made by pretraining.
        ConfigError: the input does not divide into the model's patches.
    """
    path = find_model(name_or_path)
    card = read_card(path)
    if card.kind != "autoencoder":
        raise CheckpointError(f"{path} is a {card.kind}; choose a pretrained autoencoder (VasoMIM or MAE)")
    state = read_state(path)
    weights = {k: v for k, v in state.items() if not k.startswith(SEGMENTOR)}
    autoencoder: Any = filled(card, weights, path)
    if input_size and input_size != card.options["input_size"]:
        sized = replace(card, options=card.options | {"input_size": input_size})
        with torch.device("meta"):
            grid = list(build(sized.architecture, sized.options).patch_embed.grid_size)  # type: ignore[union-attr, arg-type]
        for positions in ("pos_embed", "decoder_pos_embed"):
            weights[positions] = resample_abs_pos_embed(weights[positions], grid, num_prefix_tokens=1)
        autoencoder = filled(sized, weights, path)
    segmentor: nn.Module | None = None
    if own := {k.removeprefix(SEGMENTOR): v for k, v in state.items() if k.startswith(SEGMENTOR)}:
        segmentor = UNeXt()
        load_strictly(segmentor, own, path)
    c = card.config
    model = VasoMIM(autoencoder, segmentor, c["mask_ratio"], c["sampler"], c["co_guidance"], c["consistency"])
    return model.eval().to(choose_device(device)), card


def build(architecture: str, options: Mapping[str, Any]) -> nn.Module:
    """A freshly initialised network.

    Args:
        architecture: its name in `ARCHITECTURES`.
        options: what it takes; "parts" is how many of its outputs belong to the background and to each class, see
            `outputs.add_up`.

    Raises:
        ConfigError: an unknown architecture or option.
    """
    if architecture not in ARCHITECTURES:
        raise ConfigError(f"unknown architecture {architecture!r}; choose one of {', '.join(ARCHITECTURES)}")
    own = {name: value for name, value in options.items() if name != "parts"}
    try:
        network = ARCHITECTURES[architecture](**own)
    except (TypeError, ValueError, ArithmeticError, AssertionError, LookupError, RuntimeError) as error:
        raise ConfigError(f"architecture {architecture!r} does not take these options: {error}") from error
    if "parts" in options:
        add_up(network, options["parts"])
    return network


def filled(card: Card, state: Mapping[str, Tensor], source: Path | str) -> nn.Module:
    """The network of a card with these tensors, all of them.

    Raises:
        CheckpointError: they are not those of the card's network, or there is no such network.
    """
    try:
        with torch.device("meta"):  # without memory: the sizes are those that a file claims
            _check_fit(build(card.architecture, card.options), state, source)
        network = build(card.architecture, card.options)
    except ConfigError as error:
        raise CheckpointError(f"the card of {source} fits no network: {error}") from error
    network.load_state_dict(state)
    return network


def load_model(name_or_path: str | Path, device: str | torch.device = "auto") -> Model:
    """A model by its registered name or by path, in eval mode.

    Args:
        name_or_path: a name that `catalogue.models()` lists, a run folder, or a `.safetensors` file
            written by VasoMIM.
        device: "auto" (CUDA where there is one), "cpu", "cuda", …

    Returns:
        The model; one from a run folder has the name of that folder.

    Raises:
        CheckpointError: no model of that name, or a file that does not fit its own card.
    """
    path = find_model(name_or_path)
    card = read_card(path)
    state = {key: value for key, value in read_state(path).items() if not key.startswith(SEGMENTOR)}
    network = filled(card, state, path)
    chosen = choose_device(device)
    return Model(model_name(path), network.eval().to(chosen), card, chosen)


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], source: Path | str) -> None:
    """Load all tensors or none, with a readable reason.

    Raises:
        CheckpointError: names or shapes differ.
    """
    _check_fit(network, state, source)
    network.load_state_dict(state)


def _check_fit(network: nn.Module, state: Mapping[str, Tensor], source: Path | str) -> None:
    own = network.state_dict()
    unknown, missing = sorted(state.keys() - own.keys()), sorted(own.keys() - state.keys())
    shapes = [k for k in own.keys() & state.keys() if own[k].shape != state[k].shape]
    if unknown or missing or shapes:
        first = (missing + unknown + sorted(shapes))[0]
        raise CheckpointError(
            f"{source} belongs to another architecture: {len(missing)} tensors are missing, {len(unknown)} unknown, "
            f"{len(shapes)} of another shape, the first is {first!r}; choose a model of the same architecture"
        )


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """The device that "auto" stands for, or the one that was asked for.

    Raises:
        ConfigError: CUDA is asked for and not available, or the name is unknown.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {device!r}; choose auto, cpu or cuda") from error
    if chosen.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {device!r} is not supported; choose auto, cpu or cuda")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"no CUDA device {chosen.index or 0} is available here; choose device cpu or auto")
    return chosen
