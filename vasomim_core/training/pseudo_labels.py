"""Unlabelled angiograms with the anatomy that the filter finds in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vasomim_core.config import Mode
from vasomim_core.data.assembled import AssembledFrames, is_assembled
from vasomim_core.data.pretraining_frame import FRAME_SIZE, pretraining_frame
from vasomim_core.data.spool import spool
from vasomim_core.data.store import FrameStore, Prepared, build_store
from vasomim_core.data.unlabelled import each_frame, open_unlabelled
from vasomim_core.errors import InputError, RunError
from vasomim_core.files import open_ordinary
from vasomim_core.reading import find_angiograms
from vasomim_core.training.events import EventLog
from vasomim_core.training.processes import Processes
from vasomim_core.training.run_data import Items, RunData, settle
from vasomim_core.training.runs import CACHE, progress_events

MOST_TOLD = 20


def anatomy_store(
    data: Path, run: Path, mode: Mode | None, log: EventLog, processes: Processes, strict: bool = False
) -> Prepared:
    """All frames of all angiograms under `data` with their anatomy: an assembled data set, or in the run's cache.

    Frames larger than 512 px are scaled down to it, smaller ones stay as they are. The first process builds the
    cache, the others wait; of an assembled data set each process reads what it needs from the one it was given. What
    cannot be read is left out, with a `warning` event for each file or frame, up to 20. A resumed run takes the frames
    that it began with.

    Args:
        data: where the angiograms are, or an assembled data set.
        run: the run folder.
        mode: of the extraction; None = the anatomy is not asked for, and empty.
        log: gets the warnings and the progress.
        processes: this process's place among several.
        strict: end at the first file or frame that cannot be read.

    Raises:
        InputError: no angiograms there, none that can be read, or with `strict` one that cannot; an assembled data set
            that is not finished, damaged, or has its anatomy by another mode.
        RunError: a resumed run has lost its cache, and the files have changed; or the processes see other frames.
    """
    assembled = AssembledFrames(data) if is_assembled(data) else None
    if assembled is not None and mode not in (None, assembled.mode):
        raise InputError(
            f"{data} was assembled with --anatomy {assembled.mode}, and this run asks for {mode}; give it --anatomy "
            f"{assembled.mode}, or assemble another data set"
        )
    if processes.first:

        def look(known: Items) -> Items:
            if assembled is not None:
                return {"assembled": {"sha256": assembled.fingerprint}}
            return {_name(path, data): _facts(path, known.get(_name(path, data), {})) for path in find_angiograms(data)}

        def build(items: Items) -> RunData:
            if assembled is not None:
                return RunData(items, {}, {"frames": len(assembled), "sha256": assembled.fingerprint}, [])
            found = open_unlabelled(data, strict, spooled)
            notes, left_out = list(found.notes), list(found.left_out)

            pairs = (pretraining_frame(grey, mode) for grey in each_frame(found, notes, left_out, strict))
            progress = progress_events(log)
            try:
                store = build_store(run / CACHE, pairs, found.frames, FRAME_SIZE, enlarge=False, progress=progress)
            finally:
                _warn(log, notes, 0)
                _warn(log, left_out, 1)
            return RunData(items, {".": store.fingerprint}, {"frames": len(store), "sha256": store.fingerprint}, [])

        with spool(run) as spooled:
            settle(run, log, look, build, "files")
    processes.wait()
    frames: Prepared | None = assembled
    if (run / CACHE).is_dir():  # also of a run that began with a folder, and is given a data set now
        frames = FrameStore(run / CACHE)
    if not processes.agree(frames.fingerprint if frames is not None else ""):
        raise RunError(
            "the processes of this run do not see the same frames; give each machine the same assembled data set "
            "(vasomim assemble), or a run folder that all of them share"
        )
    assert frames is not None
    return frames


def _warn(log: EventLog, sentences: list[str], left_out: int) -> None:
    """Write warnings; `left_out` is how many files or frames each of them stands for."""
    for sentence in sentences[:MOST_TOLD]:
        log.write("warning", message=f"Left out: {sentence}" if left_out else sentence, left_out=left_out)
    if (more := len(sentences) - MOST_TOLD) > 0:
        log.write("warning", message=f"… and {more} more of this kind.", left_out=more * left_out)


def _name(path: Path, data: Path) -> str:
    return path.relative_to(data if data.is_dir() else data.parent).as_posix()


def _facts(path: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """What tells whether a file is still the same; one of the size and time that are known is not read again."""
    try:
        now = path.stat()
        facts = {"size": now.st_size, "modified": now.st_mtime_ns}
        if all(known.get(name) == value for name, value in facts.items()):
            return {**facts, "sha256": known.get("sha256")}
        with open_ordinary(path) as file:
            return {**facts, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError:
        return {}  # it is left out, and may be readable by and by
