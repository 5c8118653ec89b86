"""Millimetres in the panel: never without their source, of one angiogram alone, and never guessed."""

from __future__ import annotations

import numpy as np
import pytest

import vasomim_core as vm
from napari_vasomim._reader import read
from napari_vasomim.measuring.desk import MeasuringDesk
from napari_vasomim.widgets.measure import MLD
from tests.core.measures.drawn import at, narrowed, tube
from tests.core.reading.files import write_dicom
from vasomim_core.correction.cost import VesselCost
from vasomim_core.measures.scale import scale_by_hand
from vasomim_core.reading.calibration import Calibration

from .measured import END, START, Bench, opened, run
from .mouse import click

pytestmark = pytest.mark.once  # the panel itself is tried with both bindings, in test_measure

FIDUCIAL = Calibration(pixel=(0.2, 0.2), kind="FIDUCIAL")


@pytest.fixture
def bench(model, qtbot):
    return lambda frames=None, **facts: Bench(model, qtbot, frames, **facts)


def shown(desk):
    """All words of the panel that may hold a length."""
    desk.session.angiogram_changed.emit(desk.run)
    numbers = [label.text() for label in desk.panel.numbers.values()]
    plot = [desk.panel.plot._item.getAxis(side).labelText for side in ("bottom", "left")]
    return numbers, plot, desk.panel.table.headerItem().text(MLD)


def test_pixels_until_there_is_a_scale(bench):
    desk = bench()
    desk.measure()
    numbers, plot, heading = shown(desk)
    assert not any("mm" in text for text in [*numbers, *plot, heading])
    assert "no scale is known" in desk.panel.source.text()
    assert not desk.panel.scale.file.isEnabled()
    assert not desk.panel.scale.pixels.isEnabled()


def test_the_scale_of_the_file_reaches_every_number(bench, qtbot):
    desk = bench(calibration=FIDUCIAL)
    entry = desk.measure()
    numbers, plot, heading = shown(desk)
    assert numbers[1] == f"{0.2 * entry.measure.mld_px:.2f} mm ({entry.measure.mld_px:.1f} px)"
    assert plot == ["along the vessel (mm)", "diameter (mm)"]
    assert heading == "MLD (mm, file)"
    assert "FIDUCIAL" in desk.panel.source.text()
    assert entry.kept.scale.mm_per_px == pytest.approx(0.2)
    click(qtbot, desk.panel.scale.pixels)
    assert not any("mm" in text for text in shown(desk)[0])
    assert "though the file says a scale" in desk.panel.scale.now.text()
    click(qtbot, desk.panel.scale.file)
    assert shown(desk)[2] == "MLD (mm, file)"
    desk.panel.undo.click()
    assert shown(desk)[2] == "MLD (px)"


def test_a_dicom_file_brings_its_calibration_to_the_layer(model, qtbot, tmp_path):
    header = {"PixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL"}
    [(data, how, _)] = read(str(write_dicom(tmp_path / "x.dcm", run(), **header)))
    layer = model.add_image(data, **how)
    assert MeasuringDesk.of(model).measures.scale(layer).mm_per_px == pytest.approx(0.2)


def test_a_scale_by_hand_is_of_its_angiogram_alone(bench, qtbot):
    desk = bench()
    desk.measure()
    desk.measure(at(40), at(150))
    other = opened(desk.viewer, run(0, 3, 8.0, 9), "other")
    desk.session.angiogram = desk.run
    field = desk.panel.scale
    field.hand.setValue(0.31)
    click(qtbot, field.take)
    assert {entry.measure.scale.mm_per_px for entry in desk.measures.of(desk.run)} == {0.31}
    assert shown(desk)[2] == "MLD (mm, by hand)"
    assert "by hand" in desk.panel.source.text()
    assert desk.measures.scale(other) is None
    field.hand.setValue(0.62)
    click(qtbot, field.take)
    mld = desk.current.measure.mld_px
    assert desk.panel.numbers["MLD"].text() == f"{0.62 * mld:.2f} mm ({mld:.1f} px)"


def test_a_scale_that_nobody_gave_is_asked_for(bench, qtbot, notifications):
    desk = bench()
    click(qtbot, desk.panel.scale.take)
    assert "Give the mm per px" in notifications.pop().message
    click(qtbot, desk.panel.scale.trace)
    assert "size in French" in notifications.pop().message
    assert not desk.panel.scale.trace.isChecked()
    assert desk.tool.purpose is None
    assert desk.measures.scale(desk.run) is None


def test_what_the_file_contradicts_is_warned_of(bench, qtbot):
    desk = bench(calibration=FIDUCIAL)
    desk.measure()
    desk.panel.scale.hand.setValue(0.4)
    click(qtbot, desk.panel.scale.take)
    assert "the file says 0.2000 mm per px" in desk.panel.source.text()
    assert "the file says 0.2000 mm per px" in desk.panel.scale.now.text()


def catheter(width):
    return np.stack([tube(width, seed=k) for k in range(3)])


def test_a_traced_catheter_gives_the_scale_with_its_spread(bench, qtbot):
    desk = bench(catheter(8.0))
    desk.measure()
    desk.panel.scale.size.setValue(6)
    click(qtbot, desk.panel.scale.trace)
    assert desk.tool.purpose == "catheter"
    assert not desk.panel.start.isChecked()
    desk.tool.click(at(30))
    desk.tool.click(at(150))
    desk.wait()
    scale = desk.measures.scale(desk.run)
    assert scale == vm.scale_from_catheter(VesselCost(catheter(8.0)[2]), [at(30), at(150)], 6)
    assert desk.tool.purpose is None
    assert not desk.panel.scale.trace.isChecked()
    assert "± " in desk.panel.source.text()
    assert desk.current.measure.scale == scale
    assert len(desk.measures.of(desk.run)) == 1  # the catheter is none


def test_an_uneven_catheter_is_warned_of_and_none_is_a_sentence(bench, qtbot, notifications):
    desk = bench(catheter(narrowed(9.0, 40)))
    desk.tool.take("catheter", 6)
    desk.tool.click((5, 5))
    desk.tool.click((5, 150))
    desk.wait()
    assert "no vessel leads" in notifications.pop().message
    assert desk.tool.purpose == "catheter"
    assert desk.measures.scale(desk.run) is None
    desk.tool.click(START)
    desk.tool.click(END)
    desk.wait()
    assert "varies by" in desk.panel.scale.now.text()


def test_a_person_s_scale_comes_back_and_the_file_s_goes_before_another_file_s(bench, qtbot):
    desk = bench(calibration=FIDUCIAL)
    entry = desk.measure()
    same = opened(desk.viewer, run(), "the same from elsewhere")
    qtbot.waitUntil(lambda: bool(desk.measures.of(same)), timeout=20_000)
    qtbot.waitUntil(lambda: desk.measures.scale(same) == entry.measure.scale, timeout=20_000)
    desk.measures.set_scale(desk.run, scale_by_hand(0.3))
    desk.wait()
    again = opened(desk.viewer, run(), "again", calibration=FIDUCIAL)
    qtbot.waitUntil(lambda: desk.measures.scale(again) == scale_by_hand(0.3), timeout=20_000)


def test_the_keyboard_takes_the_scale_of_no_other_run(bench):
    """The field keeps what was typed; another run has it only when Take is pressed there."""
    desk = bench()
    desk.panel.scale.hand.setValue(0.3)
    opened(desk.viewer, run(), "other")
    assert desk.measures.scale(desk.session.angiogram) is None
