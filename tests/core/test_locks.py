"""One holder at a time, named, and released by its death: with the system's locks and where there are none."""

from __future__ import annotations

import errno
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vasomim_core import locks
from vasomim_core.errors import LockedError
from vasomim_core.locks import locked

FOREVER = """
import os, sys, time
from pathlib import Path
from vasomim_core import locks
if sys.argv[2] == "bare":
    def _lock(descriptor):
        raise OSError(37, "No locks available")
    locks._lock = _lock
with locks.locked(Path(sys.argv[1])):
    if sys.argv[3:] == ["fork"]:
        ready, go = os.pipe()
        if os.fork() == 0:
            os.write(go, b".")  # on a busy machine a child may not have run at all yet
            time.sleep(60)
        os.read(ready, 1)
    print("held", flush=True)
    time.sleep(60)
"""
ADD = """
import sys, time
from pathlib import Path
from vasomim_core import locks
if sys.argv[2] == "bare":
    def _lock(descriptor):
        raise OSError(37, "No locks available")
    locks._lock = _lock
count = Path(sys.argv[1]).parent / "count"
for _ in range(20):
    with locks.locked(Path(sys.argv[1]), wait=None):
        value = int(count.read_text())
        time.sleep(0.001)
        count.write_text(str(value + 1))
"""


@pytest.fixture(params=["system", "bare"])
def kind(request, monkeypatch) -> str:
    """Bare: a file system without locks."""
    if request.param == "bare":

        def refuse(descriptor: int) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(locks, "_lock", refuse)
    return request.param


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / ".lock"


@pytest.fixture
def hold(path, kind):
    """Start a process that holds the lock."""
    children = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", FOREVER, str(path), kind, *arguments]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_second_one_is_refused_and_told_who_holds_it(path, hold):
    child = hold()
    with pytest.raises(LockedError, match=rf"process {child.pid} on .*, since \d{{4}}-") as raised, locked(path):
        pass
    assert str(child.pid) in str(raised.value.holder)


def test_a_killed_holder_holds_nothing(path, hold):
    child = hold()
    child.send_signal(signal.SIGKILL)
    child.wait()
    for _ in range(2):
        with locked(path):
            pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_neither_do_its_forked_children(path, hold, kind):
    child = hold("fork")
    child.send_signal(signal.SIGKILL)
    child.wait()
    with locked(path):
        pass


def test_threads_wait_for_each_other(path, kind):
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        with locked(path):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait(10)
    with pytest.raises(LockedError), locked(path, wait=0.05):
        pass
    threading.Timer(0.05, leave.set).start()
    with locked(path, wait=10):
        pass
    thread.join()


def test_processes_take_turns(path, kind):
    count = path.parent / "count"
    count.write_text("0")
    children = [subprocess.Popen([sys.executable, "-c", ADD, str(path), kind]) for _ in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert count.read_text() == "60"
    assert not path.with_name(".lock.holder").exists()


def test_a_holder_on_another_computer_is_left_to_a_person(path, monkeypatch):
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSYS, "")

    monkeypatch.setattr(locks, "_lock", refuse)
    record = {"pid": 2**22 + 1, "host": "elsewhere", "started": 1.0, "since": "2026-01-01 00:00:00 UTC"}
    standing = path.with_name(".lock.holder")
    standing.write_text(" " + json.dumps(record))
    with pytest.raises(LockedError, match=r"process \d+ on elsewhere, since .* delete .*\.lock\.holder"), locked(path):
        pass
    standing.write_text(" " + json.dumps(record | {"host": platform.node()}))
    with locked(path):  # here it can be seen to be gone
        pass
    standing.write_text(" " + json.dumps(record | {"host": platform.node(), "pid": os.getpid()}))
    with locked(path):  # its number belongs to another process by now
        pass


@pytest.mark.parametrize("text", ["", "x", " [" * 2000, " []", ' {"pid": "1"}', " " + '{"pid": 1e9}'])
def test_an_unreadable_holder_is_held_and_named_as_unknown(path, monkeypatch, text):
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSYS, "")

    monkeypatch.setattr(locks, "_lock", refuse)
    path.with_name(".lock.holder").write_text(text)
    with pytest.raises(LockedError, match=r"unknown process.*delete"), locked(path):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_in_its_place_does_not_hang(path):
    os.mkfifo(path)
    began = time.monotonic()
    with pytest.raises(LockedError, match="no plain file"), locked(path):
        pass
    assert time.monotonic() - began < 30


def test_a_folder_that_cannot_be_written_to_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="No such file"), locked(tmp_path / "gone" / ".lock"):
        pass
