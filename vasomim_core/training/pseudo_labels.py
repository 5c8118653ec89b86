"""Unlabelled angiograms with the anatomy that the filter finds in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vasomim_core.anatomy import extract_anatomy
from vasomim_core.angiogram import find_angiograms, read_angiogram, to_uint8
from vasomim_core.config import Mode
from vasomim_core.data.store import FrameStore, Pair, build_store, resize
from vasomim_core.files import open_ordinary
from vasomim_core.training.events import EventLog
from vasomim_core.training.processes import Processes
from vasomim_core.training.run_data import Items, RunData, settle
from vasomim_core.training.runs import CACHE, progress_events

FRAME_SIZE = 512  # px, longer side: the scale for which the filter's σ are meant


def anatomy_store(data: Path, run: Path, mode: Mode, log: EventLog, processes: Processes) -> FrameStore:
    """All frames of all angiograms under `data` with their anatomy, in the run's cache.

    Frames larger than 512 px are scaled down to it, smaller ones stay as they are. The first process builds the
    store, the others wait. A resumed run takes those that it began with.

    Raises:
        InputError: no angiograms there, or one that cannot be read.
        RunError: a resumed run has lost its cache, and the files have changed.
    """
    if processes.first:

        def look(known: Items) -> Items:
            return {_name(path, data): _facts(path, known.get(_name(path, data), {})) for path in find_angiograms(data)}

        def build(items: Items) -> RunData:
            files = find_angiograms(data)
            counts = [len(read_angiogram(path).frames) for path in files]

            def pairs() -> Iterator[Pair]:
                for path in files:
                    angiogram = read_angiogram(path)
                    for frame in angiogram.frames:
                        grey = resize(to_uint8(frame, angiogram.window), FRAME_SIZE, enlarge=False)
                        yield grey, extract_anatomy(grey, mode)

            progress = progress_events(log)
            store = build_store(run / CACHE, pairs(), sum(counts), FRAME_SIZE, enlarge=False, progress=progress)
            return RunData(items, {".": store.fingerprint}, {"frames": len(store), "sha256": store.fingerprint}, [])

        settle(run, log, look, build, "files")
    processes.wait()
    return FrameStore(run / CACHE)


def _name(path: Path, data: Path) -> str:
    return path.relative_to(data if data.is_dir() else data.parent).as_posix()


def _facts(path: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """What tells whether a file is still the same; one of the size and time that are known is not read again."""
    now = path.stat()
    facts = {"size": now.st_size, "modified": now.st_mtime_ns}
    if all(known.get(name) == value for name, value in facts.items()):
        return {**facts, "sha256": known.get("sha256")}
    with open_ordinary(path) as file:
        return {**facts, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
