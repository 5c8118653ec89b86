"""A child without torch, which starts at once and misbehaves on demand, and what it can be asked."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import LabelError
from vasomim_core.inference.requests import Environment, Hello, Request
from vasomim_core.inference.service import serve


@dataclass(frozen=True, eq=False)
class Chatted:
    text: str
    big: NDArray[np.float32]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Chat(Request[Chatted]):
    text: str
    big: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    mask: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))


@dataclass(frozen=True)
class Noted:
    seen: list[int]
    pid: int


@dataclass(frozen=True)
class Note(Request[Noted]):
    number: int


@dataclass(frozen=True)
class Done:
    pass


@dataclass(frozen=True)
class Wait(Request[Done]):
    path: str


@dataclass(frozen=True)
class Leave(Request[Done]):
    pass


@dataclass(frozen=True)
class Refuse(Request[Done]):
    pass


@dataclass(frozen=True)
class Fail(Request[Done]):
    pass


@dataclass(frozen=True)
class Mislead(Request[Chatted]):
    pass


seen: list[int] = []


def chat(request: Chat) -> Chatted:
    print("printed")
    sys.stdout.flush()
    os.write(1, b"written\n")
    return Chatted(**vars(request))


def note(request: Note) -> Noted:
    seen.append(request.number)
    return Noted(seen, os.getpid())


def wait(request: Wait) -> Done:
    open(request.path + ".begun", "w").close()
    while not os.path.exists(request.path):
        time.sleep(0.01)
    return Done()


def leave(_: Leave) -> Done:
    print("the last words", file=sys.stderr, flush=True)
    os._exit(3)


def refuse(_: Refuse) -> Done:
    raise LabelError("no label here; make one")


def fail(_: Fail) -> float:
    return 1 / 0


def mislead(_: Mislead) -> Chatted:
    return Chatted(5, np.zeros(0), np.zeros(0))


def hello(_: Hello) -> Environment:
    return Environment("", "cpu", "", 1)


if __name__ == "__main__":
    answers = {Chat: chat, Note: note, Wait: wait, Leave: leave, Refuse: refuse, Fail: fail, Mislead: mislead}
    serve({Hello: hello, **answers})
