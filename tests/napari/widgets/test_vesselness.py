"""Vesselness follows the sliders and the frame, lies on its angiogram, and takes any image."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt

from napari_vasomim.canvas import frames, layers
from napari_vasomim.widgets import vesselness
from napari_vasomim.widgets.vesselness import Settings, VesselnessPanel, look

from ..mouse import click, settle


def shows(qtbot, model, image, index, expected):
    """Wait until the layers hold what `look` finds."""
    response, anatomy = expected

    def there():
        found = [layers.find(model, role, image) for role in ("vesselness", "anatomy")]
        assert all(found)
        for layer, plane in zip(found, (response, anatomy), strict=True):
            np.testing.assert_array_equal(layer.data if layer.ndim == 2 else layer.data[index], plane)

    qtbot.waitUntil(there, timeout=10_000)


class Gate:
    """Holds back `look` at each frame until it is let through."""

    def __init__(self, patch):
        self.seen, self.left, self._open = [], [], threading.Semaphore(0)
        patch.setattr(vesselness, "look", self._look)

    def _look(self, frame, settings):
        self.seen.append(settings)
        try:
            assert self._open.acquire(timeout=20)
            return look(frame, settings)
        finally:
            self.left.append(settings)

    def let(self, count=1):
        self._open.release(count)

    def is_empty(self):
        return len(self.left) == len(self.seen)

    def shut(self):
        self.seen.clear()
        self.left.clear()
        while self._open.acquire(blocking=False):
            pass


def rest(qtbot, panel, gate):
    """Nothing goes on, and nothing will without a click."""
    qtbot.waitUntil(panel.isVisible)
    panel.live.setChecked(False)
    gate.let(10)
    qtbot.waitUntil(lambda: not panel._preview.busy)
    gate.shut()


@pytest.fixture
def gate(monkeypatch):
    gate = Gate(monkeypatch)
    yield gate
    gate.let(1000)


def test_the_preview_comes_by_itself_and_follows_every_control(model, beside, qtbot, still):
    image = model.add_image(still)
    panel = beside(model, VesselnessPanel)
    shows(qtbot, model, image, 0, look(still, Settings()))
    assert panel.state.text().endswith("of this frame is vessel.")
    panel.filter.setCurrentIndex(panel.filter.findData("frangi"))
    panel.sigmas.setValue((2.0, 4.0))
    panel.mode.setCurrentIndex(panel.mode.findData("filter"))
    panel.percentile.setValue(85)
    shows(qtbot, model, image, 0, look(still, Settings("frangi", (2.0, 4.0), "filter", 85.0)))
    assert len(model.layers) == 3
    panel.mode.setCurrentIndex(panel.mode.findData("as-released"))
    assert not panel.percentile.isEnabled()
    shows(qtbot, model, image, 0, look(still, Settings("frangi", (2.0, 4.0), "as-released", 85.0)))


def test_the_preview_follows_the_frame_and_only_when_it_is_live(model, beside, qtbot, cine):
    image = model.add_image(cine)
    panel = beside(model, VesselnessPanel)
    model.dims.set_current_step(0, 5)
    shows(qtbot, model, image, 5, look(cine[5], Settings()))
    qtbot.mouseClick(panel.live, Qt.MouseButton.LeftButton, pos=QPoint(6, panel.live.height() // 2))
    assert not panel.live.isChecked()
    model.dims.set_current_step(0, 2)
    panel.percentile.setValue(80)
    settle()
    assert not panel._preview.busy
    assert not layers.find(model, "anatomy", image).data[2].any()
    click(qtbot, panel.now)
    shows(qtbot, model, image, 2, look(cine[2], Settings(percentile=80.0)))


def test_the_whole_cine_has_the_settings_of_the_click(model, beside, qtbot, cine, gate):
    image = model.add_image(cine)
    panel = beside(model, VesselnessPanel)
    rest(qtbot, panel, gate)
    model.dims.set_current_step(0, 3)
    click(qtbot, panel.all)
    assert not panel.all.isEnabled()
    assert panel.progress.isVisible()
    gate.let(3)
    panel.percentile.setValue(70)
    gate.let(5)
    qtbot.waitUntil(lambda: not panel.progress.isVisible(), timeout=10_000)
    assert {settings.percentile for settings in gate.seen} == {90.0}
    for index in range(8):
        shows(qtbot, model, image, index, look(cine[index], Settings()))
    assert panel.all.isEnabled()
    assert panel.now.isEnabled()


def test_cancel_stops_and_keeps_what_is_done(model, beside, qtbot, cine, gate):
    image = model.add_image(cine)
    panel = beside(model, VesselnessPanel)
    rest(qtbot, panel, gate)
    click(qtbot, panel.all)
    gate.let(2)
    qtbot.waitUntil(lambda: panel.progress.bar.value() == 2 and len(gate.seen) == 3)
    click(qtbot, panel.progress.cancel)
    gate.let(20)
    qtbot.waitUntil(gate.is_empty)
    settle()
    assert len(gate.seen) == 3
    filled = layers.find(model, "anatomy", image).data.any(axis=(1, 2))
    first = panel.session.index
    assert filled[first : first + 2].all()
    assert filled.sum() == 2
    assert not panel.progress.isVisible()
    assert panel.all.isEnabled()


@pytest.mark.parametrize("happening", ["deleted", "other chosen", "reordered", "renamed", "result deleted"])
def test_what_happens_to_layers_while_a_cine_is_filtered(model, beside, qtbot, cine, gate, happening):
    other = model.add_image(cine[:, ::-1], name="other")
    image = model.add_image(cine, name="a")
    panel = beside(model, VesselnessPanel)
    rest(qtbot, panel, gate)
    click(qtbot, panel.all)
    gate.let(2)
    qtbot.waitUntil(lambda: panel.progress.bar.value() >= 2)
    if happening == "deleted":
        model.layers.remove(image)
    elif happening == "other chosen":
        model.layers.selection.active = other
        assert panel.session.angiogram is other
    elif happening == "reordered":
        model.layers.reverse()
    elif happening == "renamed":
        image.name = "b"
        layers.find(model, "anatomy", image).name = "c"
    else:
        model.layers.remove(layers.find(model, "anatomy", image))
    gate.let(20)
    qtbot.waitUntil(lambda: not panel.progress.isVisible(), timeout=10_000)
    qtbot.waitUntil(gate.is_empty)
    settle()
    assert layers.find(model, "anatomy", other) is None
    if happening == "deleted":
        assert panel.session.angiogram is other
        assert len(gate.seen) < 8
    else:
        filled = layers.find(model, "anatomy", image).data.any(axis=(1, 2))
        assert filled.all() or (happening == "result deleted" and filled.sum() >= 5)
        assert [layers.role(layer) for layer in model.layers].count("anatomy") == 1


@pytest.mark.parametrize("kind", ["uint16", "float32", "rgb", "rgb cine", "bool"])
def test_every_kind_of_pixel(model, beside, qtbot, still, cine, kind):
    data = {
        "uint16": still.astype(np.uint16) * 200 + 3000,
        "float32": still.astype(np.float32) / 255,
        "rgb": np.repeat(still[..., None], 3, axis=2),
        "rgb cine": np.repeat(cine[..., None], 3, axis=3),
        "bool": still > 120,
    }[kind]
    image = model.add_image(data, rgb="rgb" in kind)
    panel = beside(model, VesselnessPanel)
    index = panel.session.index
    frame = frames.grey(image, index)
    shows(qtbot, model, image, index, look(frame, Settings()))
    if kind == "rgb":
        # float32 luminance of three equal values may fall one level below them
        assert np.abs(frame.astype(int) - still).max() <= 1
    assert layers.find(model, "anatomy", image).data.any()


def test_what_cannot_be_filtered_is_said(model, beside, qtbot, notifications):
    model.add_image(np.full((64, 64), np.nan, np.float32), contrast_limits=(0, 1))
    panel = beside(model, VesselnessPanel)
    qtbot.waitUntil(lambda: bool(notifications))
    assert "frame" in notifications[-1].message
    before = len(notifications)
    click(qtbot, panel.now)
    qtbot.waitUntil(lambda: len(notifications) > before)
    assert not panel.progress.isVisible()
    assert panel.now.isEnabled()


def test_a_cine_with_a_bad_frame_ends_with_a_sentence_and_the_preview_lives(model, beside, qtbot, cine, notifications):
    data = cine.astype(np.float32)
    data[2, 5, 5] = np.nan
    image = model.add_image(data)
    panel = beside(model, VesselnessPanel)
    model.dims.set_current_step(0, 0)
    click(qtbot, panel.all)
    qtbot.waitUntil(lambda: bool(notifications), timeout=10_000)
    assert "not finite" in notifications[-1].message
    assert not panel.progress.isVisible()
    assert panel.all.isEnabled()
    model.dims.set_current_step(0, 6)
    shows(qtbot, model, image, 6, look(frames.grey(image, 6), Settings()))


def test_bright_vessels_give_the_result_of_the_negative(model, beside, qtbot, still):
    image = model.add_image(255 - still)
    panel = beside(model, VesselnessPanel)
    panel.ridges.setCurrentIndex(1)
    panel.ridges.activated.emit(1)
    shows(qtbot, model, image, 0, look(still, Settings()))
    panel.ridges.setCurrentIndex(0)
    panel.ridges.activated.emit(0)
    shows(qtbot, model, image, 0, look(255 - still, Settings()))


def test_other_pixels_of_another_size(model, beside, qtbot, still, cine):
    image = model.add_image(still)
    panel = beside(model, VesselnessPanel)
    shows(qtbot, model, image, 0, look(still, Settings()))
    smaller = np.ascontiguousarray(still[30:190, 10:230])
    image.data = smaller
    shows(qtbot, model, image, 0, look(smaller, Settings()))
    assert len(model.layers) == 3
    image.data = cine
    model.dims.set_current_step(0, 4)
    shows(qtbot, model, image, 4, look(cine[4], Settings()))
    assert panel.all.isEnabled()
    assert len(model.layers) == 3


def test_two_windows_do_not_mix(beside, qtbot, still, cine):
    first, second = ViewerModel(), ViewerModel()
    a, b = first.add_image(still), second.add_image(cine)
    one, two = beside(first, VesselnessPanel), beside(second, VesselnessPanel)
    one.percentile.setValue(80)
    second.dims.set_current_step(0, 6)
    shows(qtbot, first, a, 0, look(still, Settings(percentile=80.0)))
    shows(qtbot, second, b, 6, look(cine[6], Settings()))
    assert two.percentile.value() == 90
    assert one.session is not two.session
    assert len(first.layers) == len(second.layers) == 3


def test_the_window_closes_while_a_frame_is_filtered(make_napari_viewer, qtbot, still, gate):
    viewer = make_napari_viewer(show=True)
    image = viewer.add_image(still)
    panel = VesselnessPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    panel.show()
    qtbot.waitUntil(lambda: len(gate.seen) == 1)
    viewer.close()
    gate.let(5)
    qtbot.waitUntil(gate.is_empty)
    settle()
    assert layers.find(viewer, "anatomy", image) is None


def test_every_button_without_an_image_says_what_to_do(model, beside, qtbot, notifications):
    panel = beside(model, VesselnessPanel)
    assert "No angiogram" in panel.state.text()
    for button in (panel.now, panel.all):
        assert not button.isEnabled()
        button.clicked.emit()  # as by a shortcut
        assert "No angiogram is open" in notifications.pop().message
    panel.ridges.activated.emit(1)
    assert "No angiogram is open" in notifications.pop().message
    panel.cancel()
