"""Runs that wait for those before them: one after the other, in an order that a person may change.

A waiting run is a prepared folder with its place in a file, so that it outlives the window that made it. No process
looks after the queue: the next run begins while a window that shows runs is open, in whichever of them sees it first.
The queue is that of this computer: runs on other machines neither wait in it nor are waited for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_vasomim.runs.folder import QUEUED, RunStatus, list_runs, read_place
from napari_vasomim.runs.jobs import Job, begin, prepare
from vasomim_core.config import FinetuneConfig, Pretraining
from vasomim_core.errors import LockedError, RunError
from vasomim_core.files import write_text
from vasomim_core.locks import locked

LOCK = ".queue.lock"


def busy(folder: Path) -> bool:
    """Whether a run in a folder is at work on this computer, or waits."""
    found = list_runs(folder)
    return at_work(found) or any(status.state == "waiting" for status in found)


def at_work(runs: Iterable[RunStatus]) -> bool:
    """Whether one of these runs is alive on this computer."""
    return any(status.alive and not status.machine for status in runs)


def enqueue(config: FinetuneConfig | Pretraining) -> None:
    """Let a run wait behind all others of its folder.

    Args:
        config: its settings; `config.run` is new or empty.

    Raises:
        ConfigError: a setting out of range.
        RunError: the folder holds something, or cannot be written.
    """
    places = [status.place for status in list_runs(config.run.parent) if status.place is not None]
    prepare(config)
    _put(config.run, max(places, default=0) + 1)


def reorder(runs: Sequence[Path]) -> None:
    """Give the waiting ones among these runs this order; one that has begun meanwhile is left alone.

    Raises:
        RunError: a folder cannot be written.
    """
    for place, run in enumerate(runs, 1):
        if read_place(run) is not None:
            _put(run, place)


def begin_next(folder: Path) -> Job | None:
    """Start the first waiting run of a folder; None where one is at work here, none waits, or another window does so.

    Raises:
        RunError: its process cannot be started; the run does not wait any more then, and says so.
    """
    try:
        with locked(folder / LOCK):
            found = list_runs(folder)
            waiting = [status.run for status in found if status.state == "waiting"]
            if not waiting or at_work(found):
                return None
            return begin(waiting[0])
    except LockedError:
        return None
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}); runs that wait in it cannot begin") from error


def _put(run: Path, place: int) -> None:
    try:
        write_text(run / QUEUED, str(place))
    except OSError as error:
        raise RunError(f"{run} cannot be written ({error.strerror}); it does not wait in the queue") from error
