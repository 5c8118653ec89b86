"""The frames of a comparison: what each data set is learned, chosen and reported on, and what is pretrained on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vasomim_core.comparing.settings import Comparison
from vasomim_core.data.alike import Recent, thumbnail
from vasomim_core.data.pretraining_frame import FRAME_SIZE, at_scale, pretraining_frame
from vasomim_core.data.spool import spool
from vasomim_core.data.store import INDEX, FrameStore, Pair, build_store
from vasomim_core.data.unlabelled import each_frame, open_unlabelled
from vasomim_core.errors import LabelError
from vasomim_core.files import open_ordinary, write_json, write_png
from vasomim_core.labels.labelled import LabelledFrame, open_labels
from vasomim_core.labels.mask import pixel_sha256
from vasomim_core.labels.splitting import split_by_group
from vasomim_core.locks import locked
from vasomim_core.reading.folders import Progress

FACTS = "facts.json"
REPORTED = 0.25
"""Share of the frames of a data set without parts that is kept for the report, by a draw that never changes."""


@dataclass(frozen=True)
class DataSet:
    """One data set, in its parts.

    Attributes:
        name: of its folder.
        train: labelled frames to learn from.
        choose: labelled frames on which a run chooses its epoch; None = a tenth of those that it learns from.
        report: labelled frames that are reported on.
        held_out: folder with the masks of the frames that are reported on, where these are a part of `train`; None =
            they are others.
    """

    name: str
    train: Path
    choose: Path | None
    report: Path
    held_out: Path | None = None

    def reported(self) -> list[LabelledFrame]:
        """The frames that are reported on; nothing learns from them, and nothing is chosen on them."""
        frames = open_labels(self.report)
        return frames if self.held_out is None else _parted(frames)[1]

    def learned(self) -> list[LabelledFrame]:
        """The labelled frames that may be learned from."""
        frames = open_labels(self.train)
        return frames if self.held_out is None else _parted(frames)[0]


def data_sets(comparison: Comparison, out: Path) -> list[DataSet]:
    """The data sets of a comparison; what tells them apart is the name of the folder, or of two.

    Raises:
        LabelError: a folder without frames to report on, or the same one twice.
    """
    names = [path.name for path in comparison.data]
    found: list[DataSet] = []
    for path in comparison.data:
        name = path.name if names.count(path.name) == 1 else f"{path.parent.name}-{path.name}"
        if any(one.name == name for one in found):
            raise LabelError(f"two data sets are called {name}: give each once, or rename one of the folders")
        found.append(_data_set(path, name, out))
    return found


def _data_set(path: Path, name: str, out: Path) -> DataSet:
    train, val, test = (path / part for part in ("train", "val", "test"))
    if not train.is_dir():
        return DataSet(name, path, None, path, out / "held-out" / name)
    if test.is_dir():
        return DataSet(name, train, val if val.is_dir() else None, test)
    if val.is_dir():
        return DataSet(name, train, None, val)
    raise LabelError(f"{path} has frames to learn from (train) and none to report on: add val or test beside it")


def _parted(frames: list[LabelledFrame]) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
    return split_by_group(frames, REPORTED, seed=0)


def write_held_out(data_set: DataSet) -> None:
    """Write the masks of the frames that are kept for the report; by their names a run leaves these frames out."""
    if data_set.held_out is None or data_set.held_out.is_dir():
        return
    data_set.held_out.parent.mkdir(parents=True, exist_ok=True)
    with locked(data_set.held_out.parent / ".lock", None):
        if data_set.held_out.is_dir():
            return
        unfinished = data_set.held_out.with_name(f".{data_set.held_out.name}")
        for frame in data_set.reported():
            write_png(unfinished / f"{frame.name}.png", frame.mask().astype("uint8") * 255)
        unfinished.rename(data_set.held_out)


def pretraining_frames(comparison: Comparison, sets: Sequence[DataSet], out: Path, progress: Progress) -> FrameStore:
    """All frames that are pretrained on, with their anatomy, prepared once for every row.

    A frame that is reported on, to the pixel, is left out, and counted; see `frames_facts`.

    Args:
        comparison: the protocol.
        sets: its data sets.
        out: the comparison's folder; the store is in its `frames`.
        progress: called with (done, total) frames.

    Raises:
        InputError: no frame can be read.
    """
    folder = out / "frames"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", None), spool(folder) as spooled:
        if (folder / FACTS).is_file() and (folder / INDEX).is_file():  # the facts alone come from another machine
            return FrameStore(folder)
        reported = {one.name: {_identity(frame.frame()) for frame in one.reported()} for one in sets}
        judged = set().union(*reported.values())
        learned = [(one.name, frame) for one in sets for frame in one.learned()]
        known = [(name, _identity(frame.frame())) for name, frame in learned]
        notes: list[str] = []
        left_out: list[str] = []
        if comparison.unlabelled:
            found = [open_unlabelled(path, keep=spooled) for path in comparison.unlabelled]
            left_out += [sentence for one in found for sentence in one.left_out]
            greys = (grey for one in found for grey in each_frame(one, notes, left_out))
            total = sum(one.frames for one in found)
        else:
            greys, total = (frame.frame() for _, frame in learned), len(learned)
        skipped = 0

        def pairs() -> Iterator[Pair]:
            nonlocal skipped
            for grey in greys:
                if _identity(grey) in judged:
                    skipped += 1
                else:
                    yield pretraining_frame(grey)

        store = build_store(folder, pairs(), total, FRAME_SIZE, enlarge=False, progress=progress)
        facts = {
            "frames": len(store),
            "sha256": store.fingerprint,
            "alike": alike(store),
            "reported": skipped,
            "shared": sum(identity in reported[name] for name, identity in known),
            "left_out": left_out,
        }
        write_json(folder / FACTS, facts)
        return store


def _identity(grey: NDArray[np.uint8]) -> str:
    """By what a frame is known here: its pixels at the scale at which it is pretrained on."""
    return pixel_sha256(at_scale(grey))


def frames_facts(out: Path) -> dict[str, object]:
    """What `pretraining_frames` has written down.

    Returns:
        "frames" there are, how many of them nearly equal another ("alike"), how many more are frames that are
        "reported" on, how many labelled frames to learn from are such too ("shared"), and a sentence for each file or
        frame that was "left_out"; "sha256" of all.
    """
    with open_ordinary(out / "frames" / FACTS) as file:
        facts: dict[str, object] = json.load(file)
    return facts


def alike(store: FrameStore) -> int:
    """How many frames nearly equal one shortly before; see `data.alike`."""
    recent = Recent()
    return sum(recent.alike(thumbnail(frame)) for frame, _ in store)


def some_frames(store: FrameStore, count: int, folder: Path) -> FrameStore:
    """The first frames of a store as a store of their own."""
    if not (folder / INDEX).is_file():
        count = min(count, len(store))
        build_store(folder, ((store[n][0], store[n][1] > 127) for n in range(count)), count, None)
    return FrameStore(folder)
