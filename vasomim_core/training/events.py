"""What a run says while it works: one JSON object per line in `events.jsonl`, flushed at once.

Any number of watchers may follow the file, from the window that started the run, a later one, or a terminal.

| event | fields besides `time` (seconds since 1970) |
|---|---|
| spawn | job, pid: a window has started a process for the run, which is not heard of yet |
| open | job, pid: a process has taken the run up, for the first time or again |
| queue | message: where the run is in the queue of a cluster: that it waits, and for what, or where it begins |
| start | job, frames, steps, epochs, device, precision, processes, parameters, resumed (first step, or 0), pid |
| prepare | done, total: frames decoded and their anatomy extracted |
| step | step, epoch, loss and its terms, learning_rate, beta, frames_per_second, eta (s), memory (bytes) |
| pace | step, epoch, eta (s): after the first step, and where the next `step` takes long |
| validation | step, epoch (0 = the model it started from), scores, best (so far), improved |
| checkpoint | step: a state from which the run can be resumed |
| model | path: a model file that can be used |
| warning | message; left_out (files or frames that could not be read and are not learned from, where that is it) |
| sent | done, total: bytes that were brought to the machine which is to compute the run |
| unreachable | message: that machine cannot be reached now, and when it will be tried again; any event ends that |
| reached | it can be reached again |
| stop | somebody asked the run to stop (written by whoever asked) |
| end | reason: "finished", "stopped", "patience", "failed" or "cancelled"; message |

A folder may come from anybody. Each line is read on its own and checked; one that does not fit is passed over, and
counted with its reason.
"""

from __future__ import annotations

import json
import os
import reprlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vasomim_core.errors import RunError
from vasomim_core.files import open_ordinary

FILE = "events.jsonl"
LONGEST_LINE = 1 << 16  # bytes
WHOLE = ("pid", "step", "steps", "epoch", "epochs", "resumed", "frames", "processes", "parameters", "done", "total")
TEXTS = ("job", "device", "precision", "reason", "message", "path")
NEEDED = {
    "prepare": ("done",),
    "sent": ("done", "total"),
    "unreachable": ("message",),
    "step": ("step",),
    "pace": ("step", "eta"),
    "validation": ("step", "epoch", "scores"),
    "checkpoint": ("step",),
    "model": ("path",),
    "warning": ("message",),
    "queue": ("message",),
    "end": ("reason",),
}
"""Fields without which an event says nothing; older versions did not write all of the others."""


class EventLog:
    """Append-only; of several processes only the first one writes.

    Args:
        run: the run folder.
        writes: False makes every call do nothing.

    Raises:
        RunError: something else than a file has the name of the events.
    """

    def __init__(self, run: Path, writes: bool = True):
        self._path = run / FILE
        self._writes = writes
        if not writes or not self._path.exists():
            return
        if not self._path.is_file():
            raise RunError(f"{self._path} is no ordinary file; remove it, or choose another folder for the run")
        with open(self._path, "r+b") as file:
            if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) >= 0 and file.read() != b"\n":
                file.write(b"\n")  # a killed run left half a line; the next event must not join it

    def write(self, event: str, **values: Any) -> None:
        """Append one event."""
        if not self._writes:
            return
        line = json.dumps({"event": event, "time": round(time.time(), 3), **values}, ensure_ascii=False)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


class Follower:
    """Reads a run's events as they come: each call reads only what was appended since the last one.

    Args:
        run: the run folder; it need not exist yet.

    Attributes:
        damaged: how many lines could not be used.
        damage: why the first of them could not; empty = all could.
    """

    def __init__(self, run: Path):
        self._path = run / FILE
        self._begin()

    def _begin(self) -> None:
        self._offset = self._lines = self.damaged = 0
        self.damage = ""

    def new_events(self) -> list[dict[str, Any]]:
        """What is new, in the order it was written; a line that is still being written waits for its end.

        Nothing is taken back here: `counting` drops, at the `start` of a resumed run, the steps that it repeats.

        Raises:
            OSError: the file exists and cannot be read.
        """
        try:
            with open_ordinary(self._path) as file:
                if file.seek(0, os.SEEK_END) < self._offset:
                    self._begin()  # another run has taken the place of a failed one
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._offset += len(whole) + len(newline)
        return [event for line in whole.splitlines() if (event := self._event(line)) is not None]

    def _event(self, line: bytes) -> dict[str, Any] | None:
        self._lines += 1
        if not line.rstrip().endswith(b"}"):
            return None  # what a kill leaves; nothing is wrong with the run
        try:
            return parse_event(line)
        except ValueError as error:
            self.damaged += 1
            self.damage = self.damage or f"line {self._lines}: {error}"
            return None


def counting(events: Iterable[dict[str, Any]], before: Iterable[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """The events as they count: what a killed run wrote after its last saved state is left out.

    Args:
        events: as written.
        before: earlier ones, as this function gave them.
    """
    kept = list(before)
    for event in events:
        if event["event"] == "start":
            kept = [e for e in kept if e.get("step", 0) <= event.get("resumed", 0)]
        kept.append(event)
    return kept


def read_events(run: Path) -> Iterator[dict[str, Any]]:
    """The events of a run as they count (see `counting`); lines that cannot be used are left out.

    Raises:
        OSError: the file exists and cannot be read.
    """
    yield from counting(Follower(run).new_events())


def parse_event(line: bytes) -> dict[str, Any]:
    """The event in a line. Its fields are of the types that the table above implies; all numbers are finite.

    Raises:
        ValueError: there is none; the message says why.
    """
    if len(line) > LONGEST_LINE:
        raise ValueError(f"it has {len(line)} bytes")
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise ValueError("it is no event")
    missing = [name for name in NEEDED.get(event["event"], ()) if name not in event]
    if missing:
        raise ValueError(f"the event {event['event']!r:.40} has no {missing[0]}")
    for name, value in event.items():
        if not _fits(event["event"], name, value):
            raise ValueError(f"{name!r:.40} is {reprlib.repr(value)}")
    return event


def _fits(kind: str, name: str, value: Any) -> bool:
    if name == "pid":
        return type(value) is int and 0 <= value < 1 << 31
    if name in WHOLE:
        return type(value) is int and 0 <= value < 1 << 53
    if name == "time":
        return _number(value) and 0 <= value < 1e11
    if name in TEXTS:
        return isinstance(value, str)
    if name == "scores":
        return isinstance(value, dict) and bool(value) and all(map(_number, value.values()))
    if name in ("eta", "memory"):
        return value is None or (_number(value) and 0 <= value < 1e18)
    # The terms of a loss have names of their own; what other events tell besides is nobody's business here.
    return kind != "step" or name in ("event", "improved") or _number(value)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # which NaN and infinity are not
