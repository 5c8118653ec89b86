"""What kind of labelled folder a path is, and where in it the frames and their masks are: decided here alone.

    folder = labelled_folder("labels")
    folder.sources()       # each file of frames with its masks: to learn from, or to import
    folder.masks()         # the masks by name, with or without frames: to score against

Names are compared in composed Unicode (NFC), since those from a Mac are decomposed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

from vasomim_core.classes import VESSEL, ClassMask, LabelClass, unknown_values
from vasomim_core.errors import InputError, LabelError
from vasomim_core.labels.arcade import CocoMasks, is_arcade_split, nfc, split_annotations
from vasomim_core.labels.class_list import CLASSES, read_classes
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.labels.mask import as_class_mask
from vasomim_core.labels.mask_file import MaskFile, Masks
from vasomim_core.labels.origins import ORIGINS, UNKNOWN, read_origins
from vasomim_core.labels.reader import Listing
from vasomim_core.labels.record import Record
from vasomim_core.reading import KINDS, Angiogram, find_angiograms, read_angiogram, stem
from vasomim_core.reading.finding import LABEL_SET_INDEX, MASK_FOLDERS, MASKS_ALPHA

OpenMasks = Callable[[], Masks]


@dataclass(frozen=True)
class Source:
    """A file of frames, and their masks.

    Attributes:
        name: Of the file, within its folder.
        path: Where it lies.
        masks: Opens the masks, which have to be as many as the frames.
        group: With which frames these must stay together in a split, as a name that may be shown; None if unknown.
        label: What the record of an imported frame says of where it comes from.
        notes: What a person should know about the masks, one sentence each.
        frame_index: 0-based index of its only frame in the run that this was taken from; None if unknown.
        only: Which of its frames have a mask; None = all.
        annotator: Who drew the masks; None if the folder does not say.
        model: Which model proposed them; None if none did, or the folder does not say.
        folder: Of its own, within the collection, in which it lies with others of its run or patient; empty = none.
            It may name a person.
        opened: Gives the frames where they are not to be read from `path`, such as those that a window shows.
    """

    name: str
    path: Path
    masks: OpenMasks
    group: str | None = None
    label: str | None = None
    notes: tuple[str, ...] = ()
    frame_index: int | None = None
    only: tuple[int, ...] | None = None
    annotator: str | None = None
    model: str | None = None
    folder: str = ""
    opened: Callable[[], Angiogram] | None = None

    def angiogram(self) -> Angiogram:
        """Open the frames.

        Raises:
            InputError: they cannot be read.
        """
        return read_angiogram(self.path) if self.opened is None else self.opened()


class LabelledFolder(Protocol):
    """One kind of labelled folder; nothing is read before it is asked."""

    def classes(self) -> tuple[LabelClass, ...]:
        """What the values of all its masks mean; once read, the same from then on.

        Raises:
            LabelError: what says so is damaged.
            InputError: what says so cannot be read.
        """

    def sources(self) -> list[Source]:
        """The files of frames with their masks; no frame is decoded.

        Raises:
            LabelError: there are none, or some have no masks.
            InputError: what says where they are cannot be read.
        """

    def masks(self) -> Mapping[str, OpenMasks]:
        """By the name of a file of frames, whether it is there or not, what opens its masks.

        Raises:
            LabelError: there are none, or two of one name.
            InputError: what says where they are cannot be read.
        """

    def notes(self) -> tuple[str, ...]:
        """What a person should know about `masks`, one sentence each."""


def labelled_folder(path: Path | str, categories: bool = False) -> LabelledFolder:
    """The kind that a path is.

    Args:
        path: Where the labels are.
        categories: The categories of a COCO file are classes, instead of vessel all together; of no matter to others.

    Returns:
        One of:
        - a folder with `labelset.json`: `CuratedFolder`;
        - a folder with `images/` and `annotations/`, or a COCO file: `ArcadeFolder`;
        - a folder with `masks/` or `masks-alpha/`, or one of mask files: `MaskFolder`.

    Raises:
        InputError: a file of another kind.
        LabelError: masks are in two places.
    """
    path = Path(path)
    if (path / LABEL_SET_INDEX).is_file():
        return CuratedFolder(path)
    if path.is_file() or is_arcade_split(path):
        return ArcadeFolder(path, categories)
    return MaskFolder(path)


@dataclass(frozen=True)
class CuratedFolder:
    """A label set, of which what was accepted is true."""

    path: Path

    def classes(self) -> tuple[LabelClass, ...]:
        """Those of the set."""
        return self._classes

    def sources(self) -> list[Source]:
        """The accepted frames, with their groups."""
        labels, accepted = self._labels, self._accepted()
        if not accepted:
            count = len(self._listing.records)
            if not count:
                raise_first(self._listing.passed_over, len(self._listing.passed_over))
            raise LabelError(f"{self.path} has {count} frames and none of them is accepted: accept at least one mask.")
        return [
            Source(
                r.id,
                labels.frame_path(r.id),
                masks,
                group=r.group,
                label=r.source,
                frame_index=r.frame_index,
                annotator=r.annotator,
                model=r.model,
            )
            for r, masks in accepted
        ]

    def masks(self) -> Mapping[str, OpenMasks]:
        """Those of the accepted frames, by id."""
        return {r.id: masks for r, masks in self._accepted()}

    def notes(self) -> tuple[str, ...]:
        """What is left out: a sentence for each damaged record and stray file."""
        return self._listing.passed_over

    @cached_property
    def _labels(self) -> LabelSet:
        return LabelSet.open(self.path)

    @cached_property
    def _classes(self) -> tuple[LabelClass, ...]:
        return self._labels.classes

    @cached_property
    def _listing(self) -> Listing:
        return self._labels.listing()

    def _accepted(self) -> list[tuple[Record, OpenMasks]]:
        listed = (r for r in self._listing.records if r.status == "accepted")
        return [(r, partial(LabelMask, self._labels, r.id, self._classes)) for r in listed]


class LabelMask(MaskFile):
    """The mask of a label, whose set may have got further classes since `classes` were read."""

    def __init__(self, labels: LabelSet, id: str, classes: tuple[LabelClass, ...]):
        super().__init__(labels.mask_path(id), classes=classes)
        self._labels = labels

    def class_mask(self, index: int) -> ClassMask:
        """The mask as class values, uint8 (H, W), 0 = background."""
        page = self.page(index)  # before the classes: see `history.read_mask`
        mask = as_class_mask(page, self._labels.classes, where=str(self.path))
        if unknown_values(mask, self.classes):
            raise LabelError(f"{self.path} has a class that came to its set a moment ago: open the labels again.")
        return mask


@dataclass(frozen=True)
class ArcadeFolder:
    """An ARCADE split, or the COCO file of one, which has masks and no frames."""

    path: Path
    categories: bool | None = False
    """Whether the categories are classes, instead of vessel all together; None = if it was made from a label set."""

    def classes(self) -> tuple[LabelClass, ...]:
        """Vessel, or the categories."""
        return self._coco.classes if self.tells_classes else VESSEL

    @property
    def tells_classes(self) -> bool:
        """Whether the categories are taken as classes."""
        return self._coco.ours if self.categories is None else self.categories

    def sources(self) -> list[Source]:
        """The frames whose image is there."""
        coco = self._coco
        if self.path.is_file():
            raise LabelError(f"{self.path} has masks and no frames: give the split's folder, with its images/.")
        images = _images(self.path / "images")
        missing = [
            f"{image} has no mask in {coco.path}: add its annotation, or take the image away."
            for name, image in images.items()
            if name not in coco
        ]
        raise_first(missing, len(images))
        of_none = coco.problems.get("", [])
        return [
            Source(
                name,
                image,
                partial(self._drawn, name),
                group=coco.origin(name).group,
                frame_index=coco.origin(name).frame_index,
                label=None if coco.ours else f"ARCADE {coco.path.stem} {name}",
                annotator=None if coco.ours else "ARCADE",
                notes=tuple([*coco.problems.get(name, []), *(of_none if place == 0 else [])]),
            )
            for place, (name, image) in enumerate(images.items())
        ]

    def masks(self) -> Mapping[str, OpenMasks]:
        """Those of all images that the COCO file lists, in its order."""
        return {name: partial(self._drawn, name) for name in self._coco.stems}

    def notes(self) -> tuple[str, ...]:
        """A sentence for each annotation that cannot be drawn."""
        return tuple(sentence for sentences in self._coco.problems.values() for sentence in sentences)

    @cached_property
    def _coco(self) -> CocoMasks:
        if not self.path.is_file():
            return CocoMasks(split_annotations(self.path))
        if self.path.suffix.lower() != ".json":
            raise InputError(f"{self.path} is neither a folder of masks nor a COCO file (.json).")
        return CocoMasks(self.path)

    def _drawn(self, name: str) -> Masks:
        return DrawnMask(self._coco, name, self.tells_classes)


class DrawnMask(Masks):
    """The mask of one frame of a COCO file."""

    def __init__(self, coco: CocoMasks, name: str, categories: bool):
        self._coco, self._name, self._categories = coco, name, categories
        self.classes = coco.classes if categories else VESSEL

    def __len__(self) -> int:
        return 1

    def class_mask(self, index: int) -> ClassMask:
        """The mask as class values, uint8 (H, W), 0 = background."""
        drawn = self._coco.class_mask(self._name) if self._categories else self._coco.mask(self._name)
        return as_class_mask(drawn, self.classes)


@dataclass(frozen=True)
class MaskFolder:
    """Files of masks: in `masks/` beside the `images/` of equal names, in `masks-alpha/`, or in the folder itself.

    What their values mean stands in the folder's `classes.json`; without it there is one class, vessel. Groups may
    stand in its `frames.json`.
    """

    path: Path

    def classes(self) -> tuple[LabelClass, ...]:
        """Those of `classes.json`."""
        return self._classes

    def sources(self) -> list[Source]:
        """The images; masks without an image are left out. Those of one folder within `images/` are of one sequence."""
        if self._folder == self.path:
            raise LabelError(
                f"{self.path} {'holds no labels' if self.path.is_dir() else 'does not exist'}: give a curated label "
                "set, an ARCADE split folder, or a folder with images/ and masks/."
            )
        images, masks = _images(self.path / "images"), self.masks()
        missing = [
            f"{image} has no mask: {self._folder / name}.png (or another kind of file) is missing, add it."
            for name, image in images.items()
            if name not in masks
        ]
        raise_first(missing, len(images))
        listed = self.path / ORIGINS
        origins = read_origins(listed) if listed.exists() else {}
        sources = []
        for name, image in images.items():
            origin = origins.get(name, UNKNOWN)
            sources.append(
                Source(
                    name,
                    image,
                    masks[name],
                    group=origin.group,
                    folder=name.rpartition("/")[0],
                    frame_index=origin.frame_index,
                )
            )
        return sources

    def masks(self) -> Mapping[str, OpenMasks]:
        """All, by their path in the folder without suffix, in natural order."""
        folder = self._folder
        if folder == self.path and (folder / "images").is_dir():
            raise LabelError(f"{folder} holds images/ and no masks: put them into {folder / 'masks'}.")
        masks = mask_files(folder, self._classes)
        if not masks:
            raise LabelError(f"{folder} holds no masks: put {KINDS} files there.")
        return masks

    def notes(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    @cached_property
    def _classes(self) -> tuple[LabelClass, ...]:
        listed = self.path / CLASSES
        return read_classes(listed) if listed.exists() else VESSEL

    @cached_property
    def _folder(self) -> Path:
        there = [self.path / name for name in MASK_FOLDERS if (self.path / name).is_dir()]
        if len(there) > 1:
            raise LabelError(f"{there[0]} and {there[1]} are both there: keep the one whose masks are meant.")
        return there[0] if there else self.path


def mask_files(folder: Path | str, classes: tuple[LabelClass, ...] = VESSEL) -> Mapping[str, Callable[[], MaskFile]]:
    """What opens each mask file of a folder, by its path in it without suffix, in natural order; there may be none.

    In a folder that is called `masks-alpha` the masks are the alpha channels.

    Args:
        folder: Where they lie.
        classes: What their values mean.

    Raises:
        InputError: it is no folder.
        LabelError: it has two files of one name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: a folder of masks is needed.")
    alpha = folder.resolve().name == MASKS_ALPHA
    return {name: partial(MaskFile, file, alpha, classes) for name, file in files_by_name(folder).items()}


def _images(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise LabelError(f"{folder} does not exist: labels need images/ and masks/, or an ARCADE split folder.")
    images = files_by_name(folder)
    if not images:
        raise LabelError(f"{folder} holds no angiogram: put {KINDS} files there.")
    return images


def files_by_name(folder: Path) -> dict[str, Path]:
    """The readable files of a folder by their path in it without suffix, composed (NFC), in natural order."""
    files: dict[str, Path] = {}
    try:
        paths = find_angiograms(folder)
    except InputError:  # there are none
        return files
    for path in paths:
        name = nfc(path.relative_to(folder).with_name(stem(path)).as_posix())
        if name in files:
            raise LabelError(f"{files[name]} and {path} have the same stem: keep one of them.")
        files[name] = path
    return files


def raise_first(problems: Sequence[str], total: int) -> None:
    """Raise the first of some problems, and say how many there are in `total` files; nothing where there are none.

    Raises:
        LabelError: there are some.
    """
    if len(problems) == 1:
        raise LabelError(problems[0])
    if problems:
        raise LabelError(f"{problems[0].rstrip('.')} (the first of {len(problems)} such problems in {total} files).")
