"""Labels come and go through the panel Labels."""

from __future__ import annotations

import shutil
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from qtpy.compat import isalive
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_vasomim._reader import get_reader
from napari_vasomim.widgets import label_exchange
from napari_vasomim.widgets.exchange_dialogs import ExportDialog, ImportDialog
from napari_vasomim.widgets.label_set import LabelSetPanel
from vasomim_core.classes import LabelClass
from vasomim_core.errors import LabelError
from vasomim_core.exchange.formats import hand_over, labelled
from vasomim_core.labels.labelset import LabelSet

from ...core.reading.files import write_dicom
from ..mouse import click

TWO = (LabelClass(1, "main"), LabelClass(3, "catheter", "#3ca0e8", vessel=False))


def drawn(seed):
    return np.random.default_rng(seed).choice(np.array([0, 1, 3], np.uint8), (16, 20))


def frame(seed):
    return np.random.default_rng(seed).integers(0, 255, (16, 20)).astype(np.uint8)


@pytest.fixture
def theirs(tmp_path):
    """A label set of two classes with three frames, and nnU-Net raw of it."""
    labels = LabelSet.create(tmp_path / "theirs", "theirs", TWO)
    for seed in range(3):
        labels.add(frame(seed), drawn(seed), group=f"g{seed}", annotator="reader 9")
    hand_over(labelled(labels.folder), "nnunet", tmp_path / "Dataset001_Theirs")
    return labels


@pytest.fixture
def panel(beside, model, tmp_path):
    panel = beside(model, LabelSetPanel)
    panel.session.open_label_set(LabelSet.create(tmp_path / "mine", "mine"))
    return panel


@pytest.fixture
def asked(monkeypatch):
    """The questions that came; they are answered by the button whose words are in `answer`."""

    class Asked(list):
        answer = "Import"

    found = Asked()

    def exec_(box):
        found.append(f"{box.text()}\n{box.informativeText()}")
        button = next(one for one in box.buttons() if found.answer in one.text().replace("&", ""))
        button.click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec_", exec_)
    return found


def ended(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.exchange.work.busy)


def imported(qtbot, panel, path, **how):
    heard = []
    panel.desk.watched.said.connect(heard.append)
    panel.exchange.look(path, **how)
    qtbot.waitUntil(lambda: bool(heard) and not panel.exchange.work.busy)
    return heard[-1]


def test_what_would_come_is_shown_before_it_comes(qtbot, panel, theirs, asked, tmp_path):
    asked.answer = "Cancel"
    assert imported(qtbot, panel, tmp_path / "Dataset001_Theirs") == "Nothing was imported."
    assert "3 new, 0 the same, 0 conflicting" in asked[0]
    assert "main, catheter" in asked[0]
    mine = panel.session.label_set
    assert mine.ids() == []
    asked.answer = "Import"
    assert imported(qtbot, panel, tmp_path / "Dataset001_Theirs") == "3 new labels imported."
    assert mine.classes == TWO
    for seed in range(3):
        record = mine.find(frame(seed))
        np.testing.assert_array_equal(mine.class_mask(record.id), drawn(seed))
        assert (record.group, record.annotator) == (f"g{seed}", "")
    qtbot.waitUntil(lambda: "3 accepted" in panel.set.counts.text())
    qtbot.waitUntil(lambda: panel.session.classes == TWO)
    assert imported(qtbot, panel, theirs.folder) == "Nothing to import: 0 new, 3 the same, 0 conflicting."
    assert len(asked) == 2


def test_conflicts_are_left_or_become_revisions(qtbot, panel, theirs, asked, tmp_path):
    mine = panel.session.label_set
    mine.set_classes(TWO)
    kept = mine.add(frame(0), drawn(8), annotator="reader 1")
    asked.answer = "New ones only"
    assert imported(qtbot, panel, theirs.folder) == "2 new labels imported."
    assert "1 conflicting" in asked[0]
    assert mine.record(kept.id) == kept
    asked.answer = "Keep as second readings"
    assert "1 second reading beside" in imported(qtbot, panel, theirs.folder)
    assert "was accepted by reader 1" in asked[1]
    assert (mine.record(kept.id), mine.readings(kept.id)[0].annotator) == (kept, "reader 9")
    shutil.rmtree(mine.folder / "readings")
    asked.answer = "Replace"
    assert imported(qtbot, panel, theirs.folder) == "0 new labels imported, 1 frame with another mask."
    assert (mine.record(kept.id).revision, mine.record(kept.id).annotator) == (2, "reader 9")
    np.testing.assert_array_equal(mine.class_mask(kept.id, 1), drawn(8))


def test_what_cannot_be_imported_is_one_sentence(qtbot, panel, tmp_path, notifications):
    panel.exchange.look(tmp_path / "nowhere")
    ended(qtbot, panel)
    assert "does not exist" in notifications.pop().message
    assert panel.exchange.come.isEnabled()


def test_nothing_comes_or_goes_without_a_set(beside, model):
    panel = beside(model, LabelSetPanel)
    assert not panel.exchange.come.isEnabled()
    assert not panel.exchange.go.isEnabled()
    for ask in (panel.exchange.ask_import, panel.exchange.ask_export):
        with pytest.raises(LabelError, match="No label set is open"):
            ask()


def test_an_import_goes_into_the_set_of_the_click(qtbot, panel, theirs, asked, tmp_path, monkeypatch):
    """Another set is opened while the question stands."""
    other, mine = LabelSet.create(tmp_path / "other", "other"), panel.session.label_set
    answered = QMessageBox.exec_

    def exec_(box):
        panel.session.open_label_set(other)
        return answered(box)

    monkeypatch.setattr(QMessageBox, "exec_", exec_)
    imported(qtbot, panel, theirs.folder)
    assert (len(mine.ids()), len(other.ids())) == (3, 0)
    assert asked


def test_the_dialog_gives_what_was_filled_in(qtbot, panel, theirs, asked, tmp_path, monkeypatch):
    def ask(dialog):
        assert not dialog.ok.isEnabled()
        dialog.source.text.setText(str(tmp_path / "Dataset001_Theirs"))
        assert dialog.ok.isEnabled()
        dialog.kind.setCurrentIndex(dialog.kind.findData("nnunet"))
        return True

    monkeypatch.setattr(ImportDialog, "ask", ask)
    click(qtbot, panel.exchange.come)
    qtbot.waitUntil(lambda: len(panel.session.label_set.ids()) == 3 and not panel.exchange.work.busy)
    assert asked


@pytest.fixture
def halting(monkeypatch):
    """What is exported stops at its first frame; it goes on when `go_on` is set."""
    found = SimpleNamespace(at_work=threading.Event(), go_on=threading.Event(), over=threading.Event())

    def slowly(folder, to, output, progress, *how, **more):
        def step(done, total):
            found.at_work.set()
            found.go_on.wait(30)
            progress(done, total)

        try:
            return hand_over(folder, to, output, step, *how, **more)
        finally:
            found.over.set()

    monkeypatch.setattr(label_exchange, "hand_over", slowly)
    yield found
    found.go_on.set()


def test_export_and_cancel(qtbot, panel, theirs, tmp_path, halting):
    panel.session.open_label_set(theirs)
    panel.exchange.export("coco", tmp_path / "out")
    qtbot.waitUntil(halting.at_work.is_set)
    assert panel.exchange.progress.isVisible()
    assert not panel.exchange.go.isEnabled()
    click(qtbot, panel.exchange.progress.cancel)
    halting.go_on.set()
    ended(qtbot, panel)
    assert not (tmp_path / "out").exists()
    assert "Cancelled" in panel.state.text()
    panel.exchange.export("coco", tmp_path / "out")
    ended(qtbot, panel)
    assert panel.state.text() == "3 frames exported to out."
    assert len(list((tmp_path / "out" / "images").iterdir())) == 3


def test_dicom_is_asked_for_by_one_sentence(qtbot, model, panel, asked, tmp_path, monkeypatch):
    ids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}
    run = write_dicom(tmp_path / "run.dcm", np.stack([frame(n) for n in range(4)]), **ids)
    ((data, keywords, _),) = get_reader(str(run))(str(run))
    model.add_image(data, **keywords)
    panel.session.label_set.add(frame(2), drawn(2) == 1, frame_index=2)

    def ask(dialog):
        dialog.kind.setCurrentIndex(dialog.kind.findData("dicom-seg"))
        assert dialog.images.path == run
        return True

    monkeypatch.setattr(ExportDialog, "ask", ask)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "seg.dcm"), ""))
    asked.answer = "No"
    monkeypatch.setattr(label_exchange, "confirmed", lambda *words: asked.append(words[-1]) or asked.answer == "Yes")
    click(qtbot, panel.exchange.go)
    assert not panel.exchange.work.busy
    assert "names the patient and the study" in asked[-1]
    assert not (tmp_path / "seg.dcm").exists()
    asked.answer = "Yes"
    click(qtbot, panel.exchange.go)
    qtbot.waitUntil((tmp_path / "seg.dcm").exists)
    ended(qtbot, panel)
    made = dcmread(tmp_path / "seg.dcm")
    source = made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert source.ReferencedFrameNumber == 3
    np.testing.assert_array_equal(np.squeeze(made.pixel_array).astype(bool), drawn(2) == 1)


def test_a_film_needs_its_run(qtbot, panel, tmp_path):
    dialog = ExportDialog(panel, "")
    qtbot.addWidget(dialog)
    assert dialog.ok.isEnabled()
    assert dialog.needed_images is None
    dialog.kind.setCurrentIndex(dialog.kind.findData("mp4"))
    assert not dialog.ok.isEnabled()
    dialog.images.text.setText(str(tmp_path))
    assert dialog.ok.isEnabled()
    assert dialog.needed_images == tmp_path
    dialog.kind.setCurrentIndex(dialog.kind.findData("coco"))
    assert dialog.needed_images is None


def test_pictures_of_a_set(qtbot, panel, theirs, tmp_path):
    panel.session.open_label_set(theirs)
    panel.exchange.export("png", tmp_path / "out")
    ended(qtbot, panel)
    shown = sorted((tmp_path / "out").iterdir())
    assert {path.stem for path in shown} == set(theirs.ids())
    assert cv2.imread(str(shown[0])).shape == (16, 20, 3)


def test_what_nobody_waits_for_any_more_ends(qtbot, model, theirs, tmp_path, halting):
    panel = LabelSetPanel(model)
    panel.session.open_label_set(theirs)
    panel.exchange.export("coco", tmp_path / "out")
    qtbot.waitUntil(halting.at_work.is_set)
    panel.deleteLater()
    qtbot.waitUntil(lambda: not isalive(panel))
    halting.go_on.set()
    qtbot.waitUntil(halting.over.is_set)
    assert not (tmp_path / "out").exists()
