"""Training on another machine from the window: described, chosen, asked about, followed, found again, thrown away."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from qtpy.QtCore import QFile
from qtpy.QtWidgets import QDialog

from napari_vasomim import closing
from napari_vasomim.runs import jobs, machine
from napari_vasomim.session import Session
from napari_vasomim.widgets import machines as machines_widget
from napari_vasomim.widgets import run_menu, run_view, send, where
from napari_vasomim.widgets.finetune import FinetunePanel
from napari_vasomim.widgets.forms import ConfigForm
from napari_vasomim.widgets.machines import MachineForm, MachinesDialog
from napari_vasomim.widgets.run_view import RunView
from napari_vasomim.widgets.runs import Runs
from napari_vasomim.widgets.send import SendDialog
from tests.napari.runs.made import finetuned
from vasomim_core import __version__
from vasomim_core.config import FinetuneConfig
from vasomim_core.remote import running
from vasomim_core.remote.connection import Lost
from vasomim_core.remote.machine_check import Found
from vasomim_core.remote.machines import Machine, machines, machines_file, remove_machine, save_machine
from vasomim_core.remote.place import Place, place_of
from vasomim_core.remote.sending import Listing
from vasomim_core.synthetic import write_samples
from vasomim_core.training.events import EventLog

from ..mouse import click

FOUND = Found(__version__, "3.12", "/home/me/vasomim", 10**12, True, {}, ("NVIDIA H100",), 80 << 30, running=1)
LISTING = Listing("department", "far", "/home/me/vasomim", 6, 6, 0, 60_000, 12, 60_000)


@pytest.fixture
def department(monkeypatch) -> list[str]:
    """A machine that is described and answers; what it was asked."""
    asked = []
    save_machine("department", Machine("far"))
    monkeypatch.setattr(where, "look", lambda to: asked.append(to.name) or FOUND)
    return asked


@pytest.fixture
def runs(qtbot, model, tmp_path):
    made = Runs(Session.of(model), "finetune")
    qtbot.addWidget(made)
    made.folder = tmp_path / "runs"
    return made


def left_there(run: Path) -> Path:
    """A run on another machine that nobody follows."""
    finetuned(run)
    for name in ("events.jsonl", "model.safetensors"):
        (run / name).unlink()
    EventLog(run).write("start", steps=4, epochs=2, resumed=0, device="cpu of department")
    Place("department", state="there").write(run)
    return run


def choose(panel, name):
    panel.where.choice.setCurrentIndex(panel.where.choice.findData(name))
    panel.where.choice.activated.emit(panel.where.choice.currentIndex())


def test_what_is_told_of_this_computer_is_not_told_of_another(
    qtbot, model, beside, tmp_path, monkeypatch, department, notifications
):
    write_samples(tmp_path / "labels", 6, size=64)
    monkeypatch.setattr(machine, "memory", lambda: (2 << 30, False))
    panel = beside(model, FinetunePanel)
    panel.use_data(tmp_path / "labels")
    qtbot.waitUntil(panel.start.isEnabled, timeout=20_000)
    assert (panel.where.machine, department) == ("", [])
    assert "on this machine" in panel.promise.text()
    here = panel.config().training
    choose(panel, "department")
    assert panel.where.told.text() == "Asks department what it is…"
    qtbot.waitUntil(lambda: panel.where.found is not None, timeout=10_000)
    assert panel.where.told.text() == "Has NVIDIA H100.\n⚠ another run is at work on department, and will share it"
    assert panel.promise.text() == "How long it takes on department shows once it runs."
    assert not panel.in_turn.isVisible()
    panel.preset.setCurrentIndex(panel.preset.findData("balanced"))
    there = panel.config().training
    assert (there.epochs, there.accumulate) != (here.epochs, here.accumulate)
    assert panel.memory() == (80 << 30, True)

    spawned, listed = [], []
    monkeypatch.setattr(jobs, "_spawn", lambda run, job, arguments: spawned.append(arguments) or jobs.Job(run))
    monkeypatch.setattr(send, "list_parcel", lambda config, name, progress: listed.append(name) or (LISTING, ["slow"]))

    def answer(dialog, button):
        qtbot.waitUntil(dialog.send.isEnabled, timeout=10_000)
        shown = [dialog.form.itemAt(row, dialog.form.ItemRole.FieldRole).widget().text() for row in range(3)]
        assert shown == [
            "department: /home/me/vasomim on far", "6 frames, 6 masks (0.06 MB)", "12 files (0.06 MB)",
        ]  # fmt: skip
        assert dialog.notes.text() == "⚠ slow"
        getattr(dialog, button).click()
        return dialog.result()

    for button, begun in (("cancel", 0), ("send", 1)):
        monkeypatch.setattr(SendDialog, "exec_", lambda dialog, button=button: answer(dialog, button), raising=False)
        qtbot.waitUntil(panel.start.isEnabled, timeout=5_000)
        click(qtbot, panel.start)
        assert len(spawned) == begun
    assert spawned[0][-2:] == ["--on", "department"]
    assert place_of(panel.view.run).machine == "department"
    assert listed == ["department", "department"]

    again = where.Where(panel.session)  # the choice is remembered, and the machine asked when somebody looks
    qtbot.addWidget(again)
    assert (again.machine, again.told.text()) == ("department", "")
    again.show()
    qtbot.waitUntil(lambda: again.found is not None, timeout=10_000)
    remove_machine("department")
    panel.session.machines_changed.emit()
    assert (again.machine, panel.where.machine) == ("", "")  # never another one in its place
    assert "on this machine" in panel.promise.text()


def test_a_listing_that_fails_is_told_where_it_is_waited_for(qtbot, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise Lost("department (far) cannot be reached")

    monkeypatch.setattr(send, "list_parcel", fails)
    dialog = SendDialog(FinetuneConfig(tmp_path, tmp_path), "department")
    qtbot.addWidget(dialog)
    qtbot.waitUntil(lambda: "cannot be reached" in dialog.words.text(), timeout=10_000)
    assert dialog.words.text().startswith("Nothing was sent")
    assert not dialog.send.isEnabled()
    assert dialog.bar.isHidden()


def test_a_file_of_machines_that_is_broken_is_a_sentence(qtbot, model, beside, department, monkeypatch):
    machines_file().write_text("department: {host: -x}")
    panel = beside(model, FinetunePanel)
    assert "machines.yaml" in panel.where.told.text()
    assert panel.where.machine == ""
    dialog = MachinesDialog(panel.session, panel)
    assert "machines.yaml" in dialog.told.text()
    assert not dialog.forget.isEnabled()


def test_machines_are_described_changed_checked_and_forgotten(qtbot, model, tmp_path, monkeypatch):
    session, changes = Session.of(model), []
    session.machines_changed.connect(lambda: changes.append(list(machines())))
    dialog = MachinesDialog(session)
    qtbot.addWidget(dialog)
    assert "No machine is described yet" in dialog.told.text()

    def fill(form, name, **values):
        form._name.setText(form.name or name)
        for field, value in {**values, "setup": "x"}.items():
            form.form.editor(field).set(value)
        form.form.editor("setup").set("")  # nothing is an answer here
        form.accept()
        return form.result() == QDialog.DialogCode.Accepted

    refused = []

    def describe(form):
        refused.append(not fill(form, "department", host="-x") and form.problem.text())
        return fill(form, "department", host="far", ssh_config=Path("config"))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MachineForm, "exec_", describe, raising=False)
    dialog.describe.click()
    assert "host is '-x'" in refused[0]
    assert machines() == {"department": Machine("far", ssh_config=tmp_path / "config")}
    assert dialog.name == "department"
    monkeypatch.setattr(MachineForm, "exec_", lambda form: fill(form, "department", host="other"), raising=False)
    dialog.describe.click()
    assert machines()["department"].host == "far"  # a taken name replaces nothing
    dialog.change.click()
    assert machines()["department"].host == "other"
    monkeypatch.setattr(machines_widget, "look", lambda to, node=False: FOUND)
    dialog.check.click()
    qtbot.waitUntil(lambda: "NVIDIA H100" in dialog.told.text(), timeout=10_000)
    left_there(jobs.default_runs_folder() / "run")
    said = []
    monkeypatch.setattr(machines_widget, "confirmed", lambda parent, title, text: said.append(text) or True)
    dialog.forget.click()
    assert "It has 1 run that cannot be found again" in said[0]
    assert machines() == {}
    assert changes == [["department"], ["department"], []]


@pytest.mark.once
def test_a_field_of_any_number_of_words_has_an_editor(qtbot):
    @dataclass(frozen=True)
    class Described:
        options: tuple[str, ...] = ()

    form = ConfigForm(Described())
    qtbot.addWidget(form)
    form.editor("options").setText(" account=angio  qos=long ")
    assert form.value() == Described(("account=angio", "qos=long"))
    form.editor("options").set(())
    assert form.value() == Described()


@pytest.mark.once
def test_a_run_that_was_left_is_followed_again_once(qtbot, runs, monkeypatch, department):
    resumed = []
    monkeypatch.setattr(jobs, "resume", lambda run: resumed.append(run.name) or jobs.Job(run))
    left_there(runs.folder / "run")
    finetuned(runs.folder / "local")
    stranger = left_there(runs.folder / "stranger")
    Place("unknown", state="there").write(stranger)
    runs.show()
    qtbot.waitUntil(lambda: runs.list.topLevelItemCount() == 3 and resumed == ["run"], timeout=10_000)
    qtbot.waitUntil(lambda: runs.view.run is not None, timeout=10_000)
    runs.refresh()
    qtbot.waitUntil(lambda: not runs._reading.busy, timeout=10_000)
    assert resumed == ["run"]
    shown = {item.text(0): item.text(4) for item in map(runs.list.topLevelItem, range(3))}
    assert shown == {"run": "department", "local": "", "stranger": "unknown"}
    assert not runs.list.isColumnHidden(4)


def test_what_can_be_done_with_a_run_that_nobody_follows(qtbot, tmp_path, monkeypatch, notifications):
    view = RunView()
    qtbot.addWidget(view)
    view.show_run(jobs.attach(left_there(tmp_path / "run")))
    assert view.state.text().startswith("run: not followed on department\nIs on department and goes on there")
    assert view.facts.text() == "on CPU of department"
    assert (view.resume.text(), view.resume.isEnabled(), view.cancel.isEnabled()) == ("Follow again", True, True)
    assert not view.stop.isEnabled()
    said, outcomes = [], [Lost("department (far) cannot be reached"), None]

    def cancel(run):
        if (error := outcomes.pop(0)) is not None:
            raise error
        place_of(run).now("gone", run)
        EventLog(run).write("end", reason="cancelled", message="")

    monkeypatch.setattr(running, "cancel", cancel)
    monkeypatch.setattr(run_view, "confirmed", lambda parent, title, text: said.append(text) or True)
    view.cancel.click()
    qtbot.waitUntil(lambda: len(outcomes) == 1 and view.cancel.isEnabled(), timeout=10_000)
    assert "nothing of it stays on department" in said[0]
    assert "cannot be reached" in notifications.pop().message
    view.cancel.click()
    qtbot.waitUntil(lambda: "nothing of it is on department any more" in view.state.text(), timeout=10_000)
    assert not view.resume.isEnabled()


@pytest.mark.once
def test_what_was_not_sent_is_listed_again_before_it_goes(qtbot, tmp_path, monkeypatch):
    run = left_there(tmp_path / "run")
    Place("department").write(run)
    EventLog(run).write("end", reason="failed", message="department (far) cannot be reached")
    view, answers, resumed = RunView(), [False, True], []
    qtbot.addWidget(view)
    view.show_run(jobs.attach(run))
    monkeypatch.setattr(send, "list_parcel", lambda config, name, progress: (LISTING, []))
    monkeypatch.setattr(SendDialog, "ask", lambda dialog: answers.pop(0))
    monkeypatch.setattr(jobs, "resume", lambda run: resumed.append(run) or jobs.Job(run))
    view.resume.click()
    assert resumed == []
    view.resume.click()
    assert resumed == [run]


@pytest.mark.once
@pytest.mark.parametrize("reachable", [True, False])
def test_the_trash_takes_away_what_is_elsewhere_or_says_what_stays(qtbot, runs, tmp_path, monkeypatch, reachable):
    run, said, removed = left_there(runs.folder / "run"), [], []

    class Trash(QFile):
        def moveToTrash(self):
            Path(self.fileName()).rename(tmp_path / "trashed")
            return True

    def cancel(run):
        if not reachable:
            raise Lost("department (far) cannot be reached")
        removed.append(run)

    monkeypatch.setattr(run_menu, "QFile", Trash)
    monkeypatch.setattr(running, "cancel", cancel)
    monkeypatch.setattr(run_menu, "confirmed", lambda parent, title, text: said.append(text) or True)
    runs.menu.delete(run)
    qtbot.waitUntil(lambda: (tmp_path / "trashed").exists(), timeout=10_000)
    assert "What of it is on department is removed there first" in said[0]
    assert removed == ([run] if reachable else [])
    assert len(said) == (1 if reachable else 2)
    assert reachable or "What it has there stays" in said[1]


@pytest.mark.once
def test_the_closing_question_says_what_goes_on_without_this_computer(tmp_path):
    status = jobs.attach(left_there(tmp_path / "run")).status()
    assert "goes on on department, without this window and without this computer" in closing._going_on(status)
    job, thread = jobs.Job(status.run), []
    job.cancel = lambda: thread.append(threading.current_thread())
    closing._cancelling(job, status)().result(10)
    assert thread != [threading.main_thread()]  # another machine may be slow to answer
    Place("department").write(tmp_path / "run")
    status = jobs.attach(tmp_path / "run").status()
    assert "as long as this computer stays on" in closing._going_on(status)
