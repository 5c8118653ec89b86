"""Segmenting through the real inference child: what every control does, and what can happen meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import asdict

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QFileDialog, QMessageBox
from safetensors.numpy import save_file

from napari_vasomim.background import engine
from napari_vasomim.canvas import layers
from napari_vasomim.prediction import Prediction
from napari_vasomim.session import Session
from napari_vasomim.widgets.model_choice import FILE
from napari_vasomim.widgets.segment import SegmentPanel
from vasomim_core.classes import vessel_of
from vasomim_core.inference.requests import Hello, Segment
from vasomim_core.models import catalogue
from vasomim_core.models.catalogue import FORMAT, WEIGHTS, Card, Preprocessing

from ..happenings import HAPPENINGS, happen
from ..mouse import click, settle

DEMO = WEIGHTS / "vasomim-demo.safetensors"
RESULTS = ("prediction", "probability", "uncertainty")


def docked(viewer):
    panel = SegmentPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    return panel


def done(qtbot, panel):
    qtbot.waitUntil(panel.now.isEnabled, timeout=60_000)


def child():
    """The process id of the child."""
    return engine.shared()._child._process.pid


@pytest.fixture
def halted(qtbot):
    """Stops the child, so that what is asked of it stays unanswered for as long as a test wants."""
    engine.shared().call(Hello()).result(60)
    pid = child()
    os.kill(pid, signal.SIGSTOP)
    yield pid
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def held_at_the_third(calls, halted, monkeypatch):
    """Lets the child go on, and stops it again just before it is asked for a third frame."""
    call = engine.shared().call

    def counted(request):
        if len(calls) == 2:
            os.kill(halted, signal.SIGSTOP)
        return call(request)

    monkeypatch.setattr(engine.shared(), "call", counted)
    os.kill(halted, signal.SIGCONT)
    return halted


def test_one_frame_of_a_still(model, beside, qtbot, still, still_truth):
    image = model.add_image(still, scale=(0.3, 0.3), translate=(7, -4), rotate=20)
    panel = beside(model, SegmentPanel)
    assert panel.state.text() == "Not segmented yet."
    assert not panel.all.isEnabled()
    click(qtbot, panel.now)
    assert not panel.now.isEnabled()
    done(qtbot, panel)
    for role in RESULTS:
        found = layers.find(model, role, image)
        assert found.data.shape == image.data.shape
        for corner in ((0, 0), (255, 0), (0, 255)):
            np.testing.assert_allclose(found.data_to_world(corner), image.data_to_world(corner))
    mask = layers.find(model, "prediction", image).data > 0
    dice = 2 * (mask & still_truth).sum() / (mask.sum() + still_truth.sum())
    assert dice > 0.5
    assert "on cpu" in panel.state.text() or "on cuda" in panel.state.text()
    assert "s a frame" in panel.state.text()
    assert panel.session.angiogram is image
    assert model.layers.selection.active is image


def test_little_vessel_makes_it_ask_whether_vessels_are_bright(model, beside, qtbot, still):
    model.add_image(np.full_like(still, 128))
    panel = beside(model, SegmentPanel)
    click(qtbot, panel.now)
    done(qtbot, panel)
    assert "Little was found here" in panel.state.text()
    assert "“inverted”" in panel.state.text()
    panel.session.set_bright_vessels(True)  # it is said already
    click(qtbot, panel.now)
    done(qtbot, panel)
    assert "segmented by" in panel.state.text()
    assert "Little" not in panel.state.text()


def test_the_threshold_acts_on_what_is_stored(model, beside, qtbot, cine, calls):
    image = model.add_image(cine)
    panel = beside(model, SegmentPanel)
    click(qtbot, panel.all)
    done(qtbot, panel)
    assert [type(request) for request in calls] == [Segment] * 8
    prediction = panel.session.predictions[image]
    masks = layers.find(model, "prediction", image)
    before = masks.data.copy()
    panel.threshold.setValue(0.9)
    index = panel.session.index
    assert masks.data[index].sum() < before[index].sum()
    drawn = vessel_of(masks.data[index], prediction.classes)
    np.testing.assert_array_equal(drawn, prediction.probability(index) >= np.float32(230 / 255))
    model.dims.set_current_step(0, 0)  # before the other frames have followed
    qtbot.waitUntil(lambda: all(np.array_equal(masks.data[k], prediction.class_mask(k)) for k in range(8)))
    panel.threshold.setValue(0.02)
    qtbot.waitUntil(lambda: (masks.data != 0).sum() > (before != 0).sum())
    assert len(calls) == 8


def test_the_frames_shown_next_have_the_new_threshold_also_when_another_image_is_chosen(
    model, beside, qtbot, cine, still
):
    other = model.add_image(still)
    image = model.add_image(cine)
    panel = beside(model, SegmentPanel)
    click(qtbot, panel.all)
    done(qtbot, panel)
    panel.threshold.setValue(0.97)
    panel.session.angiogram = other
    masks, prediction = layers.find(model, "prediction", image), panel.session.predictions[image]
    qtbot.waitUntil(lambda: all(np.array_equal(masks.data[k], prediction.class_mask(k)) for k in range(8)))
    panel.threshold.setValue(0.3)
    assert prediction.threshold == 0.97


def test_mirroring_outline_and_uncertainty(model, beside, qtbot, still, calls):
    image = model.add_image(still)
    panel = beside(model, SegmentPanel)
    click(qtbot, panel.now)
    done(qtbot, panel)
    plain = layers.find(model, "probability", image).data.copy()
    panel.outline.setChecked(True)
    panel.uncertain.setChecked(True)
    assert layers.find(model, "prediction", image).contour > 0
    uncertainty = layers.find(model, "uncertainty", image)
    assert uncertainty.visible
    assert uncertainty.data.min() >= 0
    assert 0.5 < uncertainty.data.max() <= 1
    panel.mirrored.setChecked(True)
    click(qtbot, panel.now)
    done(qtbot, panel)
    assert [request.mirrored for request in calls] == [False, True]
    assert panel.session.predictions[image].mirrored
    mirrored = layers.find(model, "probability", image).data
    assert not np.array_equal(plain, mirrored)
    assert np.abs(plain - mirrored).mean() < 0.1
    assert layers.find(model, "prediction", image).contour > 0
    panel.outline.setChecked(False)
    panel.uncertain.setChecked(False)
    assert layers.find(model, "prediction", image).contour == 0
    assert not uncertainty.visible


def test_a_cancelled_cine_stops_and_stays_stopped(model, beside, qtbot, cine, calls, held_at_the_third):
    image = model.add_image(cine)
    panel = beside(model, SegmentPanel)
    click(qtbot, panel.all)
    qtbot.waitUntil(lambda: len(calls) == 3, timeout=60_000)
    click(qtbot, panel.progress.cancel)
    assert "Cancelled" in panel.state.text()
    assert panel.now.isEnabled()
    assert not panel.progress.isVisible()
    kept = list(panel.session.predictions[image].frames)
    os.kill(held_at_the_third, signal.SIGCONT)
    engine.shared().call(Hello()).result(60)  # what was asked before is answered by now
    settle()
    assert len(calls) == 3
    assert panel.session.predictions[image].frames == kept
    click(qtbot, panel.all)
    done(qtbot, panel)
    assert panel.session.predictions[image].frames == list(range(8))


def test_a_click_after_a_cancel_is_not_mixed_with_the_frame_still_at_work(model, beside, qtbot, cine, calls, halted):
    image = model.add_image(cine)
    panel = beside(model, SegmentPanel)
    click(qtbot, panel.all)
    click(qtbot, panel.progress.cancel)
    model.dims.set_current_step(0, 6)
    click(qtbot, panel.now)
    os.kill(halted, signal.SIGCONT)
    done(qtbot, panel)
    assert panel.session.predictions[image].frames == [6]
    assert len(calls) == 2


@pytest.mark.parametrize("happening", HAPPENINGS)
def test_what_happens_to_layers_while_a_cine_is_segmented(
    model, beside, qtbot, cine, calls, held_at_the_third, happening
):
    other = model.add_image(cine[:, ::-1], name="other")
    image = model.add_image(cine, name="a")
    panel = beside(model, SegmentPanel)
    click(qtbot, panel.all)
    qtbot.waitUntil(lambda: len(calls) == 3, timeout=60_000)
    happen(happening, model, image, other, "prediction")
    os.kill(held_at_the_third, signal.SIGCONT)
    done(qtbot, panel)
    assert other not in panel.session.predictions
    if happening == "deleted":
        assert len(calls) < 8
        assert panel.state.text() == "Not segmented yet."
    elif happening == "replaced":
        assert image not in panel.session.predictions
        assert layers.find(model, "prediction", image) is None
        click(qtbot, panel.all)
        done(qtbot, panel)
        assert layers.find(model, "prediction", image).data.shape == (4, 200, 180)
    else:
        assert panel.session.predictions[image].frames == list(range(8))
        assert [layers.role(layer) for layer in model.layers].count("prediction") == 1


def test_the_settings_of_the_click_count_for_the_whole_cine(model, beside, qtbot, cine, calls, tmp_path):
    image = model.add_image(cine[:4])
    panel = beside(model, SegmentPanel)
    click(qtbot, panel.all)
    panel.mirrored.setChecked(True)
    panel.model.use(str(shutil.copy(DEMO, tmp_path / "mine.safetensors")))
    done(qtbot, panel)
    assert {(request.model, request.mirrored) for request in calls} == {(catalogue.DEFAULT_MODEL, False)}
    assert panel.session.predictions[image].model == catalogue.DEFAULT_MODEL


@pytest.mark.once  # of processes and files, not of Qt
def test_a_dead_child_is_said_and_the_next_click_works(model, beside, qtbot, still, notifications, halted):
    image = model.add_image(still)
    panel = beside(model, SegmentPanel)
    click(qtbot, panel.now)
    qtbot.waitUntil(lambda: engine.shared().state == "busy")
    os.kill(halted, signal.SIGKILL)
    qtbot.waitUntil(lambda: bool(notifications), timeout=20_000)
    assert "SIGKILL" in notifications[-1].message
    assert "next request" in panel.state.text()
    click(qtbot, panel.now)
    done(qtbot, panel)
    assert layers.find(model, "prediction", image).data.any()


def test_a_model_from_a_file(model, beside, qtbot, still, tmp_path, monkeypatch, notifications):
    image = model.add_image(still)
    panel = beside(model, SegmentPanel)
    assert panel.model.currentData() == catalogue.DEFAULT_MODEL
    path = shutil.copy(DEMO, tmp_path / "mine.safetensors")

    def choose(answer):
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(answer), ""))
        panel.model.setCurrentIndex(panel.model.findData(FILE))
        panel.model.activated.emit(panel.model.currentIndex())

    choose("")  # the dialog was closed
    assert panel.session.model == panel.model.currentData() == catalogue.DEFAULT_MODEL
    assert not notifications
    choose(path)
    assert panel.session.model == panel.model.currentData() == str(path)
    assert panel.model.currentText() == "mine"
    for bad, words in unusable(tmp_path):
        choose(bad)
        assert words in notifications.pop().message
        assert panel.session.model == panel.model.currentData() == str(path)
    click(qtbot, panel.now)
    done(qtbot, panel)
    assert "segmented by mine" in panel.state.text()
    path.unlink()
    click(qtbot, panel.now)
    done(qtbot, panel)
    assert "does not exist" in notifications.pop().message
    assert "does not exist" in panel.state.text()
    assert layers.find(model, "prediction", image).data.any()
    panel.model.setCurrentIndex(panel.model.findData("vasomim-demo"))
    panel.model.activated.emit(panel.model.currentIndex())
    click(qtbot, panel.now)
    done(qtbot, panel)
    assert "segmented by vasomim-demo" in panel.state.text()


def unusable(folder):
    """Files that are no segmentation model, and what is said of each."""
    text, cut, other = folder / "text.safetensors", folder / "cut.safetensors", folder / "other.safetensors"
    text.write_text("no model")
    cut.write_bytes(DEMO.read_bytes()[:5000])
    shutil.copy(WEIGHTS / "vasomim-encoder.safetensors", other)
    return [
        (text, "text.safetensors"),
        (cut, "cut.safetensors"),
        (other, "other.safetensors is a pretrained autoencoder"),
        (folder / "none.safetensors", "does not exist"),
    ]


def test_a_model_that_a_run_has_made_is_offered(model, beside, models_folder):
    panel = beside(model, SegmentPanel)
    models_folder.mkdir()
    shutil.copy(DEMO, models_folder / "left-coronary.safetensors")
    panel.session.models_changed.emit()
    assert panel.model.findData("left-coronary") >= 0
    assert panel.model.currentData() == catalogue.DEFAULT_MODEL


def test_a_model_that_always_mirrors_does_not_ask_for_it(model, beside, models_folder):
    models_folder.mkdir()
    card = Card("segmentation model", "unext", preprocessing=Preprocessing(mirrored=True))
    header = {"vasomim": json.dumps({"format": FORMAT, **asdict(card)})}
    save_file({"x": np.zeros(1)}, models_folder / "averaged.safetensors", metadata=header)
    panel = beside(model, SegmentPanel)
    for name, asked in (("averaged", False), ("vasomim-fast", True)):
        panel.model.setCurrentIndex(panel.model.findData(name))
        panel.model.activated.emit(panel.model.currentIndex())
        assert panel.mirrored.isHidden() != asked


def answers(monkeypatch, text):
    """What a person presses in the next question; returns the questions that were asked."""
    asked = []

    def press(box):
        asked.append(box.text())
        chosen = next(b for b in box.buttons() if b.text().replace("&", "") == text)
        monkeypatch.setattr(QMessageBox, "clickedButton", lambda _: chosen)

    monkeypatch.setattr(QMessageBox, "exec_", press)
    return asked


def test_two_files_of_one_name_are_two_models(model, beside, qtbot, cine, tmp_path, monkeypatch):
    answers(monkeypatch, "Clear")
    image = model.add_image(cine)
    panel = beside(model, SegmentPanel)
    for k, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        panel.model.use(str(shutil.copy(DEMO, tmp_path / folder / "model.safetensors")))
        model.dims.set_current_step(0, k)
        click(qtbot, panel.now)
        done(qtbot, panel)
    assert panel.session.predictions[image].frames == [1]
    assert not layers.find(model, "prediction", image).data[0].any()


@pytest.mark.parametrize("answer", ["Clear", "Cancel"])
def test_frames_of_another_model_are_not_dropped_unasked(model, beside, qtbot, cine, monkeypatch, answer):
    asked = answers(monkeypatch, answer)
    image = model.add_image(cine, name="run")
    panel = beside(model, SegmentPanel)
    before = Prediction("another", cine.shape, asked="another")
    for index in (1, 2, 5):
        before.keep(index, np.ones(cine.shape[1:], np.float32), 0.0)
    panel.session.predictions[image] = before
    model.dims.set_current_step(0, 2)
    click(qtbot, panel.now)
    done(qtbot, panel)
    assert asked == ["2 frames of run segmented by another would be cleared: clear and go on?"]
    assert panel.session.predictions[image].frames == ([2] if answer == "Clear" else [1, 2, 5])


def test_uncertainty_has_a_legend(viewer, qtbot, still):
    image = viewer.add_image(still)
    panel = docked(viewer)
    click(qtbot, panel.now)
    done(qtbot, panel)
    assert panel.meaning.isHidden()
    panel.uncertain.setChecked(True)
    assert "0 = sure, 1 = undecided" in panel.meaning.text()
    assert not panel.meaning.isHidden()
    layer = layers.find(viewer, "uncertainty", image)
    assert layer.visible
    if hasattr(layer, "colorbar"):
        assert layer.colorbar.visible


@pytest.mark.once  # of processes and files, not of Qt
def test_a_model_that_was_replaced_under_its_name_is_another(model, beside, qtbot, cine, tmp_path, monkeypatch):
    asked = answers(monkeypatch, "Clear")
    image = model.add_image(cine, name="run")
    panel = beside(model, SegmentPanel)
    file = shutil.copy(DEMO, tmp_path / "mine.safetensors")
    panel.model.use(str(file))
    for index, later in ((0, 0), (1, 0), (2, 10)):
        os.utime(file, (file.stat().st_mtime + later,) * 2)
        model.dims.set_current_step(0, index)
        click(qtbot, panel.now)
        done(qtbot, panel)
    assert len(asked) == 1
    assert panel.session.predictions[image].frames == [2]


def test_frames_that_are_all_done_anew_need_no_question(model, beside, qtbot, cine, monkeypatch):
    asked = answers(monkeypatch, "Cancel")
    image = model.add_image(cine[:2])
    panel = beside(model, SegmentPanel)
    before = Prediction("another", (2, *cine.shape[1:]), asked="another")
    before.keep(1, np.ones(cine.shape[1:], np.float32), 0.0)
    panel.session.predictions[image] = before
    click(qtbot, panel.all)
    done(qtbot, panel)
    assert asked == []
    assert panel.session.predictions[image].model == panel.session.model


def test_each_angiogram_tells_of_its_own_model_and_device(model, beside, cine):
    images = [model.add_image(cine, name=name) for name in "ab"]
    panel = beside(model, SegmentPanel)
    for image, device, seconds in zip(images, ("cuda:0", "cpu"), (0.02, 1.5), strict=True):
        prediction = Prediction("m", cine.shape, asked="m", device=device, seconds=seconds)
        prediction.keep(0, np.ones(cine.shape[1:], np.float32), 0.0)
        panel.session.predictions[image] = prediction
    panel.session.angiogram = images[0]
    assert "on cuda:0, 0.02 s a frame" in panel.state.text()
    panel.session.angiogram = images[1]
    assert "on cpu, 1.50 s a frame" in panel.state.text()


def test_a_model_that_is_gone_at_the_start_gives_way(model, beside):
    Session.of(model).model = "/nowhere/gone.safetensors"
    panel = beside(model, SegmentPanel)
    assert panel.session.model == panel.model.currentData() == catalogue.DEFAULT_MODEL


@pytest.mark.parametrize("kind", ["uint16", "float32", "rgb", "inverted"])
def test_every_kind_of_pixel_gives_about_the_same(model, beside, qtbot, still, kind):
    data = {
        "uint16": still.astype(np.uint16) * 200 + 3000,
        "float32": still.astype(np.float32) / 255,
        "rgb": np.repeat(still[..., None], 3, axis=2),
        "inverted": 255 - still,
    }[kind]
    reference = model.add_image(still)
    image = model.add_image(data, rgb=kind == "rgb")
    panel = beside(model, SegmentPanel)
    if kind == "inverted":
        panel.session.set_bright_vessels(True)
    for chosen in (reference, image):
        panel.session.angiogram = chosen
        click(qtbot, panel.now)
        done(qtbot, panel)
    first, second = (layers.find(model, "probability", layer).data for layer in (reference, image))
    if kind == "inverted":
        np.testing.assert_array_equal(first, second)
    else:
        assert np.abs(first - second).mean() < 0.02


def test_saying_that_vessels_are_bright_forgets_what_was_found_in_the_other_polarity(model, beside, qtbot, still):
    image = model.add_image(255 - still)
    panel = beside(model, SegmentPanel)
    click(qtbot, panel.now)
    done(qtbot, panel)
    panel.session.set_bright_vessels(True)
    assert image not in panel.session.predictions
    assert panel.state.text() == "Not segmented yet."
    assert not layers.find(model, "prediction", image).data.any()
    panel.threshold.setValue(0.2)
    assert not layers.find(model, "prediction", image).data.any()


def test_a_frame_that_cannot_be_read_is_said(model, beside, qtbot, notifications):
    model.add_image(np.full((64, 64), np.nan, np.float32), contrast_limits=(0, 1))
    panel = beside(model, SegmentPanel)
    click(qtbot, panel.now)
    assert "not finite" in notifications.pop().message
    assert panel.now.isEnabled()
    assert not panel.progress.isVisible()


def test_every_button_without_an_image_says_what_to_do(model, beside, qtbot, notifications):
    panel = beside(model, SegmentPanel)
    assert "No angiogram is open" in panel.state.text()
    for button in (panel.now, panel.all):
        assert not button.isEnabled()
        button.clicked.emit()  # as by a shortcut
        assert "No angiogram is open" in notifications.pop().message
    panel.threshold.setValue(0.7)
    panel.outline.setChecked(True)
    panel.uncertain.setChecked(True)
    panel.cancel()
    panel.progress.cancel.clicked.emit()


def test_two_windows_do_not_mix(beside, qtbot, still, cine):
    first, second = ViewerModel(), ViewerModel()
    a, b = first.add_image(still), second.add_image(cine)
    one, two = beside(first, SegmentPanel), beside(second, SegmentPanel)
    click(qtbot, one.now)
    click(qtbot, two.now)
    done(qtbot, one)
    done(qtbot, two)
    two.threshold.setValue(0.9)
    assert one.threshold.value() == pytest.approx(one.session.predictions[a].threshold) != 0.9
    assert len(first.layers) == len(second.layers) == 4
    assert two.session.predictions[b].frames == [two.session.index]
    assert b not in one.session.predictions


def test_the_window_closes_while_the_engine_works(make_napari_viewer, qtbot, still, halted):
    viewer = make_napari_viewer()
    viewer.add_image(still)
    panel = docked(viewer)
    click(qtbot, panel.now)
    viewer.close()  # the last window takes the child with it
    with suppress(ProcessLookupError):
        os.kill(halted, signal.SIGCONT)
    settle()
    assert engine.shared().state == "off"
