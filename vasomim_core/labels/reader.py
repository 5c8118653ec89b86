"""What a label set holds, for whoever only looks: no lock is needed, and nothing is changed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike, NDArray

from vasomim_core.classes import ClassMask, LabelClass, vessel_of
from vasomim_core.errors import LabelError
from vasomim_core.labels import history
from vasomim_core.labels.check import problems_of
from vasomim_core.labels.folder import LabelFolder
from vasomim_core.labels.index import INDEX, read_index
from vasomim_core.labels.mask import Mask, checked_frame, pixel_sha256
from vasomim_core.labels.readings import Reading, read_reading_mask, readings_of
from vasomim_core.labels.record import Record, Status, read_record
from vasomim_core.reading import read_angiogram


@dataclass(frozen=True)
class Listing:
    """What a label set holds.

    Attributes:
        records: all that can be read, oldest first.
        passed_over: a sentence for each record that cannot be read, and for each stray file.
    """

    records: tuple[Record, ...]
    passed_over: tuple[str, ...]


class LabelReader:
    """The reading half of `LabelSet`.

    Nothing is kept in memory but identities: several programs may read and write the same folder.

    Attributes:
        folder: Where it lies.
        name: What it is called.
        created: When, ISO 8601 in UTC.
    """

    def __init__(self, folder: Path | str) -> None:
        """Read `labelset.json` alone.

        Raises:
            LabelError: the folder holds no label set that this version can read.
        """
        self.folder = Path(folder)
        self._files = LabelFolder(folder)
        index = read_index(self._files.index)
        self.name = index.name
        self.created = index.created
        self._key = index.key
        self._id_of: dict[tuple[str, int | None], str] = {}
        self._seen: set[str] = set()

    @property
    def key(self) -> bytes:
        """The random key under which patients are hashed, for `angiogram.patient_group`.

        Raises:
            LabelError: the key was removed, as before giving the folder away.
        """
        if self._key is None:
            raise LabelError(
                f"{self.folder / INDEX} has no key any more: give groups yourself, or start a new label set."
            )
        return bytes.fromhex(self._key)

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """What the values of its masks mean, in their order, as it is now: another program may have changed them.

        Raises:
            LabelError: the index is missing or damaged.
        """
        return read_index(self._files.index).classes

    def ids(self) -> list[str]:
        """Ids of all frames that have a record, by alphabet; nothing is read."""
        return self._files.ids()

    def strays(self) -> list[str]:
        """A sentence for each file that is not named like one of the set, such as a copy that a sync program made.

        Raises:
            LabelError: a part of the set is a link that leads out of it.
        """
        return self._files.strays()

    def record(self, id: str) -> Record:
        """The record of a frame.

        Raises:
            LabelError: there is no such frame, or its record is damaged.
        """
        path = self.record_path(id)
        if not path.is_file():
            raise LabelError(f"{self.folder} has no frame with the id {id!r}: see its folder records/.")
        return read_record(path, id)

    def listing(self) -> Listing:
        """All records that can be read, and what was passed over on the way.

        Raises:
            LabelError: a part of the set is a link that leads out of it.
        """
        records, passed_over = [], self.strays()
        for id in self.ids():
            try:
                records.append(self.record(id))
            except LabelError as error:
                passed_over.append(str(error))
        return Listing(tuple(sorted(records, key=lambda r: (r.created, r.id))), tuple(passed_over))

    def records(self, status: Status | None = None) -> list[Record]:
        """All records that can be read, or those of one status, oldest first; `listing` names the others."""
        return [record for record in self.listing().records if status in (None, record.status)]

    def frame(self, id: str) -> NDArray[Any]:
        """The frame (H, W) as it was given, uint8 or uint16.

        Raises:
            InputError: its file is missing or damaged.
            LabelError: it is no plain file, or a link that leads out of the set.
        """
        return read_angiogram(self.frame_path(id)).frames[0]

    def mask(self, id: str, revision: int | None = None) -> Mask:
        """The mask (H, W) bool of a frame, True = of a class that counts as vessel.

        Args:
            id: The frame's.
            revision: None = the current mask, else that of a revision.

        Raises:
            InputError: its file is missing or damaged.
            LabelError: its file is not a mask, no plain file, or a link that leads out of the set.
        """
        return vessel_of(*history.read_mask(self._files, id, revision))

    def class_mask(self, id: str, revision: int | None = None) -> ClassMask:
        """The mask of a frame as class values, uint8 (H, W), 0 = background; else like `mask`."""
        return history.read_mask(self._files, id, revision)[0]

    def revisions(self, id: str) -> list[Record]:
        """The records of all revisions of a mask that can be read, oldest first; the last one is the current mask.

        Raises:
            LabelError: there is no such frame, or its record is damaged.
        """
        self.record(id)
        found = []
        for number in self._files.numbers(id):
            with suppress(LabelError):  # damaged, which `check` reports
                found.append(history.read_revision(self._files, id, number))
        return found

    def readings(self, id: str) -> list[Reading]:
        """The second readings of a frame that can be read, oldest first.

        Raises:
            LabelError: the id cannot name files.
        """
        return readings_of(self._files, id)

    def read_again(self) -> list[str]:
        """Ids of the frames that have second readings, by alphabet; nothing is read."""
        return self._files.read_again()

    def reading_mask(self, id: str, number: int) -> ClassMask:
        """The mask of a second reading as class values, uint8 (H, W), 0 = background.

        Raises:
            InputError: its file is missing or damaged.
            LabelError: its file is not a mask, no plain file, or a link that leads out of the set.
        """
        return read_reading_mask(self._files, id, number)[0]

    def record_path(self, id: str) -> Path:
        """Where the record lies.

        Raises:
            LabelError: the id cannot name files, or what lies there is no plain file of the set.
        """
        return self._files.record(id)

    def frame_path(self, id: str) -> Path:
        """Where the frame lies.

        Raises:
            LabelError: the id cannot name files, or what lies there is no plain file of the set.
        """
        return self._files.frame(id)

    def mask_path(self, id: str) -> Path:
        """Where the current mask lies.

        Raises:
            LabelError: the id cannot name files, or what lies there is no plain file of the set.
        """
        return self._files.mask(id)

    def find(self, frame: ArrayLike, frame_index: int | None = None) -> Record | None:
        """The record of a frame with these pixels and this index, if there is one.

        Raises:
            LabelError: its record is damaged.
        """
        id = self._find(pixel_sha256(checked_frame(frame)), frame_index)
        return None if id is None else self.record(id)

    def check(self) -> list[str]:
        """Read everything; one sentence for each file that is missing, damaged, stray or does not fit."""
        return list(problems_of(self._files))

    def _find(self, sha: str, frame_index: int | None) -> str | None:
        """Id of a frame. Identities never change: only records that are new since the last call are read."""
        ids = self.ids()
        for id in ids:
            if id not in self._seen and (identity := history.identity(self._files, id)) is not None:
                self._id_of.setdefault(identity, id)
                self._seen.add(id)
        known = self._id_of.get((sha, frame_index))
        return known if known in ids else None
