"""A comparison on another machine: sent, started, followed, found again; what comes of it lands in its folder here.

    outcome = compare_elsewhere(out, Comparison((labels,)), "cluster")

The same command runs there, on data sets and frames under numbers. Scores, events and models come here as they are
made, under their own names, and the report is written here, from them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vasomim_core.comparing.report import write_report
from vasomim_core.comparing.settings import Comparison
from vasomim_core.comparing.standing import SCORES
from vasomim_core.comparing.work import Outcome, Work
from vasomim_core.data.spool import spool
from vasomim_core.errors import RemoteError, RunError
from vasomim_core.files import open_ordinary, write_json
from vasomim_core.remote.asked import LOOK, Asked, Interrupted, Patience
from vasomim_core.remote.compared import Names, place_file
from vasomim_core.remote.connection import Connection
from vasomim_core.remote.machine_check import differences, look, require
from vasomim_core.remote.machines import machine_named
from vasomim_core.remote.parcel import pack_comparison, there
from vasomim_core.remote.place import Place, place_of
from vasomim_core.remote.queue_words import SAVED, ended_by, in_queue
from vasomim_core.remote.running import Watcher
from vasomim_core.remote.sending import Listing, commands, listed, send, take_away
from vasomim_core.training.runs import exclusive

POLL = 10.0
"""Seconds between two looks at what has come; three times as many on a cluster, where each look asks SLURM, too."""
Reason = Literal["finished", "stopped", "cancelled", "left"]
BROUGHT = "brought.json"
"""In the folder of a comparison, which files have come from there, by their size and time there."""
DONE = {"model.safetensors": "trained", "scores.csv": "scored"}
"""What the coming of a file says."""
Answer = dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """What came of a comparison elsewhere, as far as it has been followed.

    Attributes:
        report: its path, over all that is here by now.
        rows: their names.
        machine: where it is or was.
        reason: "finished", "stopped" and "left" (it goes on there) are gone on with by the same command; "cancelled".
        failures: a sentence for each job that could not be done, by its name.
        message: what a person should know besides; empty = nothing.
    """

    report: Path
    rows: tuple[str, ...]
    machine: str
    reason: Reason
    failures: dict[str, str] = field(default_factory=dict)
    message: str = ""


def compare_elsewhere(
    out: Path, comparison: Comparison, name: str | None = None, watcher: Watcher | None = None
) -> Compared:
    """Compare on another machine, and follow that to its end.

    SIGINT stops it after the step in hand; a second one cancels it. SIGTERM leaves it to itself.

    Args:
        out: folder of the comparison here.
        comparison: its settings, as for a comparison here.
        name: of the machine; None = where the comparison in `out` is.
        watcher: who is told.

    Raises:
        Lost, RemoteError: the machine cannot be reached at the start, or is no place for it.
        RunError: it is on another machine, was begun here, or its process there is gone.
        ConfigError, LabelError, InputError: settings or data that cannot be used, as here.
    """
    watcher = watcher or Watcher()
    place = _place(out, name)
    connection = _connection(place.machine)
    found = look(connection) if place.state == "sending" else None
    if found is not None:
        require(connection.name, found, comparison.device)
    work = Work(out, comparison)
    place.write(out)
    asked = Asked()
    with asked.listening(), exclusive(out):
        if found is not None:
            for sentence in differences(connection.name, found):
                watcher.said(sentence)
            with spool(out) as keep:
                parcel = pack_comparison(work.comparison, keep)
                place = replace(place, names=parcel.names, left_out=tuple(parcel.left_out))
                place.write(out)
                watcher.listed(listed(connection, found, parcel))
                send(connection, place, parcel, asked, watcher.said, watcher.sent)
            place = place.now("there", out)
        followed = _Followed(work, place, connection, asked, watcher)
        if found is None:
            followed.go_on()
        return followed.to_the_end()


def list_comparison(comparison: Comparison, name: str, folder: Path) -> tuple[Listing, list[str]]:
    """What would be sent for a comparison, and sentences on the machine and on the files; nothing is sent.

    Args:
        comparison: its settings.
        name: of the machine.
        folder: on whose disk frames are put away meanwhile; nothing of them stays.

    Raises:
        VasoMIMError: as `compare_elsewhere`, before it sends anything.
    """
    connection = _connection(name)
    found = look(connection)
    require(name, found, comparison.device)
    with spool(folder) as keep:
        parcel = pack_comparison(comparison.settled(), keep)
        listing = listed(connection, found, parcel)
    return listing, [*differences(name, found), *parcel.notes, *parcel.left_out]


def _connection(name: str) -> Connection:
    """To a machine; a comparison is one process, which several GPUs do not help."""
    machine = machine_named(name)
    return Connection(name, replace(machine, gpus=min(1, machine.gpus)))


def _place(out: Path, name: str | None) -> Place:
    place = place_of(out)
    if place is None:
        if name is None:
            raise RunError(f"the comparison in {out} is on no other machine; give --on NAME")
        if any((out / folder).exists() for folder in (SCORES, "frames", "pretraining", "finetuning")):
            raise RunError(f"the comparison in {out} was begun here; leave --on out, or give a new folder as --out")
        return Place(name)
    if name not in (None, place.machine):
        raise RunError(f"the comparison in {out} is on {place.machine}, not on {name}; leave --on out")
    if place.state == "gone":
        raise RunError(
            f"nothing of the comparison in {out} is on {place.machine} any more; without --on it goes on here"
        )
    return place


class _Followed:
    """One comparison that is at work elsewhere.

    Args:
        work: the comparison here.
        place: where it is.
        connection: to the machine.
        asked: what is asked of it.
        watcher: who is told.
    """

    def __init__(self, work: Work, place: Place, connection: Connection, asked: Asked, watcher: Watcher):
        self.work, self.place, self.connection, self.asked, self.watcher = work, place, connection, asked, watcher
        self.names = Names(work, place)
        self.brought = _brought(work.out)
        self.queue: dict[str, str] = {}
        self.stop_sent = False

    def go_on(self) -> None:
        """Make sure that it is at work, unless all of it is done.

        Raises:
            Lost, RemoteError: the machine cannot be reached, or cannot go on with it.
        """
        if not self._look()["alive"] and not self._done:
            require(self.place.machine, look(self.connection), self.work.comparison.device)
            self.connection.ask("resume", (), id=self.place.job, **commands(there(self.work.comparison)))

    def to_the_end(self) -> Compared:
        """Follow it; bring here what comes of it, and write the report.

        Raises:
            RunError: its process is gone without a word.
        """
        patience = Patience(lambda: self.asked.cancel or self.asked.leave, self.watcher.said)
        try:
            while True:
                answer = patience.until_done(self._look)
                if not answer["alive"]:
                    return self._ended(answer)
                self._wait()
        except Interrupted:
            if not self.asked.cancel:
                return self._compared("left")
            try:
                take_away(self.connection, self.place.job)
            except RemoteError as error:
                return self._compared("left", message=f"it could not be cancelled: {error}")
            self.place.now("gone", self.work.out)
            return self._compared("cancelled")
        except RemoteError as error:  # it may go on there all the same
            return self._compared("left", message=str(error))

    @property
    def _done(self) -> bool:
        return all(job.done() for job in self.work.jobs.values())

    def _look(self) -> Answer:
        """Pass on a stop that is asked for; how it stands, after all that there is by then has come here."""
        if self.asked.stop and not self.stop_sent:
            self.connection.ask("stop", id=self.place.job)
            self.stop_sent = True
            self.watcher.said("stops after the step in hand; again, and it is cancelled")
        answer = self.connection.ask("compared", id=self.place.job)
        said = in_queue(self.place.machine, answer["queue"])
        if said and said != in_queue(self.place.machine, self.queue):
            self.watcher.said(said)
        self.queue = answer["queue"]
        new = [
            name
            for name, known in answer["files"].items()
            if self.brought.get(name) != known or not self.names.local(name).exists()
        ]
        if new:
            try:
                self._bring(sorted(new, key=_late), answer)
            finally:
                write_json(self.work.out / BROUGHT, self.brought)
        return answer

    def _bring(self, names: list[str], answer: Answer) -> None:
        with self.connection.answers("fetch", id=self.place.job, names=names) as answers:
            for one, content in answers:
                if one.get("all"):
                    break
                name = str(one["name"])
                path = self.names.local(name)
                known = path.exists()
                place_file(self.names, name, content, answer["job"])
                self.brought[name] = answer["files"].get(name)
                if not known and path.name in DONE:
                    what = path.parent.relative_to(self.work.out).as_posix()
                    self.watcher.said(f"{DONE[path.name]}: {what}")

    def _wait(self) -> None:
        """Until it is time for another look, or something is asked.

        Raises:
            Interrupted: the following is to end.
        """
        until = time.monotonic() + (3 if self.connection.machine.slurm else 1) * POLL
        while time.monotonic() < until:
            if self.asked.cancel or self.asked.leave:
                raise Interrupted
            if self.asked.stop and not self.stop_sent:
                return
            time.sleep(min(LOOK, POLL))

    def _ended(self, answer: Answer) -> Compared:
        place, result = self.place, _result(answer)
        if result is None and not self.stop_sent:
            said = "; ".join(map(str, answer["output"]))
            why = ended_by(place.machine, answer["queue"]) or f"the process on {place.machine} is gone without a word"
            raise RunError(f"{why}{f' ({said})' if said else ''}; the same command goes on with the comparison")
        if self._done:
            take_away(self.connection, place.job)
            place.now("gone", self.work.out)
            return self._compared("finished")
        failed = [str(sentence).partition(": ") for sentence in (result or {}).get("failed", [])]
        failures = {self.names.words(name): self.names.words(why) for name, _, why in failed}
        kept = f"what going on needs stays on {place.machine}; `vasomim machines --clean {place.machine}` removes it"
        unasked = result is not None and result["stopped"] and not self.stop_sent and self.queue
        message = f"{SAVED}; {kept}" if unasked else kept
        return self._compared("finished" if failures else "stopped", failures, message)

    def _compared(self, reason: Reason, failures: dict[str, str] | None = None, message: str = "") -> Compared:
        outcome = Outcome(failures or {}, stopped=reason != "finished")
        report, rows = write_report(self.work, outcome), tuple(row.name for row in self.work.rows)
        return Compared(report, rows, self.place.machine, reason, outcome.failures, message)


def _brought(out: Path) -> dict[str, Any]:
    """Size and time there of the files that are here already; what cannot be read is brought again."""
    try:
        with open_ordinary(out / BROUGHT) as file:
            known = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _late(name: str) -> tuple[bool, str]:
    """What tells that something is there comes after it: models after events, scores after their pictures."""
    return name.endswith(tuple(DONE)), name


def _result(answer: Answer) -> dict[str, Any] | None:
    """What the command there has printed at its end; None = it has not come to it."""
    try:
        result = json.loads(answer["output"][-1])
    except (IndexError, ValueError, TypeError):
        return None
    return result if isinstance(result, dict) and {"stopped", "failed"} <= result.keys() else None
