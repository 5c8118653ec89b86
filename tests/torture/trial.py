"""One trial: its folder, its random numbers, the processes it starts, and what went wrong in it."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import psutil

from vasomim_core.errors import VasoMIMError

LIMIT = 20.0
"""Seconds that anything may take that takes a fraction of one on an idle machine."""
TRAINING = 120.0
"""Seconds that a tiny training run may take."""
MOST_MEMORY = 3 << 30
"""Bytes of memory that nothing here may take; a laptop has 8 GB."""
REFUSED, BROKEN = 1, 70
"""Exit codes: a sentence for a person; anything else that was raised."""


@dataclass
class Ended:
    """How a process ended.

    Attributes:
        code: its exit code; negative = the signal that ended it; None = it was ended for taking too long or too much.
        output: what it printed.
    """

    code: int | None
    output: str

    @property
    def refused(self) -> bool:
        """Whether it ended in a sentence."""
        return self.code == REFUSED


class Child:
    """A forked process that calls a function: what is imported already need not be imported again.

    An error meant for a person ends it with `REFUSED`, another one with `BROKEN` and a traceback in the output.
    """

    def __init__(self, log: Path, work: Callable[..., Any], *arguments: Any) -> None:
        self.log, self.began = log, time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _live(log, work, arguments)

    def kill(self) -> None:
        """End it as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)

    def running(self) -> bool:
        """Whether it has not ended yet."""
        info = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return info is None

    def wait(self, limit: float = LIMIT) -> Ended:
        """Wait for its end."""
        end = time.monotonic() + limit
        process = psutil.Process(self.pid)
        while self.running():
            if time.monotonic() > end or process.memory_info().rss > MOST_MEMORY:
                self.kill()
                os.waitpid(self.pid, 0)
                return Ended(None, self._output())
            time.sleep(0.003)
        return Ended(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), self._output())

    def _output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


def _live(log: Path, work: Callable[..., Any], arguments: tuple[Any, ...]) -> NoReturn:
    code = BROKEN
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        sys.stdout = sys.stderr = io.TextIOWrapper(io.FileIO(1, "w"), "utf-8", "replace", write_through=True)
        code = work(*arguments) or 0
    except VasoMIMError as error:
        print(error)
        code = REFUSED
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code if isinstance(code, int) else 0)


@dataclass
class Trial:
    """One trial.

    Attributes:
        folder: empty, and of this trial alone.
        random: what it draws from.
        tried: how many trials it counts as.
        faults: what went wrong: "loss", "traceback" or "hang", and words.
    """

    folder: Path
    random: np.random.Generator
    tried: int = 1
    faults: list[tuple[str, str]] = field(default_factory=list)
    _logs: int = 0

    def fault(self, kind: str, words: str) -> None:
        """Something went wrong."""
        self.faults.append((kind, words))

    def start(self, work: Callable[..., Any], *arguments: Any) -> Child:
        """Call a function in a process of its own."""
        self._logs += 1
        return Child(self.folder / f"{self._logs}.log", work, *arguments)

    def run(self, work: Callable[..., Any], *arguments: Any, limit: float = LIMIT) -> Ended:
        """Call a function in a process of its own, and wait for its end."""
        return self.examine(self.start(work, *arguments).wait(limit))

    def examine(self, ended: Ended, killed: bool = False) -> Ended:
        """Note a traceback, a crash or a hang; `killed`: the trial may have ended it by SIGKILL itself."""
        if ended.code is None:
            self.fault("hang", f"took too long or over {MOST_MEMORY >> 30} GB: {ended.output[-300:]}")
        elif "Traceback" in ended.output or ": unexpected " in ended.output or ended.code == BROKEN:
            self.fault("traceback", ended.output[-1500:])
        elif ended.code == -signal.SIGALRM:
            self.fault("hang", f"took over {LIMIT:g} s: {ended.output[-300:]}")
        elif ended.code < 0 and not (killed and ended.code == -signal.SIGKILL):
            self.fault("traceback", f"ended by signal {-ended.code}: {ended.output[-300:]}")
        return ended

    def judged(self, work: Callable[..., Any], *arguments: Any, limit: float = LIMIT) -> Ended:
        """Let an undisturbed process say what is lost: what it prints beginning with LOST, or that it cannot go on."""
        ended = self.run(work, *arguments, limit=limit)
        lost = [line for line in ended.output.splitlines() if line.startswith("LOST")]
        for line in lost:
            self.fault("loss", line)
        if ended.code and not lost and not self.faults:
            self.fault("loss", f"it cannot go on (exit code {ended.code}): {ended.output[-500:]}")
        return ended

    def pause(self, longest: float) -> None:
        """Wait a random time of at most some seconds, short times more often than long ones."""
        time.sleep(longest * self.random.random() ** 2)
