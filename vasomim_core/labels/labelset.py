"""The curated labels of a person or a team: frames, accepted masks and who drew them when, in a plain folder.

The layout is described for people and other programs in `docs/labelset.md`.

Every file is written beside its place and renamed into it, and a label is written in this order:

    frames/<id>.png → history/<id>/<n>.png → history/<id>/<n>.json → masks/<id>.png → records/<id>.json

The record in the history makes revision n durable: a program that is killed before it leaves revision n − 1
as it was, one that is killed after it leaves a revision that the next `open` (or write to that frame) puts in
place. Writers take turns by a lock on the file `.lock` (see `vasomim_core.locks`), which a killed program does not
keep; the first write of each removes the temporary files of killed ones. Readers need no lock.

A mask is of one class, vessel, or of several (`vasomim_core.classes`): the index says which, and a class comes before
the first mask that has it.

What is not named like a file of the set is passed over, and so is a record that cannot be read: `listing` and
`check` name them. Links that lead out of the folder are not followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from vasomim_core.classes import VESSEL, ClassMask, LabelClass, check_classes
from vasomim_core.errors import LabelError, LockedError, VasoMIMError
from vasomim_core.files import write_png
from vasomim_core.labels import history, reclassing
from vasomim_core.labels.folder import PARTS
from vasomim_core.labels.index import INDEX, become_for_readers, change_classes, read_index, write_new_index
from vasomim_core.labels.mask import as_class_mask, checked_frame, frame_id, mask_sha256, pixel_sha256
from vasomim_core.labels.reader import LabelReader
from vasomim_core.labels.readers import Replacing, require_agreed, same_reader
from vasomim_core.labels.readings import Reading, write_reading
from vasomim_core.labels.record import (
    OUTSIDE,
    STATUSES,
    Record,
    Status,
    check_status,
    checked_id,
    now,
    write_record,
)
from vasomim_core.locks import locked

__all__ = [
    "INDEX",
    "OUTSIDE",
    "STATUSES",
    "LabelSet",
    "Record",
    "Status",
    "pixel_sha256",
]

LONGEST_WAIT = 120.0
"""Seconds to wait for one's turn to write; a label takes other writers far less than one."""


ChangeOfClasses = Callable[[tuple[LabelClass, ...]], Iterable[LabelClass]]
"""New classes from those that there are."""


class LabelSet(LabelReader):
    """A folder of curated labels; make one with `LabelSet.create`, come back to it with `LabelSet.open`."""

    _swept = False

    @classmethod
    def create(cls, folder: Path | str, name: str, classes: Iterable[LabelClass] = VESSEL) -> LabelSet:
        """Make an empty label set in a folder that is new or empty.

        Args:
            folder: Where.
            name: What it is called.
            classes: What the values of its masks are to mean; `set_classes` changes them.

        Raises:
            LabelError: the folder is not empty or cannot be written to.
            ConfigError: the classes contradict each other.
        """
        folder, classes = Path(folder), check_classes(classes)
        try:
            if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
                raise LabelError(f"{folder} is not empty: choose a new folder, or open the label set in it.")
            write_new_index(folder / INDEX, name, classes)
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
        replacing: Replacing | None = None,
    ) -> Record:
        """Store the label of a frame; one that is already there gets a new revision, under its id.

        Args:
            frame: (H, W) uint8 or uint16, as the annotator saw it.
            mask: (H, W) of any real type. In a set of one class: 0 and at most one other value, which is that class.
                In a set of several: 0 and their values, where True or 255 is the class of the smallest value.
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
            replacing: On whose behalf; then a label that another reader accepted stays, unless she agreed to replace
                that very revision. None = whatever is there becomes an earlier revision.

        Raises:
            OthersLabelError: another reader accepted the label that is there.
            LabelError: the frame or mask is not of this kind, the id is taken or not usable, or the folder
                cannot be written to.
        """
        pixels = checked_frame(frame)
        check_status(status)
        sha = pixel_sha256(pixels)
        new_id = checked_id(id) if id else frame_id(sha, frame_index)
        with self._writing() as classes:
            drawn = as_class_mask(mask, classes, pixels.shape)
            history.finish(self._files, new_id)
            known = self._find(sha, frame_index)
            if known is not None:
                record = history.settle(self._files, known)
                told = {"status": status, "group": group, "source": source, "note": note}
                changed = {name: value for name, value in told.items() if value is not None}
                return self._revise(record, drawn, classes, replacing, annotator=annotator, model=model, **changed)
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
                mask_sha256=mask_sha256(drawn, classes),
            )
            return history.commit(self._files, classes, record, drawn)

    def update_mask(
        self, id: str, mask: ArrayLike, annotator: str, model: str | None = None, replacing: Replacing | None = None
    ) -> Record:
        """Store another mask for a frame as a new revision; the same by the same annotator changes nothing.

        Args:
            id: The frame's.
            mask: As for `add`.
            annotator: Who drew or approved it.
            model: Which model proposed it.
            replacing: As for `add`.

        Raises:
            OthersLabelError: another reader accepted the label that is there.
            LabelError: there is no such frame, the mask does not fit it, or the folder cannot be written to.
        """
        return self._update(id, mask, replacing, annotator=annotator, model=model)

    def settle(self, id: str, mask: ArrayLike, annotator: str, model: str | None = None, seen: int = 0) -> Record:
        """Make a mask the accepted label of a frame that several have read, and write that it was settled.

        Args:
            id: The frame's.
            mask: As for `add`: that of one of the readers, or another.
            annotator: Who settles it.
            model: Which model proposed it.
            seen: The revision of the label that was looked at; 0 = whatever is there.

        Raises:
            LabelError: there is no such frame, the mask does not fit it, its label has another revision by now, or the
                folder cannot be written to.
        """
        return self._update(id, mask, None, seen, annotator=annotator, model=model, status="accepted", settled=True)

    def _update(self, id: str, mask: ArrayLike, replacing: Replacing | None, seen: int = 0, **changes: Any) -> Record:
        shape = self.frame(self.record(id).id).shape
        with self._writing() as classes:
            drawn = as_class_mask(mask, classes, shape)
            record = history.settle(self._files, id)
            if seen and record.revision != seen:
                raise LabelError(f"The label of {id} has changed meanwhile (revision {record.revision}): look again.")
            if changes.get("settled"):
                become_for_readers(self._files.index)
            return self._revise(record, drawn, classes, replacing, **changes)

    def add_reading(
        self,
        id: str,
        mask: ArrayLike,
        annotator: str,
        model: str | None = None,
        blind: bool = False,
        drawn_by: tuple[float, int] | None = None,
    ) -> Reading:
        """Keep a mask beside the label of a frame, as what another reader sees; the label stays as it is.

        The set gets version 3 with the first, which older programs refuse. The same mask again by the same reader, as
        her newest reading, beside the same revision, changes nothing.

        Args:
            id: The frame's.
            mask: As for `add`.
            annotator: Who has read; not the one whose label it is.
            model: Which model's prediction it began with.
            blind: She was not shown the label.
            drawn_by: Share of the labels, in (0, 1], and seed by which the frame was drawn; None = it was not.

        Raises:
            LabelError: nobody is named, the label is her own, there is no such frame, the mask does not fit it, or the
                folder cannot be written to.
        """
        if not annotator.strip():
            raise LabelError("A second reading needs a reader: say who has read, by a short name or a number.")
        shape = self.frame(self.record(id).id).shape
        share, seed = drawn_by if drawn_by is not None else (None, None)
        with self._writing() as classes:
            drawn = as_class_mask(mask, classes, shape)
            record = history.settle(self._files, id)
            if same_reader(record.annotator, annotator):
                raise LabelError(f"The label of {id} is by {record.annotator} herself: a second reading is another's.")
            reading = Reading(
                id=id,
                number=0,
                annotator=annotator,
                model=model,
                beside=record.revision,
                blind=blind,
                share=share,
                seed=seed,
                created=now(),
                mask_sha256=mask_sha256(drawn, classes),
            )
            own = [one for one in self.readings(id) if same_reader(one.annotator, annotator)]
            if own and replace(own[-1], number=0, created=reading.created) == reading:
                return own[-1]
            become_for_readers(self._files.index)
            return write_reading(self._files, classes, reading, drawn)

    def restore(self, id: str, revision: int, replacing: Replacing | None = None) -> Record:
        """Make an earlier mask the current one, with its annotator and model, as a new revision.

        Args:
            id: The frame's.
            revision: The earlier one.
            replacing: As for `add`.

        Raises:
            OthersLabelError: another reader accepted the label that is there.
            LabelError: there is no such frame or revision, or the folder cannot be written to.
        """
        earlier = next((r for r in self.revisions(id) if r.revision == revision), None)
        if earlier is None:
            raise LabelError(f"{self.folder / 'history' / id} has no revision {revision}: choose one that lies there.")
        kept = {name: getattr(earlier, name) for name in ("annotator", "model", "settled")}
        return self._update(id, self.class_mask(id, revision), replacing, **kept)

    def set_status(
        self, id: str, status: Status, note: str | None = None, replacing: Replacing | None = None
    ) -> Record:
        """Accept, skip or flag a frame; the mask and its revision stay. A note of None leaves the known one.

        Args:
            id: The frame's.
            status: The new one.
            note: Free text.
            replacing: As for `add`: what another reader accepted stays accepted.

        Raises:
            OthersLabelError: another reader accepted the label.
            LabelError: there is no such frame or status, or the folder cannot be written to.
        """
        check_status(status)
        told = {"status": status, **({} if note is None else {"note": note})}
        return self._edit(id, None if status == "accepted" else replacing, **told)

    def set_group(self, id: str, group: str | None) -> Record:
        """Say with which frames this one must stay together in a split.

        Raises:
            LabelError: there is no such frame, or the folder cannot be written to.
        """
        return self._edit(id, None, group=group)

    def set_classes(self, classes: Iterable[LabelClass] | ChangeOfClasses) -> tuple[LabelClass, ...]:
        """Say what the values of the masks mean from now on; the masks stay as they are.

        Names, colours, and what counts as vessel may change, and classes may come. One may only go while neither a
        mask nor a revision has it, and the one of the smallest value only while there is no label.

        Args:
            classes: the new ones; or what makes them of those that there are, which nobody else changes meanwhile.

        Returns:
            The classes in the order of their values.

        Raises:
            ConfigError: the classes contradict each other.
            LabelError: a class that is to go is needed, or the folder cannot be written to.
        """
        with self._writing() as old:
            new = check_classes(classes(old) if callable(classes) else classes)
            if new != old:
                reclassing.prepare(self._files, old, new)
                change_classes(self._files.index, new)
        return new

    def _edit(self, id: str, replacing: Replacing | None, **changes: Any) -> Record:
        with self._writing():
            self.record(id)
            history.finish(self._files, id)
            record = self.record(id)
            require_agreed(record, replacing)
            record = replace(record, modified=now(), **changes)
            write_record(self.record_path(id), record)
        return record

    def _revise(
        self,
        record: Record,
        mask: ClassMask,
        classes: tuple[LabelClass, ...],
        replacing: Replacing | None,
        **changes: Any,
    ) -> Record:
        told = {"mask_sha256": mask_sha256(mask, classes), "settled": False, **changes}
        of_revision = ("mask_sha256", "annotator", "model")
        if all(told[name] == getattr(record, name) for name in of_revision) and not changes.get("settled"):
            told["settled"] = record.settled  # who settled a label and accepts it again has not unsettled it
        new = replace(record, **told)
        if new == record:
            return record
        require_agreed(record, replacing)
        new = replace(new, modified=now())
        if all(getattr(new, name) == getattr(record, name) for name in (*of_revision, "settled")):
            write_record(self.record_path(record.id), new)
            return new
        return history.commit(self._files, classes, new, mask)

    @contextmanager
    def _writing(self) -> Iterator[tuple[LabelClass, ...]]:
        """Hold the lock; gives the classes, which nobody else changes meanwhile."""
        try:
            with locked(self._files.lock, wait=LONGEST_WAIT):
                self._files.require_own_parts()
                if not self._swept:
                    self._files.sweep()
                    self._swept = True
                yield read_index(self._files.index).classes
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        except LockedError as error:
            raise LabelError(str(error)) from error


def _unwritable(folder: Path, error: OSError) -> LabelError:
    return LabelError(
        f"{folder} could not be written to ({error.strerror or error}): free space or get permission; "
        "what was stored before is untouched."
    )
