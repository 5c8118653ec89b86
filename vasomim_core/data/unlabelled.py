"""Unlabelled angiograms to learn from: which of a folder can be read, and why the others cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vasomim_core.data.assembled import AssembledFrames, is_assembled
from vasomim_core.data.pretraining_frame import at_scale
from vasomim_core.errors import InputError
from vasomim_core.labels.labelled import Keep
from vasomim_core.reading import find_angiograms, read_angiogram, stem
from vasomim_core.reading.folders import all_failed

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class UnlabelledFile:
    """An angiogram that can be opened.

    Attributes:
        path: Where it is.
        frames: Number of its frames.
        kept: Gives its one frame, uint8 (H, W), scaled as pretraining keeps it; None = it is in the file alone.
    """

    path: Path
    frames: int
    kept: Callable[[], NDArray[np.uint8]] | None = None


@dataclass(frozen=True)
class Unlabelled:
    """The angiograms of a folder.

    Attributes:
        files: Each that can be opened, in natural order.
        left_out: One sentence for each that cannot.
        notes: Sentences on what is probably not meant.
    """

    files: tuple[UnlabelledFile, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def frames(self) -> int:
        """Number of frames in all files."""
        return sum(file.frames for file in self.files)


def open_unlabelled(data: Path | str, strict: bool = False, keep: Keep | None = None) -> Unlabelled:
    """Open every angiogram under a path; no frame of a run is decoded.

    What is decoded when it is opened, a PNG or JPEG, need not be decoded again: `keep` puts it away (see `spool`). One
    of no more than two grey levels is a mask, and counts as a file that cannot be opened.

    Args:
        data: A folder or file, as for `find_angiograms`, or an assembled data set, whose frames count as files.
        strict: End at the first that cannot be opened.
        keep: Where decoded frames go; None = nowhere, for whoever only looks.

    Raises:
        InputError: there are none, none can be opened, or with `strict` one cannot.
    """
    if is_assembled(data):
        frames = AssembledFrames(Path(data))
        kept_already = (partial(frames.grey, index) for index in range(len(frames)))
        return Unlabelled(tuple(UnlabelledFile(Path(data), 1, kept) for kept in kept_already), (), ())
    files: list[UnlabelledFile] = []
    errors: list[InputError] = []
    for path in find_angiograms(data):
        try:
            angiogram = read_angiogram(path)
            kept = None
            if not angiogram.frames.from_file:
                grey = angiogram.grey(0)
                if is_mask(grey):
                    raise InputError(
                        f"{path} has no more than two grey levels: it is taken for a mask, not for an angiogram."
                    )
                kept = None if keep is None else keep(at_scale(grey))
            files.append(UnlabelledFile(path, len(angiogram.frames), kept))
        except InputError as error:
            if strict:
                raise
            errors.append(error)
    if not files:
        raise all_failed(errors)
    return Unlabelled(tuple(files), tuple(map(str, errors)), _same_names([file.path for file in files]))


def each_frame(found: Unlabelled, notes: list[str], left_out: list[str], strict: bool = False) -> Iterator[Grey]:
    """All frames, uint8 (H, W), one decoded at a time; what `keep` has put away comes from there, scaled.

    Args:
        found: From `open_unlabelled`.
        notes: Gets what there is to say of the files.
        left_out: Gets a sentence for each frame that cannot be read.
        strict: End at the first that cannot.

    Raises:
        InputError: with `strict`, a frame that cannot be read.
    """
    for file in found.files:
        if file.kept is not None:
            yield file.kept()
            continue
        angiogram = read_angiogram(file.path)
        notes.extend(angiogram.notes)
        for index in range(file.frames):
            try:
                grey = angiogram.grey(index)
            except InputError as error:
                if strict:
                    raise
                left_out.append(str(error))
                continue
            yield grey


def is_mask(grey: NDArray[np.uint8]) -> bool:
    """Whether a frame (H, W) has two grey levels or one: collections of angiograms come with masks among them."""
    return bool(((grey == grey.min()) | (grey == grey.max())).all())


def _same_names(paths: list[Path]) -> tuple[str, ...]:
    count = Counter(path.with_name(stem(path)) for path in paths)
    twins = [path for path in paths if count[path.with_name(stem(path))] > 1]
    if not twins:
        return ()
    return (
        f"{len(twins)} files differ from another one in their suffix alone ({twins[0]} and {twins[1].name} are two): "
        "where one is a preview of the other, its frames count twice; move the previews away.",
    )
