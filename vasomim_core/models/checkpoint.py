"""Model files: safetensors with everything needed to use them in the header.

The header's `vasomim` entry is one JSON object, a `Card`. Files of other projects (`.pth`, plain safetensors) give
tensors only; pickles are read with `weights_only=True`, so that no code in them can run.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vasomim_core import __version__
from vasomim_core.errors import CheckpointError
from vasomim_core.files import atomic

FORMAT = 1


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a frame before a network sees it.

    Attributes:
        frame_size: longer side in pixels to which a whole frame is scaled; None = the frame's own size.
        mean: per channel, of grey levels in [0, 1].
        std: per channel.
        stride: the sides given to the network are multiples of this, in pixels.
        tile: side in pixels of the overlapping tiles that a scaled frame is seen in; None = whole.
        threshold: probability from which a pixel counts as vessel.
    """

    frame_size: int | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    stride: int = 32
    tile: int | None = None
    threshold: float = 0.5


@dataclass(frozen=True)
class Card:
    """What a model file says about itself.

    Attributes:
        kind: "segmenter" (finetuned), "segmentor" (S) or "autoencoder" (pretrained).
        architecture: name in `registry.ARCHITECTURES`.
        options: keyword arguments of that architecture.
        preprocessing: what the network expects.
        config: the settings of the run that made it, without paths.
        data: fingerprint and size of the training data.
        scores: what it reached, and on which data.
        description: one line for people.
        version: version of this package that wrote the file.
    """

    kind: str
    architecture: str
    options: dict[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    config: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    version: str = __version__


def save_checkpoint(path: Path, state: Mapping[str, Tensor], card: Card, half: bool = False) -> None:
    """Write tensors and card, atomically.

    Args:
        path: ends in `.safetensors`.
        state: tensors by name.
        card: goes into the header.
        half: store floating-point tensors as float16.
    """

    def stored(tensor: Tensor) -> Tensor:
        tensor = tensor.detach().cpu()
        return (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous().clone()

    header = {"vasomim": json.dumps({"format": FORMAT, **asdict(card)})}
    with atomic(path) as temporary:
        save_file({k: stored(v) for k, v in state.items()}, temporary, metadata=header)


def read_card(path: Path) -> Card:
    """The card of one of our model files, without reading its tensors.

    Raises:
        CheckpointError: no such file, not safetensors, or without our header.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give the path of a model file")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a complete safetensors file; it may be truncated ({error})") from error
    try:
        values = json.loads(header["vasomim"])
        if values.pop("format") > FORMAT:
            raise CheckpointError(f"{path} was written by a newer version ({values.get('version')}); update VasoMIM")
        stored: dict[str, Any] = values["preprocessing"]
        for name in ("mean", "std"):
            stored[name] = tuple(stored[name])
        values["preprocessing"] = Preprocessing(**stored)
        return Card(**values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} holds tensors but does not say of which model; choose a file that VasoMIM wrote"
        ) from error


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors or `.pth` file, floating-point ones as float32, on the CPU.

    Nested dictionaries of other projects (`model`, `state_dict`, `teacher` …) are opened.

    Raises:
        CheckpointError: no such file, not readable, or a pickle that holds more than tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give the path of a model file")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                state: Any = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds Python objects besides tensors and was not loaded, since they could run code; "
            "save it again as a plain state dict or as safetensors"
        ) from error
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint; it may be truncated or of another kind"
        ) from error
    while isinstance(state, dict) and not any(isinstance(v, Tensor) for v in state.values()):
        inner = [state[k] for k in ("model", "state_dict", "teacher", "student", "module") if k in state]
        if not inner:
            break
        state = inner[0]
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, dict) else {}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors; choose a file with a model's weights")
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
