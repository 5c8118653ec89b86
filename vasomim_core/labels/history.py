"""The revisions of a mask: committed to the history first, then put in place, by whoever comes next if need be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import VESSEL, ClassMask, LabelClass
from vasomim_core.errors import LabelError, VasoMIMError
from vasomim_core.files import write_png
from vasomim_core.labels.folder import LabelFolder
from vasomim_core.labels.index import read_index
from vasomim_core.labels.mask import as_class_mask, mask_sha256
from vasomim_core.labels.mask_file import MaskFile
from vasomim_core.labels.record import MOST_REVISIONS, OUTSIDE, Record, now, read_record, write_record

Classes = tuple[LabelClass, ...]


def read_mask(folder: LabelFolder, id: str, number: int | None = None) -> tuple[ClassMask, Classes]:
    """The current mask of a frame, or that of a revision, as class values; and the classes.

    The classes are read after the mask: whoever draws a new class has added it before, and none that is drawn is ever
    taken away.

    Raises:
        InputError: its file is missing or damaged.
        LabelError: its file is not a mask, no plain file, or a link that leads out of the set; the index is damaged.
    """
    path = folder.mask(id) if number is None else folder.revision(id, number, ".png")
    page = MaskFile(path).page(0)
    classes = read_index(folder.index).classes
    return as_class_mask(page, classes, where=str(path)), classes


def read_revision(folder: LabelFolder, id: str, number: int) -> Record:
    """The record of a revision.

    Raises:
        LabelError: it is missing, damaged, or that of another revision.
    """
    path = folder.revision(id, number, ".json")
    record = read_record(path, id)
    if record.revision != number:
        raise LabelError(f"{path} is the record of revision {record.revision}: copy it back from a backup.")
    return record


def commit(folder: LabelFolder, classes: Classes, record: Record, mask: ClassMask) -> Record:
    """Store a new revision of a frame whose record is `record` so far; it comes after all that are known.

    Args:
        folder: the label set; the caller holds its lock.
        classes: of the set.
        record: as it is to be, but for its revision.
        mask: uint8 (H, W), class values.

    Returns:
        The record with the number of the revision.

    Raises:
        LabelError: no number is left, or its texts are too long.
    """
    record = replace(record, revision=1 + max([record.revision, *folder.numbers(record.id)]))
    if record.revision > MOST_REVISIONS:
        raise LabelError(f"{folder.record(record.id)} counts {MOST_REVISIONS} revisions: copy it back from a backup.")
    write_png(folder.revision(record.id, record.revision, ".png"), as_png(mask, classes))
    write_record(folder.revision(record.id, record.revision, ".json"), record)
    return publish(folder, classes, record, mask)


def publish(folder: LabelFolder, classes: Classes, record: Record, mask: ClassMask) -> Record:
    """Put a revision of the history in place."""
    write_png(folder.mask(record.id), as_png(mask, classes))
    write_record(folder.record(record.id), record)
    return record


def finish(folder: LabelFolder, id: str) -> None:
    """Put the newest whole revision of the history in place if a killed program did not.

    Raises:
        LabelError: the record is damaged.
    """
    path = folder.record(id)
    current = read_record(path, id).revision if path.exists() else 0
    for number in reversed(folder.numbers(id)):
        if number <= current:
            return
        try:
            record, (mask, classes) = read_revision(folder, id, number), read_mask(folder, id, number)
        except VasoMIMError:
            continue  # damaged, which `check` reports
        publish(folder, classes, record, mask)
        return


def settle(folder: LabelFolder, id: str) -> Record:
    """The record of a frame whose history is complete: nothing that lies in `masks/` will be lost.

    Raises:
        LabelError: there is no such frame, or its record is damaged.
    """
    finish(folder, id)
    record = read_record(folder.record(id), id)
    try:
        mask, classes = read_mask(folder, id)
    except VasoMIMError:
        return record  # missing or damaged: there is nothing to keep
    sha = mask_sha256(mask, classes)
    if sha == record.mask_sha256:
        return record
    outside = replace(record, annotator=OUTSIDE, model=None, modified=now(), mask_sha256=sha)
    return commit(folder, classes, outside, mask)


def interrupted(folder: LabelFolder) -> list[str]:
    """Ids whose history has a revision that is newer than the record."""
    found = []
    for id in folder.histories():
        try:
            path = folder.record(id)
            current = read_record(path, id).revision if path.exists() else 0
            if folder.revision(id, current + 1, ".json").exists():
                found.append(id)
        except LabelError:
            continue  # damaged, which `check` reports
    return found


def identity(folder: LabelFolder, id: str) -> tuple[str, int | None] | None:
    """SHA-256 and index of a frame, which never change: from its record or, if that is damaged, from its history."""
    try:
        record = read_record(folder.record(id), id)
        return record.frame_sha256, record.frame_index
    except LabelError:
        pass
    for number in reversed(folder.numbers(id)):
        try:
            record = read_revision(folder, id, number)
        except LabelError:
            continue
        return record.frame_sha256, record.frame_index
    return None


def as_png(mask: ClassMask, classes: Classes) -> NDArray[np.uint8]:
    """A mask as its file holds it: class values; in a set of the default class alone, 255 = vessel."""
    return (mask != 0) * np.uint8(255) if classes == VESSEL else mask
