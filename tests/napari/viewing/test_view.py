"""The panel View: runs as pictures, text on the canvas; and going through the runs."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vasomim import napari_compat
from napari_vasomim.canvas import layers
from napari_vasomim.canvas.facts import AngiogramFacts
from napari_vasomim.measuring.desk import MeasuringDesk
from napari_vasomim.session import Session
from napari_vasomim.viewing import thumbnails
from napari_vasomim.viewing.screen_text import ScreenText
from napari_vasomim.widgets.view import ViewPanel
from vasomim_core.measures.scale import scale_by_hand
from vasomim_core.reading.calibration import Calibration

pytestmark = pytest.mark.once


def add(viewer, data, name="XA LAO 30 CRA 20", **facts):
    known = AngiogramFacts(**({"angles": (30.2, 19.8), "frame_time_ms": 66.7} | facts))
    return viewer.add_image(data, name=name, metadata={layers.KEY: known})


def text(viewer):
    return napari_compat.text_overlay(viewer).text.splitlines()


class TestText:
    def test_it_follows_the_frame_the_run_and_the_window(self, model, cine, still):
        session, said = Session.of(model), ScreenText.of(model)
        run = add(model, cine)
        run.contrast_limits = (0, 99)
        model.dims.set_current_step(0, 3)
        assert text(model) == ["LAO 30 CRA 20", "frame 4/8 · 0.20 s · 15 frames/s", "window 100 · level 50"]
        model.dims.set_current_step(0, 4)  # at once, not when the slider rests
        assert "frame 5/8 · 0.27 s" in text(model)[1]
        other = add(model, still, name="still", angles=None, frame_time_ms=None)
        assert text(model)[0].startswith("window")
        session.angiogram = run
        assert text(model)[0] == "LAO 30 CRA 20"
        said.is_on = False
        assert not napari_compat.text_overlay(model).visible
        assert not ScreenText.of(ViewerModel()).is_on  # remembered
        said.is_on = True
        model.layers.remove(other)
        model.layers.remove(run)
        assert not napari_compat.text_overlay(model).visible

    def test_a_scale_stands_there_with_its_source(self, model, cine):
        ScreenText.of(model)
        run = add(model, cine, calibration=Calibration(pixel=(0.2, 0.2), kind="FIDUCIAL"))
        assert text(model)[-1].startswith("0.2000 mm/px (file: PixelSpacing")
        desk = MeasuringDesk.of(model)
        model.dims.set_current_step(0, 1)
        desk.measures.set_scale(run, scale_by_hand(0.3))
        assert text(model)[-1] == "0.3000 mm/px (a person, who gave it by hand)"

    def test_nothing_of_the_file_is_in_it(self, model, cine, tmp_path):
        ScreenText.of(model)
        add(model, cine, name="DOE JOHN", path=tmp_path / "DOE_JOHN.dcm", notes=("DOE",))
        assert "DOE" not in "\n".join(text(model))


class TestRuns:
    @pytest.fixture
    def panel(self, model, beside):
        return beside(model, ViewPanel)

    def test_a_picture_for_each_and_a_click_shows_it_alone(self, model, panel, qtbot, cine, still):
        first, second = add(model, cine), add(model, still, name="second", angles=None)
        runs = panel.runs
        assert [runs.item(row).text().splitlines()[-1] for row in range(runs.count())] == ["8 frames", "still"]
        assert runs.item(0).toolTip().splitlines()[:2] == ["XA", "LAO 30 CRA 20"]
        assert runs.currentRow() == 1
        runs.itemClicked.emit(runs.item(0))
        assert panel.session.angiogram is first
        assert (first.visible, second.visible) == (True, False)
        assert runs.currentRow() == 0
        first.visible = False  # hidden by hand
        runs.itemClicked.emit(runs.item(0))
        assert first.visible
        model.layers.remove(first)
        assert runs.count() == 1
        assert runs.currentRow() == 0
        model.layers.clear()
        assert panel.none.isVisible()
        assert not runs.isVisible()

    def test_the_picture_is_of_the_fullest_frame_once_it_is_known(self, model, panel, qtbot, monkeypatch, cine):
        made, small = [], thumbnails.small
        monkeypatch.setattr(thumbnails, "small", lambda layer, index: made.append(index) or small(layer, index))
        run = add(model, cine)
        qtbot.waitUntil(lambda: panel.runs._pictures.get(run) is not None)
        layers.set_facts(run, AngiogramFacts(fullest_frame=6))
        model.dims.set_current_step(0, 6)
        qtbot.waitUntil(lambda: made == [4, 6])
        assert panel.runs._pictures.get(run).shape == (84, 84)
        panel.session.set_bright_vessels(True)
        qtbot.waitUntil(lambda: len(made) == 3)

    def test_a_long_and_narrow_frame_fits_the_square(self, model):
        layer = model.add_image(np.zeros((20, 400), np.uint8))
        assert thumbnails.small(layer, 0).shape == (4, 84)

    def test_presets_and_the_negative_are_of_the_run_that_is_shown(self, model, panel, cine):
        assert not panel.presets["full"].isEnabled()
        first, second = add(model, cine), add(model, cine)
        panel.negative.click()
        panel.presets["full"].click()
        assert (first.colormap.name, second.colormap.name) == ("gray", "gray_r")
        shown = cine[panel.session.index]
        assert tuple(second.contrast_limits) == (shown.min(), shown.max())
        panel.session.angiogram = first
        assert not panel.negative.isChecked()

    def test_the_text_can_be_turned_off(self, model, panel, cine):
        add(model, cine)
        panel.shown.click()
        assert not napari_compat.text_overlay(model).visible
        panel.shown.click()
        assert napari_compat.text_overlay(model).visible


def test_the_next_run_and_the_one_before(model, cine, still):
    session = Session.of(model)
    session.next_angiogram()
    runs = [add(model, data, name=name) for name, data in (("a", cine), ("b", still), ("c", cine))]
    for step, there in ((1, 0), (1, 1), (-1, 0), (-1, 2)):
        session.next_angiogram(step)
        assert session.angiogram is runs[there]
        assert [run.visible for run in runs] == [run is runs[there] for run in runs]


def test_play_and_pause(viewer, qtbot, cine):
    session, run = Session.of(viewer), add(viewer, cine)
    dims = viewer.window._qt_viewer.dims
    session.canvas.play_or_pause()
    qtbot.waitUntil(lambda: dims.is_playing)
    session.canvas.play_or_pause()
    qtbot.waitUntil(lambda: not dims.is_playing)
    add(viewer, cine[0])
    session.canvas.play_or_pause()  # a still
    assert not dims.is_playing
    assert run in viewer.layers
