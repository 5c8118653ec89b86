"""Unlabelled angiograms with the anatomy that the filter finds in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vasomim_core.anatomy import extract_anatomy
from vasomim_core.angiogram import read_angiogram, to_uint8
from vasomim_core.config import Mode
from vasomim_core.data.store import FrameStore, Pair, build_store, is_complete, resize
from vasomim_core.data.unlabelled import open_unlabelled
from vasomim_core.errors import InputError
from vasomim_core.training.events import EventLog
from vasomim_core.training.processes import Processes
from vasomim_core.training.runs import CACHE, progress_events

MOST_TOLD = 20
FRAME_SIZE = 512  # px, longer side: the scale for which the filter's σ are meant


def anatomy_store(
    data: Path, run: Path, mode: Mode, log: EventLog, processes: Processes, strict: bool = False
) -> FrameStore:
    """All frames of all angiograms under `data` with their anatomy, in the run's cache.

    Frames larger than 512 px are scaled down to it, smaller ones stay as they are. The first process builds the
    store, the others wait. What cannot be read is left out, with a `warning` event for each file or frame, up to 20;
    a store that is complete is taken as it is, whatever the folder holds by now.

    Args:
        data: where the angiograms are.
        run: the run folder.
        mode: of the extraction.
        log: gets the warnings and the progress.
        processes: this process's place among several.
        strict: end at the first file or frame that cannot be read.

    Raises:
        InputError: no angiograms there, none that can be read, or with `strict` one that cannot.
    """
    folder = run / CACHE
    if processes.first and not is_complete(folder):
        found = open_unlabelled(data, strict)
        notes, left_out = list(found.notes), list(found.left_out)

        def pairs() -> Iterator[Pair]:
            for path, count in found.files:
                angiogram = read_angiogram(path)
                notes.extend(angiogram.notes)
                for index in range(count):
                    try:
                        frame = angiogram.frames[index]
                    except InputError as error:
                        if strict:
                            raise
                        left_out.append(str(error))
                        continue
                    grey = resize(to_uint8(frame, angiogram.window), FRAME_SIZE, enlarge=False)
                    yield grey, extract_anatomy(grey, mode)

        try:
            build_store(folder, pairs(), found.frames, FRAME_SIZE, enlarge=False, progress=progress_events(log))
        finally:
            _warn(log, notes, 0)
            _warn(log, left_out, 1)
    processes.wait()
    return FrameStore(folder)


def _warn(log: EventLog, sentences: list[str], left_out: int) -> None:
    """Write warnings; `left_out` is how many files or frames each of them stands for."""
    for sentence in sentences[:MOST_TOLD]:
        log.write("warning", message=f"Left out: {sentence}" if left_out else sentence, left_out=left_out)
    if (more := len(sentences) - MOST_TOLD) > 0:
        log.write("warning", message=f"… and {more} more of this kind.", left_out=more * left_out)
