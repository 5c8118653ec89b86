"""Labels of another layout, taken over into a label set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.errors import LabelError
from vasomim_core.labels.labelled import open_sources
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.labels.mask import pixel_sha256
from vasomim_core.labels.sources import ArcadeFolder, LabelledFolder, MaskFolder, Source
from vasomim_core.reading import patient_group, read_angiogram
from vasomim_core.reading.dicom import is_dicom


def import_pairs(labels: LabelSet, folder: Path | str, annotator: str = "") -> list[str]:
    """Add the frames and masks of `images/` and `masks/` to a label set, as accepted labels.

    File names stay outside, since they may name a patient. The group is a hash of a DICOM file's patient
    under the set's key; frames of one file share a group.

    Classes of a `classes.json` become those of the same names in the set, capitals aside; without one the masks become
    the class "vessel", else the one of the smallest value if it counts as vessel. The set gets no further classes:
    `LabelSet.create` or `set_classes` gives it some, for instance those of `label_classes`.

    Args:
        labels: Where to.
        folder: As for `open_labels`. All of it is read and checked before the first frame is added.
        annotator: Who drew the masks.

    Returns:
        Ids of the frames that were added. A frame that the set has already is left as it is, mask and all.

    Raises:
        LabelError: as for `open_labels`; or a mask has a class that the set has not.
    """
    return _import(labels, MaskFolder(Path(folder)), annotator)


def import_arcade(
    labels: LabelSet, split: Path | str, annotator: str = "ARCADE", categories: bool = False
) -> list[str]:
    """Add an ARCADE split to a label set, like `import_pairs`; of pixel-identical frames the first is added.

    The record's source is "ARCADE", the name of the annotation file and the frame's.

    Args:
        labels: Where to.
        split: The split's folder.
        annotator: Who drew the masks.
        categories: The categories are classes (see `CocoMasks.class_mask`), as those of a `classes.json` are; else all
            of them together are vessel.
    """
    return _import(labels, ArcadeFolder(Path(split), categories), annotator)


def _import(labels: LabelSet, folder: LabelledFolder, annotator: str) -> list[str]:
    sources = folder.sources()
    drawn = {value for frame in open_sources(sources) for value in frame.values}
    values = _values(labels, folder.classes(), drawn)
    return [id for source in sources for id in _import_file(labels, source, values, annotator)]


def _values(labels: LabelSet, classes: tuple[LabelClass, ...], drawn: Iterable[int]) -> NDArray[np.uint8]:
    """What each value of a class mask becomes in a set, uint8 (256,)."""
    table, known = np.zeros(256, np.uint8), labels.classes
    by_name = {one.name.casefold(): one.value for one in known}
    if classes == VESSEL and known[0].vessel:
        by_name.setdefault(VESSEL[0].name, known[0].value)
    wanted = {one.value: one.name for one in classes}
    missing = [wanted[value] for value in sorted(drawn) if wanted[value].casefold() not in by_name]
    if missing:
        raise LabelError(f"{labels.folder} has no class called {', '.join(missing)}: add what is missing first.")
    for value in drawn:
        table[value] = by_name[wanted[value].casefold()]
    return table


def _import_file(labels: LabelSet, source: Source, values: NDArray[np.uint8], annotator: str) -> list[str]:
    angiogram, masks = read_angiogram(source.path), source.masks()
    run = len(angiogram.frames) > 1
    group = patient_group(source.path, labels.key) if is_dicom(source.path) else None
    added = []
    for index in range(len(angiogram.frames)):
        frame = angiogram.stored(index)
        if group is None and run:
            group = pixel_sha256(frame)[:16]  # of the first
        place = index if run else None
        if labels.find(frame, place) is None:
            mask = values[masks.class_mask(index)]
            record = labels.add(frame, mask, group=group, annotator=annotator, source=source.label, frame_index=place)
            added.append(record.id)
    return added
