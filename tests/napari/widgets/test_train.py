"""Starting runs from the window: what is checked, what is offered, and that the run gets what the form shows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_vasomim.runs import jobs, machine, queue
from napari_vasomim.widgets.finetune import FinetunePanel
from napari_vasomim.widgets.mask_preview import MaskPreviewPanel
from napari_vasomim.widgets.pretrain import PretrainPanel
from tests.napari.widgets.test_forms import CONFIGS, enter, get, leaves, type_into
from vasomim_core.config import FinetuneConfig
from vasomim_core.files import write_png
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.methods.settings import METHODS
from vasomim_core.models import catalogue
from vasomim_core.synthetic import synthesize, write_samples
from vasomim_core.training.events import EventLog, read_events
from vasomim_core.training.runs import load_config, save_config

from ..mouse import click

GB = 1 << 30


pytestmark = pytest.mark.usefixtures("no_orphans")


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, 6, size=96)
    return folder


@pytest.fixture
def labels(samples, tmp_path) -> Path:
    return Path(shutil.copytree(samples, tmp_path / "labels"))


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch):
    monkeypatch.setattr(jobs, "LOWEST", 0)  # else a test waits for whatever the machine does besides
    monkeypatch.setattr(machine, "memory", lambda: (8 * GB, False))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "1")


@pytest.fixture
def spawned(monkeypatch) -> list[Path]:
    """Nothing trains; the folders of the runs that would."""
    folders = []

    def spawn(run, job, arguments):
        EventLog(run).write("spawn", job=job, pid=0)
        folders.append(run)
        return jobs.Job(run)

    monkeypatch.setattr(jobs, "_spawn", spawn)
    return folders


@pytest.fixture
def panel(beside, model) -> FinetunePanel:
    return beside(model, FinetunePanel)


@pytest.fixture
def pretrain(beside, model) -> PretrainPanel:
    return beside(model, PretrainPanel)


def checked(qtbot, panel, folder, usable=True):
    panel.use_data(folder)
    qtbot.waitUntil(lambda: "Checking" not in panel.found.text(), timeout=20_000)
    assert panel.start.isEnabled() == usable, panel.found.text()
    return panel.found.text()


def ended(qtbot, panel, timeout=120_000):
    qtbot.waitUntil(lambda: not panel.view.job.status().alive, timeout=timeout)
    panel.view.refresh()
    return panel.view.job.status()


def losses(run):
    return [(e["step"], e["loss"]) for e in read_events(run) if e["event"] == "step"]


# What is learned from


@pytest.mark.parametrize("kind", [FinetunePanel, PretrainPanel])
def test_at_first_the_panel_says_what_to_do(qtbot, model, beside, kind):
    panel = beside(model, kind)
    assert panel.found.text().startswith("Choose a")
    assert not panel.start.isEnabled()
    assert "No run yet" in panel.runs.none.text()
    assert panel.runs.none.isVisible()
    assert not panel.runs.list.isVisible()
    assert not panel.view.isVisible()
    assert not panel.promise.isVisible()


def test_good_labels_can_be_learned_from(qtbot, panel, labels, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(labels))
    click(qtbot, panel.choose)
    qtbot.waitUntil(panel.start.isEnabled, timeout=20_000)
    assert "6 frames" in panel.found.text()
    assert "⚠" not in panel.found.text()
    assert "about" in panel.promise.text()
    assert panel.config().labels == labels


def test_the_first_bad_file_is_named_and_nothing_can_start(qtbot, panel, labels):
    mask = sorted((labels / "masks").iterdir())[2]
    write_png(mask, np.zeros((32, 32), np.uint8))
    assert mask.name in checked(qtbot, panel, labels, usable=False)


def test_a_warning_names_its_file_and_does_not_hinder(qtbot, panel, labels):
    mask = sorted((labels / "masks").iterdir())[2]
    write_png(mask, np.zeros((96, 96), np.uint8))
    text = checked(qtbot, panel, labels)
    assert "⚠ 1 of 6" in text
    assert mask.stem in text


def one_patient(folder: Path) -> Path:
    kept = LabelSet.create(folder, "one")
    for n in range(3):
        made = synthesize(n, size=64)
        kept.add(np.asarray(made.frame), np.asarray(made.mask), annotator="a", group="P1")
    return folder


def test_one_patient_cannot_be_split_but_takes_validation_frames(qtbot, panel, tmp_path, labels):
    text = checked(qtbot, panel, one_patient(tmp_path / "one"), usable=False)
    assert "one group (one patient or sequence)" in text
    assert "Labels panel" in text
    assert "All settings" in text
    val = panel.settings.editor("val")
    val.set(labels)
    assert not panel.start.isEnabled()
    qtbot.waitUntil(panel.start.isEnabled, timeout=20_000)
    val.set(tmp_path / "nothing")
    qtbot.waitUntil(lambda: "nothing does not exist" in panel.found.text(), timeout=20_000)
    assert not panel.start.isEnabled()


def test_a_fraction_that_leaves_one_group_is_a_problem(qtbot, panel, labels):
    checked(qtbot, panel, labels)
    panel.settings.editor("fraction").set(0.1)
    qtbot.waitUntil(lambda: "fraction of 0.1" in panel.found.text(), timeout=20_000)
    assert not panel.start.isEnabled()


def test_the_label_set_of_the_session_is_followed_until_another_is_chosen(qtbot, panel, labels, tmp_path, monkeypatch):
    kept = LabelSet.open(one_patient(tmp_path / "one"))
    panel.session.open_label_set(kept)
    qtbot.waitUntil(lambda: "3 frames" in panel.found.text(), timeout=20_000)
    made = synthesize(7, size=64)
    kept.add(np.asarray(made.frame), np.asarray(made.mask), annotator="a", group="P2")
    panel.session.label_set_changed.emit(kept)
    qtbot.waitUntil(lambda: "4 frames" in panel.found.text(), timeout=20_000)
    assert panel.start.isEnabled()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(labels))
    click(qtbot, panel.choose)
    qtbot.waitUntil(lambda: "6 frames" in panel.found.text(), timeout=20_000)
    panel.session.label_set_changed.emit(kept)
    assert panel.config().labels == labels


def test_a_hidden_panel_does_not_check_and_does_so_when_shown(qtbot, panel, tmp_path, monkeypatch):
    panel.hide()
    panel.session.open_label_set(LabelSet.open(one_patient(tmp_path / "one")))
    assert panel.config().labels == Path("data")
    panel.show()
    qtbot.waitUntil(lambda: "3 frames" in panel.found.text(), timeout=20_000)


def test_a_folder_without_angiograms_is_a_sentence(qtbot, pretrain, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no angiogram" in checked(qtbot, pretrain, tmp_path / "empty", usable=False)


def test_unlabelled_frames_are_counted_and_a_broken_one_is_named(qtbot, pretrain, labels):
    cv2.imwritemulti(str(labels / "images" / "cine.tif"), [np.full((64, 64), n, np.uint8) for n in (0, 50, 99)])
    assert "9 frames" in checked(qtbot, pretrain, labels / "images")
    (labels / "images" / "broken.png").write_bytes(b"no picture")
    text = checked(qtbot, pretrain, labels / "images")
    assert "1 of 8 files will be left out" in text
    assert "broken.png" in text


# The form


@pytest.mark.parametrize("kind", [FinetunePanel, PretrainPanel])
def test_a_preset_fills_the_form(qtbot, model, beside, labels, kind):
    panel = beside(model, kind)
    checked(qtbot, panel, labels if kind is FinetunePanel else labels / "images")
    for preset in ("quick", "thorough", "balanced"):
        panel.preset.setCurrentIndex(panel.preset.findData(preset))
        for key, wanted in panel.preset_changes(preset).items():
            for field, value in (
                {f"training.{k}": v for k, v in wanted.items()}.items() if key == "training" else [(key, wanted)]
            ):
                assert panel.settings.editor(field).get() == value, (preset, field)
        assert "about" in panel.promise.text()


def test_each_method_shows_its_own_settings_and_is_what_starts(qtbot, pretrain, labels, spawned):
    checked(qtbot, pretrain, labels / "images")
    for name, entry in METHODS.items():
        pretrain.method.setCurrentIndex(pretrain.method.findData(name))
        said = entry.settings.__doc__.splitlines()[0]
        assert said.startswith(pretrain.method.currentText() + ": ")
        assert pretrain.told.text().lower() in said.lower()
        config = pretrain.config()
        assert type(config) is entry.settings
        for key, value, _ in leaves(config):
            if key not in ("data", "run"):
                assert pretrain.settings.editor(key).get() == value, (name, key)
        assert pretrain.start.isEnabled(), pretrain.promise.text()
        assert "about" in pretrain.promise.text()
    pretrain.method.setCurrentIndex(pretrain.method.findData("simmim"))
    with pytest.raises(KeyError):
        pretrain.settings.editor("sampler")
    pretrain.settings.editor("mask_ratio").set(0.5)
    click(qtbot, pretrain.start)
    started = load_config(spawned[0])
    assert (started.method, started.mask_ratio, started.block_size) == ("simmim", 0.5, 32)


def test_what_was_set_by_hand_survives_a_new_label(qtbot, panel, labels):
    checked(qtbot, panel, labels)
    type_into(qtbot, panel.settings.editor("training.epochs").lineEdit(), "7")
    assert "differ from the preset" in panel.promise.text()
    checked(qtbot, panel, labels)
    assert panel.config().training.epochs == 7


def test_a_field_out_of_range_stops_the_start_and_a_preset_heals_it(qtbot, panel, labels):
    checked(qtbot, panel, labels)
    type_into(qtbot, panel.settings.editor("training.epochs").lineEdit(), "0")
    assert not panel.start.isEnabled()
    assert "epochs is 0" in panel.promise.text()
    panel.preset.setCurrentIndex(1)
    assert panel.start.isEnabled()


@pytest.mark.once  # of processes and files, not of Qt
@pytest.mark.parametrize("config", CONFIGS[1:], ids=lambda c: type(c).__name__)
def test_every_field_arrives_in_the_run(qtbot, model, beside, labels, tmp_path, spawned, config):
    kind = FinetunePanel if isinstance(config, FinetuneConfig) else PretrainPanel
    panel = beside(model, kind)
    folder = labels if kind is FinetunePanel else labels / "images"
    checked(qtbot, panel, folder)
    entered = {}
    for key, _, ui in leaves(config):
        if key in ("run", "init", panel.data_field):
            continue
        editor = panel.settings.editor(key)
        before = editor.get()
        enter(qtbot, editor, ui)
        entered[key] = editor.get()
        assert entered[key] != before, key
    if kind is FinetunePanel:
        panel.settings.editor("val").set(labels)
        panel.settings.editor("fraction").set(0.9)
        entered |= {"val": labels, "fraction": 0.9, "init": None}
        panel.base.fill("")  # chosen by a person, it would bring its own settings
    qtbot.waitUntil(panel.start.isEnabled, timeout=20_000)
    click(qtbot, panel.start)
    written = load_config(spawned[0])
    assert getattr(written, panel.data_field) == folder
    assert {key: get(written, key) for key in entered} == entered


def test_the_model_to_start_from_arrives_and_brings_its_network(qtbot, panel, labels, spawned, tmp_path):
    checked(qtbot, panel, labels)
    assert panel.base.current == catalogue.DEFAULT_MODEL
    click(qtbot, panel.start)
    config = load_config(spawned[0])
    assert (config.init, config.architecture) == (catalogue.DEFAULT_MODEL, "effunet-small")
    path = shutil.copy(catalogue.find_model("vasomim-demo"), tmp_path / "mine.safetensors")
    for chosen, text, architecture in (
        ("vasomim-base", "vasomim-base (U-Net over EfficientNet-Lite)", "effunet"),
        (str(path), "mine", "unext"),
    ):
        panel.base.use(chosen)
        assert panel.base.currentText() == text
        assert (panel.config().init, panel.config().architecture) == (chosen, architecture)


# The start


def test_pressed_twice_it_starts_once(qtbot, panel, labels, spawned):
    checked(qtbot, panel, labels)
    click(qtbot, panel.start)
    qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    qtbot.mouseDClick(panel.start, Qt.MouseButton.LeftButton)
    assert len(spawned) == 1
    qtbot.waitUntil(panel.start.isEnabled, timeout=5_000)
    click(qtbot, panel.start)
    assert len(set(spawned)) == 2


def test_while_a_run_is_alive_the_next_one_waits_unless_told_otherwise(qtbot, panel, labels, spawned, monkeypatch):
    monkeypatch.setattr(queue, "busy", lambda folder: True)
    monkeypatch.setattr(queue, "begin_next", lambda folder: None)
    checked(qtbot, panel, labels)
    click(qtbot, panel.start)
    assert spawned == []
    (status,) = jobs.list_runs(panel.runs.folder)
    assert status.state == "waiting"
    panel.in_turn.setChecked(False)
    qtbot.waitUntil(panel.start.isEnabled, timeout=5_000)
    click(qtbot, panel.start)
    assert len(spawned) == 1


def test_a_run_has_the_name_that_was_written_or_the_day(qtbot, panel, labels, spawned):
    checked(qtbot, panel, labels)
    panel.name.setText("left / right")
    click(qtbot, panel.start)
    assert spawned[0].name == "left-right"
    qtbot.waitUntil(panel.start.isEnabled, timeout=5_000)
    click(qtbot, panel.start)
    assert spawned[1].name.startswith("finetune-20")  # never the folder's, which may be a patient's


@pytest.mark.parametrize("kind", [FinetunePanel, PretrainPanel])
def test_data_that_go_between_check_and_start_are_a_sentence(
    qtbot, model, beside, labels, spawned, kind, notifications
):
    panel = beside(model, kind)
    checked(qtbot, panel, labels)
    shutil.rmtree(labels)
    click(qtbot, panel.start)
    assert "not there any more" in notifications.pop().message
    assert spawned == []
    qtbot.waitUntil(lambda: "does not exist" in panel.found.text(), timeout=20_000)
    assert not panel.start.isEnabled()


def test_a_model_that_has_gone_is_a_sentence_and_no_other_takes_its_place(
    qtbot, panel, labels, spawned, notifications, models_folder
):
    name = catalogue.register(catalogue.find_model("vasomim-demo"), "mine")
    panel.session.models_changed.emit()
    panel.base.use(name)
    checked(qtbot, panel, labels)
    (models_folder / "mine.safetensors").unlink()
    click(qtbot, panel.start)
    assert "mine cannot be started from any more" in notifications.pop().message
    assert spawned == []
    assert (panel.base.current, panel.base.currentText()) == ("mine", "mine (missing)")


def test_a_folder_that_cannot_be_written_is_a_sentence(qtbot, panel, labels, tmp_path, notifications):
    checked(qtbot, panel, labels)
    (tmp_path / "file").write_text("")
    panel.runs.folder = tmp_path / "file"
    click(qtbot, panel.start)
    assert "cannot be written" in notifications.pop().message


def test_from_scratch_stays_chosen_when_models_change(panel):
    panel.base.use("")
    panel.session.models_changed.emit()
    assert panel.base_changes() == {"init": None}


# Real runs: how one is started, followed and used with the other binding, the test of the whole loop shows


def tiny(panel):
    for key, value in {
        "frame_size": 64, "input_size": 64, "training.epochs": 2, "training.batch_size": 2,
        "training.log_every": 1, "training.precision": "fp32", "training.device": "cpu",
    }.items():  # fmt: skip
        panel.settings.editor(key).set(value)


@pytest.mark.once
@pytest.mark.timeout(300)
def test_a_run_from_the_window_equals_that_of_the_command_line(qtbot, panel, labels, tmp_path, notifications):
    checked(qtbot, panel, labels)
    panel.base.use("")
    tiny(panel)
    before = panel.session.model
    click(qtbot, panel.start)
    status = ended(qtbot, panel)
    assert status.state == "finished", status.message
    assert panel.session.model == before  # nothing is replaced without a word
    again = tmp_path / "again"
    command = [sys.executable, "-m", "vasomim_core", "finetune", "--config", status.run / "config.yaml", "--run", again]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert len(losses(again)) == status.epochs * 2
    assert losses(status.run) == losses(again)

    click(qtbot, panel.view.use)
    qtbot.waitUntil(lambda: panel.session.model == status.run.name, timeout=10_000)
    assert panel.base.findData(status.run.name) >= 0
    assert panel.base.current == ""
    click(qtbot, panel.view.use)  # a second press
    told = f"{status.run.name} is now the model of the Segment panel."
    qtbot.waitUntil(lambda: [note.message for note in notifications].count(told) == 2, timeout=10_000)
    packaged = ["vasomim-base", "vasomim-demo", "vasomim-encoder", "vasomim-every", "vasomim-fast"]
    assert list(catalogue.models()) == [*packaged, status.run.name]


@pytest.mark.once
@pytest.mark.timeout(300)
def test_a_pretrained_encoder_can_be_started_from_and_looked_at(qtbot, model, beside, pretrain, labels):
    finetune, masking = beside(model, FinetunePanel), beside(model, MaskPreviewPanel)
    checked(qtbot, pretrain, labels / "images")
    for key, value in {
        "encoder": "tiny", "input_size": 64, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2,
        "segmentor_epochs": 1, "training.epochs": 1, "training.batch_size": 4, "training.device": "cpu",
    }.items():  # fmt: skip
        pretrain.settings.editor(key).set(value)
    click(qtbot, pretrain.start)
    status = ended(qtbot, pretrain)
    assert status.state == "finished", status.message
    assert not pretrain.view.before_after.isVisible()
    active = pretrain.session.model
    click(qtbot, pretrain.view.use)
    name = status.run.name
    qtbot.waitUntil(lambda: finetune.base.findData(name) >= 0, timeout=10_000)
    assert catalogue.models()[name].kind == "autoencoder"
    assert "pretrained ViT, tiny" in finetune.base.itemText(finetune.base.findData(name))
    assert masking.model.findData(name) >= 0
    assert pretrain.session.model == active


# Runs that are there already


def finished_run(folder: Path, labels: Path, reason: str | None = "finished", job=FinetuneConfig) -> Path:
    save_config(folder / "config.yaml", job(labels, folder))
    log = EventLog(folder)
    log.write("open", job="finetune", pid=1)
    log.write("start", steps=4, epochs=2, resumed=0, pid=1, device="cpu")
    log.write("step", step=4, epoch=2, loss=0.5, eta=0.0, memory=GB)
    log.write("validation", step=4, epoch=2, scores={"dsc": 81.23, "cldice": 70.0}, best=81.23, improved=True)
    if reason:
        log.write("end", reason=reason, message="the disk is full" if reason == "failed" else "")
    if reason == "finished":
        shutil.copyfile(catalogue.find_model("vasomim-demo"), folder / "model.safetensors")
    return folder


def rows(panel):
    tree = panel.runs.list
    return {
        tree.topLevelItem(i).text(0): tuple(tree.topLevelItem(i).text(k) for k in (1, 2))
        for i in range(tree.topLevelItemCount())
    }


def choose(panel, name):
    found = panel.runs.list.findItems(name, Qt.MatchFlag.MatchExactly)
    panel.runs.list.setCurrentItem(found[0])


def test_runs_of_earlier_sessions_are_listed_with_their_results(qtbot, model, beside, labels, notifications):
    folder = jobs.default_runs_folder()
    finished_run(folder / "done", labels)
    finished_run(folder / "broke", labels, "failed")
    finished_run(folder / "gone", labels, None)
    (folder / "torn").mkdir()
    (folder / "torn" / "config.yaml").write_bytes(b"\0\1")
    (folder / "file").write_text("")
    panel = beside(model, FinetunePanel)
    qtbot.waitUntil(lambda: len(rows(panel)) == 4, timeout=10_000)
    torn = rows(panel).pop("torn")
    assert torn == ("unreadable", "")
    tips = [panel.runs.list.topLevelItem(i).toolTip(0) for i in range(4)]
    assert any("config.yaml: its first line does not say job" in tip for tip in tips)
    choose(panel, "torn")
    assert "its first line does not say job" in notifications.pop().message
    assert rows(panel) == {
        "done": ("finished", "81.2"),
        "broke": ("failed", "81.2"),
        "gone": ("lost", "81.2"),
        "torn": torn,
    }
    choose(panel, "done")
    assert "Finished; best DSC 81.2 % at epoch 2." in panel.view.state.text()
    assert panel.view.curves.best() == (2, 81.23)
    assert panel.view.use.isEnabled()
    assert panel.view.before_after.isEnabled()
    choose(panel, "broke")
    assert "the disk is full" in panel.view.state.text()
    assert panel.view.resume.isEnabled()
    assert not panel.view.use.isEnabled()
    choose(panel, "gone")
    assert "without a word" in panel.view.state.text()


def test_the_selection_stays_while_the_list_changes(qtbot, model, beside, labels):
    folder = jobs.default_runs_folder()
    for name in ("a", "b"):
        finished_run(folder / name, labels)
    panel = beside(model, FinetunePanel)
    qtbot.waitUntil(lambda: len(rows(panel)) == 2, timeout=10_000)
    choose(panel, "b")
    job = panel.view.job
    finished_run(folder / "c", labels)
    shutil.rmtree(folder / "a")
    panel.runs.refresh()
    qtbot.waitUntil(lambda: set(rows(panel)) == {"b", "c"}, timeout=10_000)
    assert panel.runs.list.currentItem().text(0) == "b"
    assert panel.view.job is job


def test_two_windows_list_the_same_runs(qtbot, beside, labels):
    finished_run(jobs.default_runs_folder() / "done", labels)
    panels = [beside(ViewerModel(), FinetunePanel) for _ in range(2)]
    for panel in panels:
        qtbot.waitUntil(lambda panel=panel: "done" in rows(panel), timeout=10_000)
    choose(panels[0], "done")
    assert panels[1].view.run is None
    assert panels[0].session is not panels[1].session


def test_the_end_of_a_run_is_told_while_another_or_none_is_looked_at(qtbot, panel, labels, monkeypatch, notifications):
    living = {"one", "two"}
    monkeypatch.setattr(jobs.RunFolder, "process", lambda self: psutil.Process() if self.run.name in living else None)
    folders = {name: finished_run(panel.runs.folder / name, labels, None) for name in ("one", "two")}
    for folder in folders.values():
        panel.runs.follow(jobs.attach(folder))
    assert panel.view.run.name == "two"
    EventLog(folders["one"]).write("end", reason="finished", message="")
    living.remove("one")
    qtbot.waitUntil(lambda: [note.message for note in notifications] == ["one has finished."], timeout=10_000)
    panel.hide()
    EventLog(folders["two"]).write("end", reason="failed", message="the disk is full")
    living.remove("two")
    qtbot.waitUntil(lambda: [note.message for note in notifications[1:]] == ["two: the disk is full"], timeout=10_000)


def test_a_run_that_goes_on_is_shown_at_once(qtbot, model, beside, labels, monkeypatch):
    finished_run(jobs.default_runs_folder() / "on", labels, None)
    monkeypatch.setattr(jobs.RunFolder, "process", lambda self: psutil.Process())
    panel = beside(model, FinetunePanel)
    qtbot.waitUntil(lambda: panel.view.run is not None, timeout=10_000)
    assert panel.runs.list.currentItem().text(0) == "on"
    assert panel.view.stop.isEnabled()


def test_the_process_of_this_window_is_asked_and_not_only_its_folder(qtbot, panel, labels):
    """Else a child that was killed would count as lost, as nobody took notice of its end."""
    folder = panel.runs.folder
    for name in ("one", "two"):
        finished_run(folder / name, labels)
    own = jobs.Job(folder / "one")
    panel.runs.follow(own)
    qtbot.waitUntil(lambda: len(rows(panel)) == 2, timeout=10_000)
    choose(panel, "two")
    choose(panel, "one")
    assert panel.view.job is own
