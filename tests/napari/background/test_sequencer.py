"""One item after the other; an error ends it, and nothing comes after a cancel or to who is gone."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from qtpy.QtCore import QObject

from napari_vasomim.background.sequencer import Sequencer
from vasomim_core.errors import InputError

from ..mouse import settle

pytestmark = pytest.mark.once  # what of Qt it uses others try with both bindings


class Asked:
    """A sequencer over some items, its futures, and what it told."""

    def __init__(self, items, fail_at=None, fail_use=None, cancel_at=None):
        self.futures, self.told, self.parent = {}, [], QObject()
        self.fail_at, self.fail_use, self.cancel_at = fail_at, fail_use, cancel_at
        self.sequencer = Sequencer(
            self.parent,
            items,
            self.ask,
            self.use,
            lambda: self.told.append("done"),
            self.told.append,
            lambda *step: self.told.append(step),
        )

    def ask(self, item):
        if item == self.fail_at:
            raise InputError(f"{item} cannot be read")
        self.futures[item] = Future()
        return self.futures[item]

    def use(self, item, answer):
        if item == self.fail_use:
            raise InputError(f"{answer} cannot be used")
        self.told.append((item, answer))
        if item == self.cancel_at:
            self.sequencer.cancel()

    def answer(self, item, answer):
        self.futures[item].set_result(answer)
        settle()


def test_each_is_asked_for_once_the_one_before_was_used(qapp):
    asked = Asked("ab")
    assert not asked.sequencer.running
    asked.sequencer.start()
    assert asked.sequencer.running
    assert asked.futures.keys() == {"a"}
    asked.answer("a", 1)
    assert asked.futures.keys() == {"a", "b"}
    asked.answer("b", 2)
    assert asked.told == [(0, 2), ("a", 1), (1, 2), ("b", 2), (2, 2), "done"]
    assert not asked.sequencer.running


def test_nothing_to_ask_for_is_done_at_once(qapp):
    asked = Asked("")
    asked.sequencer.start()
    assert asked.told == [(0, 0), "done"]
    assert not asked.sequencer.running


@pytest.mark.parametrize("moment", ["asking", "answer", "using"])
def test_an_error_ends_it_with_one_sentence(qapp, moment):
    asked = Asked("abc", fail_at="b" if moment == "asking" else None, fail_use="b" if moment == "using" else None)
    asked.sequencer.start()
    asked.answer("a", 1)
    if moment == "answer":
        asked.futures["b"].set_exception(InputError("b went wrong"))
        settle()
    elif moment == "using":
        asked.answer("b", 2)
    assert [str(told) for told in asked.told if isinstance(told, Exception)] == [
        {"asking": "b cannot be read", "answer": "b went wrong", "using": "2 cannot be used"}[moment]
    ]
    assert "done" not in asked.told
    assert "c" not in asked.futures
    assert not asked.sequencer.running


def test_an_error_of_the_end_itself_is_told(qapp, notifications):
    sequencer = Sequencer(QObject(), [], lambda _: Future(), print, done=lambda: 1 / 0)
    sequencer.start()
    assert "ZeroDivisionError" in notifications.pop().message


@pytest.mark.parametrize("running", [False, True])
def test_after_a_cancel_nothing_is_told(qapp, running):
    asked = Asked("ab")
    asked.sequencer.start()
    future = asked.futures["a"]
    if running:  # it is too late to take it back
        future.set_running_or_notify_cancel()
    before = list(asked.told)
    asked.sequencer.cancel()
    assert future.cancelled() is not running
    if running:
        asked.answer("a", 1)
    settle()
    assert asked.told == before
    assert asked.futures.keys() == {"a"}


def test_who_uses_an_answer_may_cancel(qapp):
    asked = Asked("ab", cancel_at="a")
    asked.sequencer.start()
    asked.answer("a", 1)
    assert asked.futures.keys() == {"a"}
    assert "done" not in asked.told


def test_a_deleted_parent_hears_nothing(qtbot):
    asked = Asked("ab")
    asked.sequencer.start()
    with qtbot.waitSignal(asked.parent.destroyed):
        asked.parent.deleteLater()
    before = list(asked.told)
    asked.answer("a", 1)
    assert asked.told == before
    assert asked.futures.keys() == {"a"}
