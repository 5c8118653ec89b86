"""Two clicks on a vessel of the shown frame, in the real window: what comes of them, and what may go wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit

import vasomim_core as vm
from napari_vasomim.canvas import layers
from napari_vasomim.measuring.drawing import LINES
from napari_vasomim.measuring.handles import handles
from napari_vasomim.prediction import Prediction
from napari_vasomim.widgets.correct import CorrectPanel
from napari_vasomim.widgets.measure import DS, FRAME, MLD, NAME, MeasurePanel
from tests.core.measures.drawn import at
from vasomim_core.cli import run as command
from vasomim_core.reading import Frames

from .measured import END, START, Bench, Desk, opened, run
from .mouse import RIGHT, click, settle

SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def desk(make_napari_viewer, qtbot):
    return Desk(make_napari_viewer(show=True), qtbot)


@pytest.fixture
def bench(model, qtbot):
    """Without a window: for what is the same however the mouse moves."""
    return Bench(model, qtbot)


def row(desk, number=0):
    return desk.panel.table.topLevelItem(number)


def test_two_clicks_give_what_the_command_gives(desk, qtbot, tmp_path, capsys):
    click(qtbot, desk.panel.start)
    desk.mouse.click(desk.pixel(START))
    qtbot.waitUntil(lambda: desk.tool._begun.paths is not None)
    desk.mouse.move(desk.pixel(END))
    preview = layers.find(desk.viewer, "preview", desk.run)
    assert preview.data[:, 40:140].any(axis=0).all()  # the path under the mouse
    desk.mouse.click(desk.pixel(END))
    desk.wait()
    assert not preview.data.any()
    entry = desk.current
    assert entry.measure.ds_percent == pytest.approx(50, abs=5)
    assert entry.index == 2

    np.save(tmp_path / "run.npy", run())
    first, last = (",".join(map(str, click)) for click in entry.measure.segment.clicks)
    arguments = ["measure", str(tmp_path / "run.npy"), "--from", first, "--to", last, "--frame", "2", "--json"]
    assert command([*arguments, "--name", entry.name]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {k: v for k, v in told.items() if k not in ("frame", "written")} == entry.measure.to_dict()
    assert desk.panel.numbers["stenosis"].text() == f"{told['ds_percent']:.1f} %"
    assert [row(desk).text(k) for k in (NAME, FRAME)] == ["Measure 1", "2"]
    assert row(desk).text(DS) == f"{told['ds_percent']:.1f}"
    assert row(desk).text(MLD) == f"{told['mld_px']:.1f}"


def test_a_measure_is_seen_on_its_own_frame_alone(desk):
    entry = desk.measure()
    desk.mouse.key(Qt.Key.Key_Escape)
    drawn = [line for line in desk.lines.data if len(line) > 2]
    assert len(drawn) == 3  # both walls and the centreline
    assert all((line[:, 0] == 2).all() for line in desk.lines.data)
    assert np.abs(drawn[0][:, 1:] - entry.measure.segment.left[::2][: len(drawn[0])]).max() < 1
    desk.viewer.dims.set_current_step(0, 1)
    desk.qtbot.waitUntil(lambda: desk.panel.numbers["MLD"].text() == "–")
    assert desk.current is None
    assert not desk.panel.delete.isEnabled()
    desk.viewer.dims.set_current_step(0, 2)
    desk.qtbot.waitUntil(lambda: desk.panel.numbers["MLD"].text() != "–")
    assert desk.current == entry


def test_several_measures_and_choosing_one_shows_its_frame(bench, qtbot):
    first = bench.measure()
    second = bench.measure(at(60), at(150))
    bench.viewer.dims.set_current_step(0, 0)
    third = bench.measure()
    assert [row(bench, k).text(NAME) for k in range(3)] == ["Measure 3", "Measure 1", "Measure 2"]
    assert [entry.index for entry in (first, second, third)] == [2, 2, 0]
    bench.panel.table.itemClicked.emit(row(bench, 1), 0)
    assert bench.session.index == 2
    assert bench.current.id == first.id
    bench.panel.table.itemClicked.emit(row(bench, 2), 0)
    assert bench.current.id == second.id
    assert bench.panel.numbers["length"].text() == f"{second.measure.length_px:.1f} px"


def test_each_run_has_its_own(desk, qtbot):
    first = desk.measure()
    other = opened(desk.viewer, run(0.0, 6, 7.0, seed=20), "other")
    settle()
    assert desk.session.angiogram is other
    assert desk.tool.purpose is None
    assert not desk.lines.visible
    assert desk.panel.table.topLevelItemCount() == 0
    desk.viewer.dims.set_current_step(0, 2)
    settle()
    assert desk.current is None
    second = desk.measure()
    assert second.measure.mean_px == pytest.approx(7, abs=0.6)
    assert [entry.id for entry in desk.measures.of(other)] == [second.id]
    desk.session.angiogram = desk.run
    settle()
    assert [entry.id for entry in desk.measures.of(desk.run)] == [first.id]
    assert desk.lines.visible
    assert desk.panel.numbers["mean"].text() == f"{first.measure.mean_px:.1f} px"


def test_the_frame_changes_between_the_clicks(desk):
    desk.panel.start.click()
    desk.click(START)
    assert desk.points.data.shape == (1, 3)
    desk.viewer.dims.set_current_step(0, 3)
    settle()
    assert "Another frame" in desk.panel.help.text()
    assert len(desk.points.data) == 0
    desk.click(END)  # begins anew on the frame that is seen
    assert desk.tool._begun.frame.index == 3
    desk.click(START)
    desk.wait()
    assert desk.current.index == 3


def test_the_frame_changes_while_it_is_measured(bench):
    bench.panel.start.click()
    bench.click(START, END)
    bench.viewer.dims.set_current_step(0, 0)
    bench.wait()
    [entry] = bench.measures.of(bench.run)
    assert entry.index == 2
    assert bench.current is None


def test_the_angiogram_is_deleted_while_it_is_measured(bench):
    bench.measure()
    bench.click(at(60), at(140))
    bench.viewer.layers.remove(bench.run)
    bench.wait()
    assert bench.tool.purpose is None
    assert len(bench.viewer.layers) == 0
    assert bench.panel.table.topLevelItemCount() == 0


def test_the_angiogram_gets_other_pixels_of_another_size(bench):
    bench.measure()
    bench.click(at(60), at(140))
    bench.run.data = np.zeros((3, 40, 50), np.uint8)
    bench.wait()
    assert bench.measures.of(bench.run) == []
    assert layers.find(bench.viewer, LINES, bench.run) is None
    assert "changed" in bench.panel.help.text()


def test_layers_of_ours_that_are_deleted_by_hand_are_made_anew(desk):
    for number, which in enumerate(("measures", "measure points", "measure preview"), 1):
        entry = desk.measure(at(25 + 10 * number), at(155))
        desk.viewer.layers.remove(next(layer for layer in desk.viewer.layers if layer.name.startswith(which)))
        settle()
        assert desk.current == entry
        assert desk.tool.purpose == ("measure" if which == "measures" else None)
    desk.measure()
    assert len(desk.lines.data) == 3 * 3 + 7  # walls and narrowest place; of the one that is looked at, all


def test_an_angiogram_of_another_size_is_measured_in_its_own_pixels(desk):
    still = run()[0].repeat(2, axis=0).repeat(2, axis=1)
    layer = desk.viewer.add_image(still, name="large", scale=(0.5, 0.5), translate=(30, 10))
    desk.viewer.reset_view()
    settle()
    desk.run = layer
    desk.mouse._layer = layer
    entry = desk.measure(*(2 * np.array(point) for point in (START, END)))
    assert entry.measure.mean_px == pytest.approx(2 * 10.2, abs=1)
    assert desk.lines.data[0].shape[1] == 2
    assert np.allclose(desk.lines.scale, (0.5, 0.5))


def test_points_off_the_vessel_are_a_sentence(bench, notifications):
    bench.panel.start.click()
    bench.click((5, 5), (5, 150))
    bench.wait()
    assert "no vessel leads from" in notifications.pop().message
    assert "no vessel leads from" in bench.panel.help.text()
    bench.click(START, np.add(START, 2))
    bench.wait()
    assert "less than 8 px apart" in notifications.pop().message
    assert bench.measures.of(bench.run) == []
    assert bench.measure() is not None


def test_a_model_helps_where_the_grey_levels_show_no_vessel(bench, notifications):
    ends = (20.0, 20.0), (20.0, 150.0)
    bench.panel.start.click()
    probability = np.zeros((100, 180), np.float32)
    probability[18:23] = 1
    prediction = Prediction("helper", (4, 100, 180))
    prediction.keep(2, probability, 0.0)
    bench.session.predictions[bench.run] = prediction
    entry = bench.measure(*ends)
    assert entry.kept.model == "helper"
    # Where they show one, it has no say: what is kept measures alike without it.
    assert bench.measure().kept.model == ""


def test_a_damaged_frame_is_a_sentence(model, qtbot, notifications):
    good = run()

    def read(index):
        if index == 2:
            raise vm.VasoMIMError("Frame 2 of x.dcm is damaged; take another one.")
        return good[index]

    shown = Frames(lambda index: np.zeros((100, 180), np.uint8), good.shape, good.dtype, None)
    shown.true = Frames(read, good.shape, good.dtype, None)
    desk = Bench(model, qtbot, shown)
    desk.measure()
    assert "is damaged" in notifications.pop().message
    assert desk.measures.of(desk.run) == []
    desk.viewer.dims.set_current_step(0, 1)
    assert desk.measure().index == 1


def test_what_hides_the_angiogram_is_told(desk, notifications):
    desk.run.visible = False
    desk.panel.start.click()
    assert "is hidden" in notifications.pop().message
    assert not desk.panel.start.isChecked()
    desk.run.visible = True
    desk.panel.start.click()
    desk.viewer.dims.ndisplay = 3
    settle()
    assert desk.tool.purpose is None


def test_keys_and_buttons_give_up_what_was_begun(desk):
    desk.panel.start.click()
    desk.click(START)
    desk.click(at(60), modifier=SHIFT)
    assert len(desk.points.data) == 2
    desk.mouse.key(Qt.Key.Key_Backspace)
    assert len(desk.points.data) == 1
    desk.mouse.key(Qt.Key.Key_Escape)
    assert len(desk.points.data) == 0
    assert desk.tool.purpose == "measure"
    desk.click(START)
    desk.mouse.click(desk.pixel(at(70)), RIGHT)
    assert desk.tool._begun is None
    desk.mouse.key(Qt.Key.Key_Escape)
    assert desk.tool.purpose is None
    assert not desk.panel.start.isChecked()
    desk.click(START, END)
    desk.wait()
    assert desk.measures.of(desk.run) == []


def test_another_layer_or_panel_puts_the_tool_down(desk):
    desk.panel.start.click()
    desk.viewer.layers.selection.active = desk.run
    assert desk.tool.purpose is None
    desk.panel.start.click()
    desk.bench.show_panel(CorrectPanel)
    settle()
    assert desk.tool.purpose is None
    assert not desk.points.visible
    desk.bench.show_panel(MeasurePanel)
    assert desk.points.visible


def test_points_are_dragged_and_put_between_and_undone(desk, qtbot):
    first = desk.measure()
    name = first.name
    desk.mouse.drag(desk.pixel(END), desk.pixel(at(120)))
    desk.wait()
    moved = desk.current
    assert moved.id == first.id
    assert moved.name == name
    assert moved.measure.segment.clicks[1] == pytest.approx(at(120), abs=0.8)
    assert moved.measure.length_px == pytest.approx(first.measure.length_px - 35, abs=3)
    desk.mouse.move(desk.pixel(at(90)))
    desk.click(at(90), modifier=SHIFT)
    desk.wait()
    assert len(desk.current.measure.segment.clicks) == 3
    assert desk.current.measure.segment.clicks[1] == pytest.approx(at(90), abs=0.8)
    for expected in (moved, first):
        click(qtbot, desk.panel.undo)
        assert desk.current == expected
    click(qtbot, desk.panel.undo)
    assert desk.measures.of(desk.run) == []
    assert not desk.panel.undo.isEnabled()


def test_a_measure_may_begin_where_another_ends(desk):
    first = desk.measure(START, at(90))
    desk.click(at(90), END)
    desk.wait()
    assert desk.current.id != first.id
    assert desk.current.measure.segment.clicks[0] == pytest.approx(at(90), abs=0.8)
    assert len(desk.measures.of(desk.run)) == 2


def test_a_drag_beside_everything_moves_the_view_and_nothing_else(desk):
    entry = desk.measure()
    centre = desk.mouse.camera.center
    desk.mouse.drag(desk.pixel((20, 60)), desk.pixel((30, 100)))
    assert desk.mouse.camera.center != centre
    assert desk.current == entry
    assert desk.tool._begun is None


def test_a_point_dragged_off_the_vessel_stays(desk, notifications):
    entry = desk.measure()
    desk.mouse.drag(desk.pixel(END), desk.pixel((95, 100)))
    desk.wait()
    assert "no vessel leads" in notifications.pop().message
    assert desk.current == entry
    assert desk.points.data[1][1:] == pytest.approx(END, abs=1)


def test_a_marker_is_dragged_on_the_frame(desk):
    entry = desk.measure()
    marker = next(handle for handle in handles(entry.measure) if handle.kind == "marker")
    desk.mouse.drag(desk.pixel(marker.point), desk.pixel(at(60)))
    desk.wait()
    assert desk.current.measure.markers == (pytest.approx(35, abs=2), entry.measure.markers[1])
    desk.mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert desk.current == entry


def test_a_marker_is_dragged_on_the_plot(bench):
    entry, plot = bench.measure(), bench.panel.plot
    line = plot.markers[1]
    line.setValue(60.0)
    line.sigDragged.emit(line)
    assert bench.current.measure.markers[1] == 60
    now = bench.panel.numbers["stenosis"].text()
    assert now == f"{bench.current.measure.ds_percent:.1f} %"
    line.setValue(-400.0)  # beyond the other marker
    line.sigDragged.emit(line)
    line.sigPositionChangeFinished.emit(line)
    assert bench.current.measure.markers[1] == pytest.approx(entry.measure.markers[0] + 5)
    assert line.value() == bench.current.measure.markers[1]
    bench.panel.undo.click()
    assert bench.current == entry  # one drag is one step
    assert line.value() == entry.measure.markers[1]


def test_plot_and_frame_point_at_the_same_place(desk):
    measure, plot = desk.measure().measure, desk.panel.plot
    scene = plot._item.vb.mapViewToScene(plotting_point(40.0, 5.0))
    plot.plot.scene().sigMouseMoved.emit(scene)
    assert desk.points.data[-1][1:] == pytest.approx(measure.segment.centreline[80], abs=0.5)
    plot.pointed.emit(None)
    desk.mouse.move(desk.pixel(at(75)))
    assert plot.place.isVisible()
    assert plot.place.value() == pytest.approx(50.6, abs=1.5)
    desk.mouse.move(desk.pixel((5, 75)))
    assert not plot.place.isVisible()


def plotting_point(x, y):
    from qtpy.QtCore import QPointF

    return QPointF(x, y)


def test_renaming_deleting_and_undoing(bench, qtbot):
    entry = bench.measure()
    bench.panel.table.itemDoubleClicked.emit(row(bench), MLD)
    field = bench.panel.table.findChild(QLineEdit)
    field.setText("  mid LAD ")
    QTest.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: bench.current.name == "mid LAD")
    assert bench.current.measure.name == "mid LAD"
    row(bench).setText(NAME, "   ")
    qtbot.waitUntil(lambda: row(bench).text(NAME) == "mid LAD")
    click(qtbot, bench.panel.delete)
    assert bench.measures.of(bench.run) == []
    assert not len(layers.find(bench.viewer, LINES, bench.run).data)
    click(qtbot, bench.panel.undo)
    assert bench.current.name == "mid LAD"
    click(qtbot, bench.panel.undo)
    assert bench.current == entry


def test_undoing_shows_the_frame_that_it_changes(bench):
    bench.measure()
    bench.measures.remove(bench.run, bench.current.id)
    for back in (1, 0):
        bench.viewer.dims.set_current_step(0, 0)
        bench.panel.undo.click()
        assert bench.session.index == 2
        assert len(bench.measures.of(bench.run)) == back


def test_another_reference_changes_the_numbers_at_once(bench):
    entry = bench.measure()
    box = bench.panel.reference
    box.setCurrentIndex(box.findData("mean-local"))
    box.activated.emit(box.currentIndex())
    assert bench.current.measure.reference == "mean-local"
    assert np.ptp(bench.panel.plot.reference.getData()[1]) == 0
    bench.panel.undo.click()
    assert bench.current == entry
    assert box.currentData() == "interpolated"


def test_what_goes_out(bench, qtbot, tmp_path, notifications, monkeypatch):
    from qtpy.QtWidgets import QApplication, QFileDialog

    bench.measure()
    entry = bench.measure(at(40), at(150))
    click(qtbot, bench.panel.copy)
    text = QApplication.clipboard().text()
    assert f"Diameter stenosis\t{entry.measure.ds_percent:.1f} %" in text
    assert "Scale\tpixels: no scale is known" in text
    answers = {"report": (str(tmp_path / "page"), "PNG (*.png)"), "csv": (str(tmp_path / "m.csv"), "")}
    for which in ("report", "csv"):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, which=which: answers[which])
        click(qtbot, getattr(bench.panel, which))
    qtbot.waitUntil(lambda: (tmp_path / "page.png").exists() and (tmp_path / "m.csv").exists(), timeout=20_000)
    lines = (tmp_path / "m.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["2", "Measure 1"], ["2", "Measure 2"]]


def test_a_report_is_never_on_other_grey_levels(bench, tmp_path, notifications):
    bench.measure()
    bench.run.data[2] = 255 - bench.run.data[2]  # changed in its place: nobody is told
    bench.panel.save_report(tmp_path / "page.pdf")
    bench.qtbot.waitUntil(lambda: any("is not the one on which" in note.message for note in notifications))
    assert not (tmp_path / "page.pdf").exists()
