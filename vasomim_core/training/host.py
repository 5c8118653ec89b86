"""What the operating system has to do with a run: stop signals and memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stop:
    """Whether somebody asked the run to stop."""

    asked = False


@contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """SIGINT and SIGTERM end the run after the step in hand, with everything saved; a second SIGINT interrupts."""
    stop = Stop()

    def ask(number: int, frame: Any) -> None:
        if stop.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.asked = True

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
