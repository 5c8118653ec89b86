"""What can be known about models without loading torch: which there are, where, and what their cards say.

A path is taken as it is: a model file, or a run folder. A name is looked up in the package (`models/weights/`), then
in the user's model folder, where `register` puts the model of a finished run.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from safetensors import SafetensorError, safe_open

from vasomim_core import __version__
from vasomim_core.classes import MOST_CLASSES, VESSEL, LabelClass, check_classes
from vasomim_core.config import EncoderSize, Sampler
from vasomim_core.errors import CheckpointError, ConfigError, VasoMIMError
from vasomim_core.evaluation.calibration import AS_TRAINED, Calibration
from vasomim_core.files import atomic, plain_name
from vasomim_core.locks import locked
from vasomim_core.schema import Ui, fields, from_dict, shown

FORMAT = 1  # of the header's `vasomim` entry
LONGEST_CARD = 1 << 20  # characters
DEFAULT_MODEL = "vasomim-every"
"""The packaged model that segments where no other is asked for."""
ENCODER = "vasomim-encoder"
"""The packaged pretrained autoencoder."""
SEGMENTING = ("segmentation model", "segmentor")
"""Kinds of models that find vessels."""
PRETRAINED = ("autoencoder", "encoder")
"""Kinds of models that pretraining leaves; the first can draw what is masked."""
GUIDES = {"amt": "attention", "hpm": "predicted loss"}
"""Pretraining methods whose network chooses what is masked, and by what it does."""
WEIGHTS = Path(__file__).parent / "weights"
RUN_MODEL = "model.safetensors"
"""The model in a run folder."""


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a frame before a network sees it, and to the probability that it gives.

    Attributes:
        frame_size: longer side in pixels to which a whole frame is scaled; None = the frame's own size.
        mean: per channel, of grey levels in [0, 1].
        std: per channel.
        stride: the sides given to the network are multiples of this, in pixels.
        tile: side in pixels of the overlapping tiles that a scaled frame is seen in; None = whole.
        threshold: probability of vessel, of whatever class, from which a pixel counts as vessel.
        class_thresholds: by class name, the probability of that class from which a pixel is of it, whatever the others
            say; see `class_mask`.
        least_piece: share of the frame that a connected piece of vessel must have to be no speck; see `class_mask`.
        calibration: slope and intercept of the logit of vessel that make the network's probability honest; see
            `calibration`.
        mirrored: average with the prediction of the frame flipped left to right, at 2× the time.
    """

    frame_size: Annotated[int | None, Ui(min=16, max=8192)] = None
    mean: Annotated[tuple[float, float, float], Ui(min=0, max=1)] = (0.485, 0.456, 0.406)
    std: Annotated[tuple[float, float, float], Ui(min=0.001, max=1000)] = (0.229, 0.224, 0.225)
    stride: Annotated[int, Ui(min=1, max=512)] = 32
    tile: Annotated[int | None, Ui(min=16, max=8192)] = None
    threshold: Annotated[float, Ui(min=0, max=1)] = 0.5
    class_thresholds: dict[str, float] = field(default_factory=dict)
    least_piece: Annotated[float, Ui(min=0, max=0.05)] = 0.0
    calibration: Annotated[Calibration, Ui(min=-1000, max=1000)] = AS_TRAINED
    mirrored: bool = False


@dataclass(frozen=True)
class Card:
    """What a model file says about itself.

    Attributes:
        kind: "segmentation model" (finetuned), "segmentor" (S), or what pretraining leaves: an "autoencoder" where it
            can draw what is masked, else an "encoder".
        architecture: name in `registry.ARCHITECTURES`.
        options: keyword arguments of that architecture.
        preprocessing: what the network expects.
        config: the settings of the run that made it, without paths.
        data: fingerprint and size of the training data.
        scores: what it reached, and on which data.
        description: one line for people.
        classes: what it tells apart, in the order of its outputs.
        version: version of this package that wrote the file.
    """

    kind: Literal["segmentation model", "segmentor", "autoencoder", "encoder"]
    architecture: str
    options: dict[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    config: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    classes: tuple[LabelClass, ...] = VESSEL
    version: str = __version__

    @property
    def segments(self) -> bool:
        """Whether the model finds vessels in a frame."""
        return self.kind in SEGMENTING

    @property
    def pretrained(self) -> bool:
        """Whether it is what pretraining leaves, for finetuning to start from."""
        return self.kind in PRETRAINED

    @property
    def guides(self) -> str:
        """By what of its network the method masked that it was pretrained by; "" where its network chooses nothing."""
        return GUIDES.get(str(self.config.get("method")), "") if self.kind == "encoder" else ""


@dataclass(frozen=True)
class _Options:
    """What architectures take; which of it a given one takes, `registry.build` finds out."""

    encoder: EncoderSize = "small"
    input_size: Annotated[int, Ui(min=16, max=2048)] = 224
    patch_size: Annotated[int, Ui(min=1, max=64)] = 16
    decoder_width: Annotated[int, Ui(min=4, max=2048)] = 256
    decoder_depth: Annotated[int, Ui(min=1, max=24)] = 4
    decoder_heads: Annotated[int, Ui(min=1, max=64)] = 8
    width: Annotated[int, Ui(min=1, max=512)] = 16
    drop_path: Annotated[float, Ui(min=0, max=0.9)] = 0.0
    lite: Annotated[int, Ui(min=0, max=4)] = 2
    levels: Annotated[int, Ui(min=1, max=5)] = 5
    outputs: Annotated[int, Ui(min=1, max=(1 + MOST_CLASSES) ** 2)] = 1
    parts: tuple[int, ...] | None = None
    relative_positions: bool = False


@dataclass(frozen=True)
class _Masking:
    """The settings without which a pretrained autoencoder cannot mask."""

    mask_ratio: Annotated[float, Ui(min=0.05, max=0.95)]
    sampler: Sampler
    co_guidance: bool
    consistency: Annotated[float, Ui(min=0, max=100)]
    beta_start: Annotated[float, Ui(min=0, max=1)] = 0.0
    beta_end: Annotated[float, Ui(min=0, max=1)] = 0.5


def read_card(path: Path) -> Card:
    """The card of one of our model files, without reading its tensors.

    Raises:
        CheckpointError: no such file, not safetensors, without our header, or with one that cannot be true.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give the path of a model file")
    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a complete safetensors file; it may be truncated ({error})") from error
    nameless = CheckpointError(
        f"{path} holds tensors but does not say of which model; choose a file that VasoMIM wrote"
    )
    try:
        values = json.loads(header["vasomim"]) if len(header["vasomim"]) <= LONGEST_CARD else {}
        version = values.pop("format")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise nameless from error
    if type(version) is int and version > FORMAT:
        raise CheckpointError(f"{path} was written by a newer version ({values.get('version')!s:.40}); update VasoMIM")
    if "kind" not in values or "architecture" not in values:
        raise nameless
    try:
        return checked(values)
    except ConfigError as error:
        raise CheckpointError(
            f"the card of {path} cannot be used ({error}); choose a file that VasoMIM wrote"
        ) from error


def checked(values: dict[str, Any]) -> Card:
    """The card that these JSON values make, each of them of its type and within its range.

    Raises:
        ConfigError: the first that is not, by name.
    """
    if values.get("kind") == "segmenter":  # its name in files of earlier versions
        values = values | {"kind": "segmentation model"}
    card = from_dict(Card, values)
    card = replace(card, classes=check_classes(card.classes))
    from_dict(_Options, card.options, "options.")
    outputs, parts = card.options.get("outputs", 1), card.options.get("parts")
    one_each = 1 if len(card.classes) == 1 else 1 + len(card.classes)
    if parts is not None and (len(parts) != 1 + len(card.classes) or min(parts) < 1):
        raise ConfigError(f"options.parts is {shown(parts)}, which does not fit {len(card.classes)} classes")
    if card.kind not in PRETRAINED and outputs != (sum(parts) if parts else one_each):
        raise ConfigError(f"options.outputs is {outputs}, which does not fit {len(card.classes)} classes")
    for name, value in card.preprocessing.class_thresholds.items():
        named = any(name == c.name for c in card.classes)
        if not named or type(value) not in (int, float) or not 0 <= value <= 1:
            raise ConfigError(
                f"class_thresholds has {shown(name)}: {shown(value)}; give its classes shares from 0 to 1"
            )
    own = {"mae": "autoencoder", "encoder": "encoder"}.get(card.architecture)
    if own != (card.kind if card.kind in PRETRAINED else None):
        raise ConfigError(f"architecture is {shown(card.architecture)}, which is no {card.kind}")
    if card.kind == "autoencoder":
        known = fields(_Masking)
        from_dict(_Masking, {name: value for name, value in card.config.items() if name in known}, "config.")
    for name, part in card.scores.items():
        numbers = part if isinstance(part, dict) else {"": part}
        for value in numbers.values():
            if type(value) not in (int, float) or not abs(value) < 1e9:
                raise ConfigError(f"scores.{shown(name)} is {shown(part)}; give numbers by name")
    for name, value in card.data.items():
        if type(value) not in (int, str) or len(shown(value)) > 100:
            raise ConfigError(f"data.{shown(name)} is {shown(value)}; give a number or a short text")
    return card


def model_folder() -> Path:
    """Where finished runs put their models: `$VASOMIM_MODELS`, else the platform's data folder for this user."""
    if "VASOMIM_MODELS" in os.environ:
        return Path(os.environ["VASOMIM_MODELS"])
    return platformdirs.user_data_path("vasomim", appauthor=False) / "models"


def is_path(name_or_path: str | Path) -> bool:
    """Whether `find_model` takes this for the path of a model or of a run, and not for a name."""
    path = Path(name_or_path)
    return path.suffix == ".safetensors" or path.is_file() or (path / RUN_MODEL).is_file()


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
    if path.is_dir() and (path / RUN_MODEL).is_file():  # a run folder
        return path / RUN_MODEL
    for folder in (WEIGHTS, model_folder()) if path.name == str(name_or_path) else ():
        if (folder / f"{name_or_path}.safetensors").is_file():
            return folder / f"{name_or_path}.safetensors"
    if path.is_file():
        raise CheckpointError(f"{path} is not a model that VasoMIM wrote; choose a .safetensors file")
    known = ", ".join(models()) or "none yet"
    raise CheckpointError(f"no model is called {str(name_or_path)!r}; known models: {known}")


def model_name(name_or_path: str | Path) -> str:
    """What a model is called, whether it is there or not: by its name or its file's; a run's model like the run."""
    path = Path(name_or_path)
    if path.name == RUN_MODEL and path.parent != model_folder():
        path = Path(os.path.abspath(path)).parent  # the run folder may be the working folder
    return path.name.removesuffix(".safetensors")


def known_card(name_or_path: str | Path | None) -> Card | None:
    """The card behind a name or path; None where none is given, or what is there has no card that can be read."""
    try:
        return read_card(find_model(name_or_path)) if name_or_path else None
    except (VasoMIMError, OSError):
        return None


def version_of(name_or_path: str | Path) -> int:
    """By which another file under the same name or path is seen: the time of its last change, in ns.

    Raises:
        CheckpointError: as `find_model`.
    """
    try:
        return find_model(name_or_path).stat().st_mtime_ns
    except OSError as error:
        raise CheckpointError(f"the model {name_or_path} cannot be read ({error.strerror}); choose another") from error


def models() -> dict[str, Card]:
    """All registered models by name, the packaged ones first; unreadable files are left out."""
    return {name: found for name, found in survey().items() if isinstance(found, Card)}


def survey() -> dict[str, Card | VasoMIMError]:
    """All registered models by name, the packaged ones first: the card of each, or why it cannot be used."""
    found: dict[str, Card | VasoMIMError] = {}
    for folder in (WEIGHTS, model_folder()):
        for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else []:
            if path.name.startswith("."):  # a copy that is being made, or was never completed
                continue
            try:
                card: Card | VasoMIMError = read_card(path)
            except VasoMIMError as error:
                card = error
            found.setdefault(path.stem, card)
    return found


def register(path: Path, name: str) -> str:
    """Copy a model file into the user's model folder; a taken name gets a number, nothing is overwritten.

    Returns:
        The name under which `load_model` finds it.

    Raises:
        ConfigError: the name is none for a file.
    """
    if not name or plain_name(name, "") != name:
        raise ConfigError(f"{name!r} cannot name a model; give letters, digits, '.', '_' and '-'")
    folder = model_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", wait=60):  # so that two at once do not find the same name free
        taken = {p.stem for f in (WEIGHTS, folder) if f.is_dir() for p in f.glob("*.safetensors")}
        unique, count = name, 2
        while unique in taken:
            unique, count = f"{name}-{count}", count + 1
        with atomic(folder / f"{unique}.safetensors") as temporary:
            shutil.copyfile(path, temporary)
    return unique


def is_packaged(name: str) -> bool:
    """Whether a name is that of a model that comes with the package."""
    return (WEIGHTS / f"{name}.safetensors").is_file()


def own_model(name: str) -> Path:
    """The file of a registered model that may be renamed or deleted.

    Raises:
        ConfigError: it comes with the package, or there is none of that name.
    """
    if is_packaged(name):
        raise ConfigError(f"{name} comes with the package and stays as it is")
    path = model_folder() / f"{name}.safetensors"
    if plain_name(name, "") != name or not path.is_file():
        raise ConfigError(f"no model of yours is called {name!r:.60}; it may have been deleted or renamed meanwhile")
    return path


def rename_model(name: str, new: str) -> None:
    """Give a registered model another name; nothing is overwritten.

    Raises:
        ConfigError: see `own_model`; or the new name is none for a file, or taken.
    """
    if not new or plain_name(new, "") != new:
        raise ConfigError(f"{new!r} cannot name a model; give letters, digits, '.', '_' and '-'")
    folder = model_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", wait=60):
        path, target = own_model(name), folder / f"{new}.safetensors"
        if is_packaged(new) or target.exists():
            raise ConfigError(f"a model is called {new} already; choose another name")
        path.rename(target)
