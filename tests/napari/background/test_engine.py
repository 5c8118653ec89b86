"""The window's engine: answers, errors, deaths, and what is cancelled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QObject, QThread

from napari_vasomim.background.engine import Engine, EngineError
from napari_vasomim.background.futures import deliver
from vasomim_core.errors import InputError, LabelError
from vasomim_core.inference.requests import Hello

from . import misbehaving
from .misbehaving import Chat, Fail, Leave, Mislead, Note, Refuse, Wait

CHILD = [sys.executable, misbehaving.__file__]

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3]), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def engine():
    engine = Engine(CHILD)
    yield engine
    engine.close()


@pytest.fixture
def states(engine):
    """The states that were told, and a way to wait for one of them."""
    told: list[str] = []
    news = threading.Condition()

    def listen(state):
        with news:
            told.append(state)
            news.notify_all()

    def wait_for(state):
        with news:
            assert news.wait_for(lambda: told and told[-1] == state, 20), told

    engine.state_changed.connect(listen)
    listen.told, listen.wait_for, engine.listener = told, wait_for, listen  # psygnal keeps no listener alive
    return listen


@pytest.mark.once
def test_the_real_child_segments_while_torch_stays_out():
    code = """
import sys, numpy as np
from napari_vasomim.background.engine import Engine
from vasomim_core.errors import CheckpointError
from vasomim_core.inference.requests import Environment, Hello, Segment

frame = np.random.default_rng(0).integers(0, 255, (96, 80), dtype=np.uint8)
engine = Engine()
answer = engine.call(Segment(frame, "vasomim-demo", mirrored=True)).result()
error = engine.call(Segment(frame, "nobody")).exception()
assert type(error) is CheckpointError and "known models: vasomim-base, vasomim-demo" in str(error), error
assert isinstance(engine.call(Hello()).result(), Environment)
assert "torch" not in sys.modules

from vasomim_core.models.registry import load_model
assert np.array_equal(answer.probability, load_model("vasomim-demo").predict(frame, True))
"""
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_values_and_arrays_go_both_ways_whatever_the_child_prints(engine):
    big = np.random.default_rng(0).random((900, 1000)).astype(np.float32)
    answer = engine.call(Chat("β", big, big > 0.5)).result(20)
    np.testing.assert_array_equal(answer.big, big)
    np.testing.assert_array_equal(answer.mask, big > 0.5)
    assert answer.text == "β"
    engine.close()
    assert {"printed", "written"} <= set(engine.last_stderr().split("\n"))


def test_errors_keep_their_kind_and_the_child_goes_on(engine):
    with pytest.raises(LabelError, match="no label here"):
        engine.call(Refuse()).result(20)
    with pytest.raises(EngineError, match="ZeroDivisionError") as caught:
        engine.call(Fail()).result(20)
    assert "in fail" in caught.value.report
    with pytest.raises(TypeError):
        engine.call(Chat(object())).result(20)
    assert engine.call(Note(1)).result(20).seen == [1]


def test_an_answer_that_is_not_what_the_request_promises_is_an_error(engine):
    with pytest.raises(InputError, match="text is int; give str"):
        engine.call(Mislead()).result(20)


def test_a_child_that_dies_says_its_last_words_and_is_replaced(engine, states):
    with pytest.raises(EngineError, match="ended with code 3: the last words; the next request starts it again"):
        engine.call(Leave()).result(20)
    assert "the last words" in engine.last_stderr()
    states.wait_for("off")
    assert engine.call(Note(1)).result(20).seen == [1]
    states.wait_for("idle")
    assert states.told == ["starting", "busy", "off", "starting", "busy", "idle"]


def test_a_killed_child_is_replaced_at_work_and_at_rest(engine, tmp_path):
    pid = engine.call(Note(1)).result(20).pid
    waits = engine.call(Wait(str(tmp_path / "never")))
    while not (tmp_path / "never.begun").exists():
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="SIGKILL"):
        waits.result(20)
    pid = engine.call(Note(2)).result(20).pid
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert engine.call(Note(3)).result(20).seen == [3]


def test_cancelled_calls_never_reach_the_child(engine, states, tmp_path):
    first = engine.call(Wait(str(tmp_path / "go")))
    queued = [engine.call(Note(n)) for n in range(20)]
    assert [future.cancel() for future in queued[5:]] == [True] * 15
    (tmp_path / "go").touch()
    first.result(20)
    assert queued[4].result(20).seen == [0, 1, 2, 3, 4]
    states.wait_for("idle")
    assert engine.call(Note(99)).result(20).seen == [0, 1, 2, 3, 4, 99]


def test_many_threads_may_call(engine):
    answers = {}

    def ask(n):
        answers[n] = engine.call(Chat(str(n), np.full(1000, float(n), np.float32))).result(20)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert all(answers[n].text == str(n) and (answers[n].big == n).all() for n in range(8))


def test_closing_ends_the_child_and_what_waits_for_it(engine, states, tmp_path):
    pid = engine.call(Note(1)).result(20).pid
    running = engine.call(Wait(str(tmp_path / "never")))
    waiting = engine.call(Note(2))
    states.wait_for("busy")
    engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert engine.state == "off"
    for future in (running, waiting):
        with pytest.raises(EngineError, match="closed"):
            future.result(20)
    assert engine.call(Note(3)).result(20).seen == [3]


def test_closing_while_the_child_starts_leaves_none():
    engine = Engine([sys.executable, "-c", "import time; time.sleep(60)"])  # starts for as long as one likes
    future = engine.call(Note(1))
    while engine.state != "starting":
        time.sleep(0.01)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        future.result(20)
    assert engine.state == "off"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["/no/such/python"], "cannot be started"),
        ([sys.executable, "-c", "raise SystemExit('no torch here')"], "ended with code 1: no torch here"),
        ([sys.executable, "-c", "import time; print('spoilt', flush=True); time.sleep(60)"], "SIGTERM"),
    ],
)
def test_a_child_that_cannot_start_is_a_sentence(command, says):
    with pytest.raises(EngineError, match=says):
        Engine(command).call(Hello()).result(20)


def test_a_listener_that_fails_harms_nobody(engine):
    engine.state_changed.connect(lambda state: 1 / 0)
    assert engine.call(Note(1)).result(20).seen == [1]


def test_the_child_goes_with_its_process():
    code = f"""
from napari_vasomim.background.engine import Engine
from tests.napari.background.misbehaving import Note
print(Engine({CHILD!r}).call(Note(1)).result(20).pid)
"""
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True, capture_output=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)
    assert done.stderr == b""


def test_outcomes_are_delivered_in_the_windows_thread(engine, qtbot):
    parent, told = QObject(), []

    def done(values):
        told.append((values.text, QThread.currentThread() is parent.thread() or threading.current_thread()))

    deliver(engine.call(Chat("1")), parent, done, told.append)
    qtbot.waitUntil(lambda: len(told) == 1)
    deliver(engine.call(Refuse()), parent, done, told.append)
    qtbot.waitUntil(lambda: len(told) == 2)
    assert told[0] == ("1", True)
    assert isinstance(told[1], LabelError)
    future = engine.call(Chat("3"))
    future.result(20)
    deliver(future, parent, done, told.append)
    assert len(told) == 2  # never inside the call itself
    qtbot.waitUntil(lambda: len(told) == 3)


def test_nothing_is_delivered_to_the_deleted_nor_of_the_cancelled(engine, qtbot, tmp_path):
    told: list[object] = []
    gone, stays = QObject(), QObject()
    first = engine.call(Wait(str(tmp_path / "go")))
    deliver(first, gone, told.append, told.append)
    cancelled = engine.call(Chat("never"))
    deliver(cancelled, stays, told.append, told.append)
    cancelled.cancel()
    gone.deleteLater()
    with qtbot.waitSignal(gone.destroyed):
        pass
    (tmp_path / "go").touch()
    deliver(engine.call(Chat("last")), stays, told.append, told.append)
    qtbot.waitUntil(lambda: bool(told))
    assert [answer.text for answer in told] == ["last"]


def test_what_is_asked_behind_waits_for_all_others(monkeypatch):
    asked, begun, go_on = [], threading.Event(), threading.Event()
    engine = Engine()

    def answer(call, closed):
        asked.append(call.request)
        begun.set()
        go_on.wait(60)
        return call.request

    monkeypatch.setattr(engine, "_answer", answer)
    futures = [engine.call("first")]
    begun.wait(60)
    futures += [engine.behind("behind"), engine.behind("not wanted"), engine.call("second")]
    assert futures[2].cancel()
    go_on.set()
    for future in (futures[0], futures[1], futures[3]):
        future.result(60)
    assert asked == ["first", "second", "behind"]
