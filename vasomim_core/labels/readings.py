"""Second readings: masks of further readers, kept beside the label of a frame, which they never replace.

    readings/<id>/<k>.png     the mask of reading k, for every k from 1
    readings/<id>/<k>.json    its `Reading`

The file of JSON is written last and makes the reading durable. Readings are never changed nor removed: of a reader who
reads a frame again, the newest counts. Which frames are read a second time is drawn by `to_read_again`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from vasomim_core.classes import ClassMask
from vasomim_core.errors import LabelError
from vasomim_core.files import write_json, write_png
from vasomim_core.labels.folder import LabelFolder
from vasomim_core.labels.history import Classes, as_png
from vasomim_core.labels.index import read_index
from vasomim_core.labels.mask import as_class_mask
from vasomim_core.labels.mask_file import MaskFile
from vasomim_core.labels.readers import same_reader
from vasomim_core.labels.record import Record, read_json


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is known of a second reading of a frame.

    Attributes:
        id: of the frame.
        number: of the reading, from 1.
        annotator: who read.
        model: the model whose prediction the mask began with; None if it was drawn from nothing.
        beside: revision of the frame's label when this was accepted, which is the first reading.
        blind: the reader was not shown the label until this was accepted.
        share: of the labels that were to be read again, those of this pass among them, in (0, 1]; None = of no pass.
        seed: by which they were drawn; None = of no pass.
        created: when it was accepted, ISO 8601 in UTC.
        mask_sha256: of the mask, see `vasomim_core.labels.mask.mask_sha256`.
    """

    id: str
    number: int
    annotator: str
    model: str | None
    beside: int
    blind: bool
    share: float | None
    seed: int | None
    created: str
    mask_sha256: str


def read_reading(folder: LabelFolder, id: str, number: int) -> Reading:
    """Read what is known of a reading.

    Raises:
        LabelError: it is missing, damaged, or that of another frame or number.
    """
    path = folder.reading(id, number, ".json")
    values = read_json(path)
    try:
        reading = Reading(**values)
    except TypeError as error:
        raise LabelError(f"{path} has missing or unknown fields: copy it back from a backup.") from error
    fits = all(_fits(getattr(reading, name), kind) for name, kind in get_type_hints(Reading).items())
    if not fits or reading.id != id or reading.number != number or reading.beside < 1:
        raise LabelError(f"{path} has a field that does not fit: copy it back from a backup.")
    return reading


def _fits(value: Any, kind: Any) -> bool:
    if kind is bool:
        return isinstance(value, bool)
    return isinstance(value, kind) and not isinstance(value, bool)


def readings_of(folder: LabelFolder, id: str) -> list[Reading]:
    """All readings of a frame that can be read, oldest first."""
    found = []
    for number in folder.reading_numbers(id):
        with suppress(LabelError):  # damaged, which `check` reports
            found.append(read_reading(folder, id, number))
    return found


def newest_of_each(readings: Iterable[Reading], blind_first: bool = False) -> list[Reading]:
    """Of each reader the newest reading, in the order in which readers came.

    Args:
        readings: of one frame, oldest first.
        blind_first: of a reader who has read blindly, the newest of those readings.
    """
    newest: dict[str, Reading] = {}
    for reading in readings:
        who = reading.annotator.strip().casefold()
        known = newest.get(who)
        if known is None or not (blind_first and known.blind and not reading.blind):
            newest[who] = reading
    return list(newest.values())


def read_reading_mask(folder: LabelFolder, id: str, number: int) -> tuple[ClassMask, Classes]:
    """The mask of a reading as class values; and the classes, which are read after it.

    Raises:
        InputError: its file is missing or damaged.
        LabelError: its file is not a mask, no plain file, or a link that leads out of the set; the index is damaged.
    """
    path = folder.reading(id, number, ".png")
    page = MaskFile(path).page(0)
    classes = read_index(folder.index).classes
    return as_class_mask(page, classes, where=str(path)), classes


def write_reading(folder: LabelFolder, classes: Classes, reading: Reading, mask: ClassMask) -> Reading:
    """Store a reading, under the next number; the caller holds the lock of the set.

    Raises:
        OSError: a file cannot be written.
    """
    number = 1 + max([0, *folder.reading_numbers(reading.id), *folder.reading_numbers(reading.id, ".png")])
    reading = replace(reading, number=number)
    path: Path = folder.reading(reading.id, number, ".json")
    write_png(path.with_suffix(".png"), as_png(mask, classes))
    write_json(path, asdict(reading))
    return reading


def to_read_again(
    records: Iterable[Record],
    readings: Mapping[str, Sequence[Reading]],
    reader: str,
    share: float = 1.0,
    seed: int = 0,
) -> tuple[list[Record], list[Record]]:
    """Which labels of others a reader is to read a second time, and which of them she has read.

    Each label gets the SHA-256 of `<seed>:<id>`; those with the smallest are taken. So the same share and seed give the
    same frames to every reader, in an order that says nothing; a label that is added later changes few. One that was
    settled is read no more, also by whoever drew it first, but counts among those that were drawn.

    Args:
        records: of the set.
        readings: by id.
        reader: who is to read.
        share: of the accepted labels that are not by the reader, in (0, 1].
        seed: by which they are drawn.

    Returns:
        All that are to be read, in the order of reading; and those of them that the reader has read.
    """

    def place(record: Record) -> bytes:
        return hashlib.sha256(f"{seed}:{record.id}".encode()).digest()

    def is_read(record: Record) -> bool:
        return any(same_reader(one.annotator, reader) for one in readings.get(record.id, ()))

    accepted = (record for record in records if record.status == "accepted")
    others = sorted((record for record in accepted if not same_reader(record.annotator, reader)), key=place)
    drawn = others[: math.ceil(round(share * len(others), 9))]
    chosen = [record for record in drawn if not record.settled or is_read(record)]
    return chosen, [record for record in chosen if is_read(record)]
