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
import json
import re
import secrets
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vasomim_core.angiogram import read_angiogram
from vasomim_core.errors import InputError, LabelError, VasoMIMError
from vasomim_core.files import write_json, write_png

FORMAT, VERSION = "vasomim-labelset", 1
INDEX = "labelset.json"
OUTSIDE = "unknown (changed outside the label set)"
"""The annotator of a mask that some other program wrote over the one in `masks/`."""

Status = Literal["accepted", "skipped", "flagged"]
STATUSES: tuple[Status, ...] = get_args(Status)

MASKS_ALPHA = "masks-alpha"
"""The folder beside `images/` whose masks are alpha channels; `angiogram.finding` knows it, too."""

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known about the label of one frame. It names no patient as long as `group` and `source` do not.

    Attributes:
        id: Name of the frame's files: letters, digits, `.`, `_`, `-`.
        status: accepted (to learn from), skipped (looked at and left out), flagged (to be looked at again).
        group: Frames that must stay together in a split, such as a patient's; None if unknown.
        frame_sha256: `pixel_sha256` of the frame.
        frame_index: 0-based index of the frame in the run it was taken from; None if unknown.
        source: Where the frame comes from, in words of the caller; None if unknown.
        annotator: Who drew or approved the mask; empty if unknown.
        model: The model that proposed the mask; None if a person drew it from nothing.
        created: Time of the first revision, ISO 8601 in UTC.
        modified: Time of the last change.
        note: Free text.
        revision: Number of the current mask, from 1.
        mask_sha256: `pixel_sha256` of the current mask.
    """

    id: str
    status: Status
    group: str | None
    frame_sha256: str
    frame_index: int | None
    source: str | None
    annotator: str
    model: str | None
    created: str
    modified: str
    note: str
    revision: int
    mask_sha256: str


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
        index = _read_index(self.folder / INDEX)
        self.name: str = index["name"]
        self.created: str = index["created"]
        self._key: str | None = index["key"]
        self._id_of: dict[tuple[str, int | None], str] = {}

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
            "created": _now(),
            "key": secrets.token_hex(32),
        }
        try:
            if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
                raise LabelError(f"{folder} is not empty: choose a new folder, or open the label set in it.")
            write_json(folder / INDEX, index)
            for part in ("frames", "masks", "records", "history"):
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
        interrupted = labels._interrupted()
        if interrupted:
            try:
                with labels._writing():
                    for id in interrupted:
                        labels._finish(id)
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

    def record(self, id: str) -> Record:
        """The record of a frame.

        Raises:
            LabelError: there is no such frame, or its record is damaged.
        """
        path = self._record_path(id)
        if not path.is_file():
            raise LabelError(f"{self.folder} has no frame with the id {id!r}: see its folder records/.")
        return _read_record(path, id)

    def records(self, status: Status | None = None) -> list[Record]:
        """All records, or those of one status, oldest first.

        Raises:
            LabelError: a record is damaged; `check` lists all that are.
        """
        records = sorted((self.record(id) for id in self._ids()), key=lambda r: (r.created, r.id))
        return [record for record in records if status in (None, record.status)]

    def counts(self) -> Counts:
        """How many frames there are by status, and by group."""
        records = self.records()
        status = Counter(record.status for record in records)
        return Counts({s: status[s] for s in STATUSES}, dict(Counter(record.group for record in records)))

    def frame(self, id: str) -> NDArray[Any]:
        """The frame (H, W) as it was given, uint8 or uint16.

        Raises:
            InputError: its file is missing or damaged.
        """
        return read_angiogram(self.frame_path(id)).frames[0]

    def mask(self, id: str, revision: int | None = None) -> NDArray[np.bool_]:
        """The mask (H, W) of a frame, True = vessel: the current one, or that of a revision.

        Raises:
            InputError: its file is missing or damaged.
            LabelError: its file is not a mask.
        """
        path = self.mask_path(id) if revision is None else self._history(id) / f"{revision}.png"
        return read_mask(path)

    def revisions(self, id: str) -> list[Record]:
        """The records of all revisions of a mask, oldest first; the last one is the current mask.

        Raises:
            LabelError: there is no such frame, or a record is damaged.
        """
        self.record(id)
        return [_read_record(self._history(id) / f"{n}.json", id) for n in self._numbers(id)]

    def frame_path(self, id: str) -> Path:
        """Where the frame lies."""
        return self.folder / "frames" / f"{_checked_id(id)}.png"

    def mask_path(self, id: str) -> Path:
        """Where the current mask lies."""
        return self.folder / "masks" / f"{_checked_id(id)}.png"

    def find(self, frame: ArrayLike, frame_index: int | None = None) -> Record | None:
        """The record of a frame with these pixels and this index, if there is one."""
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
        """Read everything; one sentence for each file that is missing, damaged or does not fit."""
        ids = self._ids()
        known = set(ids)
        problems = [problem for id in ids for problem in self._problems(id)]
        for id in self._interrupted():
            problems.append(f"{self._history(id)} holds a newer revision than the record: open the set for writing.")
        for part in ("frames", "masks"):
            for path in _visible(self.folder / part):
                if path.stem not in known:
                    problems.append(f"{path} has no record: add its frame again, or delete the file.")
        return problems

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
        _check_status(status)
        sha = pixel_sha256(pixels)
        new_id = _checked_id(id) if id else hashlib.sha256(f"{sha} {frame_index}".encode()).hexdigest()[:16]
        with self._writing():
            self._finish(new_id)
            known = self._find(sha, frame_index)
            if known is not None:
                record = self._settle(known)
                told = {"status": status, "group": group, "source": source, "note": note}
                changed = {name: value for name, value in told.items() if value is not None}
                return self._revise(record, drawn, annotator=annotator, model=model, **changed)
            if self._record_path(new_id).exists():
                raise LabelError(f"{self._record_path(new_id)} belongs to another frame: choose another id.")
            write_png(self.frame_path(new_id), pixels)
            now = _now()
            record = Record(
                id=new_id,
                status=status,
                group=group,
                frame_sha256=sha,
                frame_index=frame_index,
                source=source,
                annotator=annotator,
                model=model,
                created=now,
                modified=now,
                note=note or "",
                revision=1,
                mask_sha256=pixel_sha256(drawn),
            )
            return self._commit(record, drawn)

    def update_mask(self, id: str, mask: ArrayLike, annotator: str, model: str | None = None) -> Record:
        """Store another mask for a frame as a new revision; the same by the same annotator changes nothing.

        Raises:
            LabelError: there is no such frame, the mask does not fit it, or the folder cannot be written to.
        """
        drawn = as_mask(mask, shape=self.frame(self.record(id).id).shape)
        with self._writing():
            return self._revise(self._settle(id), drawn, annotator=annotator, model=model)

    def restore(self, id: str, revision: int) -> Record:
        """Make an earlier mask the current one, with its annotator and model, as a new revision.

        Raises:
            LabelError: there is no such frame or revision, or the folder cannot be written to.
        """
        earlier = next((r for r in self.revisions(id) if r.revision == revision), None)
        if earlier is None:
            raise LabelError(f"{self._history(id)} has no revision {revision}: choose one that lies there.")
        return self.update_mask(id, self.mask(id, revision), earlier.annotator, earlier.model)

    def set_status(self, id: str, status: Status, note: str | None = None) -> Record:
        """Accept, skip or flag a frame; the mask and its revision stay. A note of None leaves the known one.

        Raises:
            LabelError: there is no such frame or status, or the folder cannot be written to.
        """
        _check_status(status)
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
            self._finish(id)
            record = replace(self.record(id), modified=_now(), **changes)
            write_json(self._record_path(id), asdict(record))
        return record

    def _revise(self, record: Record, mask: NDArray[np.bool_], **changes: Any) -> Record:
        new = replace(record, mask_sha256=pixel_sha256(mask), **changes)
        if new == record:
            return record
        if (new.mask_sha256, new.annotator, new.model) == (
            record.mask_sha256,
            record.annotator,
            record.model,
        ):
            new = replace(new, modified=_now())
            write_json(self._record_path(record.id), asdict(new))
            return new
        return self._commit(replace(new, modified=_now(), revision=record.revision + 1), mask)

    def _commit(self, record: Record, mask: NDArray[np.bool_]) -> Record:
        history = self._history(record.id)
        write_png(history / f"{record.revision}.png", _as_png(mask))
        write_json(history / f"{record.revision}.json", asdict(record))
        return self._publish(record, mask)

    def _publish(self, record: Record, mask: NDArray[np.bool_]) -> Record:
        write_png(self.mask_path(record.id), _as_png(mask))
        write_json(self._record_path(record.id), asdict(record))
        return record

    def _settle(self, id: str) -> Record:
        """The record of a frame whose history is complete: nothing that lies in `masks/` will be lost."""
        self._finish(id)
        record = self.record(id)
        try:
            mask = self.mask(id)
        except VasoMIMError:
            return record  # missing or damaged: there is nothing to keep
        sha = pixel_sha256(mask)
        if sha == record.mask_sha256:
            return record
        outside = replace(record, annotator=OUTSIDE, model=None, modified=_now(), mask_sha256=sha)
        return self._commit(replace(outside, revision=record.revision + 1), mask)

    def _finish(self, id: str) -> None:
        """Put the newest revision of the history in place if a killed program did not."""
        numbers, path = self._numbers(id), self._record_path(id)
        if numbers and (not path.exists() or _read_record(path, id).revision < numbers[-1]):
            newest = _read_record(self._history(id) / f"{numbers[-1]}.json", id)
            self._publish(newest, self.mask(id, newest.revision))

    def _interrupted(self) -> list[str]:
        """Ids whose history has a complete revision that is newer than the record."""
        found = []
        for path in _visible(self.folder / "history"):
            record_path = self._record_path(path.name)
            try:
                current = _read_record(record_path, path.name).revision if record_path.exists() else 0
            except LabelError:
                continue  # damaged, which `check` reports
            if (path / f"{current + 1}.json").exists():
                found.append(path.name)
        return found

    def _problems(self, id: str) -> Iterator[str]:
        try:
            record = self.record(id)
        except LabelError as error:
            yield str(error)
            return
        try:
            frame = self.frame(id)
        except InputError as error:
            yield str(error)
            return
        if pixel_sha256(frame) != record.frame_sha256:
            yield f"{self.frame_path(id)} is not the frame that was labelled: put the original back."
        try:
            mask = self.mask(id)
            if mask.shape != frame.shape:
                sizes = "{}×{} and its frame {}×{}".format(*mask.shape, *frame.shape)
                yield f"{self.mask_path(id)} is {sizes}: restore a revision."
            elif pixel_sha256(mask) != record.mask_sha256 and id not in self._interrupted():
                yield f"{self.mask_path(id)} was changed by another program: save the mask again to keep it."
        except VasoMIMError as error:
            yield str(error)
        for number in range(1, record.revision + 1):
            for path in (self._history(id) / f"{number}.png", self._history(id) / f"{number}.json"):
                if not path.is_file():
                    yield f"{path} is missing: copy it back from a backup, to be able to restore that mask."

    # Places

    def _record_path(self, id: str) -> Path:
        return self.folder / "records" / f"{_checked_id(id)}.json"

    def _history(self, id: str) -> Path:
        return self.folder / "history" / _checked_id(id)

    def _ids(self) -> list[str]:
        return sorted(path.stem for path in _visible(self.folder / "records") if path.suffix == ".json")

    def _numbers(self, id: str) -> list[int]:
        """Complete revisions: those with a record, which is written after the mask."""
        stems = (path.stem for path in _visible(self._history(id)) if path.suffix == ".json")
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def _find(self, sha: str, frame_index: int | None) -> str | None:
        """Id of a frame. Identities never change: only records that are new since the last call are read."""
        known = set(self._id_of.values())
        for id in self._ids():
            if id not in known:
                record = self.record(id)
                self._id_of[record.frame_sha256, record.frame_index] = id
        return self._id_of.get((sha, frame_index))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with _locked(self.folder / ".lock"):
                yield
        except OSError as error:
            raise _unwritable(self.folder, error) from error


def read_mask(path: Path | str, index: int = 0, alpha: bool = False) -> NDArray[np.bool_]:
    """Read a mask (H, W), True = vessel, from a file of any kind that `read_angiogram` knows.

    Args:
        path: The file.
        index: Which page.
        alpha: The mask is its alpha channel, as drawing programs save it.

    Raises:
        InputError: the file is missing or damaged, or has no alpha channel where `alpha` asks for it.
        LabelError: it has no such page, more than one value beside 0, or with an alpha channel that shows another
            mask than its colours, nothing that says which is meant.
    """
    opened = read_angiogram(path, alpha)
    pages = opened.frames
    if index >= len(pages):
        raise LabelError(f"{path} has {len(pages)} masks and none for frame {index}: store one page a frame.")
    if opened.has_alpha and not alpha:
        refuse_two_masks(path, pages[index], index)
    return as_mask(pages[index], where=str(path))


def refuse_two_masks(path: Path | str, page: NDArray[Any], index: int = 0) -> None:
    """Ask which is meant, where the alpha channel of a page varies and shows another mask than its colours.

    Args:
        path: A file with an alpha channel.
        page: What its colours show, (H, W).
        index: Which page.

    Raises:
        LabelError: so it is; the sentence says how to tell.
    """
    alpha = read_angiogram(path, alpha=True).frames[index]
    if alpha.min() != alpha.max() and not np.array_equal(page != 0, alpha != 0):
        raise LabelError(
            f"{path} has an alpha channel that shows another mask than its colours do: if alpha is meant, rename "
            f"the folder to {MASKS_ALPHA}; else save the masks without alpha."
        )


def as_mask(mask: ArrayLike, shape: tuple[int, ...] | None = None, where: str = "The mask") -> NDArray[np.bool_]:
    """Return a mask as bool (H, W).

    Args:
        mask: (H, W) of any real type, with 0 and at most one other value, which is vessel.
        shape: The frame's (H, W); None = any.
        where: What a message calls it.

    Raises:
        LabelError: another shape, not finite, or grey levels (a probability, a JPEG, several classes), for
            which only a person can say what is vessel.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf":
        raise LabelError(
            f"{where} has the shape {array.shape} and type {array.dtype}: give one plane (H, W) of numbers."
        )
    if shape is not None and array.shape != shape:
        raise LabelError(
            f"{where} is {array.shape[0]}×{array.shape[1]} and its frame {shape[0]}×{shape[1]}: draw it on that frame."
        )
    vessel = array != 0
    if array.dtype.kind != "b":
        values = array[vessel]
        if array.dtype.kind == "f" and not np.isfinite(values).all():
            raise LabelError(f"{where} has values that are not finite (NaN or infinity): threshold it first.")
        if values.size and (values != values[0]).any():
            raise LabelError(f"{where} has more than one value beside 0: threshold it, so that only vessel is not 0.")
    return vessel


def pixel_sha256(image: NDArray[Any]) -> str:
    """SHA-256 (hex) of the line `<H>x<W> <dtype>` and the pixels, by rows, little-endian; bool as 0 and 1."""
    header = f"{image.shape[0]}x{image.shape[1]} {image.dtype.name}\n".encode()
    pixels = np.ascontiguousarray(image, image.dtype.newbyteorder("<"))
    return hashlib.sha256(header + pixels.tobytes()).hexdigest()


def _as_png(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return mask.astype(np.uint8) * np.uint8(255)


def _checked_frame(frame: ArrayLike) -> NDArray[Any]:
    array = np.asarray(frame)
    if array.ndim != 2 or not array.size:
        raise LabelError(f"The frame has the shape {array.shape}: give one grey frame (H, W) with pixels in it.")
    if array.dtype.name not in ("uint8", "uint16"):
        raise LabelError(f"The frame is of type {array.dtype}: store what was shown, as to_uint8 returns it.")
    return array


def _checked_id(id: str) -> str:
    if not _ID.fullmatch(id):
        raise LabelError(f"The id {id!r} cannot name files: use up to 100 letters, digits, '.', '_' and '-'.")
    return id


def _check_status(status: str) -> None:
    if status not in STATUSES:
        raise LabelError(f"The status {status!r} is unknown: choose {', '.join(STATUSES)}.")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, which may be missing, without temporary files."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabelError(f"{path} cannot be read ({error.strerror}): check the folder.") from error
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path} is not valid JSON: copy it back from history/ or a backup.") from error


def _read_index(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise LabelError(f"{path.parent} is no label set, {path.name} is missing in it: choose another folder.")
    index = _read_json(path)
    if not isinstance(index, dict) or index.get("format") != FORMAT or not isinstance(index.get("version"), int):
        raise LabelError(f"{path} is not the index of a label set: copy it back from a backup.")
    if index["version"] > VERSION:
        raise LabelError(f"{path} has format version {index['version']}, newer than {VERSION}: update this program.")
    key = index.get("key")
    if not all(isinstance(index.get(name), str) for name in ("name", "created")) or not (
        key is None or (isinstance(key, str) and re.fullmatch("(?:[0-9a-f]{2}){16,}", key))
    ):
        raise LabelError(f"{path} has no usable name, created or key: copy it back from a backup.")
    return {"key": None, **index}


def _read_record(path: Path, id: str) -> Record:
    values = _read_json(path)
    try:
        record = Record(**values)
    except TypeError as error:
        raise LabelError(f"{path} has missing or unknown fields: copy it back from history/ or a backup.") from error
    kinds = {name: kind for name, kind in get_type_hints(Record).items() if name != "status"}
    fits = all(isinstance(getattr(record, name), kind) for name, kind in kinds.items())
    if not fits or record.status not in STATUSES or record.id != id or record.revision < 1:
        raise LabelError(f"{path} has a field that does not fit: copy it back from history/ or a backup.")
    return record


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
