"""What can be known about models without loading torch: which there are, where, and what their cards say.

A path is taken as it is: a model file, or a run folder. A name is looked up in the package (`models/weights/`), then
in the user's model folder, where `register` puts the model of a finished run.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from vasomim_core import __version__
from vasomim_core.calibration import AS_TRAINED, Calibration
from vasomim_core.errors import CheckpointError, VasoMIMError
from vasomim_core.files import atomic, own_folder

FORMAT = 1  # of the header's `vasomim` entry
DEFAULT_MODEL = "vasomim-fast"
"""The packaged model that segments where no other is asked for."""
ENCODER = "vasomim-encoder"
"""The packaged pretrained autoencoder."""
WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a frame before a network sees it, and to the probability that it gives.

    Attributes:
        frame_size: longer side in pixels to which a whole frame is scaled; None = the frame's own size.
        mean: per channel, of grey levels in [0, 1].
        std: per channel.
        stride: the sides given to the network are multiples of this, in pixels.
        tile: side in pixels of the overlapping tiles that a scaled frame is seen in; None = whole.
        threshold: probability from which a pixel counts as vessel.
        calibration: slope and intercept of the logit that make the network's probability honest; see `calibration`.
        mirrored: average with the prediction of the frame flipped left to right, at 2× the time.
    """

    frame_size: int | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    stride: int = 32
    tile: int | None = None
    threshold: float = 0.5
    calibration: Calibration = AS_TRAINED
    mirrored: bool = False


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


def read_card(path: Path) -> Card:
    """The card of one of our model files, without reading its tensors.

    Raises:
        CheckpointError: no such file, not safetensors, or without our header.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give the path of a model file")
    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a complete safetensors file; it may be truncated ({error})") from error
    try:
        values = json.loads(header["vasomim"])
        if values.pop("format") > FORMAT:
            raise CheckpointError(f"{path} was written by a newer version ({values.get('version')}); update VasoMIM")
        stored: dict[str, Any] = values["preprocessing"]
        for name in {"mean", "std", "calibration"} & stored.keys():
            stored[name] = tuple(stored[name])
        values["preprocessing"] = Preprocessing(**stored)
        return Card(**values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} holds tensors but does not say of which model; choose a file that VasoMIM wrote"
        ) from error


def model_folder() -> Path:
    """Where finished runs put their models: `$VASOMIM_MODELS`, else the platform's data folder for this user."""
    if "VASOMIM_MODELS" in os.environ:
        return Path(os.environ["VASOMIM_MODELS"])
    return own_folder("data") / "models"


def is_path(name_or_path: str | Path) -> bool:
    """Whether `find_model` takes this for the path of a model or of a run, and not for a name."""
    path = Path(name_or_path)
    return path.suffix == ".safetensors" or path.is_file() or (path / "model.safetensors").is_file()


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
