"""Work in a thread beside the window, of which only the newest request counts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from qtpy.QtCore import QObject

from napari_vasomim.background.futures import deliver
from napari_vasomim.notify import report_error, report_errors

T = TypeVar("T")

# Two at a time: more would only take the processor from the window. OpenCV and NumPy let go of the interpreter.
_pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="vasomim")
# What waits for other machines and processes takes no processor, and may take long.
_waiting = ThreadPoolExecutor(max_workers=4, thread_name_prefix="vasomim-waiting")


def submit(work: Callable[[], T], waits: bool = False) -> Future[T]:
    """Do a piece of work in a thread; it touches no Qt object and no layer's display.

    Args:
        work: what is to be done.
        waits: it hardly computes, and waits for another machine or process; nothing else waits for it then.
    """
    return (_waiting if waits else _pool).submit(work)


def run_in_background(
    parent: QObject,
    work: Callable[[], Any],
    done: Callable[[Any], Any],
    failed: Callable[[Exception], Any] = report_error,
    waits: bool = False,
) -> None:
    """Do a piece of work in a thread, then call back in that of the window, unless `parent` was deleted meanwhile.

    Args:
        parent: whom the outcome concerns.
        work: touches no Qt object and no layer's display.
        done: gets the result.
        failed: gets the error.
        waits: as for `submit`.
    """
    deliver(submit(work, waits), parent, report_errors(done), report_errors(failed))


class LatestRequest:
    """Does one piece of work at a time; requests that come meanwhile replace each other, so that none queue up.

    Args:
        parent: when it is deleted, nothing is called any more.
        done: gets the result, in the window's thread.
        failed: gets the error, in the window's thread.
        waits: as for `submit`.
    """

    def __init__(
        self,
        parent: QObject,
        done: Callable[[Any], Any],
        failed: Callable[[Exception], Any] = report_error,
        waits: bool = False,
    ):
        self._waits = waits
        self._parent, self._done, self._failed = parent, report_errors(done), report_errors(failed)
        self._waiting: Callable[[], Any] | None = None
        self.busy = False

    def ask(self, work: Callable[[], Any]) -> None:
        """Do this next, instead of anything that still waits."""
        self._waiting = work
        if not self.busy:
            self._start()

    def forget(self) -> None:
        """Do not start what still waits."""
        self._waiting = None

    def _start(self) -> None:
        work, self._waiting = self._waiting, None
        if work is not None:
            self.busy = True
            run_in_background(
                self._parent, work, lambda result: self._land(self._done, result), self._fail, self._waits
            )

    def _fail(self, error: Exception) -> None:
        self._land(self._failed, error)

    def _land(self, then: Callable[[Any], Any], outcome: Any) -> None:
        self.busy = False
        then(outcome)
        if not self.busy:
            self._start()
