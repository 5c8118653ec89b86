"""What somebody asks of a run while it is followed, and waiting that listens for it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from vasomim_core.remote.connection import Lost
from vasomim_core.training.host import Stop

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds between two attempts to reach a machine; the last one again and again."""
LOOK = 0.2
"""Seconds between two looks whether somebody asks for something."""
T = TypeVar("T")


class Interrupted(Exception):
    """Somebody asked for something that ends what is being done."""


class Asked:
    """By Ctrl+C, by a `stop` event in the run folder, or by the end of this process.

    Attributes:
        events: of the run folder, once it is open.
    """

    def __init__(self) -> None:
        self.events: Stop | None = None
        self._interrupts = 0
        self._terminated = False

    @property
    def stop(self) -> bool:
        """To stop and keep the model."""
        return self._interrupts > 0 or (self.events is not None and self.events.asked)

    @property
    def cancel(self) -> bool:
        """To end it, and take it away from there."""
        return self._interrupts > 1

    @property
    def leave(self) -> bool:
        """To let it go on by itself."""
        return self._terminated and not self.stop

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals of this process, for the block."""

        def ask(number: int, frame: Any) -> None:
            if number == signal.SIGINT:
                self._interrupts += 1
            else:
                self._terminated = True

        try:
            before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: whoever called decides
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Patience:
    """Tries again when a machine cannot be reached, after pauses that grow.

    Args:
        given_up: whether somebody asks for something that ends the trying.
        said: is told each time why, and when it will be tried again.
    """

    def __init__(self, given_up: Callable[[], bool], said: Callable[[str], object]):
        self._given_up, self._said, self._failures = given_up, said, 0

    @property
    def failing(self) -> bool:
        """Whether the last attempt has failed."""
        return self._failures > 0

    def reached(self) -> None:
        """The machine has answered."""
        self._failures = 0

    def wait(self, error: Lost) -> None:
        """Wait for the next attempt.

        Raises:
            Interrupted: the trying has been given up.
        """
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        if not self._given_up():
            self._said(f"{error}; tries again in {pause:g} s")
        until = time.monotonic() + pause
        while time.monotonic() < until:
            if self._given_up():
                raise Interrupted
            time.sleep(min(LOOK, pause))

    def until_done(self, action: Callable[[], T]) -> T:
        """The result of an action that may need several attempts.

        Raises:
            Interrupted: the trying has been given up.
        """
        while True:
            try:
                result = action()
            except Lost as error:
                self.wait(error)
            else:
                self.reached()
                return result
