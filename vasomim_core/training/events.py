"""What a run says while it works: one JSON object per line in `events.jsonl`, flushed at once.

Any number of watchers may follow the file, from the window that started the run, a later one, or a terminal.

| event | fields besides `time` (seconds since 1970) |
|---|---|
| spawn | job, pid: a window has started a process for the run, which is not heard of yet |
| open | job, pid: a process has taken the run up, for the first time or again |
| start | job, frames, steps, epochs, device, precision, processes, parameters, resumed (first step, or 0), pid |
| prepare | done, total: frames decoded and their anatomy extracted |
| step | step, epoch, loss and its terms, learning_rate, beta, frames_per_second, eta (s), memory (bytes) |
| validation | step, epoch (0 = the model it started from), scores, best (so far), improved |
| checkpoint | step: a state from which the run can be resumed |
| model | path: a model file that can be used |
| warning | message; left_out (files or frames that could not be read and are not learned from, where that is it) |
| stop | somebody asked the run to stop (written by whoever asked) |
| end | reason: "finished", "stopped", "patience", "failed" or "cancelled"; message |
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FILE = "events.jsonl"


class EventLog:
    """Append-only; of several processes only the first one writes.

    Args:
        run: the run folder.
        writes: False makes every call do nothing.
    """

    def __init__(self, run: Path, writes: bool = True):
        self._path = run / FILE
        self._writes = writes
        if writes and self._path.exists() and not self._path.read_bytes().endswith(b"\n"):
            with open(self._path, "a", encoding="utf-8") as file:
                file.write("\n")  # a killed run left half a line; the next event must not join it

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
    """

    def __init__(self, run: Path):
        self._path = run / FILE
        self._offset = 0

    def new_events(self) -> list[dict[str, Any]]:
        """What is new, in the order it was written; a line that is still being written waits for its end.

        Nothing is taken back here: `counting` drops, at the `start` of a resumed run, the steps that it repeats.

        Raises:
            OSError: the file exists and cannot be read.
        """
        try:
            with open(self._path, "rb") as file:
                if file.seek(0, os.SEEK_END) < self._offset:
                    self._offset = 0  # another run has taken the place of a failed one
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._offset += len(whole) + len(newline)
        return [event for line in whole.splitlines() if (event := _parse(line))]


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
    """The events of a run as they count (see `counting`); a last line cut off by a kill is skipped."""
    path = run / FILE
    lines = path.read_bytes().splitlines() if path.exists() else []
    yield from counting(event for line in lines if (event := _parse(line)))


def _parse(line: bytes) -> dict[str, Any] | None:
    """The event in a line; None for what a kill or a broken disk left there."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
