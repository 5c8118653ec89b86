"""Start, follow, stop: a training run is a child process that runs the very command line, never a thread.

    job = start(replace(config, run=new_run_folder(default_runs_folder(), "left-coronary")))
    job.status().message        # as often as you like
    job.stop()                  # keeps the model; `resume(job.run)` goes on

The child is in a session of its own and writes to files alone, so it neither needs the window nor holds it up. Nothing
here is Qt, and nothing loads torch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from napari_vasomim.runs.folder import (
    QUEUED,
    RunFolder,
    RunStatus,
    default_runs_folder,
    last_sentence,
    list_runs,
    new_run_folder,
)
from napari_vasomim.runs.report import report
from vasomim_core.config import FinetuneConfig, Pretraining, check
from vasomim_core.errors import RunError
from vasomim_core.remote import running
from vasomim_core.remote.place import Place
from vasomim_core.training.events import EventLog, Follower
from vasomim_core.training.runs import LOCK, OUTPUT, SETTINGS, absolute, exclusive, job_name, save_config

__all__ = [
    "Follower",
    "Job",
    "RunStatus",
    "attach",
    "begin",
    "default_runs_folder",
    "list_runs",
    "new_run_folder",
    "prepare",
    "report",
    "resume",
    "start",
]

PATIENCE = 60.0
"""Seconds without a sign of life (an event, or time on a processor) after which a starting child is given up."""
GRACE = 2.5
"""Seconds between SIGTERM and SIGKILL when a run is cancelled."""
LEAVING = 20.0
"""Seconds that a process gets which follows a run on another machine: what it is just sending it takes back."""
LOWEST = 19
if sys.platform == "win32":
    STOP = signal.CTRL_BREAK_EVENT
else:
    STOP = signal.SIGTERM


def start(config: FinetuneConfig | Pretraining, machine: str = "") -> Job:
    """Start a run in `config.run`, which must be new or empty.

    Args:
        config: its settings.
        machine: the name of the other machine that is to compute it; empty = this computer. The process here sends what
            it reads, starts it there and follows it.

    Raises:
        ConfigError: a setting out of range.
        RunError: the folder holds something, or the process cannot be started.
    """
    check(config)
    run = config.run
    with _made(run):
        _fill(run, config)
        if machine:
            Place(machine).write(run)  # at once: never is it taken for one of this computer
        job = _spawn(run, job_name(config), [*_by_settings(run), *(["--on", machine] if machine else [])])
    _lower_priority(job)
    return job


def prepare(config: FinetuneConfig | Pretraining) -> None:
    """Make the folder of a run that begins later, see `begin`; raises as `start`."""
    check(config)
    with _made(config.run):
        _fill(config.run, config)


def begin(run: Path) -> Job:
    """Start a run that waits; whatever comes of it, it does not wait any more then.

    Raises:
        RunError: it does not wait, or its process cannot be started.
    """
    with exclusive(run):
        status = RunFolder(run).status()
        if status.state != "waiting":
            raise RunError(f"the run in {run} does not wait; it may have begun in another window")
        (run / QUEUED).unlink()
        try:
            job = _spawn(run, status.job, _by_settings(run))
        except RunError as error:
            EventLog(run).write("end", reason="failed", message=str(error))
            raise
    _lower_priority(job)
    return job


@contextmanager
def _made(run: Path) -> Iterator[None]:
    """A folder that is there, and in which nobody else works for the block."""
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{run} cannot be written ({error.strerror}); choose another folder for the run") from error
    with exclusive(run):
        yield


def _fill(run: Path, config: FinetuneConfig | Pretraining) -> None:
    if any(path.name != LOCK for path in run.iterdir()):
        raise RunError(f"{run} exists and is not empty; give a new folder, or resume the run in it")
    try:
        save_config(run / SETTINGS, absolute(config))
    except OSError as error:
        raise RunError(f"{run} cannot be written ({error.strerror}); choose another folder for the run") from error


def _by_settings(run: Path) -> list[str]:
    return ["--config", str(run / SETTINGS), "--run", str(run)]


def resume(run: Path) -> Job:
    """Go on with a run that was stopped, cancelled, killed, or has failed; find one on another machine again.

    Raises:
        RunError: there is no run in the folder, it is finished, running, or nothing of it is there any more.
    """
    earlier = attach(run)
    if earlier.status().alive:
        raise RunError(f"the run in {run} is still running; stop it first, or wait for its end")
    with exclusive(run):  # so that of two windows that resume it at once one sees the process of the other
        status = earlier.status()
        if status.alive:
            raise RunError(f"the run in {run} is still running; stop it first, or wait for its end")
        if status.state == "finished":
            raise RunError(f"the run in {run} is finished; start a new one from its model instead")
        if status.whereabouts == "gone":
            raise RunError(f"nothing of the run in {run} is on {status.machine} any more; start a new one")
        job = _spawn(run, status.job, ["--resume", str(run)])
    _lower_priority(job)
    return job


def attach(run: Path) -> Job:
    """Take up a run that an earlier session or a terminal has started, or look at one that has ended.

    Raises:
        RunError: there is no run in the folder.
    """
    job = Job(run)
    try:
        job.status()
    except (OSError, ValueError) as error:
        raise RunError(f"{run} holds no run ({_why(error)}); choose the folder of one") from error
    return job


class Job:
    """One run and its process.

    Args:
        run: the run folder.
        child: its process, where this session has started it.
    """

    def __init__(self, run: Path, child: subprocess.Popen[bytes] | None = None):
        self.run = run
        self._folder, self._child = RunFolder(run), child
        self._cancelling = False
        self._sign = (time.monotonic(), 0.0)  # when the child was last seen at work, and its processor time then

    @property
    def pid(self) -> int | None:
        """The process that this session has started; None where it has not."""
        return self._child.pid if self._child is not None else None

    def status(self) -> RunStatus:
        """How the run stands now; takes well under a millisecond."""
        child = self._child
        if self._cancelling:  # by another thread, which will say how it ended
            return self._folder.status(alive=True)
        if child is None:
            return self._folder.status()
        code = child.poll()  # before the events are read: what a dead child has said is complete
        if code is None:
            return self._starting() or self._folder.status(alive=True)
        self._child = None
        facts = self._folder.facts()
        place = self._folder.elsewhere()
        there = place is not None and place.state == "there"  # where the run goes on, or says how it ends
        if facts.end is None and facts.pid in (None, child.pid) and not there:  # it has not said why; the folder does
            stopped = self._folder.facts().stop
            self._end("stopped" if stopped else "failed", "" if stopped else _reason(code, self.run))
        return self._folder.status(alive=False)

    def stop(self) -> None:
        """Stop after the step in hand, keep the model and what resuming needs; returns at once.

        A run that has not begun to train ends at once and has nothing to keep. On Windows a child without a console
        hears no signal; it reads the `stop` event after its step.
        """
        process = self._process()
        if process is None:
            return
        EventLog(self.run).write("stop")
        with suppress(psutil.Error, OSError):
            process.send_signal(STOP)

    def cancel(self) -> None:
        """End the whole process tree, within 5 s, and mark the run as cancelled; its folder is kept.

        Waits for the end: call it from a thread. A run that has ended by itself stays what it is. Of one on another
        machine nothing is left there.

        Raises:
            RunError: the run folder is in use.
            RemoteError: the other machine cannot be reached; the run goes on there, and nobody follows it.
        """
        if self._folder.elsewhere() is not None:
            self._cancel_elsewhere()
            return
        process = self._process()
        if process is None:
            return
        self._cancelling = True
        try:
            EventLog(self.run).write("stop")
            _end_tree(process)
            if self._child is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._child.wait(1)
                self._child = None
            if self._folder.status(alive=False).state != "finished":
                self._end("cancelled")
        finally:
            self._cancelling = False

    def _cancel_elsewhere(self) -> None:
        """End who follows the run, which takes back what it is just sending, then the run itself."""
        self._cancelling = True
        try:
            if (process := self._process()) is not None:
                with suppress(psutil.Error):  # a timeout is one, too
                    process.terminate()
                    process.wait(LEAVING)
                _end_tree(process)
            if self._child is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._child.wait(1)
                self._child = None
            running.cancel(self.run)
        finally:
            self._cancelling = False

    def leave(self) -> None:
        """Let the run go on by itself; `attach` takes it up again, in this session or a later one."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # of a child that lives on: that is the point
            self._child = None

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait until the process has ended, or `timeout` seconds; the status then."""
        with suppress(subprocess.TimeoutExpired, psutil.Error):
            if self._child is not None:
                self._child.wait(timeout)
            elif (process := self._process()) is not None:
                process.wait(timeout)
        return self.status()

    def _process(self) -> psutil.Process | None:
        if self._child is None:
            return self._folder.process()
        if self._child.poll() is not None:
            return None
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._child.pid)
        return None

    def _starting(self) -> RunStatus | None:
        """Give a child up that shows no sign of life. On a busy machine the lowest priority waits long, and may."""
        facts, child = self._folder.facts(), self._child
        if facts.opened or child is None or self._folder.elsewhere() is not None:  # that may take long to answer
            return None
        now, (seen, worked) = time.monotonic(), self._sign
        with suppress(psutil.Error):
            times = psutil.Process(child.pid).cpu_times()
            if times.user + times.system > worked:
                self._sign = seen, _ = now, times.user + times.system
        if now - seen < PATIENCE:
            return None
        _end_tree(psutil.Process(child.pid))
        child.wait(1)
        self._child = None
        self._end("failed", f"The training process did not begin to work within {PATIENCE:.0f} s and was ended.")
        return self._folder.status(alive=False)

    def _end(self, reason: str, message: str = "") -> None:
        EventLog(self.run).write("end", reason=reason, message=message)


def _why(error: OSError | ValueError) -> str:
    return f"{SETTINGS}: {error.strerror}" if isinstance(error, OSError) else str(error)


def _spawn(run: Path, job: str, arguments: Sequence[str]) -> Job:
    """Start the command line in a session of its own, its output in a file."""
    if (run / OUTPUT).exists() and not (run / OUTPUT).is_file():
        raise RunError(f"{run / OUTPUT} is no ordinary file; remove it")
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.IDLE_PRIORITY_CLASS | subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        options = {"creationflags": flags}
    # -P: what lies in the folder that napari was started in is not taken for a module.
    command = [sys.executable, "-P", "-m", "vasomim_core", job, *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    # Threads that spin while they wait for each other would take the processor from the window.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    child = None
    try:
        with open(run / OUTPUT, "wb") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                **options,
            )
        EventLog(run).write("spawn", job=job, pid=child.pid)
    except OSError as error:
        if child is not None:
            child.kill()
            child.wait()
        raise RunError(f"the training process cannot be started in {run} ({error.strerror or error})") from error
    return Job(run, child)


def _lower_priority(job: Job) -> None:
    """Nice 19, for the process and for its session: on a Linux desktop niceness only counts within a session."""
    pid = job.pid
    if sys.platform == "win32" or pid is None:
        return
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, LOWEST)
    group = Path(f"/proc/{pid}/autogroup")
    for _ in range(2):
        try:
            group.write_text(str(LOWEST))
        except BlockingIOError:  # the kernel takes one change in 100 ms
            time.sleep(0.11)
        except OSError:  # another system, or switched off
            return
        else:
            return


def _end_tree(process: psutil.Process) -> None:
    """End a process and all that it has started: first asked to, then made to."""
    tree = [process]
    with suppress(psutil.Error):
        tree += process.children(recursive=True)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for member in tree:
            with suppress(psutil.Error):
                end(member)
        _, tree = psutil.wait_procs(tree, timeout=GRACE / 2 if end is psutil.Process.kill else GRACE)


def _reason(code: int, run: Path) -> str:
    """Why a process has ended that did not say so itself."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        memory = "; a common cause is that memory ran out" if name == "SIGKILL" else ""
        return f"The training process was ended from outside ({name}){memory}."
    return last_sentence(run) or f"The training process ended with code {code}."
