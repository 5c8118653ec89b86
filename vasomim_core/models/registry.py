"""From a name or a path to a ready model with its preprocessing.

A path is taken as it is: a model file, or a run folder. A name is looked up in the package (`models/weights/`), then
in the user's model folder, where `register` puts the model of a finished run.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vasomim_core.errors import CheckpointError, ConfigError, VasoMIMError
from vasomim_core.files import atomic
from vasomim_core.models.checkpoint import Card, read_card, read_state
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.segmenter import ViTSegmenter, unet
from vasomim_core.models.unext import UNeXt
from vasomim_core.models.vasomim import SEGMENTOR, VasoMIM

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "mae": MaskedAutoencoder,
    "unet": unet,
    "unext": UNeXt,
    "vit": ViTSegmenter,
}
WEIGHTS = Path(__file__).parent / "weights"


@dataclass
class Model:
    """A network ready to use: in eval mode, on its device, with the card that says how to feed it."""

    name: str
    network: nn.Module
    card: Card
    device: torch.device


def load_pretrained(name_or_path: str | Path, device: str | torch.device = "auto") -> tuple[VasoMIM, Card]:
    """A pretrained autoencoder with its segmentor and masking settings, in eval mode, to look at reconstructions.

    Raises:
        CheckpointError: no such model, or one that was not made by pretraining.
    """
    path = find_model(name_or_path)
    card = read_card(path)
    if card.kind != "autoencoder":
        raise CheckpointError(f"{path} is a {card.kind}; choose a pretrained autoencoder")
    state = read_state(path)
    autoencoder = MaskedAutoencoder(**card.options)
    load_strictly(autoencoder, {k: v for k, v in state.items() if not k.startswith(SEGMENTOR)}, path)
    segmentor: nn.Module | None = None
    if own := {k.removeprefix(SEGMENTOR): v for k, v in state.items() if k.startswith(SEGMENTOR)}:
        segmentor = UNeXt()
        load_strictly(segmentor, own, path)
    c = card.config
    model = VasoMIM(autoencoder, segmentor, c["mask_ratio"], c["sampler"], c["co_guidance"], c["consistency"])
    return model.eval().to(choose_device(device)), card


def build(architecture: str, options: Mapping[str, Any]) -> nn.Module:
    """A freshly initialised network.

    Raises:
        ConfigError: an unknown architecture or option.
    """
    if architecture not in ARCHITECTURES:
        raise ConfigError(f"unknown architecture {architecture!r}; choose one of {', '.join(ARCHITECTURES)}")
    try:
        return ARCHITECTURES[architecture](**options)
    except TypeError as error:
        raise ConfigError(f"architecture {architecture!r} does not take these options: {error}") from error


def load_model(name_or_path: str | Path, device: str | torch.device = "auto") -> Model:
    """A model by its registered name or by path, in eval mode.

    Args:
        name_or_path: a name that `models()` lists, or a `.safetensors` file written by VasoMIM.
        device: "auto" (CUDA where there is one), "cpu", "cuda", …

    Raises:
        CheckpointError: no model of that name, or a file that does not fit its own card.
    """
    path = find_model(name_or_path)
    card = read_card(path)
    network = build(card.architecture, card.options)
    state = {key: value for key, value in read_state(path).items() if not key.startswith(SEGMENTOR)}
    load_strictly(network, state, path)
    chosen = choose_device(device)
    return Model(path.stem, network.eval().to(chosen), card, chosen)


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], source: Path | str) -> None:
    """Load all tensors or none, with a readable reason.

    Raises:
        CheckpointError: names or shapes differ.
    """
    own = network.state_dict()
    unknown, missing = sorted(state.keys() - own.keys()), sorted(own.keys() - state.keys())
    shapes = [k for k in own.keys() & state.keys() if own[k].shape != state[k].shape]
    if unknown or missing or shapes:
        first = (missing + unknown + sorted(shapes))[0]
        raise CheckpointError(
            f"{source} belongs to another architecture: {len(missing)} tensors are missing, {len(unknown)} unknown, "
            f"{len(shapes)} of another shape, the first is {first!r}; choose a model of the same architecture"
        )
    network.load_state_dict(state)


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


def model_folder() -> Path:
    """Where finished runs put their models: `$VASOMIM_MODELS`, else the platform's data folder for this user."""
    if "VASOMIM_MODELS" in os.environ:
        return Path(os.environ["VASOMIM_MODELS"])
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
    return base / "vasomim" / "models"


def find_model(name_or_path: str | Path) -> Path:
    """The file behind a name or path.

    Raises:
        CheckpointError: there is none; the message lists the names that exist.
    """
    path = Path(name_or_path)
    if path.suffix == ".safetensors":
        if path.is_file():
            return path
        raise CheckpointError(f"{path} does not exist; give the path of a model file")
    if path.is_dir() and (path / "model.safetensors").is_file():  # a run folder
        return path / "model.safetensors"
    for folder in (WEIGHTS, model_folder()):
        if (folder / f"{name_or_path}.safetensors").is_file():
            return folder / f"{name_or_path}.safetensors"
    if path.is_file():
        raise CheckpointError(f"{path} is not a model that VasoMIM wrote; choose a .safetensors file")
    known = ", ".join(models()) or "none yet"
    raise CheckpointError(f"no model is called {str(name_or_path)!r}; known models: {known}")


def models() -> dict[str, Card]:
    """All registered models by name, the packaged ones first; unreadable files are left out."""
    found: dict[str, Card] = {}
    for folder in (WEIGHTS, model_folder()):
        for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else []:
            try:
                found.setdefault(path.stem, read_card(path))
            except VasoMIMError:
                continue
    return found


def register(path: Path, name: str) -> str:
    """Copy a model file into the user's model folder; a taken name gets a number, nothing is overwritten.

    Returns:
        The name under which `load_model` finds it.
    """
    folder = model_folder()
    taken = {p.stem for f in (WEIGHTS, folder) if f.is_dir() for p in f.glob("*.safetensors")}
    unique, count = name, 2
    while unique in taken:
        unique, count = f"{name}-{count}", count + 1
    with atomic(folder / f"{unique}.safetensors") as temporary:
        shutil.copyfile(path, temporary)
    return unique
