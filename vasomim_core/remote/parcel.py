"""What a run reads, made ready to be sent: frames and masks as PNG under neutral names, models, and its settings.

Nothing else goes: no file name, no group's name, no DICOM header. A frame is what the engine would have read of it, so
the run there learns from the same pixels, in the same order and the same split, as it would have here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.comparing.settings import Comparison
from vasomim_core.config import Config, FinetuneConfig
from vasomim_core.data.pretraining_frame import at_scale
from vasomim_core.data.unlabelled import each_frame, open_unlabelled
from vasomim_core.errors import LabelError
from vasomim_core.labels.class_list import CLASSES, classes_to
from vasomim_core.labels.labelled import Keep, LabelledFrame, open_labels
from vasomim_core.labels.leaving_out import without_those_in
from vasomim_core.labels.origins import ORIGINS
from vasomim_core.labels.report import MOST_NOTES, check_labels, passed_over
from vasomim_core.models.catalogue import WEIGHTS, find_model
from vasomim_core.training.runs import MODELS, settings_text

SETTINGS = "settings.yaml"
"""The settings of the run there."""
RUN = "run"
"""Its run folder there."""
DATA = "data"
"""The frames of a comparison there."""
PARTS = ("train", "val", "test")
"""Of a data set, as `comparing.datasets` knows them."""
_NEUTRAL = re.compile(r"(?:[^\s\"']*/)?\b((?:frame|val|unlabelled)-\d{6})\b(?:\.png)?")
Progress = Callable[[int, int], object]


@dataclass
class Parcel:
    """What goes to another machine for one run, or one comparison.

    Attributes:
        settings: of the run there: every path is a name in its folder, and all else as it was.
        files: by the path of a file there (`labels/images/frame-000001.png`), its SHA-256.
        content: by its SHA-256, what reads a file.
        sizes: by its SHA-256, its bytes.
        texts: by the path of a file there, what it says: classes, groups.
        names: by the neutral name of a frame, its own, which stays here.
        frames: how many.
        masks: how many.
        models: how many files of models.
        notes: what a person should know about the files here, a sentence each.
        left_out: of the notes, how many are about a file or frame that is not learned from.
    """

    settings: Config | Comparison
    files: dict[str, str] = field(default_factory=dict)
    content: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    frames: int = 0
    masks: int = 0
    models: int = 0
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def device(self) -> str:
        """That the run asks for."""
        return self.settings.device if isinstance(self.settings, Comparison) else self.settings.training.device

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())

    def add(self, name: str, sha: str, size: int, content: Callable[[], bytes]) -> None:
        """Put a file in; one of the same content is sent once."""
        self.files[name], self.sizes[sha], self.content[sha] = sha, size, content


def pack(config: Config, keep: Keep, strict: bool = False, progress: Progress = lambda done, total: None) -> Parcel:
    """Read what a run learns from.

    Args:
        config: its settings.
        keep: puts pixels away, see `data.spool.spool`.
        strict: end at the first unlabelled file that cannot be read.
        progress: is told how many frames are read, of how many.

    Raises:
        LabelError: labels that cannot be used.
        InputError: angiograms that cannot be read.
        CheckpointError: no such model.
    """
    parcel = Parcel(config)
    changes: dict[str, Any] = {"run": Path(RUN)}
    packing = _Packing(parcel, keep, progress)
    for name in (*MODELS, "teacher"):
        given = getattr(config, name, None)
        if given is not None:
            changes[name] = packing.model(name, given)
    if isinstance(config, FinetuneConfig):
        frames = open_labels(config.labels, keep, config.categories)
        val = [] if config.val is None else open_labels(config.val, keep, config.categories)
        labels = without_those_in(config.leave_out, frames)
        packing.total = len(labels) + len(val)
        changes |= {"labels": packing.labels("labels", "frame", labels), "leave_out": None}
        if config.val is not None:
            changes["val"] = packing.labels("val", "val", val)
        for path, some in ((config.labels, labels), (config.val, val)):
            parcel.notes += passed_over(path)
            parcel.notes += check_labels(some).notes[:MOST_NOTES] if some else ()
        if config.unlabelled is not None:
            changes["unlabelled"] = packing.unlabelled("unlabelleds", "unlabelled", config.unlabelled, strict)
    else:
        changes["data"] = packing.unlabelled("frames", "frame", config.data, strict, scaled=True)
    parcel.settings = replace(config, **changes)
    parcel.texts[SETTINGS] = settings_text(parcel.settings)
    return parcel


def pack_comparison(comparison: Comparison, keep: Keep, progress: Progress = lambda done, total: None) -> Parcel:
    """Read what a comparison reads: each part of each data set, and what is pretrained on.

    Raises:
        LabelError, InputError: as `pack`.
    """
    neutral = there(comparison)
    parcel = Parcel(neutral)
    packing = _Packing(parcel, keep, progress)
    for folder, path in zip(neutral.data, comparison.data, strict=True):
        parts = [part for part in PARTS if (path / part).is_dir()] if (path / PARTS[0]).is_dir() else [""]
        for part in parts:
            frames = open_labels(path / part, keep)
            packing.total += len(frames)
            packing.labels((folder / part).as_posix(), "frame", frames)
    for folder, path in zip(neutral.unlabelled, comparison.unlabelled, strict=True):
        packing.unlabelled(folder.as_posix(), "unlabelled", path, strict=False, scaled=True)
    return parcel


def there(comparison: Comparison) -> Comparison:
    """The settings of a comparison there, where data sets have numbers."""
    data = tuple(Path(DATA, f"set-{place:06d}") for place in range(len(comparison.data)))
    unlabelled = tuple(Path(DATA, f"more-{place:06d}") for place in range(len(comparison.unlabelled)))
    return replace(comparison, data=data, unlabelled=unlabelled)


def local_words(text: str, names: Mapping[str, str]) -> str:
    """A sentence from there with the frames' own names, and without the folders there, in the place of neutral ones."""
    return _NEUTRAL.sub(lambda found: names.get(found[1], found[0]), text)


class _Packing:
    """Fills a parcel."""

    def __init__(self, parcel: Parcel, keep: Keep, progress: Progress):
        self.parcel, self.keep, self.progress = parcel, keep, progress
        self.done = self.total = 0
        self.numbers: Counter[str] = Counter()

    def model(self, name: str, given: str) -> str:
        """A model's file, under the name of its setting; a packaged one is there already."""
        path = Path(given) if Path(given).is_file() else find_model(given)
        if path.parent == WEIGHTS:
            return path.stem
        suffix = path.suffix.lower() if re.fullmatch(r"\.[a-z0-9]{1,16}", path.suffix.lower()) else ""
        with open(path, "rb") as file:
            sha = hashlib.file_digest(file, "sha256").hexdigest()
        self.parcel.add(f"{name}{suffix}", sha, path.stat().st_size, path.read_bytes)
        self.parcel.models += 1
        return f"{name}{suffix}"

    def labels(self, folder: str, kind: str, frames: Sequence[LabelledFrame]) -> Path:
        """Frames with their masks. Their order is kept, and the order of their groups, by which a split is drawn."""
        if not frames:
            raise LabelError("There are no labelled frames: label at least one.")
        rank = {group: f"group-{place:06d}" for place, group in enumerate(sorted({one.group for one in frames}))}
        groups = {}
        for one in frames:
            name = self.next(kind)
            self.image(f"{folder}/images/{name}.png", one.frame())
            self.image(f"{folder}/masks/{name}.png", one.class_mask())
            self.parcel.names[name] = one.name
            groups[name] = {"group": rank[one.group]}
            self.parcel.masks += 1
            self.told()
        self.parcel.texts[f"{folder}/{CLASSES}"] = json.dumps(classes_to(frames[0].classes))
        self.parcel.texts[f"{folder}/{ORIGINS}"] = json.dumps(groups)
        return Path(folder)

    def unlabelled(self, folder: str, kind: str, path: Path, strict: bool, scaled: bool = False) -> Path:
        """All frames of angiograms without labels: to pretrain on `scaled` as pretraining keeps them."""
        found = open_unlabelled(path, strict, self.keep if scaled else None)
        self.total += found.frames
        notes, left_out = list(found.notes), list(found.left_out)
        for grey in each_frame(found, notes, left_out, strict):
            self.image(f"{folder}/{self.next(kind)}.png", at_scale(grey) if scaled else grey)
            self.told()
        self.parcel.notes += notes
        self.parcel.left_out += left_out
        return Path(folder)

    def next(self, kind: str) -> str:
        """The next neutral name of a frame."""
        self.numbers[kind] += 1
        return f"{kind}-{self.numbers[kind] - 1:06d}"

    def image(self, name: str, pixels: NDArray[np.uint8]) -> None:
        """A picture as PNG, whose file holds its pixels and nothing else."""
        done, encoded = cv2.imencode(".png", np.ascontiguousarray(pixels))
        if not done:
            raise LabelError(f"a frame of shape {pixels.shape} cannot be written as PNG")
        content, kept = encoded.tobytes(), self.keep(encoded)
        self.parcel.add(name, hashlib.sha256(content).hexdigest(), len(content), lambda: kept().tobytes())

    def told(self) -> None:
        """One frame more is read."""
        self.parcel.frames += 1
        self.done += 1
        self.progress(self.done, self.total)
