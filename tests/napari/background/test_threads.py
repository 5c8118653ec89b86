"""Only the newest request counts, the window's thread gets the outcome, and a panel that is gone gets none."""

from __future__ import annotations

import threading

import pytest
from qtpy.QtCore import QObject

from napari_vasomim.background.threads import LatestRequest, run_in_background
from vasomim_core.errors import InputError

pytestmark = pytest.mark.once  # what of Qt it uses others try with both bindings


@pytest.fixture
def parent(qapp):
    return QObject()


class Work:
    """Waits until it is let go, then gives or raises its outcome."""

    def __init__(self, outcome):
        self.outcome, self.started, self.go = outcome, threading.Event(), threading.Event()

    def __call__(self):
        self.started.set()
        assert self.go.wait(10)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def test_requests_that_come_meanwhile_replace_each_other(parent, qtbot):
    got, threads = [], set()
    newest = LatestRequest(parent, lambda result: (got.append(result), threads.add(threading.current_thread())))
    works = [Work(k) for k in range(5)]
    for work in works:
        newest.ask(work)
    assert works[0].started.wait(10)
    assert newest.busy
    for work in works:
        work.go.set()
    qtbot.waitUntil(lambda: not newest.busy)
    assert got == [0, 4]
    assert threads == {threading.main_thread()}
    assert not any(work.started.is_set() for work in works[1:4])


def test_a_request_made_by_the_outcome_comes_next(parent, qtbot):
    got = []

    def done(result):
        got.append(result)
        if result < 3:
            newest.ask(lambda: result + 1)

    newest = LatestRequest(parent, done)
    newest.ask(lambda: 0)
    qtbot.waitUntil(lambda: got == [0, 1, 2, 3] and not newest.busy)


def test_what_waits_can_be_forgotten(parent, qtbot):
    got = []
    newest = LatestRequest(parent, got.append)
    first, second = Work(1), Work(2)
    newest.ask(first)
    newest.ask(second)
    newest.forget()
    first.go.set()
    qtbot.waitUntil(lambda: not newest.busy)
    assert got == [1]
    assert not second.started.is_set()


@pytest.mark.parametrize(
    ("error", "words"),
    [(InputError("the frame is empty; open another"), "the frame is empty"), (KeyError("x"), "KeyE")],
)
def test_errors_of_the_work_and_of_the_outcome_are_told_and_the_next_request_works(
    parent, qtbot, notifications, error, words
):
    got = []

    def done(result):
        if result == "bad":
            raise error
        got.append(result)

    newest = LatestRequest(parent, done)
    failing = Work(error)
    failing.go.set()
    newest.ask(failing)
    qtbot.waitUntil(lambda: len(notifications) == 1)
    newest.ask(lambda: "bad")
    qtbot.waitUntil(lambda: len(notifications) == 2)
    assert all(words in note.message for note in notifications)
    newest.ask(lambda: "good")
    qtbot.waitUntil(lambda: got == ["good"])


def test_a_deleted_parent_hears_nothing(qapp, qtbot):
    parent, got = QObject(), []
    work = Work(1)
    LatestRequest(parent, got.append).ask(work)
    run_in_background(parent, work, got.append)
    with qtbot.waitSignal(parent.destroyed):
        parent.deleteLater()
    work.go.set()
    both, after, other = threading.Barrier(2), [], QObject()
    for _ in range(2):  # begins once both threads have done with what came before
        run_in_background(other, both.wait, after.append)
    qtbot.waitUntil(lambda: len(after) == 2)
    assert got == []


def test_work_beside_the_window_is_never_replaced(parent, qtbot):
    got = []
    for k in range(6):
        run_in_background(parent, lambda k=k: k, got.append)
    qtbot.waitUntil(lambda: sorted(got) == list(range(6)))
