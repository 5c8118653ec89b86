"""What a run folder tells: its state, from its events and from whether its process lives; and the list of all runs.

Nothing is remembered here that the folder does not hold, so a run that another session, a terminal or another computer
made is told of like one's own.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from napari_vasomim.runs.about import read_about
from napari_vasomim.runs.machine import load
from vasomim_core.errors import RunError
from vasomim_core.files import open_ordinary, plain_name
from vasomim_core.models.catalogue import model_folder
from vasomim_core.remote.place import Place, place_of
from vasomim_core.remote.sending import megabytes
from vasomim_core.training.events import FILE, Follower
from vasomim_core.training.runs import ELSEWHERE, JOBS, MODEL, OUTPUT, SETTINGS

State = Literal[
    "waiting",
    "starting",
    "preparing",
    "sending",
    "running",
    "cut off",
    "stopping",
    "not followed",
    "finished",
    "stopped",
    "failed",
    "cancelled",
    "lost",
    "unreadable",
]
ALIVE = frozenset({"starting", "preparing", "sending", "running", "cut off", "stopping"})
"""States of a run whose process lives; that of a run on another machine follows it from here."""
RESUMABLE = frozenset({"not followed", "stopped", "cancelled", "lost", "failed"})
QUEUED = "queued"
"""The file in the folder of a run that waits, with its place in the queue."""
SILENT = 120
"""Seconds without an event after which a running run says so."""
PAUSE = 5
"""Seconds without an event after which it matters whether the computer is busy."""


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Attributes:
        run: the run folder.
        job: "finetune", "pretrain" or "segmentor"; empty = its settings cannot be read.
        state: see `State`; "lost" = the process is gone and did not say why, "unreadable" = the folder is damaged, and
            `message` says why. Of a run on another machine: "cut off" = that cannot be reached and is tried again,
            "not followed" = it lies there, mostly at work, and no process here knows how it stands.
        epoch: the epoch in hand, from 1; 0 = not there yet.
        epochs: how many there will be; 0 = not known yet.
        progress: share of the steps that are done, in [0, 1].
        eta: seconds to the end, as the run itself last said; None = not known.
        memory: peak memory in bytes, of the GPU where there is one; None = not known.
        device: "cpu", "cuda:0", …; empty = not known yet.
        scores: of the last validation, in percent, DSC first; empty before the first, and in pretraining.
        best: of the best validation.
        best_epoch: the epoch of it; 0 = none, or the model it started from.
        message: for a person: what it does, or why it ended, after a failure with the last lines of its output.
        model: the model file, as soon as there is one.
        pid: its process, as last known.
        started: when it was first started, in seconds since 1970.
        modified: when it last said something, in seconds since 1970.
        name: what it is called in lists.
        notes: what a person has noted.
        place: in the queue, of a run that waits; see `queue`.
        machine: which other machine computes it, by its name; empty = this computer does.
        whereabouts: of a run on another machine: whether it is "sending", lies "there", or is "gone" from there.
    """

    run: Path
    job: str
    state: State
    epoch: int
    epochs: int
    progress: float
    eta: float | None
    memory: int | None
    device: str
    scores: Mapping[str, float]
    best: Mapping[str, float]
    best_epoch: int
    message: str
    model: Path | None
    pid: int | None
    started: float
    modified: float
    name: str = ""
    notes: str = ""
    place: int | None = None
    machine: str = ""
    whereabouts: Literal["", "sending", "there", "gone"] = ""

    @property
    def resumable(self) -> bool:
        """Whether it can go on, or be found again."""
        return self.state in RESUMABLE and self.whereabouts != "gone"

    @property
    def alive(self) -> bool:
        """Whether its process lives."""
        return self.state in ALIVE


@dataclass
class _Facts:
    """What the events of a run add up to."""

    pid: int | None = None
    told: float = math.inf  # when the process said its number
    gone: bool = False  # that process has been seen to be gone
    started: float | None = None
    opened: bool = False
    training: bool = False
    prepared: str = ""
    device: str = ""
    steps: int = 0
    step: int = 0
    epochs: int = 0
    epoch: int = 0
    eta: float | None = None
    memory: int | None = None
    validations: list[dict[str, Any]] = field(default_factory=list)
    sent: dict[str, Any] | None = None
    unreachable: str = ""
    stop: bool = False
    end: dict[str, Any] | None = None

    def add(self, event: dict[str, Any]) -> None:
        """Take one event in; fields that an older version did not write are missed quietly."""
        kind = event["event"]
        if kind != "stop":
            self.unreachable = event["message"] if kind == "unreachable" else ""
        if kind in ("spawn", "open", "start"):
            self.pid, self.told, self.gone = event.get("pid"), event.get("time", 0.0), False
            self.started = self.started or self.told
        if kind in ("spawn", "open"):
            # Of an earlier life, unless it was asked for between the two.
            self.stop = self.stop and kind == "open" and not self.opened
            self.opened, self.training = kind == "open", False
            self.prepared, self.end, self.eta, self.sent = "", None, None, None
        elif kind == "start":
            self.opened = self.training = True
            self.end = None
            self.steps, self.epochs, self.step = event.get("steps", 0), event.get("epochs", 0), event.get("resumed", 0)
            self.device = event.get("device", "")
            self.validations = [v for v in self.validations if v.get("step", 0) <= self.step]
        elif kind == "prepare":
            self.prepared = f"Reads frames: {event.get('done')} of {event.get('total')}."
        elif kind == "queue":  # of a cluster, at first or again
            self.training, self.prepared, self.end = False, event["message"], None
        elif kind == "sent":
            self.sent, self.prepared = event, ""
        elif kind == "pace":
            self.step, self.eta = event["step"], event["eta"]
            self.epoch = event.get("epoch", self.epoch)
        elif kind == "step":
            self.step, self.epoch = event.get("step", 0), event.get("epoch", 0)
            self.eta, self.memory = event.get("eta"), event.get("memory") or None
        elif kind == "validation":
            self.validations.append(event)
        elif kind == "stop":
            self.stop = True
        elif kind == "end":
            self.end = event

    @property
    def best(self) -> dict[str, Any]:
        """The best validation; empty = none yet."""
        return max(self.validations, key=lambda v: next(iter(v["scores"].values())), default={})


class RunFolder:
    """A run seen from outside; cheap enough to be asked every 250 ms, from any thread.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path):
        self.run = run
        self._follower, self._facts, self._lock = Follower(run), _Facts(), threading.Lock()
        self._segmentor: RunFolder | None = None
        self._elsewhere: tuple[tuple[int, int], Place | None] = ((0, 0), None)

    def facts(self) -> _Facts:
        """What the events say up to now."""
        with self._lock:
            for event in self._follower.new_events():
                self._facts.add(event)
            return self._facts

    def elsewhere(self) -> Place | None:
        """Where the run is; None = on this computer. Read anew only where that was written anew.

        Raises:
            ValueError: what says so is damaged.
        """
        try:
            stat = (self.run / ELSEWHERE).stat()
        except OSError:
            return None
        mark = stat.st_mtime_ns, stat.st_ino
        if self._elsewhere[0] != mark:
            try:
                self._elsewhere = mark, place_of(self.run)
            except RunError as error:
                raise ValueError(str(error)) from error
        return self._elsewhere[1]

    def process(self) -> psutil.Process | None:
        """The process of this run; None when it is gone, or its number belongs to another one by now."""
        facts = self.facts()
        if facts.pid is None or facts.gone:
            return None
        try:
            process = psutil.Process(facts.pid)
            command = process.cmdline()
            # In its first instant a process has no command yet; a clock that was set makes creation times differ.
            early = process.create_time() <= facts.told + 5
            ours = str(self.run) in command or (early and (not command or any("vasomim" in part for part in command)))
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.NoSuchProcess:
            pass
        except psutil.AccessDenied:  # of another user
            return None
        facts.gone = True
        return None

    def status(self, alive: bool | None = None) -> RunStatus:
        """How the run stands.

        Args:
            alive: whether its process lives, where the caller knows better.

        Raises:
            OSError: the folder cannot be read.
            ValueError: it is not the folder of a run.
        """
        job = _job(self.run)
        alive = self.process() is not None if alive is None else alive
        facts, elsewhere = self.facts(), self.elsewhere()
        state, place = _state(facts, alive, elsewhere), None
        if state == "lost" and facts.pid is None and (place := read_place(self.run)) is not None:
            state = "waiting"
        model = self.run / MODEL
        best, about = facts.best, read_about(self.run)
        written = [path.stat().st_mtime for n in (FILE, SETTINGS) if (path := self.run / n).exists()]
        return RunStatus(
            run=self.run,
            job=job,
            state=state,
            epoch=facts.epoch,
            epochs=facts.epochs,
            progress=min(1.0, facts.step / facts.steps) if facts.steps else 0.0,
            eta=facts.eta if state == "running" else None,
            memory=facts.memory,
            device=facts.device,
            scores=dict(facts.validations[-1]["scores"]) if facts.validations else {},
            best=dict(best.get("scores", {})),
            best_epoch=best.get("epoch", 0),
            message="\n".join([self._message(facts, state, written[0], model.exists(), elsewhere), *self._damage()]),
            model=model if model.exists() else None,
            pid=facts.pid,
            started=facts.started or written[-1],
            modified=written[0],
            name=about.name or self.run.name,
            notes=about.notes,
            place=place,
            machine=elsewhere.machine if elsewhere is not None else "",
            whereabouts=elsewhere.state if elsewhere is not None else "",
        )

    def _message(self, facts: _Facts, state: State, heard: float, model: bool, elsewhere: Place | None) -> str:
        if elsewhere is not None and (said := self._message_from(elsewhere, facts, state, model)):
            return said
        here = elsewhere is None
        where = f"epoch {facts.epoch} of {facts.epochs}" if facts.epoch else "the first epoch"
        kept = "and kept its model" if model else "before there was a model"
        best = facts.best
        score = "".join(f"; best {k.upper()} {v:.1f} %" for k, v in list(best.get("scores", {}).items())[:1])
        if best:
            score += f" at epoch {best['epoch']}" if best.get("epoch") else ", that of the model it started from"
        silent = time.time() - heard
        if state == "waiting":
            return "Waits until the runs before it have ended; it begins while a window with this panel is open."
        if state == "starting":
            return f"The training process starts.{_busy()}"
        if state == "preparing":
            said = self._segmentor_message() or facts.prepared or "Reads the settings and the frames."
            return f"{said}{_busy() if silent > PAUSE and here else ''}"
        if state == "running":
            news = f" It has said nothing for {silent / 60:.0f} min." if silent > SILENT else ""
            if here and (silent > PAUSE or not facts.epoch):
                news += _busy()
            return f"Trains: {where}{score}.{news}"
        if state == "stopping":
            return "Stops after the step in hand and keeps its model."
        if state == "finished":
            early = facts.end is not None and facts.end.get("reason") == "patience"
            return f"Ended at {where}, as scores did not rise any more{score}." if early else f"Finished{score}."
        if state == "stopped":
            return f"Stopped at {where} {kept}; resume goes on with it{score}."
        if state == "cancelled":
            return f"Cancelled at {where}; its folder is kept."
        if state == "lost":
            said = "The process is gone without a word: it was killed, or the run goes on on another computer."
        else:
            said = str((facts.end or {}).get("message", "")) or "The run failed."
        return "\n".join([said, *(line for line in tail(self.run) if said not in line and line not in said)])

    def _message_from(self, place: Place, facts: _Facts, state: State, model: bool) -> str:
        """What is to be said of a run on another machine alone; empty = what is said of every run."""
        machine, going_on = place.machine, "the run goes on there"
        if state == "starting":
            return f"Asks {machine} what it is." if place.state == "sending" else f"Finds the run on {machine} again."
        if state == "preparing" and place.state == "sending":
            return f"{facts.prepared or 'Reads the frames.'} Nothing is sent to {machine} before all are read."
        if state in ALIVE and place.state == "gone":
            return "Has ended; what came of it is here."
        if state == "preparing" and not facts.prepared and not self._segmentor_message():
            return f"Begins on {machine}." if facts.sent is not None else f"Finds the run on {machine} again."
        if state == "sending" and facts.sent is not None:
            done, total = (megabytes(facts.sent[name]) for name in ("done", "total"))
            return f"Sends what it reads: {done} of {total}."
        if state == "cut off":
            more = f" Meanwhile {going_on}." if place.state == "there" else ""
            return f"{facts.unreachable}.{more}"
        if state == "stopping" and facts.unreachable:
            return f"Is stopped as soon as {machine} can be reached again; until then {going_on}. {facts.unreachable}."
        if state == "not followed":
            why = f"\n{said}" if (said := last_sentence(self.run)) else ""
            return f"Is on {machine} and goes on there; nobody here follows it.{why}"
        if state == "stopped" and place.state == "sending":
            return f"Stopped before it began; nothing of it is on {machine}."
        if state == "lost":
            return f"The process that was to bring it to {machine} is gone without a word; resume does so."
        if state == "failed":  # the output here tells of the way there alone
            return str((facts.end or {}).get("message", "")) or f"The run failed on {machine}."
        if state == "cancelled":
            return f"Cancelled; nothing of it is on {machine} any more. Its folder here is kept."
        if state == "stopped" and place.state == "there":
            kept = "with its model" if model else "before there was a model"
            return f"Stopped {kept}. What resuming needs stays on {machine} until the run has ended."
        return ""

    def _damage(self) -> list[str]:
        """A sentence where lines of the events cannot be used."""
        count, first = self._follower.damaged, self._follower.damage
        return [f"{count} line{'s' if count != 1 else ''} of {FILE} cannot be read ({first})."] if count else []

    def _segmentor_message(self) -> str:
        """What the training of S says that comes before pretraining."""
        folder = self.run / "segmentor"
        if not (folder / FILE).exists():
            return ""
        self._segmentor = self._segmentor or RunFolder(folder)
        facts = self._segmentor.facts()
        if facts.end is not None or not facts.training:
            return ""
        return f"Trains the segmentor S first: epoch {max(1, facts.epoch)} of {facts.epochs}."


def _busy() -> str:
    """What to expect while a process is not heard of, where others keep the processors busy."""
    waiting = load()
    return f" This computer is busy ({waiting:.1f} × what it can do at once): it takes longer." if waiting > 1 else ""


def tail(run: Path, lines: int = 6) -> list[str]:
    """The last lines that the run's process has printed, without empty ones."""
    try:
        with open_ordinary(run / OUTPUT) as file:
            file.seek(max(0, file.seek(0, 2) - 16_384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def last_sentence(run: Path) -> str:
    """The sentence with which the command line has ended ("vasomim finetune: …"); empty = it ended otherwise."""
    program, _, sentence = "".join(tail(run, 1)).partition(": ")
    return sentence if program.startswith("vasomim ") else ""


def read_place(run: Path) -> int | None:
    """The place of a run in the queue; None of one that does not wait."""
    try:
        with open_ordinary(run / QUEUED) as file:
            return int(file.read(20))
    except (OSError, ValueError):
        return None


def list_runs(folder: Path) -> list[RunStatus]:
    """The runs in a folder: those that wait in their order, then the newest first.

    What has no settings is no run and left out. A damaged one hides no other: it is listed as "unreadable", with its
    reason. Each call reads only what the runs have said since the last one.
    """
    try:
        folders = [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []
    runs = []
    for path in folders:
        try:
            runs.append(_seen.setdefault(path, RunFolder(path)).status())
        except (OSError, ValueError) as error:
            _seen.pop(path, None)
            if os.path.lexists(path / SETTINGS):
                runs.append(_unreadable(path, error))
    runs.sort(key=lambda status: status.started, reverse=True)
    return sorted(runs, key=lambda status: math.inf if status.place is None else status.place)


_seen: dict[Path, RunFolder] = {}


def _unreadable(run: Path, error: OSError | ValueError) -> RunStatus:
    try:
        changed = os.lstat(run / SETTINGS).st_mtime
    except OSError:
        changed = 0.0
    reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    file = error.filename if isinstance(error, OSError) and error.filename else run / SETTINGS
    return RunStatus(
        run=run,
        job="",
        state="unreadable",
        epoch=0,
        epochs=0,
        progress=0.0,
        eta=None,
        memory=None,
        device="",
        scores={},
        best={},
        best_epoch=0,
        message=f"The run cannot be read: {Path(file).name}: {reason}",
        model=None,
        pid=None,
        started=changed,
        modified=changed,
        name=run.name,
    )


def new_run_folder(folder: Path, name: str) -> Path:
    """Make a folder in `folder` that no run has, and no other window at the same instant: the name, or with -2, -3, ….

    Signs that some file system refuses become "-"; an empty name becomes "run".

    Raises:
        RunError: it cannot be made.
    """
    plain = plain_name(name, "run")
    path, count = folder / plain, 2
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            path, count = folder / f"{plain}-{count}", count + 1
        except OSError as error:
            raise RunError(f"{path} cannot be written ({error.strerror}); choose another folder for the run") from error
        else:
            return path


def default_runs_folder() -> Path:
    """Where the window puts its runs: `runs`, beside the folder of the models."""
    return model_folder().parent / "runs"


def _job(run: Path) -> str:
    """The job of a run, from the first line of its settings: reading all of them takes a hundred times as long."""
    with open_ordinary(run / SETTINGS) as file:
        key, _, job = file.readline(200).decode(errors="replace").partition(":")
    if key.strip() != "job" or job.strip() not in JOBS:
        raise ValueError(f"its first line does not say job: {' | '.join(JOBS)}")
    return job.strip()


def _state(facts: _Facts, alive: bool, elsewhere: Place | None) -> State:
    """The state is driven by the process: nothing has ended while it lives, and nothing here goes on without it."""
    place = elsewhere.state if elsewhere is not None else ""
    if alive:
        if facts.stop:
            return "stopping"
        if facts.unreachable:
            return "cut off"
        if place == "sending" and facts.sent is not None:
            return "sending"
        return "running" if facts.training else "preparing" if facts.opened else "starting"
    if facts.end is None:
        return "not followed" if place == "there" else "stopped" if facts.stop else "lost"
    if place == "sending" and facts.stop:  # however that ended
        return "stopped"
    ends: dict[str, State] = {
        "finished": "finished",
        "patience": "finished",
        "stopped": "stopped",
        "cancelled": "cancelled",
    }
    return ends.get(str(facts.end.get("reason")), "failed")
