"""From a name or a path (see `catalogue.find_model`) to a ready model with its preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from vasomim_core.errors import CheckpointError, ConfigError
from vasomim_core.models.catalogue import Card, find_model, model_name, read_card
from vasomim_core.models.checkpoint import read_state
from vasomim_core.models.effunet import EffUNet, small_effunet
from vasomim_core.models.encoder import Encoder
from vasomim_core.models.guides import (
    GUIDE,
    HARDNESS,
    AttentionGuide,
    AttentionRule,
    Guide,
    HardnessGuide,
    HardnessRule,
)
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.outputs import add_up
from vasomim_core.models.prediction import Model
from vasomim_core.models.segmentation import ViTPyramid, resunet, unet
from vasomim_core.models.token_decoder import TokenDecoder
from vasomim_core.models.unext import UNeXt
from vasomim_core.models.vasomim import SEGMENTOR, VasoMIM
from vasomim_core.schema import Ui, fields, from_dict

K = TypeVar("K")

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
    if own := _behind(SEGMENTOR, state):
        segmentor = UNeXt()
        load_strictly(segmentor, own, path)
    c = card.config
    model = VasoMIM(autoencoder, segmentor, c["mask_ratio"], c["sampler"], c["co_guidance"], c["consistency"])
    return model.eval().to(choose_device(device)), card


def load_guide(name_or_path: str | Path, device: str | torch.device = "auto") -> tuple[Guide, Card]:
    """What chooses the patches that a pretrained encoder's method masks, in eval mode, to look at its choice.

    It is that of the end of its run: the attention of the encoder that was kept (AMT), or the loss that the slow
    copies predict (HPM).

    Args:
        name_or_path: see `load_model`.
        device: see `load_model`.

    Raises:
        CheckpointError: no such model, one of another method, or one without what chooses.
    """
    path = find_model(name_or_path)
    card = read_card(path)
    if not card.guides:
        raise CheckpointError(f"{path} was not pretrained by AMT or HPM; choose an encoder that was")
    state = read_state(path)
    try:
        guide = (
            _attention_guide(card, state, path) if card.guides == "attention" else _hardness_guide(card, state, path)
        )
    except ConfigError as error:
        raise CheckpointError(f"the card of {path} cannot be used ({error}); choose another file") from error
    return guide.eval().to(choose_device(device)), card


def _attention_guide(card: Card, state: Mapping[str, Tensor], path: Path) -> Guide:
    encoder: Any = filled(card, state, path)
    return AttentionGuide(encoder, _known(AttentionRule, card))


def _hardness_guide(card: Card, state: Mapping[str, Tensor], path: Path) -> Guide:
    slow = _behind(GUIDE, state)
    if not slow:
        raise CheckpointError(
            f"{path} does not hold HPM's second decoder, as files of earlier versions do not; "
            "pretrain by HPM again to see what it masks"
        )
    encoder: Any = filled(card, {k: v for k, v in slow.items() if not k.startswith(HARDNESS)}, path)
    size = _known(_DecoderSize, card)
    sizes = (size.decoder_width, size.decoder_depth, size.decoder_heads)
    decoder = TokenDecoder(encoder.embed_dim, encoder.patch_embed.grid_size, *sizes, outputs=1)
    load_strictly(decoder, _behind(HARDNESS, slow), path)
    return HardnessGuide(encoder, decoder, _known(HardnessRule, card))


def _behind(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names have a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class _DecoderSize:
    decoder_width: Annotated[int, Ui(min=16, max=2048)]
    decoder_depth: Annotated[int, Ui(min=1, max=24)]
    decoder_heads: Annotated[int, Ui(min=1, max=32)]


def _known(kind: type[K], card: Card) -> K:
    """Those settings of a card that a dataclass has fields for, each of its type and within its range."""
    return from_dict(kind, {name: card.config[name] for name in fields(kind) if name in card.config}, "config.")


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
    state = {key: value for key, value in read_state(path).items() if not key.startswith((SEGMENTOR, GUIDE))}
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
