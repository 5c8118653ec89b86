"""Labels of another layout, taken over into a label set."""

from __future__ import annotations

from pathlib import Path

from vasomim_core.labels.labelled import open_sources
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.labels.mask import pixel_sha256
from vasomim_core.labels.sources import ArcadeFolder, MaskFolder, Source
from vasomim_core.reading import patient_group, read_angiogram
from vasomim_core.reading.dicom import is_dicom


def import_pairs(labels: LabelSet, folder: Path | str, annotator: str = "") -> list[str]:
    """Add the frames and masks of `images/` and `masks/` to a label set, as accepted labels.

    File names stay outside, since they may name a patient. The group is a hash of a DICOM file's patient
    under the set's key; frames of one file share a group.

    Args:
        labels: Where to.
        folder: As for `open_labels`. All of it is read and checked before the first frame is added.
        annotator: Who drew the masks.

    Returns:
        Ids of the frames that were added. A frame that the set has already is left as it is, mask and all.

    Raises:
        LabelError: as for `open_labels`.
    """
    return _import(labels, MaskFolder(Path(folder)).sources(), annotator)


def import_arcade(labels: LabelSet, split: Path | str, annotator: str = "ARCADE") -> list[str]:
    """Add an ARCADE split to a label set, like `import_pairs`; of pixel-identical frames the first is added.

    The record's source is "ARCADE", the name of the annotation file and the frame's.
    """
    return _import(labels, ArcadeFolder(Path(split)).sources(), annotator)


def _import(labels: LabelSet, sources: list[Source], annotator: str) -> list[str]:
    open_sources(sources)
    return [id for source in sources for id in _import_file(labels, source, annotator)]


def _import_file(labels: LabelSet, source: Source, annotator: str) -> list[str]:
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
            record = labels.add(
                frame, masks[index], group=group, annotator=annotator, source=source.label, frame_index=place
            )
            added.append(record.id)
    return added
