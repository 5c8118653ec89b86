"""A run on another machine, watched until it ends: its events and its model come here, and requests go there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vasomim_core.config import Config
from vasomim_core.errors import RemoteError
from vasomim_core.remote.asked import LOOK, Asked, Interrupted, Patience
from vasomim_core.remote.connection import Connection, Lost
from vasomim_core.remote.copying import LOG_FOLDERS, Event, Events, place_results
from vasomim_core.remote.far import LOGS
from vasomim_core.remote.place import Place
from vasomim_core.remote.queue_words import SAVED, ended_by, in_queue
from vasomim_core.remote.sending import take_away
from vasomim_core.training.events import EventLog

Answer = dict[str, Any]


@dataclass(frozen=True)
class Ending:
    """How the watching of a run has ended.

    Attributes:
        reason: that of the run's `end`; "cancelled" and "left" by request; "lost" = its process is gone without a word.
        message: of its `end`, or the last lines of its output.
        why: what SLURM says of an end that nobody asked for; empty = nothing.
        resumable: whether there is a state there to resume from.
    """

    reason: str
    message: str = ""
    resumable: bool = False
    why: str = ""


class Watch:
    """The watching of one run.

    Args:
        connection: to the machine.
        place: of the run.
        config: its settings here.
        asked: what is asked of it.
        said: is told what a person should know.
        told: is told every event.
    """

    def __init__(
        self,
        connection: Connection,
        place: Place,
        config: Config,
        asked: Asked,
        said: Callable[[str], object],
        told: Callable[[Event], object],
    ):
        self.connection, self.place, self.config, self.asked = connection, place, config, asked
        self.said, self.told, self.run = said, told, config.run
        self.logs: dict[str, Events] = {}
        self.stop_sent = False
        self.queue: dict[str, str] = {}

    def until_the_end(self, found_again: bool) -> Ending:
        """Follow the run, in as many connections as it takes.

        Args:
            found_again: whether its process has been at work before this one.

        Raises:
            RemoteError: the machine can be reached and does not do this. The run may go on there.
        """
        patience = Patience(lambda: self.asked.cancel or self.asked.leave, self._unreachable)
        while True:
            self.logs = {}
            try:
                return self._connected(patience, found_again)
            except Lost as error:
                try:
                    patience.wait(error)
                except Interrupted:
                    return self._given_up()
            except Interrupted:
                return self._given_up()

    def _connected(self, patience: Patience, found_again: bool) -> Ending:
        with self._answers() as answers:
            while True:
                self._pass_on()
                try:
                    answer = answers.get(timeout=LOOK)
                except queue.Empty:
                    continue
                if isinstance(answer, Exception):
                    raise answer
                if patience.failing:
                    EventLog(self.run).write("reached")
                patience.reached()
                if answer.get("queue"):
                    self._queued(answer["queue"])
                if answer.get("log") in LOGS:
                    self._take(answer["log"], answer["lines"])
                    if found_again and answer["log"] == LOGS[0]:
                        self.logs[LOGS[0]].found_again()
                        found_again = False
                if answer.get("ended"):
                    return self._ended(answer)

    def _unreachable(self, sentence: str) -> None:
        self.said(sentence)
        EventLog(self.run).write("unreachable", message=sentence)

    def _take(self, log: str, lines: list[str]) -> None:
        if log not in self.logs:
            folder = self.run / LOG_FOLDERS[log]
            self.logs[log] = Events(folder, self.place.names, self.place.machine, self._fetch)
        for line in lines:
            event = self.logs[log].add(line)
            if event is not None and log == LOGS[0]:
                self.told(event)

    def _queued(self, queue: dict[str, str]) -> None:
        """Tell where the run is in a cluster's queue, once for each place."""
        said = in_queue(self.place.machine, queue)
        if said and said != in_queue(self.place.machine, self.queue):
            EventLog(self.run).write("queue", message=f"{said[0].upper()}{said[1:]}.")
            self.said(said)
        self.queue = queue

    def _fetch(self) -> None:
        with self.connection.answers("fetch", id=self.place.job) as answers:
            results = []
            for answer, content in answers:
                if answer.get("all"):
                    break
                results.append((str(answer.get("name")), content))
        place_results(self.run, self.config, results, self.place.names)

    def _ended(self, answer: Answer) -> Ending:
        resumable = bool(answer.get("resumable"))
        end = self.logs[LOGS[0]].end if LOGS[0] in self.logs else None
        if end is None:
            said = "; ".join(str(line) for line in answer.get("output", []))
            if self.stop_sent:  # before it trained, when it ends at once and has nothing to say
                EventLog(self.run).write("end", reason="stopped", message="")
                return Ending("stopped", said, resumable)
            return Ending("lost", said, resumable, ended_by(self.place.machine, self.queue))
        unasked = end["reason"] == "stopped" and not self.stop_sent and self.queue
        return Ending(end["reason"], end.get("message", ""), resumable, SAVED if unasked else "")

    def _pass_on(self) -> None:
        """Pass on what is asked.

        Raises:
            Interrupted: the watching is to end.
        """
        if self.asked.cancel or self.asked.leave:
            raise Interrupted
        if self.asked.stop and not self.stop_sent:
            self.connection.ask("stop", id=self.place.job)
            self.stop_sent = True
            self.said("stops after the step in hand and keeps its model; again, and it is cancelled")

    def _given_up(self) -> Ending:
        if not self.asked.cancel:
            return Ending("left")
        try:
            take_away(self.connection, self.place.job)
        except RemoteError as error:
            return Ending("left", f"it could not be cancelled: {error}")
        return Ending("cancelled")

    @contextmanager
    def _answers(self) -> Iterator[queue.Queue[Answer | Exception]]:
        """The answers of the far side as they come, the last one an error where the connection broke."""
        found: queue.Queue[Answer | Exception] = queue.Queue()
        with self.connection.answers("follow", id=self.place.job) as answers:

            def read() -> None:
                try:
                    for answer, _ in answers:
                        found.put(answer)
                except Exception as error:
                    found.put(error)

            reader = threading.Thread(target=read, name="answers", daemon=True)
            reader.start()
            try:
                yield found
            finally:
                answers.end()
                reader.join()
