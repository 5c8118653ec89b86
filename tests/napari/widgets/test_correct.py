"""The Correct panel: start, tools, undo, and what a crash left unfinished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QPushButton

from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.editing import editor_of, journal
from napari_vasomim.correcting.tools.spec import TOOLS, VESSEL_TOOLS
from napari_vasomim.correcting.unfinished import unfinished
from napari_vasomim.labelling.label_writer import LabelWriter
from napari_vasomim.prediction import Prediction
from napari_vasomim.widgets.correct import CorrectPanel
from napari_vasomim.widgets.label_set import LabelSetPanel
from napari_vasomim.widgets.workbench import Workbench
from vasomim_core.files import write_png
from vasomim_core.labels.labelset import LabelSet

from ..conftest import ROOT
from ..mouse import Mouse, activate


@pytest.fixture
def press(qtbot):
    return lambda button: qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def predict(panel, mask, indices=(0,)):
    source = panel.session.angiogram
    prediction = Prediction("some-model", (frames.frame_count(source), *mask.shape))
    for index in indices:
        prediction.keep(index, mask.astype(np.float32), 0.0)
    panel.session.predictions[source] = prediction
    panel.session.predicted.emit(prediction)
    return prediction


def square(row=50):
    mask = np.zeros((256, 256), bool)
    mask[row : row + 9, 40:80] = True
    return mask


def editor(panel):
    """What looks after the correction that the panel shows."""
    return editor_of(panel.session, panel.correction)


def put(layer, frame, mask):
    undo.apply_values(layer, None if layer.ndim == 2 else frame, mask.astype(np.uint8))


def test_without_an_image(beside, model, press):
    panel = beside(model, CorrectPanel)
    assert "No angiogram is open" in panel.state.text()
    assert not panel.offer.isVisible()
    enabled = [b.text() for b in panel.findChildren(QPushButton) if b.isVisible() and b.isEnabled()]
    assert enabled == []


def test_start_from_prediction_needs_one(beside, model, press, still, notifications):
    model.add_image(still)
    panel = beside(model, CorrectPanel)
    press(panel.begin)
    assert "segment it first" in notifications.pop().message
    assert panel.correction is None


@pytest.mark.parametrize("kind", ["still", "cine", "sixteen bits", "rgb"])
def test_start_from_prediction_copies_it_in_one_step(beside, model, press, still, cine, kind):
    data = {
        "still": still,
        "cine": cine,
        "sixteen bits": still.astype(np.uint16) * 200,
        "rgb": np.repeat(still[..., None], 3, 2),
    }[kind]
    source = model.add_image(data, scale=(0.3, 0.3) if kind != "cine" else (1, 0.3, 0.3), translate=(4, 5))
    panel = beside(model, CorrectPanel)
    frames.show_frame(model, source, 4)
    index = panel.session.index
    predict(panel, square(), [index])
    results.put_frame(model, source, "prediction", index, square(), "prediction")
    press(panel.begin)
    layer = panel.correction
    assert (editor(panel).frame.mask == square()).all()
    assert layer.data.sum() == square().sum()
    assert editor_of(panel.session, layer).models == {index: "some-model"}
    assert not layers.find(model, "prediction", source).visible
    assert model.layers.selection.active is layer
    assert "drawn, not accepted" in panel.state.text()
    press(panel.undo)
    assert not layer.data.any()
    assert not panel.undo.isEnabled()
    press(panel.redo)
    assert layer.data.any()


@pytest.mark.parametrize("answer", ["replace", "add", "cancel"])
def test_drawn_pixels_are_not_replaced_unasked(beside, model, press, still, monkeypatch, answer):
    model.add_image(still)
    panel = beside(model, CorrectPanel)
    asked = []
    monkeypatch.setattr(panel, "_ask_replace", lambda: asked.append(answer) or answer)
    press(panel.empty)
    predict(panel, square())
    put(panel.correction, 0, square(100))
    press(panel.begin)
    wanted = {"replace": square(), "add": square() | square(100), "cancel": square(100)}[answer]
    assert asked == [answer]
    assert (editor(panel).frame.mask == wanted).all()
    press(panel.undo)
    assert (editor(panel).frame.mask == (square(100) if answer != "cancel" else np.zeros_like(wanted))).all()


def test_the_same_again_asks_nothing(beside, model, press, still, monkeypatch):
    model.add_image(still)
    panel = beside(model, CorrectPanel)
    monkeypatch.setattr(panel, "_ask_replace", lambda: pytest.fail("asked"))
    predict(panel, square())
    press(panel.begin)
    press(panel.begin)
    assert undo.undo_depth(panel.correction) == 1


def test_start_empty(beside, model, press, still):
    source = model.add_image(still)
    panel = beside(model, CorrectPanel)
    assert panel.state.text() == "Nothing is drawn yet."
    press(panel.empty)
    layer = panel.correction
    assert layers.result(layer).source is source
    assert not layer.data.any()
    assert panel.state.text() == "This frame: nothing drawn."
    press(panel.empty)
    assert len(model.layers) == 2


@pytest.mark.parametrize("name", TOOLS)
def test_a_button_takes_its_tool_up_and_puts_it_down(beside, model, press, still, name):
    model.add_image(still)
    panel = beside(model, CorrectPanel)
    press(panel.tools[name])
    layer = panel.correction
    ours = name if TOOLS[name] in VESSEL_TOOLS else None
    assert (editor(panel).tools.tool, str(layer.mode)) == (ours, "pan_zoom" if ours else name)
    assert [b for b, made in panel.tools.items() if made.isChecked()] == [name]
    words = panel.help.text()
    spec = TOOLS[name]
    assert panel.tools[name].text() == f"{spec.title}  ({spec.key})"
    assert spec.help in panel.tools[name].toolTip()
    assert words == spec.help
    if ours:
        preview = layers.find(model, "preview", panel.session.angiogram)
        np.testing.assert_allclose(preview.get_color(1), transform_color(spec.colour)[0], atol=0.01)
    press(panel.tools[name])
    assert (editor(panel).tools.tool, str(layer.mode)) == (None, "pan_zoom")
    assert not any(made.isChecked() for made in panel.tools.values())
    assert panel.help.text() != words


def test_tools_replace_each_other(beside, model, press, still):
    model.add_image(still)
    panel = beside(model, CorrectPanel)
    for name in ("trace", "paint", "cut", "fill", "remove", "erase"):
        press(panel.tools[name])
        assert [b for b, made in panel.tools.items() if made.isChecked()] == [name]
        shown = any(layers.role(layer) == "preview" and layer.visible for layer in model.layers)
        assert shown == (TOOLS[name] in VESSEL_TOOLS)


def test_a_tool_from_the_panel_shows_the_hidden_layer(beside, model, press, still, notifications):
    model.add_image(still)
    panel = beside(model, CorrectPanel)
    press(panel.empty)
    panel.correction.visible = False
    press(panel.tools["trace"])
    assert panel.correction.visible
    assert editor(panel).tools.tool == "trace"
    press(panel.tools["trace"])
    model.dims.ndisplay = 3
    press(panel.tools["trace"])
    assert "2-D view" in notifications.pop().message
    assert not any(made.isChecked() for made in panel.tools.values())


def test_undo_and_redo_jump_to_the_frame(beside, model, press, cine):
    source = model.add_image(cine, scale=(3, 1, 1), translate=(5, 0, 0))
    panel = beside(model, CorrectPanel)
    press(panel.empty)
    put(panel.correction, 2, square())
    put(panel.correction, 6, square(100))
    frames.show_frame(model, source, 0)
    for button, frame in ((panel.undo, 6), (panel.undo, 2), (panel.redo, 2), (panel.redo, 6)):
        assert button.isEnabled()
        press(button)
        assert frames.current_index(model, source) == frame
    assert not panel.redo.isEnabled()


def test_grow_goes_down_to_the_threshold(beside, model, press, still, notifications):
    model.add_image(still)
    panel = beside(model, CorrectPanel)
    press(panel.grow)
    assert "segment this frame" in notifications.pop().message
    predict(panel, 0.6 * square())
    put(panel.correction, 0, square() & (np.arange(256) < 45))
    panel.threshold.setValue(0.7)
    press(panel.grow)
    assert editor(panel).frame.mask.sum() < square().sum()
    panel.threshold.setValue(0.5)
    press(panel.grow)
    assert (editor(panel).frame.mask == square()).all()


def test_grow_begins_at_the_model_s_own_threshold_and_says_when_there_is_nothing(
    beside, model, press, still, notifications
):
    model.add_image(still)
    panel = beside(model, CorrectPanel)
    predict(panel, 0.47 * square()).threshold = 0.43
    put(panel.desk.need_correction(), 0, square() & (np.arange(256) < 45))
    panel._refresh()
    assert panel.threshold.value() == pytest.approx(0.43)
    press(panel.grow)
    assert (editor(panel).frame.mask == square()).all()
    assert not notifications
    press(panel.grow)
    assert "Down to a probability of 0.43 nothing more" in notifications.pop().message


def test_each_frame_remembers_its_own_model(beside, model, press, cine):
    source = model.add_image(cine)
    panel = beside(model, CorrectPanel)
    predict(panel, square(), [3])
    frames.show_frame(model, source, 3)
    press(panel.begin)
    frames.show_frame(model, source, 5)
    put(panel.correction, 5, square())
    assert editor(panel).models == {3: "some-model"}
    [file] = journal()._files.values()
    assert file.head["about"]["models"] == {"3": "some-model"}


def test_other_frames_that_are_not_accepted_are_counted(beside, model, press, cine, qtbot):
    model.add_image(cine)
    panel = beside(model, CorrectPanel)
    press(panel.empty)
    for frame in (1, 2, 3):
        put(panel.correction, frame, square())
    frames.show_frame(model, panel.correction, 2)
    qtbot.waitUntil(lambda: "2 other frames" in panel.state.text(), timeout=3000)
    assert "drawn, not accepted" in panel.state.text()
    panel.session.accepted.emit(panel.correction, 2)
    assert "kept" in panel.state.text()
    panel.session.accepted.emit(panel.correction, 1)
    assert "1 other frame is not accepted" in panel.state.text()


def test_each_angiogram_has_its_own_correction(beside, model, press, still, cine):
    one = model.add_image(still)
    panel = beside(model, CorrectPanel)
    press(panel.tools["trace"])
    first = panel.correction
    other = model.add_image(cine)
    assert panel.correction is None
    assert not panel.undo.isEnabled()
    assert not panel.tools["trace"].isChecked()
    press(panel.tools["paint"])
    assert panel.correction is not first
    panel.session.angiogram = one
    assert panel.correction is first
    assert panel.tools["trace"].isChecked()
    panel.session.angiogram = other
    assert panel.tools["paint"].isChecked()


def test_deleted_layers(beside, model, press, still):
    source = model.add_image(still)
    panel = beside(model, CorrectPanel)
    press(panel.tools["trace"])
    put(panel.correction, 0, square())
    model.layers.remove(panel.correction)
    assert panel.state.text() == "Nothing is drawn yet."
    assert not any(made.isChecked() for made in panel.tools.values())
    assert list(model.layers) == [source]
    assert panel.offer.isVisible()  # deleted by mistake, it is a click away
    press(panel.offer.restore)
    assert (editor(panel).frame.mask == square()).all()
    assert not panel.offer.isVisible()
    press(panel.tools["trace"])
    model.layers.remove(source)
    assert "No angiogram is open" in panel.state.text()
    assert not any(made.isChecked() for made in panel.tools.values())
    assert [layers.role(layer) for layer in model.layers] == ["correction"]


def test_a_panel_that_is_gone_hears_nothing(model, qtbot, still, notifications):
    model.add_image(still)
    panel = CorrectPanel(model)
    panel.start_empty()
    layer = panel.correction
    with qtbot.waitSignal(panel.destroyed):
        panel.deleteLater()
    put(layer, 0, square())
    editor_of(panel.session, layer).tools.take("trace")
    layer.mode = "paint"
    assert notifications == []


# Accepting by its key


@pytest.fixture
def label_set(tmp_path):
    return LabelSet.create(tmp_path / "labels", "loop")


@pytest.mark.parametrize("looked_at", ["nowhere", "alone", "in the workbench"])
def test_the_key_accepts_exactly_once(make_napari_viewer, qtbot, still, label_set, looked_at, monkeypatch):
    asked, accepts, accept = [], [], LabelWriter.accept
    monkeypatch.setattr(LabelWriter, "_ask_about_empty", lambda self, layer, index: asked.append(index))
    monkeypatch.setattr(LabelWriter, "accept", lambda self: accepts.append(1) or accept(self))
    viewer = make_napari_viewer(show=True)
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    viewer.add_image(still)
    panel = bench.show_panel(CorrectPanel)
    if looked_at == "alone":
        viewer.window.add_dock_widget(LabelSetPanel(viewer), area="right")
    if looked_at == "in the workbench":
        bench.show_panel(LabelSetPanel)
    bench.session.open_label_set(label_set)
    panel.start_empty()
    activate(viewer)
    mouse = Mouse(viewer, panel.correction)
    mouse.key(Qt.Key.Key_A)
    assert (asked, len(accepts)) == ([0], 1)
    put(panel.correction, 0, square())
    mouse.key(Qt.Key.Key_A)
    qtbot.waitUntil(lambda: label_set.find(still) is not None, timeout=10_000)
    qtbot.waitUntil(lambda: not editor(panel).unsaved, timeout=10_000)
    qtbot.wait(100)
    assert len(accepts) == 2
    assert [record.revision for record in label_set.records()] == [1]


# After a crash

CRASH = """
import sys, time
import napari, numpy as np
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.widgets.correct import CorrectPanel
from tests.napari.mouse import Mouse

viewer = napari.Viewer()
panel = CorrectPanel(viewer)
viewer.window.add_dock_widget(panel, area="right")
if sys.argv[1] == "file":
    viewer.open(sys.argv[2], plugin="napari-vasomim")
else:
    from PIL import Image
    viewer.add_image(np.asarray(Image.open(sys.argv[2])), name="no file")
panel.take("trace")
QTest.qWait(300)
mouse = Mouse(viewer, panel.correction)
for point in ((60, 60), (90, 110), (150, 150)):
    mouse.click(point)
np.save(sys.argv[3], np.asarray(panel.correction.data))
print("drawn", flush=True)
time.sleep(60)
"""


@pytest.fixture
def crash(tmp_path, still):
    """A napari of its own traces on a file, and is killed; returns the file and what was drawn."""

    def happen(how):
        file, drawn = tmp_path / "left.png", tmp_path / "drawn.npy"
        write_png(file, still)
        env = os.environ | {"NAPARI_CONFIG": str(tmp_path / "own.yaml"), "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, "-c", CRASH, how, file, drawn], env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert any(line == "drawn\n" for line in process.stdout)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return file, np.load(drawn)

    return happen


@pytest.mark.once  # of processes and files, not of Qt
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_after_a_crash_restore_opens_the_file_and_the_strokes_are_there(make_napari_viewer, press, qtbot, crash):
    _, drawn = crash("file")
    assert drawn.any()
    viewer = make_napari_viewer()
    panel = CorrectPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    assert not panel.offer.isHidden()
    assert "left" in panel.offer.text.text()
    assert "2 strokes on 1 frame were not accepted" in panel.offer.text.text()
    panel.offer.restore.click()
    assert panel.session.angiogram.name == "left"
    assert (panel.correction.data == drawn).all()
    assert panel.offer.isHidden()
    assert editor(panel).unsaved == {0}
    assert unfinished(journal().folder) == []
    viewer.layers.remove(panel.correction)  # and once more, now continued
    assert not panel.offer.isHidden()
    panel.offer.restore.click()
    assert (panel.correction.data == drawn).all()


@pytest.mark.once  # of processes and files, not of Qt
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_the_workbench_offers_it_before_any_panel_was_looked_at(make_napari_viewer, crash):
    _, drawn = crash("file")
    viewer = make_napari_viewer()
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    assert CorrectPanel not in bench.panels
    assert not bench.offer.isHidden()
    bench.offer.restore.click()
    assert (bench.panels[CorrectPanel].correction.data == drawn).all()
    assert bench.offer.isHidden()


@pytest.mark.once  # of processes and files, not of Qt
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_after_a_crash_without_a_file_the_person_is_told_what_to_open(
    beside, model, press, crash, still, notifications
):
    _, drawn = crash("array")
    model.add_image(still[:100, :100], name="another")
    panel = beside(model, CorrectPanel)
    press(panel.offer.restore)
    assert "'no file' is not open; open it" in notifications.pop().message
    assert panel.offer.isVisible()
    model.add_image(still, name="no file")
    press(panel.offer.restore)
    assert (panel.correction.data == drawn).all()


@pytest.fixture
def left(beside, model, press, still, cine):
    """Unfinished work on two angiograms, whose layers are gone; the panel is made anew."""
    for name, run in (("still", still), ("cine", cine)):
        source = model.add_image(run, name=name)
        panel = beside(model, CorrectPanel)
        press(panel.empty)
        put(panel.correction, 3, square())
        model.layers.remove(panel.correction)
        if name == "still":
            model.layers.remove(source)
    return beside(model, CorrectPanel)


def test_discard_asks(left, press, monkeypatch):
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "exec_", lambda _: answers.pop(0))
    assert "cine" in left.offer.text.text()
    assert "1 older one waits too" in left.offer.text.text()
    press(left.offer.discard)
    assert "cine" in left.offer.text.text()
    press(left.offer.discard)
    assert "still" in left.offer.text.text()
    assert [entry.about["angiogram"] for entry in unfinished(journal().folder)] == ["still"]


def test_later_keeps_it_for_the_next_start(left, press, beside, model):
    press(left.offer.later)
    assert not left.offer.isVisible()
    assert len(unfinished(journal().folder)) == 2
    assert beside(model, CorrectPanel).offer.isVisible()


def test_restoring_never_replaces_what_is_drawn(left, press, model, notifications):
    source = left.session.angiogram
    left.start_empty()
    put(left.correction, 1, square(120))
    press(left.offer.restore)
    assert "has a correction already" in notifications.pop().message
    assert left.correction.data[1].any()
    press(left.undo)
    press(left.offer.restore)
    assert (left.correction.data[3] > 0).sum() == square().sum()
    assert frames.current_index(model, source) == 3
    assert sum(layers.role(layer) == "correction" for layer in model.layers) == 1


def test_renamed_angiograms_are_found_by_their_file(model, beside, press, still, tmp_path):
    """Two layers of one name, of which one comes from the file."""
    from napari_vasomim._reader import read

    file = tmp_path / "left.png"
    write_png(file, still)
    [(data, style, _)] = read(str(file))
    source = model.add_image(data, **style)
    panel = beside(model, CorrectPanel)
    press(panel.empty)
    put(panel.correction, 0, square())
    model.layers.remove(panel.correction)
    source.name = "mine"
    model.add_image(still, name="left")
    press(panel.offer.restore)
    assert panel.session.angiogram is source
    assert len(layers.angiograms(model)) == 2
