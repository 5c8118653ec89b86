"""One thing after another: ask, wait for the answer, use it, ask for the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Generic, TypeVar

from qtpy.QtCore import QObject

from napari_vasomim.background.futures import deliver
from napari_vasomim.notify import report_error, report_errors

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def _show_nothing(done: int, total: int) -> None:
    pass


class Sequencer(Generic[Item, Answer]):
    """Asks for one item after the other, each once the answer to the one before was used; ends at the first error.

    All is called in the thread of the window. After `cancel`, and once `parent` was deleted, nothing is.

    Args:
        parent: whom the answers concern.
        items: what to ask for.
        ask: asks for an item.
        each: uses the answer to an item; it may cancel.
        done: after the last answer was used.
        failed: gets the error of asking, of an answer, or of using it.
        progress: gets how many items are done, and of how many, before each is asked for and at the end.

    Attributes:
        running: from `start` until the end, by whatever.
        future: the answer that is waited for.
    """

    def __init__(
        self,
        parent: QObject,
        items: Iterable[Item],
        ask: Callable[[Item], Future[Answer]],
        each: Callable[[Item, Answer], object],
        done: Callable[[], object],
        failed: Callable[[Exception], object] = report_error,
        progress: Callable[[int, int], object] = _show_nothing,
    ):
        self._parent, self._items = parent, list(items)
        self._ask, self._each, self._progress = ask, each, progress
        self._done, self._failed = report_errors(done), report_errors(failed)
        self._answered = 0
        self.running = False
        self.future: Future[Answer] | None = None

    def start(self) -> None:
        """Ask for the first item."""
        self.running = True
        self._go_on()

    def cancel(self) -> None:
        """Stop; what is still being worked at is dropped."""
        self.running = False
        if self.future is not None:
            self.future.cancel()

    def _go_on(self) -> None:
        try:
            self._progress(self._answered, len(self._items))
            if self._answered < len(self._items):
                self.future = self._ask(self._items[self._answered])
                deliver(self.future, self._parent, self._arrived, self._fail)
                return
        except Exception as error:
            self._fail(error)
            return
        self.running = False
        self._done()

    def _arrived(self, answer: Answer) -> None:
        if not self.running:
            return
        try:
            self._each(self._items[self._answered], answer)
        except Exception as error:
            self._fail(error)
            return
        self._answered += 1
        if self.running:
            self._go_on()

    def _fail(self, error: Exception) -> None:
        if self.running:
            self.running = False
            self._failed(error)
