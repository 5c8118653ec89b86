"""Where labelled frames come from: a curated label set, an ARCADE split, or `images/` and `masks/`.

    frames = open_labels("labels")
    training, validation = hold_out(frames, seed=0)

Frames that belong together (of one patient, of one run, or identical to the pixel) share a group, and a group
is never on both sides of a split.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import InputError, LabelError, VasoMIMError
from vasomim_core.labels.arcade import CocoMasks, is_arcade_split, nfc, split_annotations
from vasomim_core.labels.labelset import INDEX, MASKS_ALPHA, LabelSet, pixel_sha256, read_mask
from vasomim_core.reading import find_angiograms, patient_group, read_angiogram, stem
from vasomim_core.reading.dicom import is_dicom

MOST_VESSEL = 0.5
"""Share of vessel above which a mask is taken for inverted; vessels cover a few percent of an angiogram."""
MOST_NOTES = 20
LEAST_VESSEL = 0.01
"""Share of vessel below which a model has found too little, perhaps since vessels are bright there: in 50 frames of
ARCADE's `val` vasomim-fast finds 2 % and more, in half of their negatives less than this."""


@dataclass(frozen=True, kw_only=True)
class LabelledFrame:
    """A frame with its mask. Pixels are read when asked for; what was learned on opening is kept.

    Attributes:
        name: Name within its source: a file's stem, or an id.
        group: Frames with the same group must stay together in a split.
        frame: Reads the frame, uint8 (H, W), as `Angiogram.grey` gives it.
        mask: Reads the mask, bool (H, W), True = vessel.
        shape: (H, W) of both, in pixels.
        frame_sha256: `pixel_sha256` of `frame()`.
        mask_sha256: `pixel_sha256` of `mask()`.
        vessel: Share of the frame that is vessel, in [0, 1].
        constant: All pixels of the frame have the same value.
        notes: What else a person should know about its files, one sentence each.
    """

    name: str
    group: str
    frame: Callable[[], NDArray[np.uint8]] = field(repr=False, compare=False)
    mask: Callable[[], NDArray[np.bool_]] = field(repr=False, compare=False)
    shape: tuple[int, int]
    frame_sha256: str
    mask_sha256: str
    vessel: float
    constant: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelReport:
    """What a person should know about labelled frames before a run.

    Attributes:
        frames: Number of frames.
        groups: Number of groups.
        sizes: Number of frames by (H, W), the most common size first.
        empty: Names of frames without any vessel.
        inverted: Names of frames of which more than half is vessel.
        constant: Names of frames without contrast.
        vessel: Mean share of a frame that is vessel, in [0, 1].
        notes: What else there is to know about single files, one sentence each.
    """

    frames: int
    groups: int
    sizes: dict[tuple[int, int], int]
    empty: tuple[str, ...]
    inverted: tuple[str, ...]
    constant: tuple[str, ...]
    vessel: float
    notes: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each finding that is probably a mistake, and up to 20 notes; empty = nothing is."""
        findings = (
            (self.empty, "have an empty mask: is there really no vessel?"),
            (self.inverted, "have a mask that covers more than half of the frame: is it inverted?"),
            (self.constant, "have no contrast at all: is the file right?"),
        )
        found = [
            f"{len(names)} of {self.frames} labelled frames (first: {names[0]}) {what}"
            for names, what in findings
            if names
        ]
        more = len(self.notes) - MOST_NOTES
        return (*found, *self.notes[:MOST_NOTES], *([f"… and {more} more of this kind."] if more > 0 else []))


def open_labels(path: Path | str) -> list[LabelledFrame]:
    """Open labelled frames. All are read once, so that a bad file is found before a run and not in it.

    `path` is one of:

    - a curated label set (`LabelSet`): its accepted frames, with their groups;
    - an ARCADE split, with `images/` and `annotations/`: the frames whose image is there;
    - a folder with `images/` and `masks/`, whose files have equal stems: each image needs a mask, and masks
      without an image are left out. A run of several frames needs a mask file of as many pages. With `masks-alpha/`
      in the place of `masks/` the masks are the alpha channels of the files there.

    Names are compared in composed Unicode (NFC), since those from a Mac are decomposed.

    A group is that of the record, else a DICOM file's patient (or the file itself), else the frame alone;
    pixel-identical frames are always in one group.

    Raises:
        LabelError: no such folder, no frames, a frame without a mask, a mask of another size, a file that
            cannot be read. The sentence names the first file and says how many there are.
    """
    sources = _sources(Path(path))
    read: list[tuple[_Source, dict[str, Any]]] = []
    problems = []
    for source in sources:
        try:
            read.append((source, _examine(source)))
        except VasoMIMError as error:
            problems.append(str(error))
    _raise_first(problems, len(sources))
    groups = _groups([(source.group, source.tie, facts["frame_sha256"]) for source, facts in read])
    return [
        LabelledFrame(
            name=source.name, group=group, frame=source.frame, mask=source.mask, notes=source.notes(), **facts
        )
        for (source, facts), group in zip(read, groups, strict=True)
    ]


def check_labels(frames: Sequence[LabelledFrame]) -> LabelReport:
    """Sum up labelled frames; reads no file.

    Raises:
        LabelError: there are no frames.
    """
    _require(frames)
    return LabelReport(
        frames=len(frames),
        groups=len({f.group for f in frames}),
        sizes=dict(Counter(f.shape for f in frames).most_common()),
        empty=tuple(f.name for f in frames if f.vessel == 0),
        inverted=tuple(f.name for f in frames if f.vessel > MOST_VESSEL),
        constant=tuple(f.name for f in frames if f.constant),
        vessel=math.fsum(f.vessel for f in frames) / len(frames),
        notes=tuple(dict.fromkeys(note for f in frames for note in f.notes)),
    )


def passed_over(path: Path | str | None) -> list[str]:
    """What `open_labels` leaves out of a curated label set: a sentence for each damaged record and stray file."""
    if path is None or not (Path(path) / INDEX).is_file():
        return []
    return list(LabelSet(path).listing().passed_over)


def split_by_group(
    frames: Sequence[LabelledFrame], fraction: float, seed: int
) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
    """Split into a training and a validation part, whole groups to one side.

    Groups are drawn in random order and go to validation as long as they fit into its share. Each side gets
    at least one group; where none fits, validation gets the smallest.

    Args:
        frames: At least two groups.
        fraction: Share of the frames for validation, in (0, 1).
        seed: Non-negative; the same seed and frames give the same split on every machine.

    Returns:
        training and validation, each in the order of `frames`.

    Raises:
        LabelError: there are fewer than two groups.
    """
    _check_fraction(fraction, below=1)
    _require(frames)
    sizes = Counter(f.group for f in frames)
    if len(sizes) < 2:
        raise LabelError(
            f"All {len(frames)} labelled frames are of one group (patient or sequence) and cannot be split: "
            "give --val, or label frames of a second patient."
        )
    share = max(1, round(fraction * len(frames)))
    chosen: set[str] = set()
    taken = 0
    for group in _shuffled(sizes, seed, stream=0):
        if taken + sizes[group] <= share and len(chosen) < len(sizes) - 1:
            chosen.add(group)
            taken += sizes[group]
    chosen = chosen or {min(sizes, key=lambda group: (sizes[group], group))}
    return [f for f in frames if f.group not in chosen], [f for f in frames if f.group in chosen]


def hold_out(frames: Sequence[LabelledFrame], seed: int) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
    """`split_by_group` with as many frames for validation as `held_out` says."""
    return split_by_group(frames, held_out(len(frames)) / max(1, len(frames)), seed)


def held_out(frames: int) -> int:
    """How many of some frames are validated on: a tenth, but three as soon as two thirds are left to learn from.

    One frame or two cannot tell whether a model that was good before has become better.
    """
    return max(1, round(0.1 * frames), min(3, frames // 3))


def take_fraction(frames: Sequence[LabelledFrame], fraction: float, seed: int) -> list[LabelledFrame]:
    """Take ⌈fraction · n⌉ frames, group after group in random order; the last group may be cut.

    Subsets are nested: with the same seed, a smaller fraction is part of a larger one.

    Args:
        frames: n frames.
        fraction: In (0, 1].
        seed: Non-negative; the same seed and frames give the same subset on every machine.

    Returns:
        The subset in the order of `frames`.

    Raises:
        LabelError: there are no frames.
    """
    _check_fraction(fraction, below=math.inf)
    _require(frames)
    rank = {group: i for i, group in enumerate(_shuffled((f.group for f in frames), seed, stream=1))}
    order = sorted(range(len(frames)), key=lambda i: rank[frames[i].group])
    # Without the rounding, 0.07 · 100 = 7.000000000000001 would be 8 frames.
    count = math.ceil(round(fraction * len(frames), 9))
    return [frames[i] for i in sorted(order[: max(1, count)])]


def training_and_validation(
    labels: Path | str, val: Path | str | None, fraction: float, seed: int
) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
    """The frames to learn from and the frames to choose the best epoch on, never of one group.

    `fraction` comes first: with a tenth of a thousand labels, and no `val`, ninety are learned from and ten chosen on.

    Args:
        labels: labelled frames, as for `open_labels`.
        val: labelled frames to choose on; None = those that `hold_out` takes from `labels`.
        fraction: share of `labels` to use, in (0, 1].
        seed: of both draws.

    Raises:
        LabelError: labels that cannot be used or split.
    """
    return divide(open_labels(labels), None if val is None else open_labels(val), fraction, seed)


def divide(
    frames: list[LabelledFrame], val: list[LabelledFrame] | None, fraction: float, seed: int
) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
    """`training_and_validation` of frames that are open already."""
    if fraction < 1:
        frames = take_fraction(frames, fraction, seed)
    return hold_out(frames, seed) if val is None else (frames, val)


def labels_fingerprint(frames: Iterable[LabelledFrame]) -> str:
    """SHA-256 (hex) of the pixels of frames and masks; names and order do not count. Reads no file."""
    lines = sorted(f"{f.frame_sha256} {f.mask_sha256}\n" for f in frames)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def import_pairs(labels: LabelSet, folder: Path | str, annotator: str = "") -> list[str]:
    """Add the frames and masks of `images/` and `masks/` to a label set, as accepted labels.

    File names stay outside, since they may name a patient. The group is a hash of a DICOM file's patient
    under the set's key; frames of one file share a group.

    Args:
        labels: Where to.
        folder: As for `open_labels`. All of it is read and checked before the first frame is added.
        annotator: Who drew the masks.

    Returns:
        Ids of the frames that were added. A frame that the set has already is left as it is, mask and all.

    Raises:
        LabelError: as for `open_labels`.
    """
    return _import(labels, _pairs(Path(folder)), annotator)


def import_arcade(labels: LabelSet, split: Path | str, annotator: str = "ARCADE") -> list[str]:
    """Add an ARCADE split to a label set, like `import_pairs`; of pixel-identical frames the first is added.

    The record's source is "ARCADE", the name of the annotation file and the frame's.
    """
    return _import(labels, _arcade(Path(split)), annotator)


@dataclass(frozen=True)
class _Source:
    """Where one frame and its mask are; `group` gets a name that may be shown, `tie` one that only binds."""

    name: str
    path: Path
    mask: Callable[[], NDArray[np.bool_]]
    index: int = 0
    group: str | None = None
    tie: str | None = None
    label: str | None = None
    odd: tuple[str, ...] = ()

    def frame(self) -> NDArray[np.uint8]:
        return read_angiogram(self.path).grey(self.index)

    def notes(self) -> tuple[str, ...]:
        """What is odd about its files, one sentence each."""
        return (*read_angiogram(self.path).notes, *self.odd)


def _sources(path: Path) -> list[_Source]:
    if (path / INDEX).is_file():
        return _curated(path)
    if is_arcade_split(path):
        return _arcade(path)
    if (path / "images").is_dir() and _mask_folder(path) is not None:
        return _pairs(path)
    raise LabelError(
        f"{path} {'holds no labels' if path.is_dir() else 'does not exist'}: give a curated label set, "
        "an ARCADE split folder, or a folder with images/ and masks/."
    )


def _curated(path: Path) -> list[_Source]:
    labels = LabelSet.open(path)
    listing = labels.listing()
    accepted = [record for record in listing.records if record.status == "accepted"]
    if not accepted:
        count = len(listing.records)
        if not count:
            _raise_first(listing.passed_over, len(listing.passed_over))
        raise LabelError(f"{path} has {count} frames and none of them is accepted: accept at least one mask.")
    return [_Source(r.id, labels.frame_path(r.id), partial(labels.mask, r.id), group=r.group) for r in accepted]


def _arcade(path: Path) -> list[_Source]:
    coco = CocoMasks(split_annotations(path))
    images = _by_stem(path / "images")
    missing = [
        f"{image} has no mask in {coco.path}: add its annotation, or take the image away."
        for stem, image in images.items()
        if stem not in coco
    ]
    _raise_first(missing, len(images))
    of_none = coco.problems.get("", [])
    return [
        _Source(
            stem,
            image,
            partial(coco.mask, stem),
            label=f"ARCADE {coco.path.stem} {stem}",
            odd=tuple([*coco.problems.get(stem, []), *(of_none if place == 0 else [])]),
        )
        for place, (stem, image) in enumerate(images.items())
    ]


def _pairs(path: Path) -> list[_Source]:
    folder = _mask_folder(path) or path / "masks"
    images, masks = _by_stem(path / "images"), _by_stem(folder)
    read = partial(read_mask, alpha=folder.name == MASKS_ALPHA)
    missing = [
        f"{image} has no mask: {folder / stem}.png (or another kind of file) is missing, add it."
        for stem, image in images.items()
        if stem not in masks
    ]
    _raise_first(missing, len(images))
    key = secrets.token_bytes(32)  # for this call alone: patients are told apart, not named
    sources, problems = [], []
    for name, image in images.items():
        try:
            count, pages = len(read_angiogram(image).frames), len(read_angiogram(masks[name]).frames)
        except VasoMIMError as error:
            problems.append(str(error))
            continue
        if count != pages:
            problems.append(
                f"{masks[name]} has {pages} masks for the {count} frames of {image}: store one page a frame."
            )
            continue
        tie = patient_group(image, key) or str(image)
        sources += [
            _Source(name if count == 1 else f"{name}[{i}]", image, partial(read, masks[name], i), i, tie=tie)
            for i in range(count)
        ]
    _raise_first(problems, len(images))
    return sources


def _mask_folder(path: Path) -> Path | None:
    """Where the masks of a folder with `images/` are.

    Raises:
        LabelError: in two places.
    """
    there = [path / name for name in ("masks", MASKS_ALPHA) if (path / name).is_dir()]
    if len(there) > 1:
        raise LabelError(f"{there[0]} and {there[1]} are both there: keep the one whose masks are meant.")
    return there[0] if there else None


def _by_stem(folder: Path) -> dict[str, Path]:
    """The readable files of a folder by their path in it without suffix, composed (NFC), in natural order."""
    if not folder.is_dir():
        raise LabelError(f"{folder} does not exist: labels need images/ and masks/, or an ARCADE split folder.")
    try:
        paths = find_angiograms(folder)
    except InputError as error:
        raise LabelError(str(error)) from error
    files: dict[str, Path] = {}
    for path in paths:
        name = nfc(path.relative_to(folder).with_name(stem(path)).as_posix())
        if name in files:
            raise LabelError(f"{files[name]} and {path} have the same stem: keep one of them.")
        files[name] = path
    return files


def _examine(source: _Source) -> dict[str, Any]:
    """What LabelledFrame keeps about a frame and its mask."""
    frame, mask = source.frame(), source.mask()
    if frame.shape != mask.shape:
        raise LabelError(
            f"The mask of {source.path} is {mask.shape[0]}×{mask.shape[1]} and the frame "
            f"{frame.shape[0]}×{frame.shape[1]}: draw it on that frame."
        )
    return {
        "shape": frame.shape,
        "frame_sha256": pixel_sha256(frame),
        "mask_sha256": pixel_sha256(mask),
        "vessel": float(mask.mean()),
        "constant": bool((frame == frame[0, 0]).all()),
    }


def _groups(members: Sequence[tuple[str | None, str | None, str]]) -> list[str]:
    """One group for all frames that share a given group, a tie or their pixels, directly or through others.

    Its name is the first given group in it by alphabet, else the first hash of pixels.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(key: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    names: dict[tuple[str, str], tuple[bool, str]] = {}
    for group, tie, pixels in members:
        for kind, value in (("group", group), ("tie", tie)):
            if value is not None:
                parent[root((kind, value))] = root(("pixels", pixels))
    for group, _, pixels in members:
        key, name = root(("pixels", pixels)), (group is None, group or pixels)
        names[key] = min(names.get(key, name), name)
    return [names[root(("pixels", pixels))][1] for _, _, pixels in members]


def _import(labels: LabelSet, sources: Sequence[_Source], annotator: str) -> list[str]:
    problems = []
    for source in sources:
        try:
            _examine(source)
        except VasoMIMError as error:
            problems.append(str(error))
    _raise_first(problems, len(sources))
    added = []
    group: dict[Path, str] = {}
    for source in sources:
        angiogram = read_angiogram(source.path)
        frame = angiogram.stored(source.index)
        several = len(angiogram.frames) > 1
        if source.path not in group:
            patient = patient_group(source.path, labels.key) if is_dicom(source.path) else None
            group[source.path] = patient or (pixel_sha256(frame)[:16] if several else "")
        index = source.index if several else None
        if labels.find(frame, index) is None:
            record = labels.add(
                frame,
                source.mask(),
                group=group[source.path] or None,
                annotator=annotator,
                source=source.label,
                frame_index=index,
            )
            added.append(record.id)
    return added


def _shuffled(groups: Iterable[str], seed: int, stream: int) -> list[str]:
    """The distinct groups in an order that depends on their names and the seed alone, whatever the machine.

    `stream` keeps the draws of the split and of the subset apart.
    """
    names = sorted(set(groups))
    draws = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream]))).random(len(names))
    return [names[i] for i in np.argsort(draws, kind="stable")]


def _check_fraction(fraction: float, below: float) -> None:
    if not (0 < fraction <= 1 and fraction < below):
        raise LabelError(f"The fraction {fraction} of the labels is out of range: give a number above 0 and up to 1.")


def _require(frames: Sequence[LabelledFrame]) -> None:
    if not frames:
        raise LabelError("There are no labelled frames: label at least one.")


def _raise_first(problems: Sequence[str], total: int) -> None:
    if len(problems) == 1:
        raise LabelError(problems[0])
    if problems:
        raise LabelError(f"{problems[0].rstrip('.')} (the first of {len(problems)} such problems in {total} files).")
