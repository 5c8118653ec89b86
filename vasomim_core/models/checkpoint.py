"""Model files: safetensors with everything needed to use them in the header, and tensors from elsewhere.

The header's `vasomim` entry is one JSON object, a `catalogue.Card`. Files of other projects (`.pth`, plain
safetensors) give tensors only; pickles are read with `weights_only=True`, so that no code in them can run.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vasomim_core.errors import CheckpointError
from vasomim_core.files import atomic
from vasomim_core.models.catalogue import FORMAT, Card


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
