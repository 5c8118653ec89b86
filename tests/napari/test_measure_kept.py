"""Measures come back when a run is opened again, on the frame whose pixels they are of, and on no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vasomim.canvas import layers
from napari_vasomim.closing import ClosingGuard
from napari_vasomim.measuring.drawing import LINES
from napari_vasomim.widgets.measure import DS, NAME
from tests.core.measures.drawn import at
from vasomim_core.labels.mask import pixel_sha256
from vasomim_core.measures.scale import Scale
from vasomim_core.measures.store import MeasureStore
from vasomim_core.reading import GreyLevels

from .measured import Bench, run

pytestmark = pytest.mark.once  # the panel itself is tried with both bindings, in test_measure


@pytest.fixture
def bench(qapp, qtbot):
    """Opens one viewer after the other, each with a run and the panel."""
    viewers = []

    def made(frames=None, **how):
        viewers.append(ViewerModel())
        return Bench(viewers[-1], qtbot, frames, **how)

    yield made
    for viewer in viewers:
        viewer.layers.clear()


def come(bench, count):
    bench.qtbot.waitUntil(lambda: len(bench.measures.of(bench.run)) == count, timeout=20_000)
    return bench.measures.of(bench.run)


def looked(bench):
    """Until all frames were looked at for measures."""
    bench.qtbot.waitUntil(lambda: bench.measures._finder._walk is None, timeout=20_000)


def test_they_come_back_as_they_were(bench):
    before = bench()
    before.tool.reference = "computed"
    before.measure(at(25), at(155))
    before.viewer.dims.set_current_step(0, 0)
    second = before.measure()
    before.measures.put(before.run, second.named("mid LAD"))
    before.panel._marker_moved(0, 20.0, True)
    before.measures.set_scale(before.run, Scale(0.3, "a person, who gave it by hand"))
    before.wait()
    after = bench(index=0)
    come(after, 2)
    looked(after)
    assert [one.kept for one in after.measures.of(after.run)] == [one.kept for one in before.measures.of(before.run)]
    assert after.measures.scale(after.run) == Scale(0.3, "a person, who gave it by hand")
    assert after.current.name == "mid LAD"
    assert after.current.measure.markers[0] == 20
    assert after.current.note == ""
    assert "0.3000 mm per px" in after.panel.source.text()
    assert len(layers.find(after.viewer, LINES, after.run).data) == 3 + 7
    assert not after.panel.undo.isEnabled()


def test_what_is_deleted_stays_so_and_what_is_undone_too(bench):
    first = bench()
    entry = first.measure()
    first.measures.remove(first.run, entry.id)
    first.wait()
    looked(second := bench())
    assert second.measures.of(second.run) == []
    first.measures.undo(first.run)
    first.wait()
    assert come(bench(), 1)[0].id == entry.id


def test_a_frame_that_changed_has_none_and_they_follow_their_frame(bench):
    first = bench()
    first.measure()
    first.viewer.dims.set_current_step(0, 1)
    first.measure()
    changed = run()
    changed[2, 0, 0] ^= 1
    second = bench(np.concatenate([changed[3:], changed[:3]]))
    [entry] = come(second, 1)
    looked(second)
    assert (entry.index, entry.kept.frame) == (2, 1)
    assert second.measures.of(second.run) == [entry]


def test_of_frames_that_are_alike_the_one_that_was_measured_has_it(bench):
    still = run()[:1].repeat(4, axis=0)
    first = bench(still)
    first.measure()
    second = bench(still)
    [entry] = come(second, 1)
    looked(second)
    [entry] = second.measures.of(second.run)
    assert entry.index == 2


def test_other_grey_levels_are_told_of(bench):
    deep = (run().astype(np.uint16) + 100) * 20
    first = bench(deep, chosen=GreyLevels((4000.0, 5200.0)))
    first.measure()
    second = bench(deep, chosen=GreyLevels((3800.0, 2000.0)))
    [entry] = come(second, 1)
    assert "on other grey levels" in entry.note
    assert second.panel.note.text() == entry.note
    assert second.panel.table.topLevelItem(0).text(DS).endswith("*")


def test_grey_levels_that_change_in_the_window(bench):
    deep = (run().astype(np.uint16) + 100) * 20
    desk = bench(deep, chosen=GreyLevels((4000.0, 5200.0)))
    entry = desk.measure()
    desk.session.set_bright_vessels(True)
    assert desk.measures.of(desk.run) == []
    [now] = come(desk, 1)
    assert now.measure is None or now.note
    assert desk.panel.note.isVisible()
    assert not desk.panel.report.isEnabled() or now.measure is not None
    desk.session.set_bright_vessels(False)
    desk.qtbot.waitUntil(lambda: [one.note for one in desk.measures.of(desk.run)] == [""], timeout=20_000)
    assert desk.current.kept == entry.kept


def test_what_cannot_be_measured_again_keeps_its_numbers(bench):
    first = bench()
    entry = first.measure()
    store = MeasureStore()
    store.put(entry.frame_sha256, replace(entry.kept, clicks=((5.0, 5.0), (5.0, 150.0)), model="helper"))
    second = bench()
    [found] = come(second, 1)
    assert found.measure is None
    assert "cannot be measured again" in found.note
    assert "helper" in found.note
    assert second.panel.table.topLevelItem(0).text(DS) == f"{entry.measure.ds_percent:.1f} *"
    assert not second.panel.report.isEnabled()
    second.panel.table.topLevelItem(0).setText(NAME, "renamed")
    second.qtbot.waitUntil(lambda: [one.name for one in store.read(entry.frame_sha256)] == ["renamed"])


def test_two_windows_at_once_lose_none(bench):
    one, two = bench(), bench()
    looked(one)
    looked(two)
    one.measure()
    two.measure(at(40), at(150))
    two.measures.set_scale(two.run, Scale(0.2, "x"))
    two.wait()
    assert len(come(bench(), 2)) == 2


def test_no_file_names_anything(bench, tmp_path):
    desk = bench(path=Path("/data/JOHN DOE/run.dcm"))
    desk.run.name = "JOHN DOE"
    entry = desk.measure()
    [file] = (tmp_path / "measures").glob("*.json")
    assert file.stem == entry.frame_sha256 == pixel_sha256(run()[2])
    assert "DOE" not in file.read_text()


def test_a_damaged_file_is_a_sentence_and_left_alone(bench, tmp_path, notifications):
    first = bench()
    first.measure()
    [file] = (tmp_path / "measures").glob("*.json")
    file.write_text("{")
    second = bench()
    second.qtbot.waitUntil(lambda: bool(notifications))
    assert "is not valid JSON" in notifications.pop().message
    second.measure()
    assert "could not be kept" in notifications.pop().message
    assert file.read_text() == "{"
    assert len(second.measures.of(second.run)) == 1
    file.unlink()
    second.viewer.dims.set_current_step(0, 1)
    second.measure()  # with the next one, what failed is tried again
    assert [one["name"] for one in json.loads(file.read_text())["measures"]] == ["Measure 1"]


def test_a_closing_window_writes_what_waits(make_napari_viewer, qtbot, tmp_path):
    desk = Bench(make_napari_viewer(), qtbot)
    desk.measure()
    [guard] = desk.viewer.window._qt_window.findChildren(ClosingGuard)
    for number in range(3):
        desk.measures.put(desk.run, desk.current.named(f"name {number}"))
    guard.let_go()
    [kept] = MeasureStore().read(desk.current.frame_sha256)
    assert kept.name == "name 2"
