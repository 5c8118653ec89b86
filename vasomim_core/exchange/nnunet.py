"""nnU-Net v2 raw: `imagesTr/NAME_0000.png`, `labelsTr/NAME.png` with values 0 … K, and `dataset.json`.

The layout is that of nnU-Net's documentation (`dataset_format.md`, version 2). What it has no place for, the values and
colours of classes, which of them are vessel, and the groups, stands in `dataset.json` under "vasomim", which nnU-Net
passes over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from vasomim_core.classes import COLOURS, ClassMask, LabelClass, check_classes
from vasomim_core.errors import ConfigError, LabelError
from vasomim_core.exchange.handover import Written, each_case, new_folder, nothing
from vasomim_core.files import write_json, write_png
from vasomim_core.labels.arcade import nfc
from vasomim_core.labels.class_list import classes_from, classes_to
from vasomim_core.labels.mask_file import MaskFile, Masks
from vasomim_core.labels.origins import LONGEST, UNKNOWN, Origin, origins_from, origins_to
from vasomim_core.labels.record import read_json
from vasomim_core.labels.sources import LabelledFolder, OpenMasks, Source, files_by_name, raise_first
from vasomim_core.reading.folders import Progress

DATASET, IMAGES, LABELS = "dataset.json", "imagesTr", "labelsTr"
OURS = "vasomim"
"""Of our entry in `dataset.json`."""
TAKEN = ("background", "ignore")
"""Names that have a meaning of their own in nnU-Net."""


def write_nnunet(folder: LabelledFolder, output: Path, progress: Progress = nothing) -> Written:
    """Write frames and their masks as a raw data set of nnU-Net v2 into a folder that is new or empty.

    The classes become 1 … K in the order of their values. nnU-Net draws its folds by frame: where frames share a group,
    give it folds by group yourself (`splits_final.json`).

    Args:
        folder: what is written.
        output: where to, named as nnU-Net wants it, such as `Dataset101_Coronaries`; it appears when all is written.
        progress: called after each frame.

    Raises:
        LabelError: there are no frames, masks do not fit, or the folder is not empty or cannot be written to.
        InputError: a frame or a mask is missing or damaged.
    """
    classes = folder.classes()
    numbers = np.zeros(256, np.uint8)
    numbers[[one.value for one in classes]] = np.arange(1, len(classes) + 1)
    origins: dict[str, Origin] = {}
    with new_folder(output) as made:
        for case in each_case(folder, progress):
            write_png(made / IMAGES / f"{case.name}_0000.png", case.frame)
            write_png(made / LABELS / f"{case.name}.png", numbers[case.mask])
            origins[case.name] = case.origin
        document = {
            "channel_names": {"0": "XA"},
            "labels": {"background": 0, **{_name(one): number for number, one in enumerate(classes, 1)}},
            "numTraining": len(origins),
            "file_ending": ".png",
            OURS: {"classes": classes_to(classes), "frames": origins_to(origins)},
        }
        write_json(made / DATASET, document)
    notes = [*folder.notes()]
    if len({origin.group for origin in origins.values()} - {None}) < sum(o.group is not None for o in origins.values()):
        notes.append("Some frames share a group: nnU-Net draws its folds by frame, unless it is given others.")
    return Written((output,), len(origins), tuple(origins), tuple(notes))


def _name(one: LabelClass) -> str:
    return f"{one.name} (class)" if one.name.casefold() in TAKEN else one.name


def is_nnunet(path: Path) -> bool:
    """Whether a folder is a raw data set of nnU-Net v2."""
    return (path / DATASET).is_file() and (path / IMAGES).is_dir()


@dataclass(frozen=True)
class NnunetFolder:
    """A raw data set of nnU-Net v2 with grey frames in files of the kinds that are read here."""

    path: Path

    def classes(self) -> tuple[LabelClass, ...]:
        """Its labels: the values that we have written beside, else those of the labels, all of them vessel."""
        return tuple(sorted(self._labels.values(), key=lambda one: one.value))

    def sources(self) -> list[Source]:
        """The training cases; those without a label are an error, and what is in `imagesTs/` is left out."""
        images, masks = files_by_name(self.path / IMAGES), self.masks()
        cases = {name.removesuffix("_0000"): image for name, image in images.items() if name.endswith("_0000")}
        problems = [
            f"{image} is no first channel (…_0000): grey frames of one channel can be read."
            for name, image in images.items()
            if not name.endswith("_0000")
        ]
        problems += [
            f"{image} has no label: {self.path / LABELS / name}.png is missing, add it."
            for name, image in cases.items()
            if name not in masks
        ]
        raise_first(problems, len(images))
        if not cases:
            raise LabelError(f"{self.path / IMAGES} holds no frame that can be read: PNG and TIFF files can.")
        known = {name: self._origins.get(name, UNKNOWN) for name in cases}
        return [
            Source(name, image, masks[name], group=known[name].group, frame_index=known[name].frame_index)
            for name, image in cases.items()
        ]

    def masks(self) -> Mapping[str, OpenMasks]:
        """All in `labelsTr/`, by case."""
        return {
            name: partial(NnunetMask, file, self._labels, self.classes())
            for name, file in files_by_name(self.path / LABELS).items()
        }

    def notes(self) -> tuple[str, ...]:
        """That nothing says which labels are vessel, where that is so."""
        if OURS in self._document:
            return ()
        return (f"{self.path / DATASET} does not say which labels are vessel: all are taken for it.",)

    @cached_property
    def _document(self) -> dict[str, Any]:
        path = self.path / DATASET
        values = read_json(path, LONGEST)
        if not isinstance(values, dict) or not isinstance(values.get("labels"), dict):
            raise LabelError(f"{path} lists no labels: it is not that of nnU-Net v2.")
        channels = values.get("channel_names")
        if isinstance(channels, dict) and len(channels) > 1:
            raise LabelError(f"{path} names {len(channels)} channels: grey frames of one channel can be read.")
        if "dataset" in values:
            raise LabelError(f"{path} says that its files lie elsewhere: copy them to {IMAGES}/ and {LABELS}/.")
        return values

    @cached_property
    def _origins(self) -> dict[str, Origin]:
        ours = self._document.get(OURS, {})
        listed = ours.get("frames", {}) if isinstance(ours, dict) else None
        return {nfc(name): origin for name, origin in origins_from(listed, self.path / DATASET).items()}

    @cached_property
    def _labels(self) -> dict[int, LabelClass]:
        """What each value of its masks but 0 means."""
        path, ours = self.path / DATASET, self._document.get(OURS)
        written = classes_from(ours.get("classes"), path) if isinstance(ours, dict) else ()
        by_name = {_name(one): one for one in written}
        found: dict[int, LabelClass] = {}
        try:
            for name, value in self._document["labels"].items():
                if type(value) is not int:
                    raise LabelError(f"{path} has the region {name!r} of several labels: give it plain labels.")
                if name == "ignore":
                    raise LabelError(f"{path} has an ignore label, for which masks have no place here: leave it out.")
                if value:
                    fresh = LabelClass(value, name, COLOURS[(value - 1) % len(COLOURS)])
                    found[value] = by_name.get(name, fresh)
            check_classes(found.values())
        except ConfigError as error:
            raise LabelError(f"{path} has labels that cannot be classes: {error}.") from error
        return found


class NnunetMask(Masks):
    """The mask of one case.

    Args:
        path: of the file.
        labels: what each of its values but 0 means.
        classes: what the values that it gives mean.
    """

    def __init__(self, path: Path, labels: Mapping[int, LabelClass], classes: tuple[LabelClass, ...]):
        self.path, self.classes = path, classes
        self._file, self._labels = MaskFile(path), labels

    def __len__(self) -> int:
        return len(self._file)

    def class_mask(self, index: int) -> ClassMask:
        """The mask as class values, uint8 (H, W), 0 = background.

        Raises:
            LabelError: it has a value of no label.
        """
        page = self._file.page(index)
        strange = np.setdiff1d(page, [0, *self._labels])
        if strange.size:
            raise LabelError(f"{self.path} has the value {strange[0]:g}, which {DATASET} does not name: add it there.")
        table = np.zeros(256, np.uint8)
        table[list(self._labels)] = [one.value for one in self._labels.values()]
        return table[page.astype(np.uint8)]
