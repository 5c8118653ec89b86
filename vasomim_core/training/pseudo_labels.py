"""Unlabelled angiograms with the anatomy that the filter finds in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vasomim_core.angiogram import find_angiograms, read_angiogram, to_uint8
from vasomim_core.config import Mode
from vasomim_core.data.store import FrameStore, Pair, build_store
from vasomim_core.data.unlabelled import FRAME_SIZE, with_anatomy
from vasomim_core.training.events import EventLog
from vasomim_core.training.processes import Processes
from vasomim_core.training.runs import CACHE, progress_events


def anatomy_store(data: Path, run: Path, mode: Mode, log: EventLog, processes: Processes) -> FrameStore:
    """All frames of all angiograms under `data` with their anatomy, in the run's cache.

    Frames larger than 512 px are scaled down to it, smaller ones stay as they are. The first process builds the
    store, the others wait.

    Raises:
        InputError: no angiograms there, or one that cannot be read.
    """
    folder = run / CACHE
    if processes.first:
        files = find_angiograms(data)
        counts = [len(read_angiogram(path).frames) for path in files]

        def pairs() -> Iterator[Pair]:
            for path in files:
                angiogram = read_angiogram(path)
                for frame in angiogram.frames:
                    yield with_anatomy(to_uint8(frame, angiogram.window), mode)

        build_store(folder, pairs(), sum(counts), FRAME_SIZE, enlarge=False, progress=progress_events(log))
    processes.wait()
    return FrameStore(folder)
