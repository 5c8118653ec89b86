"""Work on one item after the other by several processes, of one thread each; the results come in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait
from typing import TypeVar

import cv2

AHEAD = 4
"""Items that are handed out for each process: it never waits for the next one, and memory stays small."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item], processes: int) -> Iterator[Result | None]:
    """`work(item)` for each item.

    An item that ends its process (a decoder that crashes) is found by trying those at hand once more, one by one; it
    is None, and the others are not lost with it. The processes end with this one, however it ends.

    Args:
        work: a function, or a partial of one, that other processes can import.
        items: what it is given.
        processes: how many.
    """
    left = iter(items)
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    pool = _pool(processes)
    try:
        while True:
            waiting.extend((item, _asked(pool, work, item)) for item in islice(left, AHEAD * processes - len(waiting)))
            if not waiting:
                return
            item, future = waiting.popleft()
            try:
                result = future.result()
            except BrokenProcessPool:
                pool.shutdown()
                yield from _one_by_one(work, [item, *(one for one, _ in waiting)])
                waiting.clear()
                pool = _pool(processes)
            else:
                yield result
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(processes: int) -> ProcessPoolExecutor:
    # Spawned: OpenCV's threads do not survive a fork.
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)


def _asked(pool: ProcessPoolExecutor, work: Callable[[Item], Result], item: Item) -> Future[Result]:
    """What `submit` gives, also where the pool is broken already."""
    try:
        return pool.submit(work, item)
    except BrokenProcessPool as error:
        lost: Future[Result] = Future()
        lost.set_exception(error)
        return lost


def _one_by_one(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result | None]:
    """The same by one process at a time: who ends it is known then."""
    pool = _pool(1)
    try:
        for item in items:
            try:
                yield pool.submit(work, item).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool = _pool(1)
                yield None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """One thread; Ctrl+C is for the process that hands out the work; without that one there is nothing to do."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
