"""Labelled frames: a curated label set, an ARCADE split, or `images/` and `masks/`, opened and checked.

    frames = open_labels("labels")
    frames[0].frame(), frames[0].mask(), frames[0].class_mask()

Frames that belong together (of one patient, of one run, or identical to the pixel) share a group, and a group
is never on both sides of a split.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import VESSEL, ClassMask, LabelClass, vessel_of
from vasomim_core.errors import LabelError, VasoMIMError
from vasomim_core.labels.mask import Mask, mask_sha256, pixel_sha256
from vasomim_core.labels.sources import Source, labelled_folder, raise_first
from vasomim_core.reading import patient_group, read_angiogram

Frame = NDArray[np.uint8]
Keep = Callable[[NDArray[Any]], Callable[[], NDArray[Any]]]
"""Puts pixels away where they cost no memory; the result gives them back."""


@dataclass(frozen=True, kw_only=True)
class LabelledFrame:
    """A frame with its mask. Pixels are read when asked for; what was learned on opening is kept.

    Attributes:
        name: Name within its source: a file's stem, or an id.
        group: Frames with the same group must stay together in a split.
        frame: Reads the frame, uint8 (H, W), as `Angiogram.grey` gives it.
        class_mask: Reads the mask as values of `classes`, uint8 (H, W), 0 = background.
        shape: (H, W) of both, in pixels.
        frame_sha256: `pixel_sha256` of `frame()`.
        mask_sha256: Of `class_mask()`, see `vasomim_core.labels.mask.mask_sha256`; of one class, `pixel_sha256` of
            `mask()`.
        vessel: Share of the frame that is vessel, in [0, 1].
        constant: All pixels of the frame have the same value.
        notes: What else a person should know about its files, one sentence each.
        classes: Those of its folder, the same for all frames that `open_labels` gives.
        values: Of the classes that its mask has, ascending.
    """

    name: str
    group: str
    frame: Callable[[], Frame] = field(repr=False, compare=False)
    class_mask: Callable[[], ClassMask] = field(repr=False, compare=False)
    shape: tuple[int, int]
    frame_sha256: str
    mask_sha256: str
    vessel: float
    constant: bool
    notes: tuple[str, ...] = ()
    classes: tuple[LabelClass, ...] = VESSEL
    values: tuple[int, ...] = ()

    def mask(self) -> Mask:
        """Read the mask, bool (H, W): True = of a class that counts as vessel."""
        return vessel_of(self.class_mask(), self.classes)


def open_labels(path: Path | str, keep: Keep | None = None, categories: bool = False) -> list[LabelledFrame]:
    """Open labelled frames. Each is read once, so that a bad file is found before a run and not in it.

    `path` is one of:

    - a curated label set (`LabelSet`): its accepted frames, with their groups;
    - an ARCADE split, with `images/` and `annotations/`: the frames whose image is there;
    - a folder with `images/` and `masks/`, whose files have equal stems: each image needs a mask, and masks
      without an image are left out. A run of several frames needs a mask file of as many pages. With `masks-alpha/`
      in the place of `masks/` the masks are the alpha channels of the files there. With a `classes.json` beside it,
      a list of classes each with value, name, colour and vessel, masks may hold the values of these.

    Names are compared in composed Unicode (NFC), since those from a Mac are decomposed.

    Frames are in one group that share that of their record, a DICOM file's patient, their file, a folder within
    `images/`, or their pixels, directly or through others.

    Args:
        path: Where they are.
        keep: Gets the pixels of each frame and class mask (both uint8) while they are there, and the frames give back
            what it kept; None = they read their files again.
        categories: The categories of an ARCADE split (or another COCO file) are classes, instead of vessel all
            together; of no matter to labels of another kind, which say themselves what their classes are.

    Raises:
        LabelError: no such folder, no frames, a frame without a mask, a mask of another size, a file that
            cannot be read. The sentence names the first file and says how many there are.
        InputError: an annotation file that cannot be read.
    """
    return open_sources(labelled_folder(path, categories).sources(), keep)


def label_classes(path: Path | str, categories: bool = False) -> tuple[LabelClass, ...]:
    """The classes of what `open_labels` opens; no frame and no mask is read.

    Raises:
        LabelError: what says so is damaged.
        InputError: an annotation file that cannot be read.
    """
    return labelled_folder(path, categories).classes()


def open_sources(sources: Sequence[Source], keep: Keep | None = None) -> list[LabelledFrame]:
    """`open_labels` of files that are known."""
    key = secrets.token_bytes(32)  # for this call alone: patients are told apart, not named
    frames: list[LabelledFrame] = []
    members: list[tuple[str | None, tuple[str, ...], str]] = []
    problems = []
    for source in sources:
        try:
            ties = (patient_group(source.path, key) or str(source.path), *([source.folder] if source.folder else []))
            for frame in _frames(source, keep):
                frames.append(frame)
                members.append((source.group, ties, frame.frame_sha256))
        except VasoMIMError as error:
            problems.append(str(error))
    raise_first(problems, len(sources))
    return [replace(frame, group=group) for frame, group in zip(frames, _groups(members), strict=True)]


def require_frames(frames: Sequence[LabelledFrame]) -> None:
    """Make sure that there are labelled frames.

    Raises:
        LabelError: there are none.
    """
    if not frames:
        raise LabelError("There are no labelled frames: label at least one.")


def labels_fingerprint(frames: Iterable[LabelledFrame]) -> str:
    """SHA-256 (hex) of the pixels of frames and masks; names and order do not count. Reads no file.

    Which of the classes in a mask count as vessel does count, since it decides what is learned.
    """
    lines = sorted(f"{f.frame_sha256} {f.mask_sha256}{_no_vessel(f)}\n" for f in frames)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _no_vessel(frame: LabelledFrame) -> str:
    """The values in its mask that do not count as vessel; empty where all do."""
    return "".join(f" -{one.value}" for one in frame.classes if one.value in frame.values and not one.vessel)


def _frames(source: Source, keep: Keep | None) -> Iterator[LabelledFrame]:
    """The frames of a file, each decoded once; their group is not settled yet."""
    angiogram, masks = read_angiogram(source.path), source.masks()
    count, pages = len(angiogram.frames), len(masks)
    if count != pages:
        where = getattr(masks, "path", source.path)
        raise LabelError(f"{where} has {pages} masks for the {count} frames of {source.path}: store one page a frame.")
    notes = (*angiogram.notes, *source.notes)
    for index in range(count):
        frame, mask = angiogram.grey(index), masks.class_mask(index)
        if frame.shape != mask.shape:
            raise LabelError(
                f"The mask of {source.path} is {mask.shape[0]}×{mask.shape[1]} and the frame "
                f"{frame.shape[0]}×{frame.shape[1]}: draw it on that frame."
            )
        counts = np.bincount(mask.ravel())
        pixels = {value: int(counts[value]) for value in np.flatnonzero(counts).tolist() if value}
        yield LabelledFrame(
            name=source.name if count == 1 else f"{source.name}[{index}]",
            group="",
            frame=keep(frame) if keep else partial(_read_frame, source, index),
            class_mask=keep(mask) if keep else partial(_read_mask, source, index),
            shape=frame.shape,
            frame_sha256=pixel_sha256(frame),
            mask_sha256=mask_sha256(mask, masks.classes),
            vessel=sum(pixels.get(one.value, 0) for one in masks.classes if one.vessel) / mask.size,
            constant=bool((frame == frame[0, 0]).all()),
            notes=notes,
            classes=masks.classes,
            values=tuple(pixels),
        )


def _read_frame(source: Source, index: int) -> Frame:
    angiogram = read_angiogram(source.path)
    _require_page(source, index, len(angiogram.frames))
    return angiogram.grey(index)


def _read_mask(source: Source, index: int) -> ClassMask:
    masks = source.masks()
    _require_page(source, index, len(masks))
    return masks.class_mask(index)


def _require_page(source: Source, index: int, pages: int) -> None:
    if index >= pages:
        raise LabelError(f"{source.path} or its file of masks has changed and ends at {pages}: open the labels again.")


def _groups(members: Sequence[tuple[str | None, tuple[str, ...], str]]) -> list[str]:
    """One group for all frames that share a given group, one of their ties or their pixels, directly or through others.

    Its name is the first given group in it by alphabet, else the first hash of pixels.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(key: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    names: dict[tuple[str, str], tuple[bool, str]] = {}
    for group, ties, pixels in members:
        for kind, value in (("group", group), *(("tie", tie) for tie in ties)):
            if value is not None:
                parent[root((kind, value))] = root(("pixels", pixels))
    for group, _, pixels in members:
        key, name = root(("pixels", pixels)), (group is None, group or pixels)
        names[key] = min(names.get(key, name), name)
    return [names[root(("pixels", pixels))][1] for _, _, pixels in members]
