"""What is handed over: frames with their masks, from labels, or from masks and the angiograms that they are of."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import VESSEL, ClassMask, LabelClass
from vasomim_core.errors import InputError, LabelError
from vasomim_core.files import atomic, atomic_folder
from vasomim_core.labels.class_list import CLASSES, read_classes
from vasomim_core.labels.mask import frame_id, pixel_sha256
from vasomim_core.labels.mask_file import MaskFile, Masks
from vasomim_core.labels.origins import Origin
from vasomim_core.labels.reader import LabelReader
from vasomim_core.labels.record import Record
from vasomim_core.labels.sources import (
    CuratedFolder,
    LabelledFolder,
    OpenMasks,
    Source,
    files_by_name,
    mask_files,
    raise_first,
)
from vasomim_core.reading import find_angiograms, patient_group, read_angiogram, stem
from vasomim_core.reading.dicom import is_dicom
from vasomim_core.reading.folders import Progress


@dataclass(frozen=True)
class Case:
    """A frame with its mask.

    Attributes:
        name: of files for it: the id in its label set, else one made from its pixels, which tells nobody's name.
        where: the file that it is from, and which frame of it; for messages alone.
        frame: uint8 or uint16 (H, W), as a label set keeps it.
        frame_sha256: its `pixel_sha256`.
        mask: uint8 (H, W), class values of its folder.
        origin: its group, a pseudonym, and its index in its run, where it is of one.
    """

    name: str
    where: str
    frame: NDArray[Any]
    frame_sha256: str
    mask: ClassMask
    origin: Origin


@dataclass(frozen=True)
class Written:
    """What came of handing over.

    Attributes:
        paths: the files or folders that were written.
        frames: number of frames in them.
        names: of the files of single frames, where there are such.
        notes: what a person should know, one sentence each.
    """

    paths: tuple[Path, ...]
    frames: int
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def nothing(done: int, total: int) -> None:
    """Tell nobody how far it is."""


def cases_of(source: Source, key: Callable[[], bytes], named: bool = False) -> Iterator[Case]:
    """The frames of a file that have a mask, one after the other.

    Args:
        source: the file.
        key: gives the key under which a DICOM file's patient, or the name of a folder within the collection, is
            hashed; asked for such a file alone.
        named: the name of the file is the id of the frame.

    Raises:
        InputError: the frames or masks cannot be read.
        LabelError: they do not fit each other.
    """
    angiogram, masks = source.angiogram(), source.masks()
    count, pages = len(angiogram.frames), len(masks)
    if count != pages:
        where = getattr(masks, "path", source.path)
        raise LabelError(f"{where} has {pages} masks for the {count} frames of {source.path}: store one page a frame.")
    run, group = count > 1, source.group
    if group is None and is_dicom(source.path):
        group = patient_group(source.path, key())
    if group is None and source.folder:
        group = hmac.new(key(), b"folder " + source.folder.encode(), hashlib.sha256).hexdigest()[:16]
    if group is None and run:  # the frames of a run are near copies of each other
        group = pixel_sha256(angiogram.stored(0))[:16]
    for index in range(count) if source.only is None else source.only:
        frame, mask = angiogram.stored(index), masks.class_mask(index)
        if frame.shape != mask.shape:
            raise LabelError(
                f"The mask of {source.path} is {mask.shape[0]}×{mask.shape[1]} and the frame "
                f"{frame.shape[0]}×{frame.shape[1]}: draw it on that frame."
            )
        sha, place = pixel_sha256(frame), index if run else source.frame_index
        where = f"frame {index + 1} of {source.path}" if run else str(source.path)
        name = source.name if named else frame_id(sha, place)
        yield Case(name, where, frame, sha, mask, Origin(group, place))


def each_case(folder: LabelledFolder, progress: Progress = nothing) -> Iterator[Case]:
    """All frames of a folder that have a mask, under names that differ.

    Args:
        folder: what is handed over.
        progress: called after each frame.

    Raises:
        InputError: frames or masks cannot be read.
        LabelError: they do not fit each other, or there are none.
    """
    sources, key = folder.sources(), secrets.token_bytes(32)
    seen, done = Counter[str](), 0
    for later, source in zip(reversed(range(len(sources))), sources, strict=True):
        for case in cases_of(source, lambda: key, isinstance(folder, CuratedFolder)):
            seen[case.name] += 1
            twice = seen[case.name]
            yield case if twice == 1 else Case(**{**vars(case), "name": f"{case.name}-{twice}"})
            done += 1
            progress(done, done + later)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A new folder to write into, that appears as `path` when the block ends; see `atomic_folder`.

    Raises:
        LabelError: `path` is there and not empty, or cannot be written to.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise LabelError(f"{path} is not empty: choose a new folder.")
    with told_of(path), atomic_folder(path) as made:
        yield made


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A new file to write, that appears as `path` when the block ends; see `atomic`.

    Raises:
        LabelError: `path` is there already, or cannot be written to.
    """
    if path.exists():
        raise LabelError(f"{path} is there already: choose another name.")
    with told_of(path), atomic(path) as made:
        yield made


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """What goes wrong in writing `path` becomes a `LabelError`."""
    try:
        yield
    except OSError as error:
        raise LabelError(f"{path} could not be written to ({error.strerror or error}): choose another.") from error


@dataclass(frozen=True)
class MasksOfImages:
    """Masks in a file or folder, as `vasomim segment` writes them, and the angiograms that they are of.

    Files belong together by their path in their folders without suffix; of two files, one to the other. What the values
    mean stands in a `classes.json` beside the masks; without it there is one class, vessel.
    """

    path: Path
    images: Path

    def classes(self) -> tuple[LabelClass, ...]:
        """Those of `classes.json`."""
        return self._classes

    def sources(self) -> list[Source]:
        """The angiograms; masks without one are left out."""
        if self.path.is_file() and self.images.is_dir():
            raise LabelError(f"{self.path} is one file of masks: name the one angiogram that it is of, not a folder.")
        images = files_by_name(self.images) if self.images.is_dir() else {stem(self.images): self.images}
        masks = self.masks()
        missing = [
            f"{image} has no mask: {self.path / name}.png (or another kind of file) is missing, add it."
            for name, image in images.items()
            if name not in masks
        ]
        raise_first(missing, len(images))
        if not images:
            raise LabelError(f"{self.images} holds no angiogram: name the files that the masks are of.")
        return [Source(name, image, masks[name]) for name, image in images.items()]

    def masks(self) -> Mapping[str, OpenMasks]:
        """All masks of a folder by name; a file's by the name of its angiogram."""
        if self.path.is_file():
            return {stem(self.images): partial(MaskFile, self.path, classes=self._classes)}
        masks = mask_files(self.path, self._classes)
        if not masks:
            raise LabelError(f"{self.path} holds no masks: put the files there that `vasomim segment` writes.")
        return masks

    def notes(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    @cached_property
    def _classes(self) -> tuple[LabelClass, ...]:
        listed = (self.path if self.path.is_dir() else self.path.parent) / CLASSES
        return read_classes(listed) if listed.exists() else VESSEL


@dataclass(frozen=True)
class LabelsOnImages:
    """The accepted labels of a set, on the frames of the angiograms that they were drawn on, known by their pixels."""

    path: Path
    images: Path

    def classes(self) -> tuple[LabelClass, ...]:
        """Those of the set."""
        return self._labels.classes

    def sources(self) -> list[Source]:
        """The angiograms that have a label, with the frames that have one; all frames are decoded."""
        return self._found[0]

    def masks(self) -> Mapping[str, OpenMasks]:
        """Those of the angiograms that have a label."""
        return {source.name: source.masks for source in self.sources()}

    def notes(self) -> tuple[str, ...]:
        """How many labels are of none of the angiograms."""
        return self._found[1]

    @cached_property
    def _labels(self) -> LabelReader:
        return LabelReader(self.path)

    @cached_property
    def _found(self) -> tuple[list[Source], tuple[str, ...]]:
        records = {(r.frame_sha256, r.frame_index): r for r in self._labels.records("accepted")}
        left = set(records)
        sources: list[Source] = []
        notes: list[str] = []
        for path in find_angiograms(self.images):
            try:
                angiogram = read_angiogram(path)
            except InputError as error:  # such as reports and other objects of a study
                notes.append(str(error))
                continue
            run, found = len(angiogram.frames) > 1, dict[int, Record]()
            for index in range(len(angiogram.frames)):
                who = pixel_sha256(angiogram.stored(index)), index if run else None
                if who in records:
                    found[index] = records[who]
                    left.discard(who)
            if found:
                masks = partial(LabelledFrames, self._labels, found, angiogram.frames.shape)
                sources.append(_labelled(path, masks, found))
        if not sources:
            raise LabelError(
                f"None of the {len(records)} accepted labels of {self.path} is of a frame of {self.images}: name the "
                "files that they were drawn on."
            )
        if left:
            notes.append(f"{len(left)} of {len(records)} accepted labels are of none of these angiograms.")
        return sources, tuple(notes)


def _labelled(path: Path, masks: OpenMasks, found: Mapping[int, Record]) -> Source:
    """An angiogram with some labels; what is said of it is what they agree on."""
    annotators, models = {r.annotator for r in found.values()}, sorted({r.model for r in found.values() if r.model})
    return Source(
        stem(path),
        path,
        masks,
        group=next((r.group for r in found.values() if r.group), None),
        only=tuple(found),
        annotator=annotators.pop() if len(annotators) == 1 else "",
        model=", ".join(models) or None,
    )


class LabelledFrames(Masks):
    """The masks that a label set has for frames of one angiogram, of the shape (frames, H, W)."""

    def __init__(self, labels: LabelReader, records: Mapping[int, Record], shape: tuple[int, int, int]):
        self.classes = labels.classes
        self._labels, self._records, self._shape = labels, records, shape

    def __len__(self) -> int:
        return self._shape[0]

    def class_mask(self, index: int) -> ClassMask:
        """The mask of a frame as class values, uint8 (H, W); all 0 where the set has none."""
        record = self._records.get(index)
        return np.zeros(self._shape[1:], np.uint8) if record is None else self._labels.class_mask(record.id)
