"""Named classes in the window: made in Labels, drawn in Correct, kept, brought back, and asked about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.utils.colormaps.standardize_color import transform_color
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor

from napari_vasomim.canvas import layers
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.corrections import correction_of, ensure_correction
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.prediction import Prediction
from napari_vasomim.widgets.class_list import ClassRow
from napari_vasomim.widgets.correct import CorrectPanel
from napari_vasomim.widgets.label_set import LabelSetPanel
from napari_vasomim.widgets.workbench import Workbench
from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.files import write_png
from vasomim_core.labels.labelset import LabelSet

from ..classes import CATHETER, LAD, LCX, THREE
from ..conftest import ROOT
from ..mouse import Mouse, activate, click


@pytest.fixture
def labels(tmp_path):
    return LabelSet.create(tmp_path / "three", "three", THREE)


def squares(*values):
    """A plane with a square of each value, from the left."""
    plane = np.zeros((256, 256), np.uint8)
    for place, value in enumerate(values):
        plane[20:40, 10 + 30 * place : 30 + 30 * place] = value
    return plane


def put(layer, plane):
    undo.apply_values(layer, None, plane)


def kept(qtbot, panel):
    """Accept, and wait for what is said."""
    heard = []
    panel.desk.watched.said.connect(heard.append)
    panel.accept()
    qtbot.waitUntil(lambda: bool(heard), timeout=10_000)
    return heard[0]


def names(correct):
    """Of the classes that can be chosen, as their buttons say them in full."""
    return [made.toolTip().removeprefix("Draw ").partition(" (")[0] for made in correct.classes.buttons]


def test_three_classes_from_the_first_stroke_to_a_restored_revision(make_napari_viewer, qtbot, still, labels):
    viewer = make_napari_viewer(show=True)
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    activate(viewer)
    bench.session.open_label_set(labels)
    angiogram = viewer.add_image(still)
    correct, panel = bench.show_panel(CorrectPanel), bench.panel(LabelSetPanel)
    correct.start_empty()
    layer = correct.correction
    viewer.reset_view()
    qtbot.wait(200)
    assert names(correct) == ["LAD", "LCX", "catheter"]
    assert [made.text()[0] for made in correct.classes.buttons] == ["1", "2", "3"]
    assert correct.recolour.isVisible()
    mouse = Mouse(viewer, layer)
    layer.brush_size = 9
    mouse.key(Qt.Key.Key_P)
    mouse.drag((60, 40), (60, 200))
    mouse.key(Qt.Key.Key_2)
    mouse.drag((40, 120), (90, 120))  # across the first
    click(qtbot, correct.classes.buttons[2])
    mouse.drag((150, 40), (150, 200))
    drawn = layer.data.copy()
    assert {1, 2, 5} == set(np.unique(drawn)) - {0}
    assert (drawn[60, 45:195] == 1).all()  # nothing went across it
    mouse.key(Qt.Key.Key_E)
    mouse.drag((30, 120), (170, 120))  # erases the chosen class alone
    assert (layer.data == np.where((drawn == 5) & (layer.data == 0), 0, drawn)).all()
    assert layer.data[150, 120] == 0
    mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert (layer.data == drawn).all()
    mouse.key(Qt.Key.Key_A)
    qtbot.waitUntil(lambda: labels.find(still) is not None and not panel.saving.busy, timeout=10_000)
    id = labels.find(still).id
    assert (labels.class_mask(id) == drawn).all()
    assert (labels.mask(id) == np.isin(drawn, (1, 2))).all()

    qtbot.waitUntil(lambda: not correct._editor.unsaved, timeout=10_000)
    put(layer, np.where(drawn == 2, 1, drawn).astype(np.uint8))
    mouse.key(Qt.Key.Key_A)
    qtbot.waitUntil(lambda: labels.record(id).revision == 2 and not panel.saving.busy, timeout=10_000)
    assert 2 not in labels.class_mask(id)

    def seen() -> int | None:
        """The revision that the panel knows of."""
        known = panel.desk.shown.known
        return known.record.revision if panel.desk.shown.is_current() and known.record else None

    qtbot.waitUntil(lambda: seen() == 2, timeout=10_000)
    panel.desk.revisions.show(1)
    qtbot.waitUntil(lambda: layers.find(viewer, "revision", angiogram) is not None, timeout=10_000)
    earlier = layers.find(viewer, "revision", angiogram)
    assert (earlier.data == drawn).all()
    np.testing.assert_allclose(earlier.get_color(2), transform_color(LCX.colour)[0], atol=0.01)
    panel.desk.revisions.take_back(1)
    qtbot.waitUntil(lambda: (layer.data == drawn).all(), timeout=10_000)
    assert (labels.class_mask(id) == drawn).all()
    assert labels.check() == []


def test_another_window_sees_the_label_in_its_classes(model, beside, qtbot, still, labels):
    labels.add(still, squares(1, 2, 5), annotator="a")
    panel = beside(model, LabelSetPanel)
    panel.session.open_label_set(labels)
    angiogram = model.add_image(still)
    qtbot.waitUntil(lambda: correction_of(model, angiogram) is not None, timeout=10_000)
    layer = correction_of(model, angiogram)
    assert (layer.data == squares(1, 2, 5)).all()
    assert panel.desk.kept.missing(angiogram) == []
    np.testing.assert_allclose(layer.get_color(5), transform_color(CATHETER.colour)[0], atol=0.01)
    put(layer, squares(1, 2, 1))
    assert panel.desk.kept.missing(angiogram) == [0]  # another class is another mask


def test_after_a_crash_the_strokes_are_back_in_their_classes(model, beside, qtbot, still, labels):
    angiogram = model.add_image(still)
    panel = beside(model, CorrectPanel)
    panel.session.open_label_set(labels)
    panel.start_empty()
    put(panel.correction, squares(1, 2, 5))
    model.layers.remove(panel.correction)
    click(qtbot, panel.offer.restore)
    assert (correction_of(model, angiogram).data == squares(1, 2, 5)).all()
    assert panel.strangers.isHidden()
    assert panel.classes.isVisible()


def test_the_prediction_is_the_first_class_and_leaves_others(model, beside, still, labels, monkeypatch):
    source = model.add_image(still)
    panel = beside(model, CorrectPanel)
    panel.session.open_label_set(labels)
    prediction = Prediction("some-model", (1, 256, 256))
    prediction.keep(0, (squares(0, 1, 1) > 0).astype(np.float32), 0.0)
    panel.session.predictions[source] = prediction
    monkeypatch.setattr(panel, "_ask_replace", lambda: "add")
    put(panel.desk.need_correction(), squares(5, 2))
    panel.start_from_prediction()
    assert (panel.correction.data == squares(5, 2, 1)).all()
    monkeypatch.setattr(panel, "_ask_replace", lambda: "replace")
    panel.start_from_prediction()
    assert (panel.correction.data == squares(0, 1, 1)).all()


def test_one_class_looks_as_plain_as_ever(model, beside, still, tmp_path):
    model.add_image(still)
    correct, panel = beside(model, CorrectPanel), beside(model, LabelSetPanel)
    assert panel.set.classes.fold.isHidden()  # no set is open
    panel.session.open_label_set(LabelSet.create(tmp_path / "one", "one"))
    correct.start_empty()
    assert (correct.classes.isHidden(), correct.recolour.isHidden()) == (True, True)
    fold = panel.set.classes.fold
    assert (fold.isVisible(), fold._content.isVisible(), fold._head.text()) == (True, False, "Classes: vessel")


def listed(panel):
    return [(one.name.text(), one.vessel.isChecked()) for one in panel.set.classes.rows]


@pytest.fixture
def panel(model, beside, labels):
    panel = beside(model, LabelSetPanel)
    panel.session.open_label_set(labels)
    panel.set.classes.fold.set_open(True)
    return panel


def test_classes_are_made_renamed_recoloured_and_taken_away(panel, labels, qtbot, monkeypatch):
    shown = panel.set.classes

    def until(classes):
        qtbot.waitUntil(lambda: labels.classes == classes and panel.session.classes == classes, timeout=10_000)
        qtbot.waitUntil(lambda: shown.add.isEnabled() and shown.rows[-1].remove.isVisible(), timeout=10_000)
        qtbot.wait(100)  # until they lie where they are clicked

    shown.another.setText("D1 & 2")
    click(qtbot, shown.add)
    assert not shown.add.isEnabled()  # one change at a time
    with pytest.raises(Exception, match="still being written"):
        panel.desk.watched.change_classes(lambda classes: classes)
    stenosis = LabelClass(3, "D1 & 2", "#4cc26e")
    until((LAD, LCX, stenosis, CATHETER))
    assert shown.fold._head.text().startswith("Classes: LAD, LCX, D1 && 2")
    field = shown.rows[2].name
    field.selectAll()
    qtbot.keyClicks(field, "stenosis")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    stenosis = LabelClass(3, "stenosis", "#4cc26e")
    until((LAD, LCX, stenosis, CATHETER))
    click(qtbot, shown.rows[2].vessel)
    stenosis = LabelClass(3, "stenosis", "#4cc26e", vessel=False)
    until((LAD, LCX, stenosis, CATHETER))
    monkeypatch.setattr(ClassRow, "ask_colour", lambda self: QColor("#123456"))
    click(qtbot, shown.rows[2].colour)
    until((LAD, LCX, LabelClass(3, "stenosis", "#123456", vessel=False), CATHETER))
    monkeypatch.setattr(ClassRow, "ask_colour", lambda self: QColor())
    click(qtbot, shown.rows[1].colour)  # nothing was chosen
    click(qtbot, shown.rows[2].remove)
    until(THREE)
    assert listed(panel) == [("LAD", True), ("LCX", True), ("catheter", False)]


def test_what_the_engine_refuses_is_said_and_the_list_stays_true(panel, labels, qtbot, still, notifications):
    labels.add(still, squares(1, 5), annotator="a")
    shown = panel.set.classes
    click(qtbot, shown.rows[2].remove)
    qtbot.waitUntil(lambda: bool(notifications), timeout=10_000)
    assert "Class catheter" in notifications[-1].message
    assert "is in 1 label" in notifications.pop().message
    shown.rows[1].name.setText("lad")
    shown.rows[1].name.setModified(True)
    shown.rows[1].name.editingFinished.emit()
    qtbot.waitUntil(lambda: bool(notifications), timeout=10_000)
    assert "give each a value and a name of its own" in notifications.pop().message
    qtbot.waitUntil(lambda: listed(panel) == [("LAD", True), ("LCX", True), ("catheter", False)], timeout=10_000)
    assert labels.classes == THREE


def test_what_another_program_changes_is_seen(panel, labels, qtbot):
    other = LabelSet.open(labels.folder)
    qtbot.wait(300)  # the folder is watched from the first look on
    other.set_classes([LAD, LabelClass(2, "LCX or RCA", "#00ff00")])
    qtbot.waitUntil(lambda: listed(panel) == [("LAD", True), ("LCX or RCA", True)], timeout=10_000)
    assert panel.session.classes == other.classes


def test_a_class_taken_away_elsewhere_is_asked_about(model, beside, panel, labels, qtbot, still, notifications):
    model.add_image(still)
    correct = beside(model, CorrectPanel)
    correct.start_empty()
    put(correct.correction, squares(1, 2, 5))
    LabelSet.open(labels.folder).set_classes([LAD, CATHETER])
    assert kept(qtbot, panel).startswith("Not saved. LCX (2) is drawn here, and the label set three has no such class")
    notifications.clear()
    assert labels.records() == []
    qtbot.waitUntil(lambda: correct.strangers.isVisible(), timeout=10_000)
    assert "LCX (2)" in correct.strangers.text.text()
    with pytest.raises(Exception, match=r"what the label set three has no class for: LCX \(2\)"):
        panel.accept()
    assert (correct.correction.data == squares(1, 2, 5)).all()
    np.testing.assert_allclose(correct.correction.get_color(2), transform_color(LCX.colour)[0], atol=0.01)
    assert not correct.strangers.take.isEnabled()
    correct.strangers.choices[2].setCurrentIndex(correct.strangers.choices[2].findText("LAD"))
    click(qtbot, correct.strangers.take)
    assert (correct.correction.data == squares(1, 1, 5)).all()
    assert correct.strangers.isHidden()
    assert names(correct) == ["LAD", "catheter"]
    assert kept(qtbot, panel).startswith("New label")
    assert (labels.class_mask(labels.find(still).id) == squares(1, 1, 5)).all()


def test_another_set_is_never_taken_for_the_one_that_was_drawn_for(model, beside, panel, tmp_path, qtbot, still):
    model.add_image(still)
    correct = beside(model, CorrectPanel)
    correct.start_empty()
    put(correct.correction, squares(1, 2))
    other = LabelSet.create(tmp_path / "right", "right", [LabelClass(1, "RCA"), LabelClass(4, "lcx")])
    panel.session.open_label_set(other)
    assert correct.strangers.choices[2].currentText() == "lcx"  # of the same name, by another value
    assert correct.strangers.choices[1].currentText() == "choose…"
    assert names(correct) == ["LAD", "LCX", "catheter"]
    panel.session.open_label_set(panel.desk.watched.need_label_set())
    correct.strangers.choices[1].setCurrentIndex(correct.strangers.choices[1].findText("nothing: erase it"))
    click(qtbot, correct.strangers.take)
    assert (correct.correction.data == squares(0, 4)).all()


def test_without_a_label_set_a_sentence(model, beside, panel, still):
    model.add_image(still)
    panel.session.open_label_set(None)
    assert panel.session.classes == VESSEL
    with pytest.raises(Exception, match="No label set is open"):
        panel.accept()


def test_a_saved_file_holds_the_values_and_that_is_said(model, beside, labels, still, tmp_path, notifications):
    panel = beside(model, CorrectPanel)
    panel.session.open_label_set(labels)
    layer = ensure_correction(model, model.add_image(still))
    put(layer, squares(1, 2, 5))
    layer.save(str(tmp_path / "mask.png"), plugin="napari-vasomim")
    assert (np.asarray(Image.open(tmp_path / "mask.png")) == squares(1, 2, 5)).all()
    assert "the values of classes, 1, 2, 5" in notifications.pop().message
    put(layer, squares(0, 2))
    layer.save(str(tmp_path / "mask.tif"), plugin="napari-vasomim")
    assert (tifffile.imread(tmp_path / "mask.tif") == squares(0, 2)).all()
    assert notifications.pop()
    put(layer, squares(1))
    layer.save(str(tmp_path / "vessel.png"), plugin="napari-vasomim")
    assert (np.asarray(Image.open(tmp_path / "vessel.png")) == squares(255)).all()
    assert notifications == []


def test_a_class_may_be_chosen_before_there_is_a_layer(model, beside, still, labels):
    panel = beside(model, CorrectPanel)
    panel.session.open_label_set(labels)
    model.add_image(still)
    panel.classes.buttons[1].click()
    panel.take("paint")
    assert panel.correction.selected_label == 2
    assert panel.classes.buttons[1].isChecked()
    later = ViewerModel()
    assert beside(later, CorrectPanel).session.class_value == 1  # a choice belongs to one window
    assert editor_of(panel.session, panel.correction).classes.palette.chosen == LCX


KILLED = """
import sys, time
import numpy as np
from napari.components import ViewerModel
from PIL import Image
from qtpy.QtWidgets import QApplication
from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.session import Session
from vasomim_core.labels.labelset import LabelSet

application, model = QApplication([]), ViewerModel()
session = Session.of(model)
session.open_label_set(LabelSet.open(sys.argv[1]))
layer = ensure_correction(model, model.add_image(np.asarray(Image.open(sys.argv[2])), name="still"))
editor = editor_of(session, layer)
for place in range(3):
    editor.classes.choose(place)
    pixels = np.zeros(layer.data.shape, bool)
    pixels[20:40, 10 + 30 * place : 30 + 30 * place] = True
    editor.frame.paint(pixels)
layer.undo()
layer.redo()
print("drawn", flush=True)
time.sleep(60)
"""


@pytest.mark.once  # of processes and files, not of Qt
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_of_a_killed_napari_the_classes_come_back_with_the_strokes(model, beside, qtbot, still, labels, tmp_path):
    write_png(tmp_path / "still.png", still)
    command = [sys.executable, "-c", KILLED, labels.folder, tmp_path / "still.png"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "NAPARI_CONFIG": str(tmp_path / "own.yaml")}
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert any(line == "drawn\n" for line in process.stdout)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    angiogram = model.add_image(still, name="still")
    panel = beside(model, CorrectPanel)
    click(qtbot, panel.offer.restore)  # before any set is open: in the classes that the journal names
    assert (correction_of(model, angiogram).data == squares(1, 2, 5)).all()
    assert names(panel) == ["LAD", "LCX", "catheter"]
    panel.session.open_label_set(labels)
    assert panel.strangers.isHidden()
    assert (correction_of(model, angiogram).data == squares(1, 2, 5)).all()
