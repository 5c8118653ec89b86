"""What the operating system has to do with a run: stop signals and memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vasomim_core.training.events import Follower


class Stop:
    """Whether somebody asked the run to stop: by a signal, or by a `stop` event in its folder.

    The event also comes through where there are no signals: on Windows, and from another computer.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path):
        self.signalled = self._written = False
        self._events = Follower(run)

    @property
    def asked(self) -> bool:
        """Since the run was opened, for the first time or to resume it; costs a look at the file, some 15 µs."""
        for event in self._events.new_events():
            if event["event"] in ("open", "stop"):
                self._written = event["event"] == "stop"
        return self.signalled or self._written


@contextmanager
def stop_on_request(run: Path) -> Iterator[Stop]:
    """SIGINT, SIGTERM or a `stop` event end the run after the step in hand, saved; a second SIGINT interrupts."""
    stop = Stop(run)

    def ask(number: int, frame: Any) -> None:
        if stop.signalled and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.signalled = True

    numbers = [signal.SIGINT, signal.SIGTERM]
    try:
        before = {n: signal.signal(n, ask) for n in numbers}
    except ValueError:  # not the main thread: whoever called decides
        before = {}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resident_memory() -> int:
    """Peak resident memory of this process in bytes, 0 where the platform does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if os.uname().sysname == "Darwin" else peak * 1024)
