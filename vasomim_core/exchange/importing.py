"""Labels of other folders, taken into a label set: first what would come of it, then the writing.

    plan = plan_import(folder, labels)
    for sentence in plan.report(): print(sentence)
    carry_out(plan, labels)

Every mask that is there already stays, as a revision.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import LARGEST_VALUE, VESSEL, LabelClass, check_classes
from vasomim_core.errors import ConfigError, LabelError, VasoMIMError
from vasomim_core.exchange.handover import Case, cases_of, nothing
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.labels.mask import mask_sha256
from vasomim_core.labels.reader import LabelReader
from vasomim_core.labels.readers import OthersLabelError, Replacing, is_anothers
from vasomim_core.labels.record import Record
from vasomim_core.labels.sources import CuratedFolder, LabelledFolder, Source, raise_first
from vasomim_core.reading.folders import Progress

Classes = tuple[LabelClass, ...]
Others = Literal["refuse", "replace", "second"]
"""What becomes of a frame whose label another reader accepted."""
MOST_NAMED = 3
"""Frames that a report names of each kind."""
MOST_NOTES = 10


@dataclass(frozen=True)
class Arrival:
    """A frame that is to be taken in.

    Attributes:
        source: number of its file, in the order of the folder.
        place: of the frame among those of the file that have a mask.
        where: the file and the frame in it, for people.
        sha: of the frame's pixels.
        there: what the set had of the frame when it was looked at; None = it is new.
    """

    source: int
    place: int
    where: str
    sha: str
    there: Record | None = None


@dataclass(frozen=True)
class ImportPlan:
    """What would come of an import; nothing is written yet.

    Attributes:
        sources: the files of what is imported.
        before: classes of the set when it was looked at.
        classes: those that it will have.
        missing: of these, the ones that it does not have yet.
        values: uint8 (256,), what each value of the folder's masks becomes.
        new: frames that the set does not have.
        same: number of frames whose mask the set has, as the current one or as an earlier revision.
        conflicting: frames for which the set has another mask.
        left: a sentence for each frame that is left out.
        notes: what else a person should know, one sentence each.
    """

    sources: tuple[Source, ...]
    before: Classes
    classes: Classes
    missing: Classes
    values: NDArray[np.uint8]
    new: tuple[Arrival, ...]
    same: int
    conflicting: tuple[Arrival, ...]
    left: tuple[str, ...]
    notes: tuple[str, ...]

    def of_others(self, annotator: str | None = None) -> tuple[Arrival, ...]:
        """The conflicting frames whose label another reader accepted than the one who drew what comes.

        Args:
            annotator: who that is; None = whom the folder names, if it does.
        """
        readers = [one.annotator or "" if annotator is None else annotator for one in self.sources]
        return tuple(
            one for one in self.conflicting if one.there is not None and is_anothers(one.there, readers[one.source])
        )

    def told_of_others(self, annotator: str | None = None) -> str:
        """One sentence about `of_others`; empty if there are none."""
        records = [one.there for one in self.of_others(annotator) if one.there is not None]
        names = _first(sorted({record.annotator for record in records}))
        many = len(records) > 1
        return f"{len(records)} of the labels that conflict {'were' if many else 'was'} accepted by {names}." * bool(
            records
        )

    def report(self) -> tuple[str, ...]:
        """The plan in sentences."""
        lines = [f"{len(self.new)} new, {self.same} the same, {len(self.conflicting)} conflicting."]
        if self.conflicting:
            which = _first([one.where for one in self.conflicting])
            lines.append(f"The set has another mask of {which}: that one stays as an earlier revision.")
        if self.missing:
            names = ", ".join(one.name for one in self.missing)
            lines.append(f"Classes that the set needs for it and does not have yet: {names}.")
        lines += _cut(self.left, MOST_NAMED, "left out")
        return (*lines, *_cut(self.notes, MOST_NOTES, "notes"))


@dataclass(frozen=True)
class Imported:
    """What came of an import.

    Attributes:
        added: ids of the frames that are new.
        revised: ids of those that got another mask; the older one is an earlier revision.
        read: ids of those whose label stays, with a second reading beside it.
        plan: what was carried out.
    """

    added: tuple[str, ...]
    revised: tuple[str, ...]
    plan: ImportPlan
    read: tuple[str, ...] = ()


def import_labels(
    folder: LabelledFolder,
    labels: LabelSet,
    annotator: str | None = None,
    new_only: bool = False,
    add_classes: bool = False,
    progress: Progress = nothing,
    others: Others = "refuse",
) -> Imported:
    """Plan an import and carry it out; arguments and errors as those of `plan_import` and `carry_out`."""
    return carry_out(plan_import(folder, labels), labels, annotator, new_only, add_classes, progress, others)


def plan_import(folder: LabelledFolder, labels: LabelReader | None, progress: Progress = nothing) -> ImportPlan:
    """See what an import would do; all is read and checked, nothing is written.

    Classes become those of the same name in the set, capitals aside. The only class of a folder, if it is called vessel
    and the set has none of that name, becomes the one of the smallest value if that counts as vessel. A set that has no
    labels, and no classes of its own, takes those of the folder.

    A frame is known by its pixels and its index in its run; where the folder does not tell the index, by its pixels, if
    the set has them once. A mask that the set has as an earlier revision is nothing new: what came after it stays.

    Args:
        folder: what is to be imported.
        labels: where to; None = a set that is still to be made, with the classes of the folder.
        progress: called after each frame.

    Raises:
        LabelError: as for `open_labels`; or the folder is the set itself.
        InputError: what says where the labels are cannot be read.
        ConfigError: the set would have too many classes.
    """
    path = getattr(folder, "path", None)
    if labels is not None and isinstance(path, Path) and path.resolve() == labels.folder.resolve():
        raise LabelError(f"{path} is the label set itself: name another folder to import.")
    sources, theirs = folder.sources(), folder.classes()
    before = theirs if labels is None else labels.classes
    takes = labels is not None and before == VESSEL and not labels.ids()
    own = theirs if takes else before
    into = _translation(theirs, own)
    values = np.zeros(256, np.uint8)
    values[list(into)] = [one.value for one in into.values()]
    look = _Look(labels, own)
    drawn: set[int] = set()
    problems: list[str] = []
    random, done = secrets.token_bytes(32), 0
    for number, source in enumerate(sources):
        try:
            for place, case in enumerate(cases_of(source, lambda: labels.key if labels is not None else random)):
                drawn.update(np.unique(case.mask).tolist())
                look.at(Arrival(number, place, case.where, case.frame_sha256), case, values[case.mask])
                done += 1
                progress(done, done + len(sources) - number - 1)
        except VasoMIMError as error:
            problems.append(str(error))
    raise_first(problems, len(sources))
    missing = tuple(into[value] for value in sorted(drawn & into.keys()) if into[value] not in own)
    notes = [*folder.notes(), *(note for source in sources for note in source.notes)]
    notes += _told_of_classes(theirs, into, drawn)
    if isinstance(folder, CuratedFolder):
        notes += _told_of_a_set(folder.path, look.groups)
    return ImportPlan(
        sources=tuple(sources),
        before=before,
        classes=check_classes((*own, *missing)),
        missing=theirs if takes and theirs != before else missing,
        values=values,
        new=tuple(look.new),
        same=look.same,
        conflicting=tuple(look.conflicting),
        left=tuple(look.left),
        notes=tuple(dict.fromkeys(notes)),
    )


def carry_out(
    plan: ImportPlan,
    labels: LabelSet,
    annotator: str | None = None,
    new_only: bool = False,
    add_classes: bool = False,
    progress: Progress = nothing,
    others: Others = "refuse",
) -> Imported:
    """Write what a plan says, one label after the other; each is safe when the next begins.

    File names stay outside, since they may name a patient. The group is the one that the folder tells, else a hash
    under the set's key of a DICOM file's patient, or of the folder within `images/` that it lies in; frames of one file
    share a group.

    Args:
        plan: of this set; or of one that was to be made, and was made with the classes of the plan.
        labels: where to.
        annotator: who drew the masks; None = whom the folder names, if it does.
        new_only: leave frames that the set has already as they are, also where the mask is another one.
        add_classes: give the set the classes that it lacks.
        progress: called after each frame; what it raises ends the import, and what was written stays.
        others: what becomes of frames whose label another reader accepted: "replace" it; keep the mask beside it, as a
            "second" reading; or "refuse" the whole import.

    Raises:
        LabelError: the set has a label that another reader accepted, lacks a class, has changed since it was looked at,
            or cannot be written to; a file has changed; nobody is named whose second readings these are.
        InputError: a file cannot be read any more.
    """
    if plan.missing and not add_classes:
        names = ", ".join(one.name for one in plan.missing)
        raise LabelError(f"{labels.folder} has no class called {names}: add what is missing, or have it added.")

    if others == "refuse" and not new_only and plan.of_others(annotator):
        raise LabelError(
            f"{plan.told_of_others(annotator)[:-1]}: say whether they are replaced, what comes is kept beside them as "
            "second readings, or only new frames come."
        )

    def change(now: Classes) -> Classes:
        if now not in (plan.before, plan.classes):
            raise LabelError(f"The classes of {labels.folder} have changed meanwhile: import once more.")
        return plan.classes

    labels.set_classes(change)
    chosen = {(one.source, one.place): one for one in (*plan.new, *(() if new_only else plan.conflicting))}
    added: list[str] = []
    revised: list[str] = []
    read: list[str] = []
    beside = plan.of_others(annotator) if others == "second" and not new_only else ()
    if any(not (plan.sources[one.source].annotator if annotator is None else annotator) for one in beside):
        raise LabelError("Nobody is named whose second readings these would be: say who drew them.")
    for number in sorted({source for source, _ in chosen}):
        source = plan.sources[number]
        for place, case in enumerate(cases_of(source, lambda: labels.key)):
            one = chosen.get((number, place))
            if one is None:
                continue
            if case.frame_sha256 != one.sha:
                raise LabelError(f"{one.where} has changed since it was looked at: import once more.")
            mask, who = plan.values[case.mask], source.annotator or "" if annotator is None else annotator
            if one in beside and one.there is not None:
                read.append(labels.add_reading(one.there.id, mask, who, source.model).id)
            else:
                try:
                    record = _write(labels, source, case, mask, who, one.there)
                except OthersLabelError as error:
                    by = error.record.annotator
                    raise LabelError(
                        f"{by} has accepted a label of {one.where} meanwhile: import once more."
                    ) from error
                (added if one.there is None else revised).append(record.id)
            progress(len(added) + len(revised) + len(read), len(chosen))
    return Imported(tuple(added), tuple(revised), plan, tuple(read))


def _write(
    labels: LabelSet, source: Source, case: Case, mask: NDArray[np.uint8], annotator: str, there: Record | None
) -> Record:
    known = None if there is None else labels.record(there.id)
    return labels.add(
        case.frame,
        mask,
        replacing=Replacing(annotator, 0 if there is None else there.revision),
        group=case.origin.group if known is None or known.group is None else None,
        annotator=annotator,
        model=source.model,
        source=source.label if known is None or known.source is None else None,
        frame_index=case.origin.frame_index if known is None else known.frame_index,
    )


class _Look:
    """Sorts frames by what a set has of them.

    Args:
        labels: the set; None = it has nothing.
        classes: that it will have, but for some of larger values.
    """

    def __init__(self, labels: LabelReader | None, classes: Classes):
        self._labels, self._classes = labels, classes
        self._of_pixels: dict[str, list[str]] = defaultdict(list)
        self._came: dict[tuple[str, int | None], str] = {}
        self._seen: set[tuple[str, int | None]] = set()
        self.groups: set[str] = set()
        self.new: list[Arrival] = []
        self.conflicting: list[Arrival] = []
        self.left: list[str] = []
        self.same = 0
        for record in () if labels is None else labels.records():
            self._of_pixels[record.frame_sha256].append(record.id)
            self.groups |= {record.group} if record.group else set()

    def at(self, one: Arrival, case: Case, mask: NDArray[np.uint8]) -> None:
        """Look at a frame with its mask in the classes of the set."""
        index, drawn = case.origin.frame_index, mask_sha256(mask, self._classes)
        who = one.sha, index
        known = self._labels.find(case.frame, index) if self._labels is not None else None
        alike = self._of_pixels[one.sha] if index is None and known is None else []
        if self._labels is not None and len(alike) == 1:
            known = self._labels.record(alike[0])
        if len(alike) > 1:
            self.left.append(f"{one.where} has the pixels of {len(alike)} frames of the set: it is left out.")
        elif self._came.setdefault(who, drawn) != drawn:
            self.left.append(f"{one.where} comes a second time, with another mask: the first counts.")
        elif who in self._seen or (known is not None and self._has(known, drawn)):
            self.same += 1
        elif known is None:
            self.new.append(one)
        else:
            self.conflicting.append(replace(one, there=known))
        self._seen.add(who)

    def _has(self, record: Record, drawn: str) -> bool:
        if record.mask_sha256 == drawn or self._labels is None:
            return True
        known = {one.mask_sha256 for one in self._labels.revisions(record.id)}
        return drawn in known | {one.mask_sha256 for one in self._labels.readings(record.id)}


def _translation(theirs: Classes, own: Classes) -> dict[int, LabelClass]:
    """What each value of a folder's masks means in a set, which may have to get that class yet."""
    by_name = {one.name.casefold(): one for one in own}
    if theirs == VESSEL and own[0].vessel:
        by_name.setdefault(VESSEL[0].name, own[0])
    into: dict[int, LabelClass] = {}
    taken = {one.value for one in own}
    for one in theirs:
        known = by_name.get(one.name.casefold())
        if known is None:
            free = [one.value, *range(own[0].value + 1, LARGEST_VALUE + 1)]
            value = next((n for n in free if n not in taken and n > own[0].value), None)
            if value is None:
                raise ConfigError(f"no value is left for the class {one.name}; take away classes that nothing has")
            known = LabelClass(value, one.name, one.colour, one.vessel)
        taken.add(known.value)
        into[one.value] = known
    return into


def _told_of_classes(theirs: Classes, into: dict[int, LabelClass], drawn: Iterable[int]) -> list[str]:
    """What is otherwise about the classes that are drawn."""
    used = [(one, into[one.value]) for one in theirs if one.value in set(drawn)]
    told = [
        f"What is called {one.name} there is {ours.name} in the set."
        for one, ours in used
        if one.name.casefold() != ours.name.casefold()
    ]
    for one, ours in used:
        if one.vessel != ours.vessel:
            where = "in the set and not there" if ours.vessel else "there and not in the set"
            told.append(f"The class {ours.name} counts as vessel {where}: it stays as the set has it.")
    moved = [f"{one.name} {one.value} → {ours.value}" for one, ours in used if one.value != ours.value]
    return [*told, *([f"Classes are matched by name; their values change: {', '.join(moved)}."] if moved else [])]


def _told_of_a_set(path: Path, groups: set[str]) -> list[str]:
    """What stays outside of another label set, and what its groups mean."""
    records = LabelReader(path).records()
    others = sum(record.status != "accepted" for record in records)
    told = [f"{others} frames of {path} that are not accepted stay outside."] if others else []
    if groups and any(record.group and record.group not in groups for record in records):
        told.append("Groups are pseudonyms of each set: a patient who is in both sets is in two groups.")
    return told


def _cut(lines: Sequence[str], most: int, what: str) -> list[str]:
    more = len(lines) - most
    return [*lines[:most], *([f"… and {more} more {what}."] if more > 0 else [])]


def _first(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
