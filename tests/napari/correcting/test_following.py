"""Corrected frames through their run: what is an anchor, what is proposed, and what can happen meanwhile."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Event

import numpy as np
import pytest

from napari_vasomim.background import engine
from napari_vasomim.canvas import frames, layers
from napari_vasomim.correcting import following, undo
from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.correcting.editing import editor_of, journal
from napari_vasomim.correcting.unfinished import restore, unfinished
from napari_vasomim.labelling.desk import LabellingDesk
from napari_vasomim.prediction import Prediction
from napari_vasomim.widgets.correct import CorrectPanel
from vasomim_core.classes import LabelClass
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.following import Followed
from vasomim_core.inference.requests import Segmentation
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.models import catalogue
from vasomim_core.models.class_mask import ClassRules

from ..happenings import happen
from ..mouse import click

pytestmark = pytest.mark.once  # what is tested here knows no Qt

COUNT, SIDE = 6, 64
UNSURE = {1: 0.5, 4: 0.3, 5: 0.1}
"""Trust of the frames that the stand-in is not sure of; on the last one it finds nothing."""


def square(at: int, value: int = 1) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[at : at + 9, 10:40] = value
    return mask


@pytest.fixture
def asked(monkeypatch):
    """The frames that the model was asked about; it answers at once."""
    seen = []

    def call(request):
        seen.append(request.frame)
        said, answer = (request.frame < 90).astype(np.float32), Future()
        version = catalogue.version_of(request.model)
        answer.set_result(Segmentation(said, said[None], ClassRules(), said, 0.1, "cpu", "some-model", version, 0.5))
        return answer

    monkeypatch.setattr(engine.shared(), "call", call)
    return seen


@pytest.fixture
def stand_in(monkeypatch):
    """In place of the engine: each frame shows the nearest anchor before it, or the first. Waits where `gate` is shut.

    It notes what it was given.
    """
    gate, given, ended = Event(), [], Event()
    gate.set()

    def carried(seen, anchors, said, others):
        given.append((dict(anchors), [said[i] for i in range(len(said))], list(others)))
        for index in range(len(seen)):
            assert gate.wait(20)
            nearest = max((a for a in anchors if a <= index), default=min(anchors))
            mask = anchors[nearest] if index != 5 else np.zeros((SIDE, SIDE), np.uint8)
            if index in anchors:
                yield Followed(index, anchors[index], 1.0, anchor=True)
            else:
                trust = UNSURE.get(index, 0.9)
                yield Followed(index, mask, trust, "vessels leave the frame" if trust < 0.8 else "")
        ended.set()

    monkeypatch.setattr(following, "follow", carried)
    carried.gate, carried.given, carried.ended = gate, given, ended
    return carried


@pytest.fixture
def run(model):
    data = np.full((COUNT, SIDE, SIDE), 120, np.uint8) + np.arange(COUNT, dtype=np.uint8)[:, None, None]
    return model.add_image(data, name="run")


@pytest.fixture
def panel(model, beside, run, asked, stand_in):
    return beside(model, CorrectPanel)


def draw(model, run, index, mask):
    correction = ensure_correction(model, run)
    undo.apply_values(correction, index, mask)
    return correction


def followed(qtbot, panel):
    click(qtbot, panel.run.start)
    qtbot.waitUntil(lambda: not panel.run.following.busy)
    return layers.find(panel.viewer, "proposal", panel.session.angiogram)


def test_what_is_drawn_is_carried_and_never_changed(model, panel, run, asked, stand_in, qtbot):
    correction = draw(model, run, 2, square(20))
    before = correction.data.copy()
    shown = followed(qtbot, panel)
    np.testing.assert_array_equal(correction.data, before)
    assert shown.name == "proposal · run"
    assert not shown.editable
    assert shown.contour > 0  # seen to be none of what was drawn
    assert [bool(plane.any()) for plane in shown.data] == [True, True, False, True, True, False]
    (anchors, said, others) = stand_in.given[0]
    assert list(anchors) == [2]
    assert (len(said), len(asked), others) == (COUNT, COUNT, [])
    words = panel.run.about.text()
    assert "from frame 3, vessels found by some-model; 3 frames unsure" in words
    assert panel.run.strip._cells == ["followed", "unsure", "anchor", "followed", "unsure", "unsure"]


def test_each_corrected_frame_is_a_further_anchor_and_the_model_is_not_asked_again(model, panel, run, asked, qtbot):
    draw(model, run, 2, square(20))
    followed(qtbot, panel)
    draw(model, run, 4, square(40))
    assert "Follow again" in panel.run.about.text()
    shown = followed(qtbot, panel)
    assert len(asked) == COUNT
    assert "from frames 3, 5" in panel.run.about.text()
    assert "Follow again" not in panel.run.about.text()
    np.testing.assert_array_equal(shown.data[3], square(20))
    assert not shown.data[4].any()
    click(qtbot, panel.undo)  # what was drawn there was no proposal, and comes back by redo alone
    assert not shown.data[4].any()
    assert panel.run.following.shown(run, 4) is None
    assert list(panel.run.following.anchors(run).masks) == [2]


def test_what_segment_has_found_by_this_model_is_not_asked_again(model, panel, run, asked, stand_in, qtbot):
    draw(model, run, 2, square(20))
    version = catalogue.version_of(panel.session.model)
    prediction = Prediction("some-model", (COUNT, SIDE, SIDE), asked=panel.session.model, version=version)
    for index in (0, 3):
        prediction.keep(index, square(5).astype(np.float32), 0.0)
    panel.session.predictions[run] = prediction
    followed(qtbot, panel)
    assert len(asked) == COUNT - 2
    np.testing.assert_array_equal(stand_in.given[0][1][3], square(5))
    prediction.asked = "another-model"
    panel.run.following._said.clear()
    followed(qtbot, panel)
    assert len(asked) == COUNT - 2 + COUNT


def test_a_proposal_is_no_draft_until_it_is_taken_and_no_anchor_until_it_is_corrected(model, panel, run, qtbot):
    correction = draw(model, run, 2, square(20))
    shown = followed(qtbot, panel)
    frames.show_frame(model, run, 3)
    qtbot.waitUntil(panel.run.take.isEnabled)
    click(qtbot, panel.run.take)
    editor = editor_of(panel.session, correction)
    np.testing.assert_array_equal(correction.data[3], square(20))
    assert editor.models[3] == "some-model, followed from frame 3"
    assert not shown.data[3].any()  # one mask is seen, not two
    assert not panel.run.take.isEnabled()
    assert panel.run.strip._cells[3] == "draft"
    assert list(panel.run.following.anchors(run).masks) == [2]
    click(qtbot, panel.undo)
    np.testing.assert_array_equal(shown.data[3], square(20))
    click(qtbot, panel.redo)
    undo.apply(correction, 3, square(50) > 0, 1)
    assert list(panel.run.following.anchors(run).masks) == [2, 3]


def test_what_the_queue_put_there_is_no_anchor_until_it_is_touched(model, panel, run, qtbot):
    correction = draw(model, run, 2, square(20))
    editor = editor_of(panel.session, correction)
    assert editor.put_draft(3, square(30), "some-model")
    assert list(panel.run.following.anchors(run).masks) == [2]
    assert panel.run.strip._cells[3] == "draft"
    undo.apply(correction, 3, square(50) > 0, 1)
    assert list(panel.run.following.anchors(run).masks) == [2, 3]


def test_an_accepted_draft_is_an_anchor(model, panel, run, qtbot):
    correction = draw(model, run, 2, square(20))
    followed(qtbot, panel)
    frames.show_frame(model, run, 3)
    qtbot.waitUntil(panel.run.take.isEnabled)
    click(qtbot, panel.run.take)
    panel.session.accepted.emit(correction, 3)
    assert list(panel.run.following.anchors(run).masks) == [2, 3]


def test_accept_knows_a_proposal_from_a_label(model, panel, run, qtbot, tmp_path, notifications):
    draw(model, run, 2, square(20))
    desk = LabellingDesk.of(model)
    panel.session.open_label_set(LabelSet.create(tmp_path / "set", "set"))
    followed(qtbot, panel)
    frames.show_frame(model, run, 3)
    qtbot.waitUntil(panel.run.take.isEnabled)
    panel.session.request_accept()
    assert "a proposal and no label" in notifications.pop().message
    assert not desk.saving.busy


def test_a_crash_brings_back_drafts_as_drafts_and_no_proposals(model, panel, run, qtbot):
    correction = draw(model, run, 2, square(20))
    followed(qtbot, panel)
    frames.show_frame(model, run, 3)
    qtbot.waitUntil(panel.run.take.isEnabled)
    click(qtbot, panel.run.take)
    editor_of(panel.session, correction).close()  # as if the window had gone
    (entry,) = unfinished(journal().folder)
    labels = restore(entry)
    assert [bool(plane.any()) for plane in labels] == [False, False, True, True, False, False]
    model.layers.remove(correction)
    again = ensure_correction(model, run, labels, entry)
    assert [editor_of(panel.session, again).is_draft(index) for index in (2, 3)] == [False, True]


def test_unsure_frames_are_offered_the_worst_first_and_empty_ones_last(model, panel, run, qtbot):
    draw(model, run, 2, square(20))
    followed(qtbot, panel)
    visited = []
    for _ in range(4):
        click(qtbot, panel.run.next)
        visited.append(panel.session.index)
        qtbot.waitUntil(lambda: f"trust {UNSURE[visited[-1]]:.2f}" in panel.run.about.text())
    assert visited == [4, 1, 5, 4]
    draw(model, run, 4, square(30))
    assert "2 frames unsure" in panel.run.about.text()


def test_nothing_to_follow_is_a_sentence(model, panel, run, qtbot, notifications):
    click(qtbot, panel.run.start)
    assert "No frame of this run is corrected yet" in notifications.pop().message
    panel.session.take_classes((LabelClass(1, "vessel"), LabelClass(2, "catheter", vessel=False)))
    draw(model, run, 2, square(20, 2))
    click(qtbot, panel.run.start)
    assert "Nothing that is drawn on frame 3 counts as vessel" in notifications.pop().message
    model.add_image(np.zeros((SIDE, SIDE), np.uint8))
    assert not panel.run.isVisible()


def test_classes_are_carried_along(model, panel, run, stand_in, qtbot):
    classes = (LabelClass(1, "vessel"), LabelClass(4, "side", "#00ff00"), LabelClass(7, "catheter", vessel=False))
    panel.session.take_classes(classes)
    drawn = square(20) + square(35, 4) + square(50, 7)
    draw(model, run, 2, drawn)
    shown = followed(qtbot, panel)
    assert stand_in.given[0][2] == [7]
    np.testing.assert_array_equal(shown.data[3], drawn)
    np.testing.assert_allclose(shown.colormap.map(4)[:3], (0, 1, 0))


def test_cancelled_it_leaves_nothing(model, panel, run, stand_in, qtbot):
    draw(model, run, 2, square(20))
    stand_in.gate.clear()
    click(qtbot, panel.run.start)
    qtbot.waitUntil(lambda: len(stand_in.given) == 1)
    assert panel.run.progress.isVisible()
    assert not panel.run.start.isEnabled()
    click(qtbot, panel.run.progress.cancel)
    stand_in.gate.set()
    qtbot.waitUntil(panel.run.start.isEnabled)
    assert not panel.run.progress.isVisible()
    assert layers.find(model, "proposal", run) is None
    assert followed(qtbot, panel) is not None


def test_cancelled_when_all_is_done_but_not_shown_yet_it_leaves_nothing_either(model, panel, run, stand_in, qtbot):
    draw(model, run, 2, square(20))
    stand_in.gate.clear()
    click(qtbot, panel.run.start)
    qtbot.waitUntil(lambda: len(stand_in.given) == 1)
    stand_in.gate.set()
    assert stand_in.ended.wait(20)
    panel.run.following.cancel()
    qtbot.waitUntil(lambda: not panel.run.following.busy)
    assert layers.find(model, "proposal", run) is None


@pytest.mark.parametrize("happening", ["deleted", "other chosen", "reordered", "replaced", "inverted"])
def test_whatever_happens_meanwhile(model, panel, run, stand_in, qtbot, happening):
    other = model.add_image(np.full((COUNT, SIDE, SIDE), 90, np.uint8), name="other")
    panel.session.angiogram = run
    draw(model, run, 2, square(20))
    stand_in.gate.clear()
    click(qtbot, panel.run.start)
    qtbot.waitUntil(lambda: len(stand_in.given) == 1)
    if happening == "inverted":
        panel.session.set_bright_vessels(True)
    elif happening == "replaced":
        run.data = run.data[:, :50]
    else:
        happen(happening, model, run, other, "proposal")
    stand_in.gate.set()
    qtbot.waitUntil(lambda: not panel.run.following.busy)
    shown = layers.find(model, "proposal", run)
    assert layers.find(model, "proposal", other) is None
    if happening in ("other chosen", "reordered"):
        assert shown.data[3].any()
        assert shown.visible == (happening == "reordered")  # the other run is on the canvas
    else:
        assert shown is None


def test_proposals_go_with_the_pixels_that_they_are_of(model, panel, run, qtbot):
    draw(model, run, 2, square(20))
    shown = followed(qtbot, panel)
    panel.session.set_bright_vessels(True)
    assert not shown.data.any()
    assert panel.run.following.proposals(run) is None
    assert not panel.run.take.isVisible()


def test_who_deletes_the_layer_wants_no_proposals(model, panel, run, qtbot):
    draw(model, run, 2, square(20))
    model.layers.remove(followed(qtbot, panel))
    assert panel.run.following.proposals(run) is None
    assert "Follow starts from frame 3" in panel.run.about.text()
    assert followed(qtbot, panel) is not None


def test_a_run_is_really_followed(model, beside, cine, cine_truth, asked, qtbot):
    image = model.add_image(cine[3:, ::2, ::2].copy())
    panel = beside(model, CorrectPanel)
    truth = cine_truth[3:, ::2, ::2]
    draw(model, image, 2, truth[2].astype(np.uint8))
    click(qtbot, panel.run.start)
    qtbot.waitUntil(lambda: not panel.run.following.busy, timeout=30_000)
    shown = layers.find(model, "proposal", image)
    assert dsc(shown.data[3] > 0, truth[3]) > dsc(truth[2], truth[3])


def test_the_frame_to_begin_with_is_shown_and_explained(model, panel, run, qtbot, cine):
    model.layers.remove(run)
    still = cine[6]
    data = np.stack([cine[0], cine[0], *(np.roll(still, step, 1) for step in (0, 6, 12, 12, 12, 18))])
    model.add_image(data)
    model.dims.set_current_step(0, 0)
    click(qtbot, panel.run.choose)
    qtbot.waitUntil(lambda: "moves by" in panel.run.why.text(), timeout=30_000)
    assert panel.session.index == 5
    assert panel.run.why.text().startswith("Frame 6 has ")
    model.add_image(np.zeros((2, SIDE, SIDE), np.uint8))
    assert not panel.run.why.isVisible()
