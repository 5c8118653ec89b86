"""The curated labels of a person or a team: frames, accepted masks and who drew them when, in a plain folder.

The layout is described for people and other programs in `docs/labelset.md`.

Every file is written beside its place and renamed into it, and a label is written in this order:

    frames/<id>.png → history/<id>/<n>.png → history/<id>/<n>.json → masks/<id>.png → records/<id>.json

The record in the history makes revision n durable: a program that is killed before it leaves revision n − 1
as it was, one that is killed after it leaves a revision that the next `open` (or write to that frame) puts in
place. Writers take turns by a lock of the operating system on the file `.lock`, which a killed program cannot
keep; readers need no lock.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vasomim_core.angiogram import read_angiogram
from vasomim_core.data import label_history as history
from vasomim_core.data.label_check import problems_of
from vasomim_core.data.label_folder import PARTS, LabelFolder
from vasomim_core.data.mask import as_mask, pixel_sha256, read_mask
from vasomim_core.data.record import (
    FORMAT,
    INDEX,
    OUTSIDE,
    STATUSES,
    VERSION,
    Record,
    Status,
    check_status,
    checked_id,
    now,
    read_index,
    read_record,
    write_record,
)
from vasomim_core.errors import LabelError, VasoMIMError
from vasomim_core.files import write_json, write_png

__all__ = [
    "FORMAT",
    "INDEX",
    "OUTSIDE",
    "STATUSES",
    "VERSION",
    "Counts",
    "LabelSet",
    "Listing",
    "Record",
    "Status",
    "as_mask",
    "pixel_sha256",
    "read_mask",
]


@dataclass(frozen=True)
class Listing:
    """What a label set holds.

    Attributes:
        records: all that can be read, oldest first.
        passed_over: a sentence for each record that cannot be read, and for each stray file.
    """

    records: tuple[Record, ...]
    passed_over: tuple[str, ...]


@dataclass(frozen=True)
class Counts:
    """How many frames a label set holds: by status (all three are present) and by group (None = no group)."""

    by_status: dict[str, int]
    by_group: dict[str | None, int]


class LabelSet:
    """A folder of curated labels; make one with `LabelSet.create`, come back to it with `LabelSet.open`.

    Nothing is kept in memory but identities: several programs may read and write the same folder.

    Attributes:
        folder: Where it lies.
        name: What it is called.
        created: When, ISO 8601 in UTC.
    """

    def __init__(self, folder: Path | str) -> None:
        """Read `labelset.json` alone; `LabelSet.open` also finishes what a killed program left half done."""
        self.folder = Path(folder)
        self._files = LabelFolder(folder)
        index = read_index(self._files.index)
        self.name: str = index["name"]
        self.created: str = index["created"]
        self._key: str | None = index["key"]
        self._id_of: dict[tuple[str, int | None], str] = {}
        self._seen: set[str] = set()
        self._swept = False

    @classmethod
    def create(cls, folder: Path | str, name: str) -> LabelSet:
        """Make an empty label set in a folder that is new or empty.

        Raises:
            LabelError: the folder is not empty or cannot be written to.
        """
        folder = Path(folder)
        index = {
            "format": FORMAT,
            "version": VERSION,
            "name": name,
            "created": now(),
            "key": secrets.token_hex(32),
        }
        try:
            if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
                raise LabelError(f"{folder} is not empty: choose a new folder, or open the label set in it.")
            write_json(folder / INDEX, index)
            for part in PARTS:
                (folder / part).mkdir(exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from error
        return cls(folder)

    @classmethod
    def open(cls, folder: Path | str) -> LabelSet:
        """Open a label set and put revisions in place that a killed program had only written to the history.

        A label set that cannot be written to is opened all the same, with the last complete revisions.

        Raises:
            LabelError: the folder is missing or holds no label set that this version can read.
        """
        labels = cls(folder)
        interrupted = history.interrupted(labels._files)
        if interrupted:
            try:
                with labels._writing():
                    for id in interrupted:
                        history.finish(labels._files, id)
            except VasoMIMError:
                pass  # read-only or damaged: `check` names what is unfinished
        return labels

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

    # Reading

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

    def counts(self) -> Counts:
        """How many frames there are by status, and by group."""
        records = self.records()
        status = Counter(record.status for record in records)
        return Counts({s: status[s] for s in STATUSES}, dict(Counter(record.group for record in records)))

    def frame(self, id: str) -> NDArray[Any]:
        """The frame (H, W) as it was given, uint8 or uint16.

        Raises:
            InputError: its file is missing or damaged.
            LabelError: it is no plain file, or a link that leads out of the set.
        """
        return read_angiogram(self.frame_path(id)).frames[0]

    def mask(self, id: str, revision: int | None = None) -> NDArray[np.bool_]:
        """The mask (H, W) of a frame, True = vessel: the current one, or that of a revision.

        Raises:
            InputError: its file is missing or damaged.
            LabelError: its file is not a mask, no plain file, or a link that leads out of the set.
        """
        return read_mask(self.mask_path(id) if revision is None else self._files.revision(id, revision, ".png"))

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
        id = self._find(pixel_sha256(_checked_frame(frame)), frame_index)
        return None if id is None else self.record(id)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of what there is to learn from: ids, frames and masks of the accepted labels."""
        digest = hashlib.sha256()
        for record in sorted(self.records("accepted"), key=lambda r: r.id):
            frame, mask = pixel_sha256(self.frame(record.id)), pixel_sha256(self.mask(record.id))
            digest.update(f"{record.id} {frame} {mask}\n".encode())
        return digest.hexdigest()

    def check(self) -> list[str]:
        """Read everything; one sentence for each file that is missing, damaged, stray or does not fit."""
        return list(problems_of(self._files))

    # Writing

    def add(
        self,
        frame: ArrayLike,
        mask: ArrayLike,
        *,
        status: Status = "accepted",
        group: str | None = None,
        annotator: str = "",
        model: str | None = None,
        source: str | None = None,
        frame_index: int | None = None,
        id: str | None = None,
        note: str | None = None,
    ) -> Record:
        """Store the label of a frame; one that is already there gets a new revision, under its id.

        Args:
            frame: (H, W) uint8 or uint16, as the annotator saw it.
            mask: (H, W) of any real type, with 0 and at most one other value, which is vessel.
            status: accepted, skipped or flagged.
            group: Patient or sequence, as a pseudonym: `patient_group(path, labels.key)`. None leaves the
                known one.
            annotator: Who drew or approved the mask.
            model: Which model proposed it.
            source: Where the frame comes from; no patient's name. None leaves the known one.
            frame_index: 0-based index in the run that it was taken from. Equal pixels and index are the same
                frame.
            id: Name of a new frame's files; by default made from its pixels and index.
            note: Free text. None leaves the known one.

        Raises:
            LabelError: the frame or mask is not of this kind, the id is taken or not usable, or the folder
                cannot be written to.
        """
        pixels = _checked_frame(frame)
        drawn = as_mask(mask, shape=pixels.shape)
        check_status(status)
        sha = pixel_sha256(pixels)
        new_id = checked_id(id) if id else hashlib.sha256(f"{sha} {frame_index}".encode()).hexdigest()[:16]
        with self._writing():
            history.finish(self._files, new_id)
            known = self._find(sha, frame_index)
            if known is not None:
                record = history.settle(self._files, known)
                told = {"status": status, "group": group, "source": source, "note": note}
                changed = {name: value for name, value in told.items() if value is not None}
                return self._revise(record, drawn, annotator=annotator, model=model, **changed)
            if self.record_path(new_id).exists():
                raise LabelError(f"{self.record_path(new_id)} belongs to another frame: choose another id.")
            write_png(self.frame_path(new_id), pixels)
            record = Record(
                id=new_id,
                status=status,
                group=group,
                frame_sha256=sha,
                frame_index=frame_index,
                source=source,
                annotator=annotator,
                model=model,
                created=(created := now()),
                modified=created,
                note=note or "",
                revision=0,
                mask_sha256=pixel_sha256(drawn),
            )
            return history.commit(self._files, record, drawn)

    def update_mask(self, id: str, mask: ArrayLike, annotator: str, model: str | None = None) -> Record:
        """Store another mask for a frame as a new revision; the same by the same annotator changes nothing.

        Raises:
            LabelError: there is no such frame, the mask does not fit it, or the folder cannot be written to.
        """
        drawn = as_mask(mask, shape=self.frame(self.record(id).id).shape)
        with self._writing():
            return self._revise(history.settle(self._files, id), drawn, annotator=annotator, model=model)

    def restore(self, id: str, revision: int) -> Record:
        """Make an earlier mask the current one, with its annotator and model, as a new revision.

        Raises:
            LabelError: there is no such frame or revision, or the folder cannot be written to.
        """
        earlier = next((r for r in self.revisions(id) if r.revision == revision), None)
        if earlier is None:
            raise LabelError(f"{self.folder / 'history' / id} has no revision {revision}: choose one that lies there.")
        return self.update_mask(id, self.mask(id, revision), earlier.annotator, earlier.model)

    def set_status(self, id: str, status: Status, note: str | None = None) -> Record:
        """Accept, skip or flag a frame; the mask and its revision stay. A note of None leaves the known one.

        Raises:
            LabelError: there is no such frame or status, or the folder cannot be written to.
        """
        check_status(status)
        return self._edit(id, status=status, **({} if note is None else {"note": note}))

    def set_group(self, id: str, group: str | None) -> Record:
        """Say with which frames this one must stay together in a split.

        Raises:
            LabelError: there is no such frame, or the folder cannot be written to.
        """
        return self._edit(id, group=group)

    def _edit(self, id: str, **changes: Any) -> Record:
        with self._writing():
            self.record(id)
            history.finish(self._files, id)
            record = replace(self.record(id), modified=now(), **changes)
            write_record(self.record_path(id), record)
        return record

    def _revise(self, record: Record, mask: NDArray[np.bool_], **changes: Any) -> Record:
        new = replace(record, mask_sha256=pixel_sha256(mask), **changes)
        if new == record:
            return record
        new = replace(new, modified=now())
        if all(getattr(new, name) == getattr(record, name) for name in ("mask_sha256", "annotator", "model")):
            write_record(self.record_path(record.id), new)
            return new
        return history.commit(self._files, new, mask)

    def _find(self, sha: str, frame_index: int | None) -> str | None:
        """Id of a frame. Identities never change: only records that are new since the last call are read."""
        ids = self.ids()
        for id in ids:
            if id not in self._seen and (identity := history.identity(self._files, id)) is not None:
                self._id_of.setdefault(identity, id)
                self._seen.add(id)
        known = self._id_of.get((sha, frame_index))
        return known if known in ids else None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with _locked(self._files.lock):
                self._files.require_own_parts()
                if not self._swept:
                    self._files.sweep()
                    self._swept = True
                yield
        except OSError as error:
            raise _unwritable(self.folder, error) from error


def _checked_frame(frame: ArrayLike) -> NDArray[Any]:
    array = np.asarray(frame)
    if array.ndim != 2 or not array.size:
        raise LabelError(f"The frame has the shape {array.shape}: give one grey frame (H, W) with pixels in it.")
    if array.dtype.name not in ("uint8", "uint16"):
        raise LabelError(f"The frame is of type {array.dtype}: store what was shown, as to_uint8 returns it.")
    return array


def _unwritable(folder: Path, error: OSError) -> LabelError:
    return LabelError(
        f"{folder} could not be written to ({error.strerror or error}): free space or get permission; "
        "what was stored before is untouched."
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; the operating system releases it when the process ends, however it ends."""
    with open(path, "a", encoding="utf-8") as handle:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
