"""A run on another machine: sent, started, followed, found again, stopped and taken away.

    outcome = train_elsewhere(FinetuneConfig(labels, run), "department")

The folder here is that of a local run: its events come as they are written there, and its model when there is one. The
process there needs no connection, and none of this process: `train_elsewhere(…, resume=True)` finds it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from vasomim_core.config import Config
from vasomim_core.data.spool import spool
from vasomim_core.errors import ConfigError, RemoteError, RunError
from vasomim_core.remote.asked import Asked
from vasomim_core.remote.connection import Connection
from vasomim_core.remote.copying import Event
from vasomim_core.remote.machine_check import Found, differences, look, require
from vasomim_core.remote.machines import machine_named
from vasomim_core.remote.parcel import pack
from vasomim_core.remote.place import Place, place_of
from vasomim_core.remote.sending import Listing, commands, listed, send, take_away
from vasomim_core.remote.watching import Ending, Watch
from vasomim_core.training.events import EventLog
from vasomim_core.training.host import Stop
from vasomim_core.training.runs import (
    absolute,
    exclusive,
    is_finished,
    load_config,
    open_run,
    progress_events,
)

MOST_TOLD = 20
PAUSE = 0.5
"""Seconds between two events that tell how much is sent."""
Reason = Literal["finished", "patience", "stopped", "cancelled", "left"]


@dataclass(frozen=True)
class Outcome:
    """What came of a run elsewhere, as far as it has been followed.

    Attributes:
        run: its folder here.
        machine: where it is or was.
        reason: "finished", "patience" and "stopped" as of a local run; "cancelled" = nothing of it is there any more;
            "left" = it goes on there, and resuming finds it again.
        message: what a person should know besides; empty = nothing.
    """

    run: Path
    machine: str
    reason: Reason
    message: str = ""


class Watcher:
    """Who is told what happens; each method does nothing unless a subclass says otherwise."""

    def listed(self, listing: Listing) -> None:
        """This is going to be sent."""

    def sent(self, done: int, total: int) -> None:
        """So many bytes are sent, of so many."""

    def said(self, sentence: str) -> None:
        """Something that a person should know."""

    def event(self, event: Event) -> None:
        """The run has told this; it is in its events by now."""


def train_elsewhere(
    config: Config, name: str | None = None, resume: bool = False, strict: bool = False, watcher: Watcher | None = None
) -> Outcome:
    """Run a job on another machine, and follow it to its end.

    SIGINT, or a `stop` event in the run folder, stops it and keeps its model; a second SIGINT cancels it. SIGTERM alone
    leaves it to itself, as a computer does that is switched off.

    Args:
        config: its settings, as for a run here.
        name: of the machine; None = where the run that is resumed is.
        resume: go on with the run in `config.run`, or find it again where it has gone on.
        strict: end at the first unlabelled file that cannot be read.
        watcher: who is told.

    Raises:
        Lost: the machine cannot be reached at the start.
        RemoteError: it is no place for this run.
        RunError: the run folder is taken, is on another machine, or the run there has failed or is gone.
        ConfigError: no such machine, a setting out of range, or one that a resumed run there cannot change.
        VasoMIMError: data that cannot be used, as of a run here.
    """
    watcher = watcher or Watcher()
    place = _place(config, name, resume)
    connection = Connection(place.machine, machine_named(place.machine))
    found, at_work = None, False
    if place.state == "sending":
        found = look(connection)
        require(connection.name, found, config.training.device)
    elif place.state == "there" and not is_finished(config.run):
        at_work = _found_again(connection, place, config)
    asked = Asked()
    with asked.listening(), open_run(config, _Alone(), resume) as log:
        asked.events = Stop(config.run)
        if found is not None:
            place = _send(connection, found, place, config, strict, log, asked, watcher)
        watch = Watch(connection, place, config, asked, watcher.said, watcher.event)
        try:
            ending = watch.until_the_end(at_work)
        except RemoteError as error:  # the run may go on there all the same, so nothing is said of its end
            ending = Ending("left", str(error))
        if ending.reason == "cancelled":
            place.now("gone", config.run)
            log.write("end", reason="cancelled", message="")
        if ending.why:
            log.write("warning", message=f"{ending.why[0].upper()}{ending.why[1:]}.")
        if ending.reason in ("finished", "patience") or not (
            ending.resumable or ending.reason in ("left", "cancelled")
        ):
            place, ending = _cleared(connection, place, config.run, ending)
        if ending.reason == "lost":
            log.write("end", reason="failed", message=_loss(place, ending))
    return _outcome(connection, place, config.run, ending)


def cancel(run: Path) -> None:
    """End a run on another machine and remove all of it there; its folder here is kept.

    Whoever follows it must have been ended before. Nothing is done for a run that is gone from there.

    Raises:
        RunError: the run is not on another machine, or is being followed.
        RemoteError: the machine cannot be reached, or does not do it.
    """
    place = place_of(run)
    if place is None:
        raise RunError(f"the run in {run} is not on another machine; end its process")
    if place.state == "gone":
        return
    connection = Connection(place.machine, machine_named(place.machine))
    with exclusive(run):
        take_away(connection, place.job)
        place.now("gone", run)
        if not is_finished(run):
            EventLog(run).write("end", reason="cancelled", message="")


class _Alone:
    """This process's place among those that work on a run: it follows one, and there is no other."""

    first = True

    def wait(self) -> None:
        """For nobody."""

    def agree(self, text: str) -> bool:
        """With itself."""
        return True

    def lost(self, error: BaseException) -> None:
        """Nobody can be."""


def _place(config: Config, name: str | None, resume: bool) -> Place:
    """Where the run is, or will be.

    Raises:
        RunError, ConfigError: it cannot be resumed there, or so.
    """
    if not resume:
        if name is None:
            raise ConfigError("no machine is named; say which")
        return Place(name)
    place, run = place_of(config.run), config.run
    if place is None:
        raise RunError(f"the run in {run} is on this computer; leave --on out, or start a new run")
    if name not in (None, place.machine):
        raise RunError(f"the run in {run} is on {place.machine}, not on {name}; leave --on out")
    if place.state == "gone" and not is_finished(run):
        raise RunError(
            f"nothing of the run in {run} is on {place.machine} any more; for another one give --config "
            f"{run / 'config.yaml'} and a new --run"
        )
    if absolute(replace(load_config(run), run=run)) != absolute(config):
        raise ConfigError(f"the run in {run} goes on with its own settings on {place.machine}; leave the others out")
    return place


def _found_again(connection: Connection, place: Place, config: Config) -> bool:
    """Make sure that a run is at work, or has finished; whether it was so before.

    Raises:
        Lost, RemoteError: the machine cannot be reached, or cannot go on with it.
        RunError: it is not there any more.
    """
    state = connection.ask("state", id=place.job)
    if not state["there"]:
        raise RunError(f"nothing of this run is on {place.machine} any more; start a new one with its settings")
    if not state["alive"] and not state["finished"]:
        require(place.machine, look(connection), config.training.device)
        connection.ask("resume", (), id=place.job, **commands(config))
    return bool(state["alive"])


def _send(
    connection: Connection,
    found: Found,
    place: Place,
    config: Config,
    strict: bool,
    log: EventLog,
    asked: Asked,
    watcher: Watcher,
) -> Place:
    """Send what the run reads, and start it."""
    place.write(config.run)
    unreachable, sent = _told(log, watcher)
    for sentence in differences(connection.name, found):
        watcher.said(sentence)
    with spool(config.run) as keep:
        told = progress_events(log)

        def progress(done: int, total: int) -> None:
            if asked.stop or asked.leave:
                raise RunError(f"the run was stopped before it began; nothing of it is on {place.machine}")
            told(done, total)

        parcel = pack(config, keep, strict, progress)
        for count, sentences in ((0, parcel.notes), (1, parcel.left_out)):
            for sentence in sentences[:MOST_TOLD]:
                log.write("warning", message=f"Left out: {sentence}" if count else sentence, left_out=count)
            if (more := len(sentences) - MOST_TOLD) > 0:
                log.write("warning", message=f"… and {more} more of this kind.", left_out=more * count)
        place = replace(place, names=parcel.names)
        place.write(config.run)
        watcher.listed(listed(connection, found, parcel))
        send(connection, place, parcel, asked, unreachable, sent)
    return place.now("there", config.run)


def _told(log: EventLog, watcher: Watcher) -> tuple[Callable[[str], None], Callable[[int, int], None]]:
    """Tell watcher and events that a machine cannot be reached, and how much is sent: not of every file."""
    last = 0.0

    def unreachable(sentence: str) -> None:
        watcher.said(sentence)
        log.write("unreachable", message=sentence)

    def sent(done: int, total: int) -> None:
        nonlocal last
        watcher.sent(done, total)
        if done == total or time.monotonic() - last >= PAUSE:
            last = time.monotonic()
            log.write("sent", done=done, total=total)

    return unreachable, sent


def _cleared(connection: Connection, place: Place, run: Path, ending: Ending) -> tuple[Place, Ending]:
    """Take away there what nobody needs any more."""
    try:
        take_away(connection, place.job)
    except RemoteError as error:
        left = f"what it had there could not be removed ({error}): `vasomim machines --clean {place.machine}` does so"
        return place, replace(ending, message="; ".join(filter(None, (ending.message, left))))
    return place.now("gone", run), ending


def _loss(place: Place, ending: Ending, resuming: str = "resuming it") -> str:
    """What is said of a run whose process is gone."""
    said = f" ({ending.message})" if ending.message else ""
    then = f"{resuming} goes on from its last saved state" if ending.resumable else "it had saved no state"
    why = ending.why or f"the process on {place.machine} is gone without a word, killed or out of memory"
    return f"{why}{said}; {then}"


def _outcome(connection: Connection, place: Place, run: Path, ending: Ending) -> Outcome:
    """How it ended, in words.

    Raises:
        RunError: it has failed, or its process is gone.
    """
    there = (
        f"what resuming needs stays on {place.machine} until the run has ended; "
        f"`vasomim machines --clean {place.machine}` removes it"
    )
    if ending.reason == "lost":
        raise RunError(_loss(place, ending, f"--resume {run}"))
    if ending.reason == "left" and ending.message:
        raise RemoteError(f"{ending.message}; the run itself may go on, and resuming finds it again")
    if ending.reason == "failed":
        raise RunError(f"{ending.message.rstrip('.') or 'the run failed'} (on {place.machine})")
    message = ending.message
    if ending.reason == "stopped" and ending.resumable:
        message = "; ".join(filter(None, (ending.why, there)))
    return Outcome(run, place.machine, cast(Reason, ending.reason), message)
