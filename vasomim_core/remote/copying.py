"""What a run on another machine says and leaves, brought into its folder here as if it had been computed here."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vasomim_core.config import Config, Pretraining, SegmentorConfig
from vasomim_core.errors import RemoteError
from vasomim_core.files import atomic, write_json, write_text
from vasomim_core.remote.far import LOGS, RESULTS
from vasomim_core.remote.parcel import local_words
from vasomim_core.training.events import EventLog, Follower, parse_event
from vasomim_core.training.runs import DATA, SETTINGS, load_config, save_config

Event = dict[str, Any]
OWN = ("open", "stop", "sent", "unreachable", "reached")
"""Events that are written here by whoever follows a run or asks it to stop."""


class Events:
    """The events of one log there, appended to the log here; those that are here already are told again and left out.

    Args:
        folder: of the log here.
        names: of frames, by neutral name.
        machine: its name, which stands with the device.
        before: is called ahead of an event that says that something is there to be used.

    Attributes:
        end: how the run there has ended; None = not yet, or its process did not say so.
    """

    def __init__(self, folder: Path, names: Mapping[str, str], machine: str, before: Callable[[], None]):
        self._names, self._machine, self._before = names, machine, before
        folder.mkdir(exist_ok=True)
        self._log = EventLog(folder)
        known = Follower(folder).new_events()
        self._known = Counter(map(_sign, known))
        self._start: Event | None = None
        self._step = 0
        self._brought = False
        self.end: Event | None = None
        for event in known:
            self._note(event)

    def add(self, line: str) -> Event | None:
        """Take in one line; the event as it is here, None where it is none or was here before."""
        try:
            event = self._local(parse_event(line.encode()))
        except ValueError:
            return None
        if event["event"] == "open":
            self.end = None
        elif event["event"] == "end":
            self.end = event
        if event["event"] in OWN:
            return None
        if self._known[_sign(event)]:
            self._known[_sign(event)] -= 1
            return None
        if event["event"] == "model" or (event["event"] == "end" and not self._brought):
            self._before()
        self._brought = event["event"] == "model"
        self._note(event)
        self._write(event)
        return event

    def found_again(self) -> None:
        """Say that a run goes on whose process has been at work all the while: from the step that it has told of."""
        if self._start is not None:
            self._write({**self._start, "resumed": self._step, "pid": os.getpid()}, now=True)

    def _note(self, event: Event) -> None:
        if event["event"] == "start":
            self._start, self._step = event, event.get("resumed", 0)
        self._step = max(self._step, event.get("step", 0))

    def _local(self, event: Event) -> Event:
        changed = dict(event)
        if "pid" in event:
            changed["pid"] = os.getpid()
        if event.get("device"):
            changed["device"] = f"{event['device']} of {self._machine}"
        if event.get("message"):
            changed["message"] = local_words(event["message"], self._names)
        return changed

    def _write(self, event: Event, now: bool = False) -> None:
        values = {name: value for name, value in event.items() if name != "event" and not (now and name == "time")}
        self._log.write(event["event"], **values)


def _sign(event: Event) -> tuple[Any, ...]:
    """By what an event is known again."""
    return event["event"], event.get("time"), event.get("step"), event.get("done")


def place_results(run: Path, config: Config, results: Iterable[tuple[str, bytes]], names: Mapping[str, str]) -> None:
    """Put what a run there has left into its folder here.

    Args:
        run: the folder here.
        config: the settings here.
        results: name within the run folder, and content.
        names: of frames, by neutral name.

    Raises:
        RemoteError: a name that is none of a result, or a record that is none.
        ConfigError: settings that are none.
    """
    for name, content in results:
        if name not in RESULTS:
            raise RemoteError(f"the other machine gave {name!r:.40}, which is none of a run")
        path = run / name
        path.parent.mkdir(exist_ok=True)
        if path.name == SETTINGS:  # of the segmentor that comes before pretraining
            write_text(path, content.decode("utf-8", "replace"))
            settings = load_config(path)
            if isinstance(settings, SegmentorConfig) and isinstance(config, Pretraining):
                save_config(path, replace(settings, data=config.data, run=path.parent))
        elif path.name == DATA:
            write_json(path, own_data(content, names))
        else:
            with atomic(path) as temporary:
                temporary.write_bytes(content)


def own_data(content: bytes, names: Mapping[str, str]) -> Any:
    """The record of a run's data with the frames' own names."""
    try:
        record = json.loads(content)
        record["items"] = {_own(name, names): facts for name, facts in record["items"].items()}
        record["warnings"] = [local_words(sentence, names) for sentence in record["warnings"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RemoteError("the other machine gave a record of the run's data that is none") from error
    return record


def _own(name: str, names: Mapping[str, str]) -> str:
    source, slash, neutral = name.rpartition("/")
    return f"{source}{slash}{names.get(neutral, neutral)}"


LOG_FOLDERS = {log: str(Path(log).parent.relative_to("run")) for log in LOGS}
"""By the name of a log there, its folder within the run folder here."""
