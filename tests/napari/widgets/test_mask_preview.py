"""What pretraining would mask, through the real inference child; figure and animation; a tiny pretrained model."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image as Picture
from qtpy.QtWidgets import QFileDialog

from napari_vasomim.background import engine
from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.masking.animation import ANIMATION_STEPS
from napari_vasomim.masking.answers import REST_MS
from napari_vasomim.masking.layers import DISPLAYS, FROM_MODEL
from napari_vasomim.widgets.mask_preview import MaskPreviewPanel
from vasomim_core.anatomy import extract_anatomy
from vasomim_core.inference.requests import Hello, MaskingOverEpochs, MaskPreview, Reconstruct
from vasomim_core.masking.figures import BY_CHANCE, GUIDED, kinds, on_pixels, picture
from vasomim_core.masking.results import Mask
from vasomim_core.masking.schedule import MaskingSchedule, guidance_strength
from vasomim_core.models.catalogue import ENCODER, WEIGHTS

from ..happenings import HAPPENINGS, happen
from ..mouse import click, settle

ALL = {role for roles in DISPLAYS.values() for role in roles}


def settled(qtbot, panel, model_too=False):
    """Wait until all that the panel says now has been drawn; the mask."""
    kinds = [MaskPreview, MaskingOverEpochs, *([Reconstruct] if model_too else [])]

    def there():
        asked = panel.asked()
        assert asked is not None
        assert all(panel.answers.get(kind, asked) for kind in kinds)

    qtbot.waitUntil(there, timeout=60_000)
    return panel.answers.get(MaskPreview, panel.asked())


def shown(viewer, image, role):
    layer = layers.find(viewer, role, image)
    return layer.data if layer.ndim == 2 else layer.data[frames.current_index(viewer, image)]


def choose(panel, path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(path), ""))
    panel.model.setCurrentIndex(panel.model.count() - 1)
    panel.model.activated.emit(panel.model.currentIndex())


def test_mask_distribution_and_ratio_lie_on_the_angiogram(model, beside, qtbot, still):
    image = model.add_image(still[:250, :230], scale=(0.3, 0.4), translate=(7, -4), rotate=20)
    panel = beside(model, MaskPreviewPanel)
    mask = settled(qtbot, panel)
    assert mask.masked.shape == (14, 14)  # of 224 px, whatever the frame's size
    assert mask.masked.sum() == 98
    assert panel.state.text().startswith("β = 0.50: 98 of 196 patches are masked")
    assert "224 × 224 px" in panel.state.text()
    np.testing.assert_array_equal(shown(model, image, "mask"), on_pixels(kinds(mask), (250, 230)))
    assert set(np.unique(shown(model, image, "mask"))) == {0, 1, 2}
    for role in ("mask", "distribution", "masking ratio"):
        layer = layers.find(model, role, image)
        for corner in ((0, 0), (249, 0), (0, 229)):
            np.testing.assert_allclose(layer.data_to_world(corner), image.data_to_world(corner))
    share = shown(model, image, "masking ratio")
    assert share.min() >= 0
    assert share.max() <= 1
    assert 0.3 < share.mean() < 0.7
    assert layers.find(model, "mask", image).visible
    assert not layers.find(model, "distribution", image).visible
    colours = layers.find(model, "mask", image).colormap
    assert len({tuple(colours.map(np.uint8(kind))) for kind in (0, 1, 2)}) == 3
    assert model.layers.selection.active is image


def test_the_schedule_is_that_of_the_engine(model, beside, qtbot, still):
    image = model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    panel.schedule.epochs.setValue(41)
    assert panel.epoch.maximum() == panel.epoch.value() == 40
    panel.schedule.mask_ratio.setValue(0.25)  # fewer than there are patches with vessels
    panel.schedule.beta_start.setValue(0.1)
    panel.schedule.beta_end.setValue(0.9)
    guided = []
    for epoch in (0, 17, 40):
        panel.epoch.setValue(epoch)
        answer = settled(qtbot, panel)
        assert answer.beta == pytest.approx(guidance_strength(epoch, 41, 0.1, 0.9))
        assert f"β = {answer.beta:.2f}" in panel.state.text()
        guided.append(int((shown(model, image, "mask") == 1).sum()))
    assert guided[0] < guided[1] < guided[2]


def test_every_setting_reaches_the_engine(model, beside, qtbot, still, calls):
    image = model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    panel.schedule.input_size.setValue(256)
    panel.schedule.patch_size.setCurrentIndex(2)
    panel.schedule.mask_ratio.setValue(0.75)
    panel.schedule.beta_start.setValue(0.25)
    panel.schedule.beta_end.setValue(1.0)
    panel.schedule.epochs.setValue(50)
    panel.epoch.setValue(12)
    panel.seed.setValue(9)
    panel.schedule.sampler.setCurrentIndex(panel.schedule.sampler.findData("top-k"))
    panel.schedule.anatomy.setCurrentIndex(panel.schedule.anatomy.findData("as-released"))
    settled(qtbot, panel)
    schedule = MaskingSchedule(256, 32, 0.75, "top-k", 0.25, 1.0, epochs=50, seed=9)
    assert panel.settings() == schedule
    for kind in (MaskPreview, MaskingOverEpochs):
        request = [asked for asked in calls if isinstance(asked, kind)][-1]
        np.testing.assert_array_equal(request.anatomy, extract_anatomy(still, "as-released"))
        np.testing.assert_array_equal(request.frame, still)
        assert (request.schedule, request.model) == (schedule, "")
        assert getattr(request, "epoch", 12) == 12
    panel.schedule.sampler.setCurrentIndex(panel.schedule.sampler.findData("uniform"))
    settled(qtbot, panel)
    assert set(np.unique(shown(model, image, "mask"))) == {0, 2}


def test_a_seed_is_a_mask(model, beside, qtbot, still):
    image = model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    settled(qtbot, panel)
    first = shown(model, image, "mask").copy()
    click(qtbot, panel.again)
    assert panel.seed.value() == 1
    settled(qtbot, panel)
    assert not np.array_equal(shown(model, image, "mask"), first)
    panel.seed.setValue(0)
    settled(qtbot, panel)
    np.testing.assert_array_equal(shown(model, image, "mask"), first)
    panel.seed.setValue(panel.seed.maximum())
    click(qtbot, panel.again)  # stays in range
    settled(qtbot, panel)


def test_the_view_chooses_what_is_seen(model, beside, qtbot, still):
    image = model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    settled(qtbot, panel)
    for row, (text, roles) in enumerate(DISPLAYS.items()):
        panel.display.setCurrentIndex(row)
        model_too = bool(set(roles) & set(FROM_MODEL))
        assert panel.model.currentText() == (ENCODER if model_too else "none")  # which comes with the package
        settled(qtbot, panel, model_too)
        visible = {layers.role(layer) for layer in model.layers if layer.visible} & ALL
        assert visible == set(roles), text
    assert image.visible


def test_it_follows_the_frame(model, beside, qtbot, cine):
    image = model.add_image(cine)
    panel = beside(model, MaskPreviewPanel)
    for index in (2, 7, 2):
        model.dims.set_current_step(0, index)
        settled(qtbot, panel)
        np.testing.assert_array_equal(
            layers.find(model, "anatomy", image).data[index], extract_anatomy(cine[index], "robust")
        )
    filled = layers.find(model, "mask", image).data.any(axis=(1, 2))
    assert filled[[2, 7]].all()


def test_quick_steps_through_the_cine_leave_no_heat_map_on_the_wrong_frame(model, beside, qtbot, cine):
    image = model.add_image(cine)
    panel = beside(model, MaskPreviewPanel)
    expected = {}
    for index in (1, 6):
        model.dims.set_current_step(0, index)
        settled(qtbot, panel)
        expected[index] = shown(model, image, "masking ratio").copy()
    for index in (1, 6, 1, 6, 1):
        model.dims.set_current_step(0, index)
        settle()
    settled(qtbot, panel)
    engine.shared().call(Hello()).result(60)  # whatever was asked before is answered by now
    settle()
    for index, share in expected.items():
        np.testing.assert_array_equal(layers.find(model, "masking ratio", image).data[index], share)


@pytest.mark.once  # of processes and files, not of Qt
def test_a_pretrained_model_draws_what_is_masked(
    model, beside, qtbot, still, pretrained, monkeypatch, notifications, tmp_path
):
    image = model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    choose(panel, pretrained, monkeypatch)
    assert panel.model.currentText() == "tiny-mae"
    assert panel.display.currentText() == "reconstruction I′"
    assert panel.settings().input_size == 64  # the model's
    assert not panel.schedule.patch_size.isEnabled()
    settled(qtbot, panel, model_too=True)
    for role in ("reconstruction", "vessels in I", "vessels in I′", "difference"):
        plane = shown(model, image, role)
        assert plane.shape == still.shape
        assert np.isfinite(plane).all()
    assert np.abs(shown(model, image, "difference")).max() <= 1
    np.testing.assert_allclose(
        shown(model, image, "difference"),
        shown(model, image, "vessels in I′") - shown(model, image, "vessels in I"),
        atol=1e-5,
    )
    assert layers.find(model, "reconstruction", image).visible
    for bad, words in (
        ("", None),
        (WEIGHTS / "vasomim-demo.safetensors", "is a segmentation model"),
        (tmp_path / "x", "exist"),
    ):
        choose(panel, bad, monkeypatch)
        assert panel.model.currentText() == "tiny-mae"
        if words:
            assert words in notifications.pop().message
    path = tmp_path / "with-model.png"
    panel.export.save_figure(path)
    qtbot.waitUntil(path.exists, timeout=20_000)
    with Picture.open(path) as figure:
        assert figure.width > figure.height > 600  # two rows of five


def test_a_model_file_that_went_away_is_said(model, beside, qtbot, still, pretrained, monkeypatch, notifications):
    model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    copy = pretrained.with_name("copy.safetensors")
    copy.write_bytes(pretrained.read_bytes())
    choose(panel, copy, monkeypatch)
    panel.session.models_changed.emit()  # a run has registered one
    assert panel.model.currentText() == "copy"
    settled(qtbot, panel, model_too=True)
    copy.unlink()
    panel.seed.setValue(5)
    qtbot.waitUntil(lambda: bool(notifications), timeout=20_000)
    assert "does not exist" in notifications.pop().message
    panel.model.setCurrentIndex(0)
    panel.model.activated.emit(0)
    settled(qtbot, panel)


def test_the_figure(model, beside, qtbot, still, tmp_path, monkeypatch, notifications):
    model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    path = tmp_path / "figure.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(path.with_suffix("")), ""))
    click(qtbot, panel.export.figure)
    assert "still being drawn" in notifications.pop().message
    assert not path.exists()
    settled(qtbot, panel)
    panel.epoch.setValue(0)
    click(qtbot, panel.export.figure)  # the mask on the screen is not yet the one of this epoch
    assert "still being drawn" in notifications.pop().message
    settled(qtbot, panel)
    click(qtbot, panel.export.figure)
    qtbot.waitUntil(path.exists, timeout=20_000)
    with Picture.open(path) as figure:
        assert figure.format == "PNG"
        assert figure.width > 1500
        assert figure.height > 350
    qtbot.waitUntil(lambda: bool(notifications))
    assert notifications[-1].message == "The figure is in figure.png."


@pytest.mark.parametrize("save", ["save_figure", "save_animation"])
def test_what_cannot_be_written_is_said(model, beside, qtbot, still, tmp_path, notifications, save):
    model.add_image(still[:64, :64])
    panel = beside(model, MaskPreviewPanel)
    panel.schedule.epochs.setValue(2)
    settled(qtbot, panel)
    (tmp_path / "file").write_text("not a folder")
    getattr(panel.export, save)(tmp_path / "file" / "x.gif")
    qtbot.waitUntil(lambda: bool(notifications), timeout=20_000)
    assert notifications.pop().message.startswith("x.gif cannot be written")
    assert not panel.export.progress.isVisible()
    assert panel.export.animation.isEnabled()


def test_the_animation(model, beside, qtbot, still, tmp_path, monkeypatch, notifications):
    model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    path = tmp_path / "schedule.gif"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(path), ""))
    click(qtbot, panel.export.animation)
    assert "still being found" in notifications.pop().message
    assert not path.exists()
    settled(qtbot, panel)
    click(qtbot, panel.export.animation)
    assert panel.export.progress.isVisible()
    assert not panel.export.animation.isEnabled()
    qtbot.waitUntil(lambda: bool(notifications), timeout=60_000)
    assert notifications[-1].message == "The animation is in schedule.gif."
    assert not panel.export.progress.isVisible()
    assert panel.export.animation.isEnabled()
    with Picture.open(path) as animation:
        assert animation.size == (256, 256)
        assert animation.n_frames == ANIMATION_STEPS
        first = np.asarray(animation.convert("RGB"), int)
        animation.seek(ANIMATION_STEPS - 1)
        last = np.asarray(animation.convert("RGB"), int)
    assert np.abs(first - last).mean() > 2


def test_a_short_schedule_has_a_frame_per_epoch(model, beside, qtbot, still, tmp_path):
    model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    panel.schedule.epochs.setValue(1)
    settled(qtbot, panel)
    assert panel.epoch.maximum() == 0
    path = tmp_path / "one.gif"
    panel.export.save_animation(path)
    qtbot.waitUntil(path.exists, timeout=20_000)
    with Picture.open(path) as animation:
        assert animation.n_frames == 1


def test_a_cancelled_animation_stops_though_a_call_is_running(model, beside, qtbot, still, tmp_path, calls):
    model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    settled(qtbot, panel)
    path, pid = tmp_path / "never.gif", engine.shared()._child._process.pid
    panel.export.save_animation(path)
    qtbot.waitUntil(lambda: panel.export.progress.bar.value() >= 3)
    os.kill(pid, signal.SIGSTOP)
    try:
        qtbot.waitUntil(lambda: panel.export.film.drawing.future.running())
        click(qtbot, panel.export.progress.cancel)
        before = len(calls)
        assert not panel.export.progress.isVisible()
        assert panel.export.animation.isEnabled()
    finally:
        os.kill(pid, signal.SIGCONT)
    engine.shared().call(Hello()).result(60)
    settle()
    assert calls[before:] == []
    assert not path.exists()
    panel.export.save_animation(path)
    qtbot.waitUntil(path.exists, timeout=60_000)


@pytest.mark.once  # of processes and files, not of Qt
def test_a_dead_child_is_said_and_the_next_change_works(model, beside, qtbot, still, notifications):
    image = model.add_image(still)
    panel = beside(model, MaskPreviewPanel)
    settled(qtbot, panel)
    pid = engine.shared()._child._process.pid
    os.kill(pid, signal.SIGSTOP)
    panel.seed.setValue(3)
    qtbot.waitUntil(lambda: engine.shared().state == "busy")
    os.kill(pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: bool(notifications), timeout=20_000)
    assert "SIGKILL" in notifications.pop().message
    panel.seed.setValue(4)
    settled(qtbot, panel)
    assert shown(model, image, "mask").any()


@pytest.mark.parametrize("happening", HAPPENINGS)
def test_what_happens_to_layers_while_masks_are_drawn(model, beside, qtbot, cine, happening):
    other = model.add_image(cine[0, ::-1], name="other")
    image = model.add_image(cine, name="a")
    panel = beside(model, MaskPreviewPanel)
    settled(qtbot, panel)
    pid = engine.shared()._child._process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        panel.seed.setValue(3)
        qtbot.waitUntil(lambda: engine.shared().state == "busy")
        happen(happening, model, image, other, "mask")
    finally:
        os.kill(pid, signal.SIGCONT)
    settled(qtbot, panel)
    chosen = other if happening in ("deleted", "other chosen") else image
    assert panel.session.angiogram is chosen
    assert shown(model, chosen, "mask").shape == frames.frame_size(chosen)
    assert shown(model, chosen, "mask").any()
    of_chosen = [layer for layer in model.layers if (made := layers.result(layer)) and made.source is chosen]
    assert [layers.role(layer) for layer in of_chosen].count("mask") == 1


@pytest.mark.parametrize("kind", ["uint16", "rgb", "inverted"])
def test_every_kind_of_pixel(model, beside, qtbot, still, kind):
    data = {
        "uint16": still.astype(np.uint16) * 200 + 3000,
        "rgb": np.repeat(still[..., None], 3, axis=2),
        "inverted": 255 - still,
    }[kind]
    model.add_image(data, rgb=kind == "rgb")
    panel = beside(model, MaskPreviewPanel)
    if kind == "inverted":
        panel.session.set_bright_vessels(True)
    settled(qtbot, panel)
    if kind == "inverted":
        np.testing.assert_array_equal(panel.asked().vessels.anatomy, extract_anatomy(still, "robust"))
    assert panel.asked().vessels.anatomy.any()


def test_two_windows_do_not_mix(qapp, beside, qtbot, still, cine):
    first, second = ViewerModel(), ViewerModel()
    a, b = first.add_image(still), second.add_image(cine)
    one, two = beside(first, MaskPreviewPanel), beside(second, MaskPreviewPanel)
    one.seed.setValue(1)
    settled(qtbot, one)
    settled(qtbot, two)
    assert two.seed.value() == 0
    assert shown(first, a, "mask").shape == still.shape
    assert layers.find(second, "mask", a) is None
    assert layers.find(second, "mask", b).data.shape == cine.shape


def test_every_button_without_an_image_says_what_to_do(model, beside, qtbot, tmp_path, monkeypatch, notifications):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(tmp_path / "x"), ""))
    panel = beside(model, MaskPreviewPanel)
    assert "No angiogram is open" in panel.state.text()
    for button in (
        panel.export.figure,
        panel.export.animation,
        panel.export.numbers,
        panel.export.python,
        panel.compare,
    ):
        assert not button.isEnabled()
        button.clicked.emit()
        assert "No angiogram is open" in notifications.pop().message
    panel.again.clicked.emit()
    panel.export.progress.cancel.clicked.emit()
    panel.display.setCurrentIndex(3)
    assert not list(tmp_path.glob("*.png"))
    assert not list(tmp_path.glob("*.gif"))


def test_the_picture_tells_guided_patches_from_those_of_chance():
    frame = np.full((32, 32), 100, np.uint8)
    guided, masked = np.zeros((2, 2), bool), np.zeros((2, 2), bool)
    guided[0, 0] = masked[0, 0] = masked[1, 1] = True
    rgb = picture(frame, Mask(frame, frame > 0, np.zeros((2, 2), np.float32), masked, guided, 0, 0.5))
    assert (rgb[20, 5] == 100).all()
    assert len({tuple(rgb[5, 5]), tuple(rgb[20, 20]), tuple(rgb[20, 5])}) == 3
    assert (results.COLOURS["mask"], results.BY_CHANCE) == (GUIDED, BY_CHANCE)


def test_patches_lie_exactly_over_frames_of_any_shape():
    grid = np.arange(196).reshape(14, 14)
    for height, width in ((224, 224), (500, 301), (97, 1000), (14, 14)):
        pixels = on_pixels(grid, (height, width))
        y, x = np.indices((height, width)) + 0.5
        np.testing.assert_array_equal(pixels, grid[(y * 14 / height).astype(int), (x * 14 / width).astype(int)])


def test_the_window_closes_while_masks_are_drawn(make_napari_viewer, qtbot, still):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(still)
    panel = MaskPreviewPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    panel.show()
    settled(qtbot, panel)
    panel.show_comparison()
    pid = engine.shared()._child._process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        panel.seed.setValue(8)
        with qtbot.waitSignal(panel.destroyed):  # so that nothing of it can ask later
            viewer.close()  # the last window takes the child with it
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    qtbot.wait(REST_MS + 100)  # a rest that outlived its panel would be over
    assert engine.shared().state == "off"
