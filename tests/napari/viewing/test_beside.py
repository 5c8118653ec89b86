"""Two at once: the second picture shows what its words say, at the place and size of the canvas."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPointF

from napari_vasomim.canvas.facts import AngiogramFacts
from napari_vasomim.canvas.layers import KEY
from napari_vasomim.napari_compat import camera
from napari_vasomim.session import Session
from napari_vasomim.widgets.beside import Beside, seen
from napari_vasomim.widgets.view import ViewPanel

from ..mouse import settle


@pytest.fixture
def two(model, cine):
    facts = [AngiogramFacts(angles=(angle, 0), frame_time_ms=100) for angle in (30, -30)]
    return [
        model.add_image(data, name=name, metadata={KEY: known})
        for data, name, known in ((cine, "one", facts[0]), (cine[:5, ::-1], "two", facts[1]))
    ]


@pytest.fixture
def beside(model, two, qtbot):
    session = Session.of(model)
    session.angiogram = two[0]
    model.dims.set_current_step(0, 0)
    made = Beside(session)
    qtbot.addWidget(made)
    made.resize(300, 400)
    made.show()
    return made


def settled(qtbot, beside):
    qtbot.waitUntil(lambda: not beside._rendering.busy)
    settle()


def picture(beside):
    return beside.picture._shown[1]


def test_two_moments_of_a_run_go_together_or_not(model, two, beside, qtbot, cine):
    run, _ = two
    run.contrast_limits = (0, 255)
    beside.slider.setValue(4)  # three ahead
    model.dims.set_current_step(0, 2)
    settled(qtbot, beside)
    assert beside.shown == (run, 5)
    assert "frame 6/8" in beside.words.text()
    np.testing.assert_array_equal(picture(beside), cine[5])
    model.dims.set_current_step(0, 7)  # beyond the end it waits there
    settled(qtbot, beside)
    assert "frame 8/8" in beside.words.text()
    model.dims.set_current_step(0, 2)
    settled(qtbot, beside)
    assert "frame 6/8" in beside.words.text()
    beside.together.setChecked(False)
    model.dims.set_current_step(0, 0)
    settled(qtbot, beside)
    assert "frame 6/8" in beside.words.text()
    assert Session.of(model).index == 0


def test_two_runs(model, two, beside, qtbot, cine):
    _, other = two
    other.contrast_limits = (0, 255)
    beside.run.setCurrentIndex(1)
    beside.run.activated.emit(1)
    model.dims.set_current_step(0, 3)
    settled(qtbot, beside)
    assert beside.words.text().startswith("RAO 30")
    index = beside.shown[1]
    np.testing.assert_array_equal(picture(beside), cine[index, ::-1])
    assert Session.of(model).angiogram is two[0]  # what is worked on stays the same
    model.layers.remove(other)
    settled(qtbot, beside)
    assert beside.shown[0] is two[0]
    assert beside.words.text().startswith("LAO 30")
    model.layers.clear()
    settled(qtbot, beside)
    assert "No angiogram" in beside.words.text()


def test_it_is_seen_by_the_window_of_its_layer(two, still):
    grey = seen(two[0], 0, 100, 200, negative=False)
    pixels = np.asarray(two[0].data[0])
    assert (grey[pixels <= 100] == 0).all()
    assert (grey[pixels >= 200] == 255).all()
    np.testing.assert_array_equal(seen(two[0], 0, 100, 200, negative=True), 255 - grey)


def test_the_place_on_the_canvas_and_back(model, two, beside, qtbot):
    looking, shown = camera(model), beside.picture
    looking.center, looking.zoom = (0, 100, 120), 2.5
    middle = QPointF(shown.width() / 2, shown.height() / 2)
    assert shown.to_screen(two[0]).map(QPointF(120, 100)) == middle
    assert shown.to_screen(two[0]).map(QPointF(124, 100)) == middle + QPointF(10, 0)
    settled(qtbot, beside)
    here = picture(beside)[100, 120]
    image = shown.grab().toImage()
    there = image.pixelColor(round(middle.x() * image.width() / shown.width()), image.height() // 2)
    assert abs(there.red() - int(here)) <= 1


def test_it_is_docked_once_and_closed_by_its_button(make_napari_viewer, cine, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(cine)
    panel = ViewPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    panel.beside.click()
    first = panel._second
    panel.beside.click()
    assert panel._second is first
    qtbot.waitUntil(first.isVisible)
    assert first.mapToGlobal(first.rect().center()).x() < panel.mapToGlobal(panel.rect().center()).x()
    with qtbot.waitSignal(first.destroyed):
        viewer.window.remove_dock_widget(first)
        first.deleteLater()
    viewer.dims.set_current_step(0, 3)  # nothing of it is left to fail
    panel.beside.click()
    assert panel._second is not first
