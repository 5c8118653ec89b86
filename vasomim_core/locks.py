"""One writer at a time, also among processes: a lock that the system releases when its holder dies.

    with locked(run / ".lock"):              # refuse at once where somebody else holds it
    with locked(labels / ".lock", wait=60):  # take turns

The lock is the operating system's, on a file that stays and says who holds it. Some network file systems have no
such locks. There a second file, `<name>.holder`, stands for the lock as long as it exists; that of a process which
is gone from this computer is taken away, that of another computer is left to a person.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from vasomim_core.errors import LockedError

CONTENTION = frozenset({errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK})
LONGEST_RECORD = 4096  # bytes
SAME_START = 60.0
"""Seconds by which the start of one process may seem to differ, as after a clock was set."""

_open: set[int] = set()
"""Descriptors that hold a lock."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, in words: `str(holder)`.

    Attributes:
        pid: number of the process.
        host: name of its computer.
        started: when the process started, in seconds since 1970.
        since: when it took the lock, ISO 8601 in UTC.
    """

    pid: int
    host: str
    started: float
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    @classmethod
    def here(cls) -> Holder:
        """This process, now."""
        return cls(os.getpid(), platform.node(), psutil.Process().create_time(), f"{datetime.now(UTC):%F %T} UTC")

    @property
    def gone(self) -> bool:
        """Whether it is known to be gone; of another computer nothing is known."""
        if self.host != platform.node():
            return False
        try:
            process = psutil.Process(self.pid)
            other = abs(process.create_time() - self.started) > SAME_START
            return other or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


@contextmanager
def locked(path: Path, wait: float | None = 0.0) -> Iterator[None]:
    """Hold the lock on a file for the block. Threads of one process exclude each other, too.

    Args:
        path: the file, in a folder that exists; made where it is missing, and left there.
        wait: seconds to wait for one's turn; 0 = refuse at once, None = wait for ever.

    Raises:
        LockedError: somebody else holds it; the sentence names who.
        OSError: the file cannot be made or written to.
    """
    give_up = None if wait is None else time.monotonic() + wait
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _flag("O_CLOEXEC", "O_NONBLOCK", "O_NOFOLLOW"), 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise LockedError(f"{path} is no plain file and cannot be locked; remove it")
        standing = path.with_name(path.name + ".holder")
        pause = 0.001
        while not (lock := _attempt(descriptor, standing)):
            if give_up is not None and time.monotonic() >= give_up:
                raise _held(path, standing)
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        _open.add(descriptor)
        try:
            if lock == "system":
                _tell(descriptor)
            yield
        finally:
            _open.discard(descriptor)
            if lock == "file":
                standing.unlink(missing_ok=True)
    finally:
        os.close(descriptor)  # which releases the system's lock


def _attempt(descriptor: int, standing: Path) -> str:
    """Try once; "system" or "file" by the kind of lock that was got, empty = somebody else has it."""
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno in CONTENTION:
            return ""
    else:
        return "system"
    known = _read(standing)
    if known is not None and known.gone:
        _take_away(standing, known)
    try:
        made = os.open(standing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _flag("O_CLOEXEC"), 0o666)
    except FileExistsError:
        return ""
    try:
        _tell(made)
    finally:
        os.close(made)
    return "file"


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _let_go() -> None:
        for descriptor in _open:
            os.close(descriptor)
        _open.clear()

    # A forked child (a worker that loads frames) would hold the lock on after its parent was killed.
    os.register_at_fork(after_in_child=_let_go)


def _tell(descriptor: int) -> None:
    """Write into a locked file who holds it, behind its first byte: on Windows that cannot be read while locked."""
    record = b" " + json.dumps(asdict(Holder.here())).encode()
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, record)
    os.ftruncate(descriptor, len(record))


def _read(path: Path) -> Holder | None:
    """Who wrote a file as its holder; None where that cannot be read."""
    try:
        with open(os.open(path, os.O_RDONLY | _flag("O_CLOEXEC", "O_NONBLOCK")), "rb") as file:
            file.seek(1)
            found = json.loads(file.read(LONGEST_RECORD))
        pid, host, started, since = found["pid"], found["host"], found["started"], found["since"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    fits = type(pid) is int and type(started) is float and isinstance(host, str) and isinstance(since, str)
    return Holder(pid, host, started, since) if fits and 0 < pid < 1 << 31 else None


def _take_away(standing: Path, known: Holder) -> None:
    """Remove the file of a holder that is gone; of two who do so at once, none removes what the other has made."""
    aside = standing.with_name(f"{standing.name}.{secrets.token_hex(4)}")
    with suppress(OSError):
        os.rename(standing, aside)
        if _read(aside) == known:
            aside.unlink()
        else:
            os.rename(aside, standing)


def _held(path: Path, standing: Path) -> LockedError:
    file = standing if standing.exists() else path
    by = _read(file)
    then = f", or, if it is gone, delete {file}" if file == standing else ""
    return LockedError(f"{path} is held by {by or 'an unknown process'}; wait for its end{then}", by)


def _flag(*names: str) -> int:
    """Flags of `os.open`, as far as this system has them."""
    return sum(getattr(os, name, 0) for name in names)
