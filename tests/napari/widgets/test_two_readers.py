"""A second reading: the frames of others come, and nothing that a window shows has their masks."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_vasomim.canvas import layers
from napari_vasomim.correcting.corrections import correction_of, ensure_correction
from napari_vasomim.rhythm.drafts import Drafts
from napari_vasomim.shortcuts import Shortcuts
from napari_vasomim.widgets.label_set import LabelSetPanel
from vasomim_core.errors import LabelError
from vasomim_core.labels.labelset import LabelSet

from ..mouse import click, next_turn

pytestmark = pytest.mark.once
FIRST = np.zeros((64, 64), bool)
FIRST[10:14, 5:60] = True
SECOND = np.roll(FIRST, 1, axis=0)


def frame(seed):
    return np.random.default_rng(seed).integers(0, 255, FIRST.shape).astype(np.uint8)


@pytest.fixture
def labels(tmp_path):
    """Three labels by A, of a run's frames and of 16 bits; one by B, and one that A has flagged."""
    made = LabelSet.create(tmp_path / "coronaries", "coronaries")
    for n in range(3):
        wide = frame(n).astype(np.uint16) * 9 if n == 2 else frame(n)
        made.add(wide, FIRST, annotator="A", frame_index=40 + n if n else None)
    made.add(frame(8), FIRST, annotator="B")
    made.add(frame(9), FIRST, annotator="A", status="flagged")
    return made


@pytest.fixture
def panel(beside, model, labels, qtbot):
    made = beside(model, LabelSetPanel)
    made.session.annotator = "B"
    made.session.open_label_set(labels)
    qtbot.waitUntil(lambda: len(made.desk.watched.contents.records) == 5)
    return made


def looked(qtbot, panel):
    """Until what the set knows of the shown frame is seen, and what follows from that is done."""
    shown, masks = panel.shown, panel.desk.revisions
    next_turn(qtbot)

    def is_quiet():
        busy = shown._settle.isActive() or shown._looking.busy or masks._showing.busy or masks._restoring.busy
        return not busy and shown.is_current()

    qtbot.waitUntil(is_quiet)
    next_turn(qtbot)
    qtbot.waitUntil(is_quiet)


def nothing_of_the_first(panel):
    """No layer has the first mask; the panel names neither it nor a revision of it."""
    for layer in panel.viewer.layers:
        if isinstance(layer, Labels):
            planes = np.asarray(layer.data)
            assert not (planes & FIRST).any() or np.array_equal(planes != 0, SECOND)
    assert panel.history.table.topLevelItemCount() == 0
    assert " A" not in panel.known.text().removeprefix("A second")


def begun(qtbot, panel):
    panel.readers.fold.set_open(True)
    click(qtbot, panel.readers.begin)
    qtbot.waitUntil(lambda: panel.session.angiogram is not None)
    looked(qtbot, panel)


def read(qtbot, panel):
    layer = panel.session.angiogram
    ensure_correction(panel.viewer, layer).data[...] = SECOND
    Shortcuts.of(panel.viewer).press("accept")
    qtbot.waitUntil(lambda: panel.session.angiogram is not layer or panel.navigator.done)
    looked(qtbot, panel)


def test_nothing_shows_the_first_reading_until_it_is_ended(qtbot, panel, labels, notifications):
    before = {id: labels.record(id) for id in labels.ids()}
    assert "3 labels of others for B" in panel.readers.words.text()
    begun(qtbot, panel)
    for _ in range(2):
        nothing_of_the_first(panel)
        assert "not shown" in panel.known.text()
        for way in (panel.desk.revisions.show_label, lambda: panel.desk.revisions.take_back(1)):
            way()
        panel.desk.revisions.show(1)
        looked(qtbot, panel)
        nothing_of_the_first(panel)
        assert not panel.show_label.isVisible()
        assert not panel.skip.isEnabled()
        Shortcuts.of(panel.viewer).press("skip")
        assert "is read or left" in notifications.pop().message
        read(qtbot, panel)
    assert panel.readers.words.text().startswith("2 of 3 read")
    Shortcuts.of(panel.viewer).press("previous")
    looked(qtbot, panel)
    click(qtbot, panel.show_label)  # her own
    looked(qtbot, panel)
    nothing_of_the_first(panel)
    assert np.array_equal(correction_of(panel.viewer, panel.session.angiogram).data != 0, SECOND)
    assert "read by B" in panel.known.text()
    Shortcuts.of(panel.viewer).press("next")
    looked(qtbot, panel)
    read(qtbot, panel)
    assert "All 3 frames of the second reading are read" in panel.position.words.text()

    assert {id: labels.record(id) for id in labels.ids()} == before, "the labels are as they were"
    readings = [one for id in labels.read_again() for one in labels.readings(id)]
    assert [(r.annotator, r.blind, r.beside, r.share, r.seed) for r in readings] == [("B", True, 1, 1.0, 0)] * 3
    click(qtbot, panel.readers.begin)
    qtbot.waitUntil(lambda: "accepted by A" in panel.known.text())
    assert panel.annotator.isEnabled()
    assert not panel.readers.begin.isEnabled()
    assert labels.check() == []


def test_what_is_drawn_before_is_closed_or_refused(qtbot, panel, model, labels):
    """Two people at one computer: the first has just drawn."""
    layer = model.add_image(frame(0))
    qtbot.waitUntil(lambda: correction_of(model, layer) is not None)  # the label of A, put there because it is known
    looked(qtbot, panel)
    ensure_correction(model, layer).data[30] = 1
    with pytest.raises(LabelError, match="is in no label set"):
        panel.desk.second.begin()
    ensure_correction(model, layer).data[...] = FIRST
    panel.desk.second.begin()
    assert layer not in model.layers
    looked(qtbot, panel)
    nothing_of_the_first(panel)


def test_opened_by_hand_a_frame_does_not_show_its_label_either(qtbot, panel, model, labels):
    begun(qtbot, panel)
    layer = model.add_image(np.stack([frame(9), frame(0)]))  # what A has flagged, and something else
    model.add_image(frame(9))
    looked(qtbot, panel)
    nothing_of_the_first(panel)
    assert correction_of(model, layer) is None
    other = LabelSet.create(labels.folder.parent / "other", "other")
    panel.session.open_label_set(other)
    assert not panel.desk.second.on


def test_a_draft_comes_only_where_both_begin_with_one(qtbot, panel, model):
    drafts = Drafts.of(model)
    assert drafts.on
    panel.desk.second.begin()
    assert not drafts.wanted
    panel.desk.second.end()
    panel.desk.second.begin(drafts=True)
    assert drafts.wanted
    assert layers.angiograms(model) is not None


def test_where_two_differ_is_seen_and_settled(qtbot, panel, model, labels, tmp_path):
    ids = {record.frame_index: record.id for record in labels.records("accepted") if record.annotator == "A"}
    far = np.roll(FIRST, 30, axis=0)
    for index, mask in ((41, SECOND), (42, far), (None, FIRST)):
        labels.add_reading(ids[index], mask, "B", blind=True)
    panel.session.annotator = "S"
    panel.desk.watched.refresh()
    found, settling = panel.readers.agreement, panel.desk.settling
    panel.readers.fold.set_open(True)
    qtbot.waitUntil(found.isVisible)
    click(qtbot, found.compare)
    qtbot.waitUntil(lambda: len(settling.rows) == 3 and not found.work.busy)
    assert found.words.text() == "A – B: 3 frames, DSC 58.3 ± 52.0 %, clDice 66.7 ± 57.7 %"
    assert [row.id for row in settling.rows] == [ids[42], ids[41], ids[None]], "the worst first"

    def shown(id):
        qtbot.waitUntil(lambda: settling.pair is not None and settling.pair.row.id == id)
        layer = layers.labels_of(model, "difference", panel.session.angiogram)
        assert layer.visible
        return layer.data

    found.table.setCurrentItem(found.table.topLevelItem(0))
    assert np.array_equal(shown(ids[42]), FIRST * 1 + far * 2)
    assert "Orange: only A. Blue: only B" in found.legend.text()
    Shortcuts.of(model).press("take second")
    assert np.array_equal(shown(ids[41]), FIRST * 1 + SECOND * 2), "the next one"
    record = labels.record(ids[42])
    assert (record.annotator, record.settled, record.revision) == ("S", True, 2)
    assert np.array_equal(labels.mask(ids[42]), far)
    assert found.table.topLevelItem(0).text(4) == "settled"

    click(qtbot, found.either)
    correction = correction_of(model, panel.session.angiogram)
    assert correction.visible
    assert np.array_equal(correction.data != 0, FIRST | SECOND)
    correction.data[50] = 1
    click(qtbot, panel.keep)
    shown(ids[None])
    assert labels.record(ids[41]).settled
    assert labels.mask(ids[41])[50].all()
    assert len(labels.readings(ids[41])) == 1

    labels.update_mask(ids[None], SECOND, "A")  # meanwhile
    click(qtbot, found.first)
    qtbot.waitUntil(lambda: "has changed meanwhile" in panel.state.text())
    assert not labels.record(ids[None]).settled
    panel.session.annotator = "T"
    with pytest.raises(LabelError, match="is in no label set"):  # what could not be settled
        panel.desk.second.begin()
    ensure_correction(model, panel.session.angiogram).data[...] = 0
    panel.desk.second.begin()
    assert not any(layers.role(layer) == "difference" for layer in model.layers)
    with pytest.raises(LabelError, match="goes on"):
        settling.show(settling.rows[0])
    qtbot.waitUntil(lambda: settling.pair is None)
    assert not found.isVisible()
