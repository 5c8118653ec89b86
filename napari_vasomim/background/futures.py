"""From a future into the event loop of the window."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import TypeVar

from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QObject, Qt, Signal

T = TypeVar("T")


def deliver(
    future: Future[T],
    parent: QObject,
    done: Callable[[T], object],
    failed: Callable[[Exception], object],
) -> None:
    """Call back in the thread of the window, from its event loop, when a future has come true or failed.

    Neither is called when the future was cancelled, or `parent` has been deleted by then.

    Args:
        future: for example from `Engine.call`.
        parent: whom the outcome concerns.
        done: takes the result.
        failed: takes the error.
    """

    def arrive() -> None:
        if future.cancelled() or not isalive(parent):
            return
        error = future.exception()
        if isinstance(error, Exception):
            failed(error)
        else:
            done(future.result())

    courier = _courier()
    future.add_done_callback(lambda _: courier.arrived.emit(arrive))


class _Courier(QObject):
    """Lives as long as the program: no thread can meet it half deleted."""

    arrived = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        # Queued also within the window's own thread: a callback never runs inside the call that asked for it.
        self.arrived.connect(self._call, Qt.ConnectionType.QueuedConnection)

    def _call(self, arrive: Callable[[], None]) -> None:
        arrive()


@cache
def _courier() -> _Courier:
    courier = _Courier()
    application = QCoreApplication.instance()
    if application is not None:
        courier.moveToThread(application.thread())
    return courier
