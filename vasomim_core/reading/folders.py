"""Through a folder of angiograms with a result for each; what cannot be read does not keep the rest from being done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import ConfigError, InputError
from vasomim_core.reading.angiogram import Angiogram
from vasomim_core.reading.finding import find_angiograms, stem
from vasomim_core.reading.formats import read_angiogram
from vasomim_core.reading.levels import AS_IN_THE_FILE, GreyLevels

Work = Callable[[Iterator[NDArray[np.uint8]], int, Path], Path]
"""Takes the frames of an angiogram, uint8 (H, W) each, their number, and the path of their result without extension;
returns what it has written, after the last frame."""
Progress = Callable[[int, int], None]
"""Called with the number of frames done and of all that are known of: a file counts as one until it is opened."""


@dataclass(frozen=True)
class Worked:
    """What came of it.

    Attributes:
        written: the results, in the natural order of the angiograms.
        frames: number of frames in them.
        failed: one sentence for each file that could not be read.
        notes: sentences on those that could.
    """

    written: tuple[Path, ...]
    frames: int
    failed: tuple[str, ...]
    notes: tuple[str, ...]


def each_angiogram(
    inputs: Path | str | Sequence[Path | str],
    output: Path | str,
    work: Work,
    levels: GreyLevels = AS_IN_THE_FILE,
    suffix: str | None = None,
    strict: bool = False,
    progress: Progress = lambda done, total: None,
) -> Worked:
    """Do some work for every angiogram of a folder.

    Args:
        inputs: a folder, which is searched through, an angiogram, or several of them.
        output: folder for the results. Below the folder that holds all files of an input, folders are mirrored.
        work: what is done.
        levels: what a person says of the grey levels.
        suffix: of the files to take from folders, such as ".png" where previews lie beside them; None = all kinds.
        strict: end at the first file that cannot be read; else the rest is done.
        progress: called after each frame.

    Raises:
        InputError: an input is missing or holds no angiogram; none can be read, or with `strict` one cannot.
        ConfigError: two inputs would have the same result, or a result would replace its input.
    """
    given = [inputs] if isinstance(inputs, Path | str) else inputs
    jobs = _jobs([Path(path) for path in given], Path(output), suffix)
    written: list[Path] = []
    errors: list[InputError] = []
    notes: list[str] = []
    frames = done = 0

    def told(angiogram: Angiogram, later: int) -> Iterator[NDArray[np.uint8]]:
        nonlocal done
        count = len(angiogram.frames)
        for index in range(count):
            yield angiogram.grey(index, levels)
            done += 1
            progress(done, done + count - index - 1 + later)

    for later, (target, path) in zip(reversed(range(len(jobs))), jobs.items(), strict=True):
        try:
            angiogram = read_angiogram(path)
            count = len(angiogram.frames)
            written.append(work(told(angiogram, later), count, target))
        except InputError as error:
            if strict:
                raise
            errors.append(error)
            continue
        frames += count
        notes += angiogram.notes
    if not written:
        raise all_failed(errors)
    return Worked(tuple(written), frames, tuple(map(str, errors)), tuple(notes))


def all_failed(errors: Sequence[InputError]) -> InputError:
    """The error to end with where nothing could be read; at least one is given."""
    if len(errors) == 1:
        return errors[0]
    return InputError(f"{str(errors[0]).rstrip('.')} (the first of {len(errors)} files, of which none can be read).")


def _jobs(inputs: Sequence[Path], output: Path, suffix: str | None) -> dict[Path, Path]:
    """Every angiogram under the inputs by the path of its result, without extension.

    Folders are mirrored so that equal names do not meet.
    """
    if not inputs:
        raise ConfigError("no input is given; name an angiogram, or a folder of them")
    jobs: dict[Path, Path] = {}
    for given in inputs:
        results = output.resolve()  # those of an earlier call are no input
        found = find_angiograms(given, suffix)
        paths = [path for path in found if path == given or results not in path.resolve().parents]
        if not paths:
            raise ConfigError(f"{given} holds nothing but earlier results; give a folder of angiograms")
        top = os.path.commonpath([path.parent for path in paths])
        for path in paths:
            target = output / path.parent.relative_to(top) / stem(path)
            if target in jobs:
                way = "give them separate output folders"
                if jobs[target].parent == path.parent:
                    way = f"if one is a preview, take the other kind alone (suffix {path.suffix}), or {way}"
                raise ConfigError(f"{jobs[target]} and {path} would both be written to {target}; {way}")
            if target.parent.resolve() == path.parent.resolve():
                raise ConfigError(
                    f"the result of {path} would lie beside it in {target.parent}; give another output folder"
                )
            jobs[target] = path
    return jobs
