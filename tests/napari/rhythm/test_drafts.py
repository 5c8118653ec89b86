"""The next frame comes with its prediction as the draft, which is nobody's work until it is touched or accepted."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vasomim.canvas import frames, layers
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.corrections import correction_of
from napari_vasomim.correcting.desk import CorrectingDesk
from napari_vasomim.correcting.editing import journal
from napari_vasomim.correcting.following import Following
from napari_vasomim.shortcuts import Shortcuts

from .conftest import Desk, frame_of

pytestmark = pytest.mark.once


def drafted(desk):
    """The editor of the shown frame, once its draft is there."""
    made = CorrectingDesk.of(desk.model)
    desk.qtbot.waitUntil(lambda: made.editor is not None and made.editor.draft == desk.session.index, timeout=20_000)
    return made.editor


def begun(desk):
    """The first frame is drawn on with a tool in hand, and the next ones are ready."""
    desk.segment()
    made = CorrectingDesk.of(desk.model)
    made.take("trace")
    undo.apply_values(made.correction, None if made.correction.ndim == 2 else 0, (frame_of(0) < 100).astype(np.uint8))
    desk.are_ready()
    return made


def test_accept_brings_the_next_one_ready(desk, labels):
    correcting, keys = begun(desk), Shortcuts.of(desk.model)
    first = correcting.correction
    keys.press("accept")
    desk.at(1)
    editor = drafted(desk)
    assert editor.layer is not first
    assert np.array_equal(editor.frame.mask, frame_of(1) < 100)
    assert desk.model.layers.selection.active is editor.layer
    assert editor.tools.tool == "trace"
    assert editor.layer.name == "draft by vasomim-demo · 1"
    assert not layers.find(desk.model, "prediction", editor.source).visible
    assert (editor.unsaved, undo.undo_depth(editor.layer)) == (set(), 0)

    keys.press("accept")
    desk.at(2)
    drafted(desk)
    record = labels.find(frame_of(1), None)
    assert (record.status, record.model, record.annotator) == ("accepted", "vasomim-demo", "reader 1")
    assert np.array_equal(labels.mask(record.id), frame_of(1) < 100)


def test_a_draft_goes_untouched_and_its_file_closes(desk, labels):
    begun(desk)
    keys = Shortcuts.of(desk.model)
    keys.press("accept")
    desk.at(1)
    left = drafted(desk).source
    keys.press("next")
    desk.at(2)
    drafted(desk)
    assert left not in desk.model.layers
    assert len(labels.records()) == 1
    keys.press("skip")
    desk.at(3)
    record = labels.find(frame_of(2), None)
    assert record.status == "skipped"
    assert not labels.mask(record.id).any()


def test_what_is_touched_is_the_persons(desk):
    begun(desk)
    keys = Shortcuts.of(desk.model)
    keys.press("accept")
    desk.at(1)
    editor = drafted(desk)
    undo.apply(editor.layer, None, np.eye(48, dtype=bool), 1)
    assert (editor.draft, editor.unsaved, editor.layer.name) == (None, {0}, "correction · 1")
    assert np.array_equal(journal()._files[editor.layer].labels, editor.layer.data)  # with the draft below the stroke
    keys.press("next")
    desk.at(2)
    assert editor.layer in desk.model.layers  # it stays open, hidden
    assert (np.asarray(editor.layer.data) > 0)[frame_of(1) < 100].all()


def test_a_run_has_its_draft_on_the_shown_frame_alone(model, qtbot, fake, labels):
    run = np.stack([frame_of(number) for number in range(6)])
    layer = model.add_image(run, name="run")
    desk = Desk(model, qtbot, labels)
    frames.show_frame(model, layer, 0)
    desk.at(0, 0)
    made = begun(desk)
    keys = Shortcuts.of(model)
    keys.press("accept")
    desk.at(0, 1)
    editor = drafted(desk)
    assert editor.layer is made.correction
    keys.press("next")
    desk.at(0, 2)
    drafted(desk)
    drawn = [index for index in range(6) if editor.layer.data[index].any()]
    assert drawn == [0, 2]
    assert desk.labelling.kept.missing(layer) == []
    keys.press("previous")
    keys.press("previous")
    desk.at(0, 0)  # which has a label: it is shown, and no draft
    qtbot.wait(50)
    assert editor.draft is None
    assert np.array_equal(editor.layer.data[0] > 0, frame_of(0) < 100)


def test_a_proposal_that_comes_from_a_persons_work_is_not_covered(desk, monkeypatch):
    made = begun(desk)
    first = desk.session.angiogram
    monkeypatch.setattr(Following, "shown", lambda self, layer, index: None if layer is first else object())
    Shortcuts.of(desk.model).press("accept")
    desk.at(1)
    desk.qtbot.waitUntil(lambda: desk.drafts._awaited is None, timeout=20_000)
    assert made.editor is None or made.editor.draft is None


def test_switched_off_frames_come_bare(desk):
    begun(desk)
    desk.drafts.on = False
    Shortcuts.of(desk.model).press("accept")
    desk.at(1)
    qtbot = desk.qtbot
    qtbot.wait(50)
    assert correction_of(desk.model, desk.session.angiogram) is None
    desk.drafts.on = True
    assert desk.drafts.on


def test_other_pixels_take_the_draft_with_them(desk):
    begun(desk)
    Shortcuts.of(desk.model).press("accept")
    desk.at(1)
    editor = drafted(desk)
    desk.session.set_bright_vessels(True)
    assert editor.draft is None
    assert not editor.layer.data.any()
