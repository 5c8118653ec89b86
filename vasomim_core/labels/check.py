"""What is wrong in a label set: one sentence for each file that is missing, damaged, stray or does not fit."""

from __future__ import annotations

from collections.abc import Iterator

from vasomim_core.errors import LabelError, VasoMIMError
from vasomim_core.labels.folder import LabelFolder
from vasomim_core.labels.history import interrupted, read_mask, read_revision
from vasomim_core.labels.mask import mask_sha256, pixel_sha256
from vasomim_core.labels.readings import read_reading, read_reading_mask
from vasomim_core.labels.record import Record, read_record
from vasomim_core.reading import read_angiogram


def problems_of(folder: LabelFolder) -> Iterator[str]:
    """Read everything in a label set."""
    try:
        folder.require_own_parts()
    except LabelError as error:
        yield str(error)
        return
    unfinished = interrupted(folder)
    for id in folder.ids():
        yield from _problems(folder, id, finished=id not in unfinished)
    for id in unfinished:
        yield f"{folder.path / 'history' / id} holds a newer revision than the record: open the set for writing."
    for id in folder.read_again():
        if id not in folder.ids():
            yield f"{folder.path / 'readings' / id} has no record: add its frame again, or delete the folder."
    for path in folder.orphans():
        yield f"{path} has no record: add its frame again, or delete the file."
    yield from folder.strays(litter=True)


def _problems(folder: LabelFolder, id: str, finished: bool) -> Iterator[str]:
    try:
        path = folder.record(id)
        record = read_record(path, id)
    except LabelError as error:
        yield str(error)
        return
    try:
        path = folder.frame(id)
        frame = read_angiogram(path).frames[0]
    except VasoMIMError as error:
        yield str(error)
        return
    if pixel_sha256(frame) != record.frame_sha256:
        yield f"{path} is not the frame that was labelled: put the original back."
    try:
        path = folder.mask(id)
        mask, classes = read_mask(folder, id)
        if mask.shape != frame.shape:
            sizes = "{}×{} and its frame {}×{}".format(*mask.shape, *frame.shape)
            yield f"{path} is {sizes}: restore a revision."
        elif mask_sha256(mask, classes) != record.mask_sha256 and finished:
            yield f"{path} was changed by another program: save the mask again to keep it."
    except VasoMIMError as error:
        yield str(error)
    try:
        yield from _problems_of_history(folder, record)
    except LabelError as error:
        yield str(error)


def _problems_of_history(folder: LabelFolder, record: Record) -> Iterator[str]:
    for suffix in (".png", ".json"):
        expected = 1
        for number in [*folder.numbers(record.id, suffix), record.revision + 1]:
            if expected < number <= record.revision + 1:
                yield _missing(folder, record.id, expected, number - 1, suffix)
            expected = number + 1
    for number in folder.numbers(record.id):
        try:
            read_revision(folder, record.id, number)
        except LabelError as error:
            yield str(error)
    yield from folder.strays_of(record.id)
    for number in folder.reading_numbers(record.id):
        try:
            reading = read_reading(folder, record.id, number)
            mask, classes = read_reading_mask(folder, record.id, number)
            if mask_sha256(mask, classes) != reading.mask_sha256:
                yield f"{folder.reading(record.id, number, '.png')} was changed: copy it back from a backup."
        except VasoMIMError as error:
            yield str(error)


def _missing(folder: LabelFolder, id: str, first: int, last: int, suffix: str) -> str:
    """One sentence, however many are missing."""
    what, are = f"{folder.path / 'history' / id / str(first)}{suffix}", "is"
    if last > first:
        what, are = f"{what} to {last}{suffix}", "are"
    return f"{what} {are} missing: copy what you can back from a backup, to be able to restore that mask."
