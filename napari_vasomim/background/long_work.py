"""Work of minutes in a thread of its own: it tells how far it is, and ends when that is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_vasomim.background.futures import deliver
from napari_vasomim.notify import report_error, report_errors
from vasomim_core.reading.folders import Progress

LOOK_MS = 100

# Beside the threads for what is wanted at once, which two long pieces of work would fill. One waits for the other.
_pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vasomim-long")


class _Cancelled(Exception):
    """Whoever waits for the work does not want it any more."""


class LongWork:
    """One piece of work at a time.

    Args:
        parent: when it is deleted, the work ends at its next step, and nothing is called any more.
        cancelled: called when the work has ended because of `cancel`.
    """

    stepped = Signal(int, int)
    """How much is done, and of how much."""
    ended = Signal()
    """The work is over, by whatever."""

    def __init__(self, parent: QObject, cancelled: Callable[[], Any]):
        self._parent, self._cancelled = parent, report_errors(cancelled)
        self._stop = threading.Event()
        self._at = (0, 0)
        self._look = QTimer(parent, interval=LOOK_MS)
        self._look.timeout.connect(lambda: self.stepped.emit(*self._at))
        self.busy = False
        gone = self._stop
        parent.destroyed.connect(lambda *_: gone.set())

    def start(self, work: Callable[[Progress], Any], done: Callable[[Any], Any]) -> None:
        """Do this in a thread; a call while another piece of work goes on does nothing.

        Args:
            work: gets what it is to call after each step; touches no Qt object and no layer's display.
            done: gets the result, in the window's thread. Errors are told.
        """
        if self.busy:
            return
        self.busy, self._at = True, (0, 0)
        self._stop.clear()

        def progress(step: int, total: int) -> None:
            if self._stop.is_set():
                raise _Cancelled
            self._at = step, total

        self._look.start()
        self.stepped.emit(0, 0)
        deliver(
            _pool.submit(lambda: work(progress)), self._parent, lambda result: self._end(done, result), self._failed
        )

    def cancel(self) -> None:
        """End at the next step."""
        self._stop.set()

    def _failed(self, error: Exception) -> None:
        if isinstance(error, _Cancelled):
            self._end(lambda _: self._cancelled(), None)
        else:
            self._end(report_error, error)

    def _end(self, then: Callable[[Any], Any], outcome: Any) -> None:
        self._look.stop()
        self.busy = False
        self.ended.emit()
        report_errors(then)(outcome)
