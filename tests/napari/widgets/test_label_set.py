from __future__ import annotations

import shutil
from contextlib import contextmanager

import cv2
import numpy as np
import pydicom
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_vasomim.canvas import frames, layers
from napari_vasomim.canvas.facts import AngiogramFacts
from napari_vasomim.correcting.corrections import correction_of, ensure_correction
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.correcting.undo import apply_values
from napari_vasomim.labelling import asking
from napari_vasomim.prediction import Prediction
from napari_vasomim.shortcuts import Shortcuts
from napari_vasomim.widgets.label_set import LabelSetPanel
from vasomim_core.errors import LabelError
from vasomim_core.files import stamp
from vasomim_core.labels.labelset import LabelSet, pixel_sha256
from vasomim_core.reading import GreyLevels
from vasomim_core.synthetic import synthesize

from ..mouse import click


@pytest.fixture
def labels(tmp_path):
    return LabelSet.create(tmp_path / "coronaries", "coronaries")


@pytest.fixture
def opened(beside):
    def opened(model, labels=None):
        panel = beside(model, LabelSetPanel)
        panel.session.annotator = "reader 1"
        if labels is not None:
            panel.session.open_label_set(labels)
        return panel

    return opened


@pytest.fixture
def panel(opened, model, labels):
    return opened(model, labels)


def draw(model, angiogram, index, rows=slice(10, 20)):
    correction = ensure_correction(model, angiogram)
    plane = correction.data if correction.ndim == 2 else correction.data[index]
    plane[rows, 10:40] = 1
    return plane != 0


def shows(qtbot, label, words):
    qtbot.waitUntil(lambda: words in label.text())


def index_is(qtbot, panel, index):
    qtbot.waitUntil(lambda: panel.session.index == index and panel.shown.is_current())


@contextmanager
def said(qtbot, panel):
    """Wait for what the panel says of what was done in the block."""
    heard = []
    panel.desk.watched.said.connect(heard.append)
    yield
    qtbot.waitUntil(lambda: bool(heard))
    panel.desk.watched.said.disconnect(heard.append)


def accepted(qtbot, panel):
    with said(qtbot, panel):
        click(qtbot, panel.keep)


@pytest.fixture
def answers(qtbot, monkeypatch):
    """A window in front of which questions are asked: `answers(words)` presses that button, and gives the sentence.

    `meanwhile` is called while the question waits.
    """
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    monkeypatch.setattr(asking, "main_window", lambda _: window)

    def answer(words, meanwhile=lambda: None):
        def asked():
            return [box for box in window.findChildren(QMessageBox) if box.isVisible()]

        qtbot.waitUntil(lambda: bool(asked()))
        (box,) = asked()
        text = box.text()
        meanwhile()
        click(qtbot, next(button for button in box.buttons() if button.text() == words))
        return text

    return answer


def test_nothing_open_says_what_to_do(model, opened, notifications):
    panel = opened(model)
    assert "make one" in panel.set.counts.text()
    assert "choose a folder" in panel.position.words.text()
    assert not panel.keep.isEnabled()
    with pytest.raises(LabelError, match="No label set is open"):
        panel.accept()


def test_make_and_come_back(model, opened, qtbot, tmp_path, monkeypatch):
    panel = opened(model)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "left"), ""))
    click(qtbot, panel.set.make)
    shows(qtbot, panel.set.name, "left")
    assert LabelSet.open(tmp_path / "left").name == "left"

    later = opened(ViewerModel())
    assert "left" in later.set.recent.text()
    click(qtbot, later.set.recent)
    shows(qtbot, later.set.counts, "no labels yet")

    shutil.rmtree(tmp_path / "left")
    assert opened(ViewerModel()).set.recent.isHidden()


def test_a_folder_that_is_no_label_set(model, opened, qtbot, tmp_path, monkeypatch, notifications):
    panel = opened(model)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    click(qtbot, panel.set.other)
    qtbot.waitUntil(lambda: bool(notifications))
    assert "is no label set" in notifications.pop().message


def test_accept_keeps_every_revision_and_goes_on(model, qtbot, panel, labels, cine):
    angiogram = model.add_image(cine)
    frames.show_frame(model, angiogram, 2)
    index_is(qtbot, panel, 2)
    first = draw(model, angiogram, 2)
    accepted(qtbot, panel)
    assert panel.state.text() == "New label: frame 3 of cine, accepted."
    index_is(qtbot, panel, 3)
    record = labels.find(cine[2], 2)
    assert (record.annotator, record.model, record.frame_index) == ("reader 1", None, 2)
    assert np.array_equal(labels.frame(record.id), cine[2])
    assert np.array_equal(labels.mask(record.id), first)

    frames.show_frame(model, angiogram, 2)
    index_is(qtbot, panel, 2)
    second = draw(model, angiogram, 2, slice(40, 50))
    accepted(qtbot, panel)
    assert panel.state.text() == f"Revision 2 of frame 3 of {angiogram.name}, accepted; the older one is kept."
    assert np.array_equal(labels.mask(record.id, 1), first)
    assert np.array_equal(labels.mask(record.id), second)
    assert panel.desk.kept.missing(angiogram) == []
    assert panel.set.counts.text() == "1 accepted, 1 group"


def test_accepting_the_same_again_makes_no_revision(model, qtbot, panel, labels, still):
    angiogram = model.add_image(still)
    draw(model, angiogram, 0)
    editor_of(panel.session, ensure_correction(model, angiogram)).propose(0, "vasomim-demo")
    accepted(qtbot, panel)
    shows(qtbot, panel.known, "accepted by reader 1")
    editor_of(panel.session, ensure_correction(model, angiogram)).propose(0, None)
    accepted(qtbot, panel)
    assert "revision 1 stays" in panel.state.text()
    assert [(r.revision, r.model) for r in labels.revisions(labels.find(still).id)] == [(1, "vasomim-demo")]


def test_the_key_accepts(model, opened, qtbot, labels, still):
    panel = opened(model, labels)
    angiogram = model.add_image(still)
    correction = ensure_correction(model, angiogram)
    apply_values(correction, None, (still > 100).astype(np.uint8))
    editor = editor_of(panel.session, correction)
    assert editor.unsaved == {0}
    with said(qtbot, panel):
        Shortcuts.of(model).press("accept")
    assert len(labels.records("accepted")) == 1
    assert not editor.unsaved


@pytest.mark.parametrize("kind", ["uint16", "float", "rgb", "bright", "window"])
def test_frames_are_kept_as_they_are_and_found_again(model, qtbot, panel, labels, still, kind):
    wide = still.astype(np.uint16) * 16
    given = {
        "uint16": (wide, wide),
        "float": (still / 255.0, None),
        "rgb": (np.stack([still] * 3, -1), still),
        "bright": (65535 - wide, wide),
        "window": (wide, None),
    }
    data, kept = given[kind]
    window = (2048.0, 3000.0) if kind == "window" else None
    metadata = {layers.KEY: AngiogramFacts(window=window, chosen=GreyLevels(bright_vessels=kind == "bright"))}
    angiogram = model.add_image(data, metadata=metadata, scale=(0.3, 0.3), translate=(20, -5))
    drawn = draw(model, angiogram, 0)
    accepted(qtbot, panel)
    (record,) = labels.records()
    frame = labels.frame(record.id)
    assert np.array_equal(labels.mask(record.id), drawn)
    if kept is not None:
        assert np.abs(frame.astype(int) - kept).max() <= (kind == "rgb")
        assert frame.dtype == kept.dtype
    shows(qtbot, panel.known, "accepted by reader 1")
    correction = ensure_correction(model, angiogram)
    assert np.allclose(correction.scale, angiogram.scale)
    assert np.allclose(correction.translate, angiogram.translate)


def test_without_a_drawing_a_sentence(model, panel, still):
    model.add_image(still)
    with pytest.raises(LabelError, match="Nothing is drawn"):
        panel.accept()


def test_an_empty_mask_is_asked_about(viewer, opened, qtbot, labels, still):
    panel = opened(viewer, labels)
    angiogram = viewer.add_image(still)
    ensure_correction(viewer, angiogram)
    for answer in ("Cancel", "Accept empty"):
        assert not labels.records()
        click(qtbot, panel.keep)
        questions = viewer.window._qt_window.findChildren(QMessageBox)
        (question,) = [box for box in questions if box.isVisible()]
        click(qtbot, next(button for button in question.buttons() if button.text() == answer))
    qtbot.waitUntil(lambda: len(labels.records("accepted")) == 1)
    (record,) = labels.records()
    assert record.revision == 1
    assert not labels.mask(record.id).any()


def test_skip_and_flag_keep_what_was_drawn(model, qtbot, panel, labels, cine):
    angiogram = model.add_image(cine)
    drawn = draw(model, angiogram, 1)
    frames.show_frame(model, angiogram, 0)
    index_is(qtbot, panel, 0)
    with said(qtbot, panel):
        click(qtbot, panel.skip)
    index_is(qtbot, panel, 1)
    panel.note.setFocus()
    qtbot.keyClicks(panel.note, "catheter")
    with said(qtbot, panel):
        click(qtbot, panel.flag)
    index_is(qtbot, panel, 2)
    skipped, flagged = labels.find(cine[0], 0), labels.find(cine[1], 1)
    assert (skipped.status, flagged.status, flagged.note) == ("skipped", "flagged", "catheter")
    assert np.array_equal(labels.mask(flagged.id), drawn)
    assert panel.set.counts.text() == "1 skipped · 1 flagged, 1 group"
    panel.set.more.click()
    assert panel.set.table.topLevelItem(0).text(2) == "1"


def test_skipping_a_kept_frame_leaves_its_mask(model, qtbot, panel, labels, still, still_truth):
    id = labels.add(still, still_truth).id
    model.add_image(still)
    shows(qtbot, panel.known, "accepted")
    with said(qtbot, panel):
        click(qtbot, panel.skip)
    assert labels.record(id).status == "skipped"
    assert np.array_equal(labels.mask(id), still_truth)
    assert labels.record(id).revision == 1


def test_a_known_frame_shows_its_label(model, qtbot, panel, labels, cine, cine_truth):
    labels.add(cine[3], cine_truth[3], annotator="anna", model="m1", frame_index=3)
    panel.desk.watched.refresh()
    angiogram = model.add_image(cine, name="run")
    frames.show_frame(model, angiogram, 3)
    shows(qtbot, panel.known, "accepted by anna")
    angiogram.name = "renamed"
    click(qtbot, panel.show_label)
    qtbot.waitUntil(lambda: correction_of(panel.viewer, angiogram) is not None)
    correction = correction_of(panel.viewer, angiogram)
    assert np.array_equal(correction.data[3], cine_truth[3])
    assert editor_of(panel.session, correction).models == {3: "m1"}
    assert panel.desk.kept.missing(angiogram) == []
    correction.undo()
    assert not correction.data.any()


def test_an_earlier_revision_is_seen_and_taken_back(model, qtbot, panel, labels, still, still_truth, answers):
    id = labels.add(still, still_truth, annotator="anna").id
    labels.update_mask(id, np.zeros_like(still_truth), "bert")
    angiogram = model.add_image(still)
    qtbot.waitUntil(lambda: panel.history.table.topLevelItemCount() == 2)
    panel.history.table.setCurrentItem(panel.history.table.topLevelItem(1))
    qtbot.waitUntil(lambda: layers.labels_of(model, "revision", angiogram) is not None)
    shown = layers.labels_of(model, "revision", angiogram)
    assert np.array_equal(shown.data != 0, still_truth)
    assert not shown.editable
    model.layers.reverse()
    click(qtbot, panel.history.back)
    with said(qtbot, panel):
        answers("Replace")
    assert [(r.revision, r.annotator) for r in labels.revisions(id)] == [(1, "anna"), (2, "bert"), (3, "anna")]
    correction = correction_of(panel.viewer, angiogram)
    assert np.array_equal(correction.data != 0, still_truth)
    correction.undo()
    assert not correction.data.any()
    qtbot.waitUntil(lambda: panel.history.table.topLevelItemCount() == 3)


def test_the_queue_of_a_cine(model, qtbot, panel, labels, cine, cine_truth):
    for index in (0, 2):
        labels.add(cine[index], cine_truth[index], frame_index=index)
    panel.desk.watched.refresh()
    angiogram = model.add_image(cine)
    frames.show_frame(model, angiogram, 0)
    shows(qtbot, panel.position.words, "Frame 1 of 8 · accepted")
    click(qtbot, panel.position.next)
    shows(qtbot, panel.position.words, "Frame 2 of 8")
    click(qtbot, panel.position.unlabelled)
    shows(qtbot, panel.position.words, "Frame 4 of 8")
    click(qtbot, panel.position.previous)
    shows(qtbot, panel.position.words, "Frame 3 of 8 · accepted")
    qtbot.mouseClick(panel.position.strip, Qt.MouseButton.LeftButton, pos=QPoint(panel.position.strip.middle(7), 8))
    shows(qtbot, panel.position.words, "Frame 8 of 8")
    click(qtbot, panel.position.next)
    shows(qtbot, panel.position.words, "the last frame")
    assert panel.session.index == 7


def test_most_uncertain_first(model, qtbot, panel, cine):
    angiogram = model.add_image(cine)
    frames.show_frame(model, angiogram, 0)
    panel.queue.order.setCurrentIndex(1)
    panel.queue.order.activated.emit(1)
    shows(qtbot, panel.position.words, "No frame is segmented yet")
    prediction = Prediction("m", cine.shape)
    for index, bits in {0: 0.3, 5: 0.2, 1: 0.1}.items():
        prediction.keep(index, np.zeros(cine.shape[1:], np.float32), bits)
    panel.session.predictions[angiogram] = prediction
    panel.session.predicted.emit(prediction)
    shows(qtbot, panel.position.words, "3 segmented; the others come last")
    for expected in (5, 1, 2):
        click(qtbot, panel.position.next)
        index_is(qtbot, panel, expected)
    panel.session.angiogram = model.add_image(cine[0])
    panel.session.angiogram = angiogram
    frames.show_frame(model, angiogram, 0)
    click(qtbot, panel.position.next)  # what was said about it before is still known
    index_is(qtbot, panel, 5)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "cases"
    folder.mkdir()
    for number in (1, 2, 10):
        cv2.imwrite(str(folder / f"{number}.png"), np.asarray(synthesize(number, size=64).frame))
    return folder


def test_a_folder_to_its_end(model, qtbot, panel, labels, folder):
    panel.navigator.work_through(folder)
    for number in (1, 2, 3):
        shows(qtbot, panel.position.words, f"File {number} of 3")
        angiogram = panel.session.angiogram
        qtbot.waitUntil(lambda angiogram=angiogram: panel.shown.known.layer is angiogram)
        draw(model, angiogram, 0)
        accepted(qtbot, panel)
    shows(qtbot, panel.position.words, "All done: 3 accepted.")
    assert len(labels.records("accepted")) == 3
    assert len(layers.angiograms(model)) == 1, "files that are kept are closed"
    click(qtbot, panel.position.previous)
    shows(qtbot, panel.position.words, "File 2 of 3 · accepted")
    layer = panel.session.angiogram
    qtbot.waitUntil(lambda: correction_of(model, layer) is not None and correction_of(model, layer).data.any())
    [record] = [r for r in labels.records() if r.frame_sha256 == pixel_sha256(layer.data)]
    assert np.array_equal(correction_of(model, layer).data != 0, labels.mask(record.id))  # it shows what was kept


def test_accepting_with_a_vessel_tool_goes_on(viewer, opened, qtbot, labels, folder, notifications):
    panel = opened(viewer, labels)
    panel.navigator.work_through(folder)
    shows(qtbot, panel.position.words, "File 1 of 3")
    qtbot.waitUntil(lambda: panel.shown.is_current() and panel.shown.known.layer is not None)
    first = panel.session.angiogram
    correction = ensure_correction(viewer, first)
    tools = editor_of(panel.session, correction).tools
    tools.take("trace")
    tools.click((10, 10))
    assert tools.click((50, 40))
    accepted(qtbot, panel)
    shows(qtbot, panel.position.words, "File 2 of 3")
    assert first not in viewer.layers
    assert correction not in viewer.layers
    previews = [layer for layer in viewer.layers if layers.role(layer) == "preview"]
    assert [layers.owner(viewer, layer) for layer in previews] == [panel.session.angiogram]
    assert editor_of(panel.session, ensure_correction(viewer, panel.session.angiogram)).tools.tool == "trace"
    assert panel.navigator.queue.by_status(panel.desk.watched.contents)["accepted"] == 1
    assert notifications == []


def test_what_a_person_has_opened_or_copied_is_not_closed_by_the_queue(model, qtbot, panel, folder):
    own = model.add_image(
        cv2.imread(str(folder / "1.png"), cv2.IMREAD_UNCHANGED),
        metadata={
            layers.KEY: AngiogramFacts(path=folder / "1.png", stamp=stamp(folder / "1.png")),
        },
    )
    panel.navigator.work_through(folder)
    shows(qtbot, panel.position.words, "File 1 of 3")
    assert panel.session.angiogram is own
    assert layers.angiograms(model) == [own]
    qtbot.waitUntil(lambda: panel.shown.known.layer is own)
    draw(model, own, 0)
    accepted(qtbot, panel)
    shows(qtbot, panel.position.words, "File 2 of 3")
    assert own in model.layers
    second = panel.session.angiogram
    qtbot.waitUntil(lambda: panel.shown.known.layer is second)
    draw(model, second, 0)
    correction = correction_of(model, second)
    backup = model.add_labels(correction.data.copy(), metadata=dict(correction.metadata))
    accepted(qtbot, panel)
    shows(qtbot, panel.position.words, "File 3 of 3")
    assert backup in model.layers
    assert not backup.visible


def test_what_was_said_of_a_frame_names_it_and_goes_with_the_next(model, qtbot, panel, labels, cine):
    angiogram = model.add_image(cine, name="run")
    frames.show_frame(model, angiogram, 2)
    index_is(qtbot, panel, 2)
    with said(qtbot, panel):
        click(qtbot, panel.flag)
    assert panel.state.text() == "New label: frame 3 of run, flagged."
    index_is(qtbot, panel, 3)
    assert "frame 3 of run" in panel.state.text()  # where flagging has led
    frames.show_frame(model, angiogram, 6)
    index_is(qtbot, panel, 6)
    assert panel.state.text() == ""


def test_a_mask_that_was_erased_or_drawn_anew_is_not_put_over_it(model, qtbot, panel, labels, cine, cine_truth):
    labels.add(cine[3], cine_truth[3], frame_index=3)
    panel.desk.watched.refresh()
    angiogram = model.add_image(cine)
    drawn = draw(model, angiogram, 3)
    frames.show_frame(model, angiogram, 3)
    shows(qtbot, panel.known, "accepted")
    qtbot.wait(200)
    correction = correction_of(model, angiogram)
    assert np.array_equal(correction.data[3] != 0, drawn)
    frames.show_frame(model, angiogram, 5)
    index_is(qtbot, panel, 5)
    correction.data[3] = 0
    frames.show_frame(model, angiogram, 3)
    index_is(qtbot, panel, 3)
    qtbot.wait(200)
    assert not correction.data[3].any()


def test_a_file_with_work_on_it_is_never_closed(model, qtbot, panel, folder):
    panel.navigator.work_through(folder)
    shows(qtbot, panel.position.words, "File 1 of 3")
    first = panel.session.angiogram
    drawn = draw(model, first, 0)
    click(qtbot, panel.position.next)
    shows(qtbot, panel.position.words, "stays open, hidden")
    assert first in model.layers
    assert not first.visible
    click(qtbot, panel.position.previous)
    qtbot.waitUntil(lambda: panel.session.angiogram is first)
    assert first.visible
    assert correction_of(panel.viewer, first).visible
    assert np.array_equal(correction_of(panel.viewer, first).data != 0, drawn)


def test_a_folder_seen_before_goes_on_where_it_was_left(model, qtbot, panel, labels, folder):
    frame = cv2.imread(str(folder / "1.png"), cv2.IMREAD_UNCHANGED)
    labels.add(frame, frame > 255)
    model.add_image(np.zeros((20, 20), np.uint8))
    panel.navigator.work_through(folder)
    shows(qtbot, panel.position.words, "File 2 of 3")


def test_an_empty_folder_is_a_sentence(model, panel, qtbot, still, tmp_path, notifications):
    model.add_image(still)
    (tmp_path / "empty").mkdir()
    panel.navigator.work_through(tmp_path / "empty")
    qtbot.waitUntil(lambda: bool(notifications))
    assert "holds no angiogram" in notifications.pop().message
    assert "holds no angiogram" in panel.position.words.text()
    assert panel.navigator.folder is None


def test_groups(model, qtbot, panel, labels, cine, tmp_path):
    angiogram = model.add_image(cine)
    frames.show_frame(model, angiogram, 0)
    index_is(qtbot, panel, 0)
    draw(model, angiogram, 0)
    accepted(qtbot, panel)
    assert len(labels.records()[0].group) == 16, "frames of a run stay together"
    with said(qtbot, panel):
        panel.group.selectAll()
        qtbot.keyClicks(panel.group, "p7")
        qtbot.keyClick(panel.group, Qt.Key.Key_Return)
    assert labels.records()[0].group == "p7"
    index_is(qtbot, panel, 1)
    draw(model, angiogram, 1)
    accepted(qtbot, panel)
    assert {record.group for record in labels.records()} == {"p7"}


def test_the_patient_of_a_dicom_file_is_a_pseudonym(model, qtbot, panel, labels, still, tmp_path):
    header = pydicom.Dataset()
    header.PatientID, header.PatientName = "12345", "Doe^Jane"
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1"
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    header.save_as(tmp_path / "run.dcm", enforce_file_format=True)
    facts = AngiogramFacts(path=tmp_path / "run.dcm")
    draw(model, model.add_image(still, metadata={layers.KEY: facts}), 0)
    qtbot.waitUntil(lambda: len(panel.group.text()) == 16)
    accepted(qtbot, panel)
    assert labels.records()[0].group == panel.group.text()
    stored = " ".join(path.read_text() for path in labels.folder.rglob("*.json"))
    assert not any(secret in stored for secret in ("12345", "Doe", "run.dcm"))


def test_a_folder_that_disappears_loses_nothing(model, qtbot, panel, labels, still, notifications):
    angiogram = model.add_image(still)
    drawn = draw(model, angiogram, 0)
    shutil.move(labels.folder, labels.folder.with_name("elsewhere"))
    accepted(qtbot, panel)
    assert "could not be written to" in notifications.pop().message
    shows(qtbot, panel.set.trouble, "not there any more")
    assert panel.state.text().startswith("Not saved.")
    assert np.array_equal(correction_of(panel.viewer, angiogram).data != 0, drawn)
    shutil.move(labels.folder.with_name("elsewhere"), labels.folder)
    accepted(qtbot, panel)
    shows(qtbot, panel.set.counts, "1 accepted")
    qtbot.waitUntil(panel.set.trouble.isHidden)  # the folder is read once more after the label was written


def test_a_set_that_cannot_be_written_to(model, qtbot, panel, labels, still, notifications):
    (labels.folder / ".lock").mkdir()
    draw(model, model.add_image(still), 0)
    accepted(qtbot, panel)
    assert "could not be written to" in notifications.pop().message
    assert panel.keep.isEnabled()


def test_two_windows_on_one_set(model, opened, qtbot, panel, labels, still):
    other = opened(ViewerModel(), LabelSet.open(labels.folder))
    other.viewer.add_image(still)
    shows(qtbot, other.known, "no label yet")
    draw(model, model.add_image(still), 0)
    accepted(qtbot, panel)
    shows(qtbot, other.set.counts, "1 accepted")
    shows(qtbot, other.known, "accepted by reader 1")
    assert other.annotator.text() == "reader 1"
    mask = draw(other.viewer, other.session.angiogram, 0, slice(60, 70))
    accepted(qtbot, other)
    shows(qtbot, panel.known, "revision 2")
    assert np.array_equal(labels.mask(labels.find(still).id), mask)

    other.session.annotator = "reader 2"
    assert (panel.session.annotator, panel.annotator.text()) == ("reader 1", "reader 1"), "each window has its own"


def test_another_readers_label_is_replaced_only_when_that_is_said(model, qtbot, panel, labels, cine, answers):
    """Also where it was accepted meanwhile, in another window."""
    angiogram = model.add_image(cine, name="cine")
    frames.show_frame(model, angiogram, 0)
    mask = draw(model, angiogram, 0)
    index_is(qtbot, panel, 0)
    theirs = np.zeros_like(mask)
    first = LabelSet.open(labels.folder).add(cine[0], theirs, annotator="anna", frame_index=0)
    click(qtbot, panel.keep)
    assert "anna accepted the label of this frame on" in answers("Cancel")
    shows(qtbot, panel.state, "Not saved: the label by anna stays as it is.")
    assert (labels.record(first.id), labels.readings(first.id)) == (first, [])

    Shortcuts.of(model).press("accept")
    answers("Keep as a second reading")
    shows(qtbot, panel.state, "Second reading of frame 1 of cine by reader 1; the label by anna stays.")
    assert labels.record(first.id) == first
    assert np.array_equal(labels.reading_mask(first.id, 1) != 0, mask)
    assert [(r.annotator, r.blind, r.beside) for r in labels.readings(first.id)] == [("reader 1", False, 1)]
    assert panel.desk.kept.missing(angiogram) == []
    index_is(qtbot, panel, 1)

    frames.show_frame(model, angiogram, 0)
    index_is(qtbot, panel, 0)
    click(qtbot, panel.skip)
    assert "Skip the frame" in answers("Cancel")
    click(qtbot, panel.keep)
    assert "anna" in answers("Replace", meanwhile=lambda: labels.update_mask(first.id, mask, "bert"))
    assert "bert" in answers("Replace")
    shows(qtbot, panel.state, "Revision 3 of frame 1")
    assert [r.annotator for r in labels.revisions(first.id)] == ["anna", "bert", "reader 1"]
    index_is(qtbot, panel, 1)
    frames.show_frame(model, angiogram, 0)
    index_is(qtbot, panel, 0)
    accepted(qtbot, panel)  # her own does not ask


def test_layers_deleted_in_between(model, qtbot, panel, cine):
    angiogram = model.add_image(cine)
    draw(model, angiogram, 0)
    model.layers.remove(correction_of(panel.viewer, angiogram))
    with pytest.raises(LabelError, match="Nothing is drawn"):
        panel.accept()
    model.layers.remove(angiogram)
    shows(qtbot, panel.position.words, "Open an angiogram")
    shows(qtbot, panel.known, "No angiogram is open")
    assert not panel.keep.isEnabled()
