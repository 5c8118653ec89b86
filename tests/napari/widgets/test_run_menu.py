"""Runs and models are managed: named, compared, thrown away; nothing that is alive, packaged or used is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
import pytest
from qtpy.QtCore import QFile, Qt
from qtpy.QtWidgets import QInputDialog

from napari_vasomim.runs import jobs, queue
from napari_vasomim.session import Session
from napari_vasomim.widgets import models as models_widget
from napari_vasomim.widgets import run_menu
from napari_vasomim.widgets.models import ModelsDialog
from napari_vasomim.widgets.run_comparison import RunComparison
from napari_vasomim.widgets.runs import Runs
from tests.napari.runs.made import finetuned
from vasomim_core.config import FinetuneConfig
from vasomim_core.errors import ConfigError, RunError
from vasomim_core.models import catalogue
from vasomim_core.training.events import EventLog


@pytest.fixture
def runs(qtbot, model, tmp_path, models_folder):
    made = Runs(Session.of(model), "finetune")
    qtbot.addWidget(made)
    made.folder = tmp_path / "runs"
    made.resize(340, 600)
    return made


@pytest.fixture
def trash(monkeypatch, tmp_path):
    """What went to the trash; nothing goes to that of this computer."""
    gone = []

    class File(QFile):
        def moveToTrash(self):
            gone.append(self.fileName())
            path = Path(self.fileName())
            path.rename(tmp_path / f"trashed-{path.name}")
            return True

    for module in (run_menu, models_widget):
        monkeypatch.setattr(module, "QFile", File)
    return gone


def asked(monkeypatch, module, answer=True):
    said = []
    monkeypatch.setattr(module, "confirmed", lambda parent, title, text: said.append(text) or answer)
    return said


def shown(qtbot, runs, count):
    runs.show()
    qtbot.waitUntil(lambda: runs.list.topLevelItemCount() == count, timeout=10_000)
    return [runs.list.topLevelItem(place) for place in range(count)]


def test_a_run_is_renamed_and_noted_where_it_is_listed(qtbot, runs, monkeypatch):
    run = finetuned(runs.folder / "finetune-1")
    shown(qtbot, runs, 1)
    runs.look_at(run)
    monkeypatch.setattr(QInputDialog, "getText", lambda *a: ("Left coronary", True))
    monkeypatch.setattr(QInputDialog, "getMultiLineText", lambda *a: ("try again <b>", True))
    runs.menu.rename(run)
    runs.menu.note(run)
    qtbot.waitUntil(lambda: runs.list.topLevelItem(0).text(0) == "Left coronary", timeout=10_000)
    assert run.is_dir()
    assert runs.view.state.text().startswith("Left coronary: finished")
    assert runs.view.origin.text().splitlines() == [
        "Learns from 12 labelled frames of labels-a, from scratch. Scored on 4 frames of the same, held out.",
        "try again <b>",
    ]


def test_a_run_that_has_learned_nothing_says_so(qtbot, runs):
    run = finetuned(runs.folder / "worse", dsc=(71.0, 60.0))
    runs.look_at(run)
    assert not runs.view.use.isEnabled()
    assert "nothing new to use" in runs.view.origin.text()


def test_a_run_goes_to_the_trash_and_its_models_stay(qtbot, runs, trash, monkeypatch):
    run, other = (
        finetuned(runs.folder / "one"),
        finetuned(runs.folder / "two", (70.0, 72.0), init=str(runs.folder / "one")),
    )
    name = catalogue.register(run / "model.safetensors", "mine")
    shown(qtbot, runs, 2)
    runs.look_at(run)
    said = asked(monkeypatch, run_menu, False)
    runs.menu.delete(run)
    assert trash == []
    assert f"{name}, which came of it, stays" in said[0]
    assert "1 other run began with its model" in said[0]
    asked(monkeypatch, run_menu)
    runs.menu.delete(run)
    assert trash == [str(run)]
    assert runs.view.run is None
    qtbot.waitUntil(lambda: runs.list.topLevelItemCount() == 1, timeout=10_000)
    assert name in catalogue.models()
    monkeypatch.setattr(jobs.RunFolder, "process", lambda self: psutil.Process())
    (other / "events.jsonl").write_text("")
    with pytest.raises(RunError, match="is running"):
        runs.menu.delete(other)
    assert len(trash) == 1


def test_two_runs_are_compared_by_curves_settings_and_what_they_were_scored_on(qtbot, runs):
    one = finetuned(runs.folder / "one")
    facts = {"frames": 12, "validation_frames": 9, "validation_sha256": "other"}
    other = finetuned(runs.folder / "two", dsc=(50.0, 55.0, 65.0), data=facts, fraction=0.5)
    items = shown(qtbot, runs, 2)
    for item in items:
        item.setSelected(True)
    assert len(runs.list.selectedItems()) == 2
    runs.menu.compare(one, other)
    (window,) = runs.findChildren(RunComparison)
    epochs, dsc = window.curves["dsc", 1].getData()
    np.testing.assert_allclose((epochs, dsc), ([0, 1, 2], [50, 55, 65]))
    epochs, loss = window.curves["loss", 1].getData()
    assert (len(epochs), epochs[-1]) == (20, 2)
    assert loss[0] == 1
    assert loss[-1] == 0.5
    assert "scored on different frames" in window.warning.text()
    rows = [[window.table.item(row, column).text() for column in range(3)] for row in range(window.table.rowCount())]
    assert ["fraction", "1.0", "0.5"] in rows
    assert "Best DSC 65.0 % in epoch 2" in window.words[1].text()
    window.close()


def test_models_are_renamed_thrown_away_and_find_their_run(qtbot, runs, trash, monkeypatch):
    run = finetuned(runs.folder / "one")
    catalogue.register(run / "model.safetensors", "mine")
    finetuned(runs.folder / "two", (70.0, 72.0), init="mine")
    (runs.folder / "two" / "events.jsonl").write_text("")
    seen, session = [], Session.of(runs._session.viewer)
    session.model = "mine"
    dialog = ModelsDialog(session, runs.folder, seen.append)
    qtbot.addWidget(dialog)
    rows = [dialog.list.topLevelItem(place) for place in range(dialog.list.topLevelItemCount())]
    items = {row.text(0): row for row in rows}
    dialog.list.setCurrentItem(items["vasomim-fast"])
    assert not dialog.rename.isEnabled()
    with pytest.raises(ConfigError, match="package"):
        dialog.ask_delete()
    dialog.list.setCurrentItem(items["mine"])
    qtbot.waitUntil(dialog.run.isEnabled, timeout=10_000)
    questions = []
    monkeypatch.setattr(QInputDialog, "getText", lambda *a: questions.append(a[2]) or ("better", True))
    dialog.ask_name()
    assert "1 run began with it under this name" in questions[0]
    assert session.model == "better"
    assert dialog.list.topLevelItem(dialog.list.topLevelItemCount() - 1).text(0) == "better"
    dialog.list.setCurrentItem(dialog.list.topLevelItem(dialog.list.topLevelItemCount() - 1))
    qtbot.waitUntil(dialog.run.isEnabled, timeout=10_000)
    said = asked(monkeypatch, models_widget)
    dialog.ask_delete()
    assert "Its run one stays." in said[0]
    assert "Segment uses it now" in said[0]
    assert session.model == catalogue.DEFAULT_MODEL
    assert trash == [str(catalogue.model_folder() / "better.safetensors")]
    assert "better" not in catalogue.models()


def test_runs_wait_in_the_list_are_dragged_and_begin_one_after_the_other(qtbot, runs, monkeypatch):
    begun, living = [], set()

    def spawn(run, job, arguments):
        EventLog(run).write("spawn", job=job, pid=1)
        begun.append(run.name)
        living.add(run)
        return jobs.Job(run)

    monkeypatch.setattr(jobs, "_spawn", spawn)
    monkeypatch.setattr(jobs.RunFolder, "process", lambda self: psutil.Process() if self.run in living else None)
    first = finetuned(runs.folder / "first")
    (first / "events.jsonl").write_text("")
    EventLog(first).write("spawn", job="finetune", pid=1)
    living.add(first)
    for name in ("a", "b"):
        queue.enqueue(FinetuneConfig(runs.folder.parent / "labels", runs.folder / name))
    items = shown(qtbot, runs, 3)
    assert [(item.text(0), item.text(1)) for item in items] == [
        ("a", "waiting"), ("b", "waiting"), ("first", "starting"),
    ]  # fmt: skip
    draggable = [bool(item.flags() & Qt.ItemFlag.ItemIsDragEnabled) for item in items]
    assert draggable == [True, True, False]
    runs.list.insertTopLevelItem(1, runs.list.takeTopLevelItem(0))
    runs.list.dropped.emit()
    assert [status.run.name for status in jobs.list_runs(runs.folder)] == ["b", "a", "first"]
    assert begun == []
    living.clear()
    runs.refresh()
    qtbot.waitUntil(lambda: begun == ["b"], timeout=10_000)
    qtbot.waitUntil(lambda: runs.view.run == runs.folder / "b", timeout=10_000)
    runs.refresh()
    assert begun == ["b"]
