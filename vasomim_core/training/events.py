"""What a run says while it works: one JSON object per line in `events.jsonl`, flushed at once.

Any number of watchers may follow the file, from the window that started the run, a later one, or a terminal.

| event | fields besides `time` (seconds since 1970) |
|---|---|
| start | job, frames, steps, epochs, device, precision, processes, parameters, resumed (first step, or 0), pid |
| prepare | done, total: frames decoded and their anatomy extracted |
| step | step, epoch, loss and its terms, learning_rate, beta, frames_per_second, eta (s), memory (bytes) |
| validation | step, epoch, scores, best (so far), improved |
| checkpoint | step: a state from which the run can be resumed |
| model | path: a model file that can be used |
| warning | message |
| end | reason: "finished", "stopped", "patience" or "failed"; message |
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
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


def read_events(run: Path) -> Iterator[dict[str, Any]]:
    """The events of a run as they count: what a killed run wrote after its last saved state is left out.

    A last line cut off by a kill is skipped.
    """
    events: list[dict[str, Any]] = []
    path = run / FILE
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event["event"] == "start":
            events = [e for e in events if e.get("step", 0) <= event.get("resumed", 0)]
        events.append(event)
    yield from events
