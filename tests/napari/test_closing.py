"""Closing the window: what is asked, what is kept, and that nothing stays behind."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import napari
import numpy as np
import psutil
import pytest
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMessageBox

from napari_vasomim import closing
from napari_vasomim.background import engine
from napari_vasomim.closing import PROPERTY, ClosingGuard, guard
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.editing import editors, journal
from napari_vasomim.correcting.following import Following
from napari_vasomim.correcting.unfinished import restore, unfinished
from napari_vasomim.runs import jobs
from napari_vasomim.session import Session
from napari_vasomim.widgets.correct import CorrectPanel
from napari_vasomim.widgets.segment import SegmentPanel
from napari_vasomim.widgets.vesselness import VesselnessPanel
from napari_vasomim.widgets.workbench import Workbench
from vasomim_core.inference.requests import Hello


@pytest.fixture(autouse=True)
def _no_box_stands(monkeypatch):
    """A question that a test does not answer fails it, rather than to wait for a person."""
    monkeypatch.setattr(QMessageBox, "exec_", lambda box: pytest.fail(f"asked: {box.text()}"), raising=False)


@pytest.fixture
def windows(qapp, monkeypatch):
    """Makes windows that a test may close as a person does."""
    made = []

    def make(frames=None, panels=(CorrectPanel,)):
        viewer = napari.Viewer(show=False)
        made.append(weakref.ref(viewer))
        for kind in panels:
            viewer.window.add_dock_widget(kind(viewer), area="right")
        if frames is not None:
            viewer.add_image(frames, name="angiogram")
        return viewer

    yield make
    for ref in made:
        viewer = ref()
        if viewer is not None and hasattr(viewer.window, "_qt_window"):
            viewer.close()
    del viewer
    delete()


def delete():
    """What Qt deletes later is deleted now, then what that let go of, and so on."""
    for _ in range(4):
        gc.collect()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QTest.qWait(20)


def close(viewer):
    """As the button of the window does it; whether it closed."""
    closed = viewer.window._qt_window.close()
    if closed:
        viewer.window._teardown()
        viewer.window._qt_viewer.close()
        del viewer.window._qt_window
    return closed


def draw(viewer):
    panel = next(p for p in viewer.window._qt_window.findChildren(CorrectPanel))
    panel.start_empty()
    undo.apply(panel.correction, None, np.eye(256, dtype=bool), 1)
    return panel.correction


def answers(monkeypatch, question, *given):
    given, asked = list(given), []
    monkeypatch.setattr(ClosingGuard, question, lambda self, what: asked.append(what) or given.pop(0))
    return asked


def test_a_window_has_one_guard(windows):
    viewer = windows(panels=(CorrectPanel, SegmentPanel, Workbench))
    window = viewer.window._qt_window
    assert window.property(PROPERTY) is guard(Session.of(viewer))
    assert len(window.findChildren(ClosingGuard)) == 1
    other = windows()
    assert guard(Session.of(other)) is not guard(Session.of(viewer))


def test_without_work_nothing_is_asked_and_no_run_is_followed_any_longer(windows, still, monkeypatch):
    ended = []
    monkeypatch.setattr(Following, "cancel", lambda self: ended.append(self))
    viewer = windows(still)
    layer = draw(viewer)
    Session.of(viewer).accepted.emit(layer, 0)
    assert close(viewer)
    assert unfinished(journal().folder) == []
    assert len(ended) == 1


def test_cancel_stays_and_goes_on(windows, still, monkeypatch):
    answers(monkeypatch, "ask_about_work", "cancel", "keep")
    viewer = windows(still)
    layer = draw(viewer)
    assert not close(viewer)
    assert editors(Session.of(viewer))[0].unsaved == {0}
    undo.apply(layer, None, np.eye(256, dtype=bool)[::-1], 1)
    assert close(viewer)
    assert unfinished(journal().folder)[0].strokes == 2


def test_naparis_own_question_may_keep_the_window(windows, still, monkeypatch):
    answers(monkeypatch, "ask_about_work", "discard", "keep")
    viewer = windows(still)
    layer = draw(viewer)
    window = viewer.window._qt_window
    with monkeypatch.context() as patch:
        patch.setattr(type(window), "closeEvent", lambda self, event: event.ignore())
        assert not close(viewer)
    assert editors(Session.of(viewer))[0].unsaved == {0}  # nothing was discarded
    undo.apply(layer, None, np.eye(256, dtype=bool)[::-1], 1)
    assert close(viewer)
    assert unfinished(journal().folder)[0].strokes == 2


def test_a_defect_of_ours_locks_nobody_in(windows, monkeypatch, notifications):
    viewer = windows()
    monkeypatch.setattr(ClosingGuard, "may_close", lambda self: 1 / 0)
    assert close(viewer)
    assert "ZeroDivisionError" in notifications.pop().message


class FakeJob:
    def __init__(self, alive=True):
        self.alive, self.done = alive, []
        for name in ("leave", "stop", "cancel"):
            setattr(self, name, lambda name=name: self.done.append(name))

    def status(self):
        return SimpleNamespace(alive=self.alive, message="Trains: epoch 3 of 9.", name="run", machine="")


def test_staying_does_nothing_that_was_answered_before(windows, still, monkeypatch):
    answers(monkeypatch, "ask_about_work", "discard")
    answers(monkeypatch, "ask_about_run", "cancel", "stay")
    viewer = windows(still)
    draw(viewer)
    both = [FakeJob(), FakeJob()]
    Session.of(viewer).jobs += both
    assert not close(viewer)
    assert [job.done for job in both] == [[], []]
    assert editors(Session.of(viewer))[0].unsaved == {0}
    Session.of(viewer).jobs.clear()
    monkeypatch.setattr(ClosingGuard, "ask_about_work", lambda *_: "keep")
    assert close(viewer)
    assert len(unfinished(journal().folder)) == 1


@pytest.mark.parametrize("button", ["Keep", "Discard", "Cancel"])
def test_the_question_about_work(windows, still, monkeypatch, button):
    asked = []

    def answer(box):
        asked.append(box)
        assert "1 corrected frame is not accepted" in box.text()
        assert box.defaultButton().text().replace("&", "") == "Keep"
        made = next(b for b in box.buttons() if b.text().replace("&", "") == button)
        monkeypatch.setattr(box, "clickedButton", lambda: made, raising=False)

    monkeypatch.setattr(QMessageBox, "exec_", answer)
    viewer = windows(still)
    drawn = draw(viewer).data.copy()
    assert close(viewer) == (button != "Cancel")
    assert len(asked) == 1
    if button == "Cancel":
        monkeypatch.setattr(ClosingGuard, "ask_about_work", lambda *_: "keep")
        assert close(viewer)
    found = unfinished(journal().folder)
    assert len(found) == (button != "Discard")
    for entry in found:
        assert (restore(entry) == drawn).all()


@pytest.mark.parametrize("words", ["Let it go on", "Stop and keep the model", "Cancel the run", "Do not close"])
def test_the_question_about_a_run(windows, monkeypatch, words):
    asked = []

    def answer(box):
        asked.append(box)
        assert "run: Trains: epoch 3 of 9." in box.text()
        made = next(b for b in box.buttons() if b.text().replace("&", "") == words)
        monkeypatch.setattr(box, "clickedButton", lambda: made, raising=False)

    monkeypatch.setattr(QMessageBox, "exec_", answer)
    viewer = windows()
    alive, over = FakeJob(), FakeJob(alive=False)
    Session.of(viewer).jobs += [over, alive]
    assert close(viewer) == (words != "Do not close")
    assert len(asked) == 1
    assert alive.done == {"L": ["leave"], "S": ["stop"], "C": ["cancel"], "D": []}[words[0]]
    assert over.done == []
    Session.of(viewer).jobs.clear()


@pytest.mark.timeout(200)
def test_a_real_run_goes_on_without_the_window_or_ends_with_it(windows, monkeypatch, endless):
    job = jobs.start(endless)
    pid = job.status().pid
    answers(monkeypatch, "ask_about_run", "keep", "cancel")
    first = windows()
    Session.of(first).jobs.append(job)
    assert close(first)
    assert psutil.pid_exists(pid)
    second = windows()
    Session.of(second).jobs.append(jobs.attach(endless.run))
    assert close(second)
    assert jobs.attach(endless.run).wait(20).state in ("cancelled", "lost")
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_inference_child_ends_with_the_last_window(windows, still, monkeypatch):
    """The child answers `hello` alone, and so needs no model and no torch."""
    engine.shared().close()
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    one, other = windows(still), windows()
    engine.shared().call(Hello()).result(60)
    child = {p.pid for p in psutil.Process().children(recursive=True)} - before
    assert child
    assert close(one)
    assert engine.shared().state == "idle"
    assert close(other)
    assert engine.shared().state == "off"
    assert not child & {p.pid for p in psutil.Process().children(recursive=True)}
    assert not closing._open


@pytest.mark.parametrize("by", ["its button", "code"])
def test_nothing_keeps_a_closed_viewer_alive(windows, cine, monkeypatch, by):
    monkeypatch.setattr(ClosingGuard, "ask_about_work", lambda *_: "keep")

    def whole_life():
        viewer = windows(cine, panels=(Workbench, CorrectPanel, VesselnessPanel))
        panel = viewer.window._qt_window.findChildren(CorrectPanel)[-1]
        panel.take("trace")
        (editor,) = editors(Session.of(viewer))
        tools = editor.tools
        for point in ((60, 60), (90, 110)):
            tools.click(point)
        tools.hover((150, 150))
        things = [viewer, viewer.window._qt_viewer, panel.correction, editor, tools, Session.of(viewer)]
        gone = [weakref.ref(thing) for thing in things]
        if by == "its button":
            assert close(viewer)
            viewer.layers.clear()
        else:
            viewer.close()
        return gone

    gone = whole_life()
    delete()
    assert [ref() for ref in gone] == [None] * 6
    assert len(unfinished(journal().folder)) == 1
