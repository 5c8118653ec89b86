"""The window's end of the inference child: calls become futures, and a child that dies is replaced. Free of Qt."""

from __future__ import annotations

import atexit
import logging
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BufferedReader, BufferedWriter
from typing import Any, Literal, TypeVar, cast

from psygnal import EmitLoopError, Signal

from vasomim_core import errors
from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.inference.messages import Failure, Message, decode, encode, receive, send
from vasomim_core.inference.requests import Hello, Request

Answer = TypeVar("Answer")

State = Literal["off", "starting", "idle", "busy"]
COMMAND = (sys.executable, "-P", "-m", "vasomim_core.inference.service")  # -P: no module from the current folder
PATIENCE = 1.0  # seconds that a child gets to end before it is killed
KEPT_LINES = 200
LONGEST_LINE = 4096  # bytes

log = logging.getLogger(__name__)


class EngineError(VasoMIMError):
    """The inference process died, could not start, or met something unexpected.

    Attributes:
        report: where in its code that was, for the developers; empty where it is not known.
    """

    def __init__(self, sentence: str, report: str = ""):
        super().__init__(sentence)
        self.report = report


class Engine:
    """Asks `inference.service.Service` in a child process, one request at a time, in the order of the calls.

    What is asked for by `behind` waits until nothing else does. The child starts at the first call, and again at the
    next call after it has died or was closed. It ends with this process, however that ends.

    Args:
        command: how to start a child; None = this Python with `vasomim_core.inference.service`.

    Attributes:
        state_changed: emitted with the new `state`, mostly in the engine's own thread, where no Qt object may be
            touched; `state` is what counts where two changes follow each other closely.
    """

    state_changed = Signal(str)

    def __init__(self, command: Sequence[str] | None = None):
        self._command = list(command or COMMAND)
        self._stderr: deque[str] = deque(maxlen=KEPT_LINES)
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()  # guards all that follows
        self._waiting: deque[_Call] = deque()
        self._behind: deque[_Call] = deque()
        self._running = False
        self._child: _Child | None = None
        self._closed = 0  # how often
        self._told: State = "off"

    @property
    def state(self) -> State:
        """One of "off" (no child), "starting" (up to its first sign of life, some seconds), "idle" or "busy"."""
        with self._changed:
            if self._running:
                return "busy" if self._child is not None and self._child.ready else "starting"
            return "off" if self._child is None else "idle"

    def call(self, request: Request[Answer]) -> Future[Answer]:
        """Ask for something; returns at once, from any thread.

        Args:
            request: its arrays are read when its turn comes: do not change them.

        Returns:
            The answer. Cancelled while it waits, the request never reaches the child. It fails with the errors that
            the service names, or with `EngineError`.
        """
        return self._queue(self._waiting, request)

    def behind(self, request: Request[Answer]) -> Future[Answer]:
        """As `call`, for what nobody waits for: its turn comes when nothing else is asked for.

        Args:
            request: as there.

        Returns:
            As there.
        """
        return self._queue(self._behind, request)

    def _queue(self, waiting: deque[_Call], request: Request[Answer]) -> Future[Answer]:
        future: Future[Answer] = Future()
        with self._changed:
            waiting.append(_Call(future, request))
            if self._thread is None:
                atexit.register(self.close)
                self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
                self._thread.start()
            self._changed.notify()
        return future

    def last_stderr(self) -> str:
        """The last lines that its children wrote to standard error, for a report."""
        return "\n".join(self._stderr.copy())

    def close(self) -> None:
        """End the child, within 2 s, and fail every call that waits for it. A later call starts another."""
        with self._changed:
            self._closed += 1
            self._running = False
            child, self._child = self._child, None
            waiting = [*self._waiting, *self._behind]
            dropped = [call.future for call in waiting if call.future.set_running_or_notify_cancel()]
            self._waiting.clear()
            self._behind.clear()
        if child is not None:
            child.end()
        for future in dropped:
            future.set_exception(EngineError("the inference process was closed before it came to this request"))
        self._tell()

    def _work(self) -> None:
        while True:
            if not self._do_next():
                self._tell()
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._behind)

    def _do_next(self) -> bool:
        """Answer the next call that nobody has cancelled; False where there is none."""
        with self._changed:
            call = None
            while call is None and (waiting := self._waiting or self._behind):
                call = waiting.popleft()
                call = call if call.future.set_running_or_notify_cancel() else None
            self._running = call is not None
            closed = self._closed
        if call is None:
            return False
        self._tell()
        try:
            call.future.set_result(self._answer(call, closed))
        except Exception as error:
            call.future.set_exception(error)
        return True

    def _answer(self, call: _Call, closed: int) -> Any:
        request = encode(call.request)  # what cannot be sent starts no child
        child = self._living_child(closed)
        reply = child.ask(request)
        if reply is None:
            raise self._loss(child, closed)
        return _answer_in(reply, call.request)

    def _living_child(self, closed: int) -> _Child:
        child = self._child
        if child is not None:
            if child.alive:
                return child
            self._loss(child, closed)  # it died while it had nothing to do: nobody needs to know
        try:
            child = _Child(self._command, self._stderr)
        except OSError as error:
            raise EngineError(f"the inference process cannot be started ({error.strerror}); install again") from error
        with self._changed:
            wanted = closed == self._closed
            if wanted:
                self._child = child
        self._tell()
        hello = child.ask(encode(Hello())) if wanted else None
        if hello is None:
            raise self._loss(child, closed)
        try:
            _answer_in(hello, Hello())
        except VasoMIMError:
            self._loss(child, closed)
            raise
        child.ready = True
        self._tell()
        return child

    def _loss(self, child: _Child, closed: int) -> EngineError:
        """Clear up after a child, and say why it is gone."""
        child.end(grace=PATIENCE if closed == self._closed else 0)
        with self._changed:
            if self._child is child:
                self._child = None
            if closed != self._closed:
                return EngineError("the inference process was closed while it worked on this request")
        return EngineError(f"the inference process {child.fate()}; the next request starts it again")

    def _tell(self) -> None:
        with self._changed:
            state = self.state
            news, self._told = state != self._told, state
        if news:
            try:
                self.state_changed.emit(state)
            except EmitLoopError:
                log.exception("a listener failed at the state %r", state)


@dataclass(frozen=True)
class _Call:
    future: Future[Any]
    request: Request[Any]


class _Child:
    """One process. Only one thread asks; any may end it."""

    def __init__(self, command: list[str], stderr: deque[str]):
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows alone
        )
        self.ready = False
        self._last_line = ""
        self._listener = threading.Thread(target=self._listen, args=(stderr,), name="inference stderr", daemon=True)
        self._listener.start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: list[memoryview]) -> Message | None:
        """The reply, or None: this child is of no use any more."""
        try:
            send(cast(BufferedWriter, self._process.stdin), request)
            return receive(cast(BufferedReader, self._process.stdout))
        except (OSError, ValueError, InputError, MemoryError):  # ValueError: ended by another thread, streams closed
            return None

    def end(self, grace: float = 0.0) -> None:
        """Gone when this returns; no harm if it is gone already.

        Args:
            grace: seconds to wait for the end of a child that is ending by itself, so that it can say why.
        """
        for action in (None, self._process.terminate, self._process.kill):
            if action is not None:
                action()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(grace if action is None else PATIENCE)
                break
        self._listener.join(PATIENCE / 2)
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what was not sent cannot be flushed
                cast(BufferedReader, stream).close()

    def fate(self) -> str:
        """How it ended, with the last line of its standard error."""
        code = self._process.wait()
        how = f"ended with code {code}"
        if code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
            if -code == getattr(signal, "SIGKILL", 0):
                how += " (perhaps memory ran out)"
        return f"{how}: {self._last_line}" if self._last_line else how

    def _listen(self, stderr: deque[str]) -> None:
        with cast(BufferedReader, self._process.stderr) as stream:
            while line := stream.readline(LONGEST_LINE):
                stderr.append(line.decode(errors="replace").rstrip())
                self._last_line = stderr[-1] or self._last_line


def _answer_in(reply: Message, request: Request[Answer]) -> Answer:
    """The answer that a reply holds; a failure is raised as an error of this process."""
    if reply.kind != Failure.__name__:
        return decode(reply, request.answer_type())
    failure = decode(reply, Failure)
    kind = getattr(errors, failure.type, None)
    if isinstance(kind, type) and issubclass(kind, VasoMIMError):
        raise kind(failure.message)
    raise EngineError(failure.message, failure.report)


@cache
def shared() -> Engine:
    """The engine of this process."""
    return Engine()
