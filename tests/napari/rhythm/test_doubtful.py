"""Doubtful branches in the window: one key shows the next, others keep or remove it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vasomim.canvas import layers
from napari_vasomim.correcting.desk import CorrectingDesk
from napari_vasomim.napari_compat import camera
from napari_vasomim.prediction import Prediction
from napari_vasomim.rhythm.doubtful import Doubtful
from napari_vasomim.session import Session
from napari_vasomim.shortcuts import Shortcuts
from vasomim_core.errors import InputError

pytestmark = pytest.mark.once


@pytest.fixture
def probability():
    made = np.full((120, 160), 0.02, np.float32)
    made[50:60, 10:150] = 0.97
    made[60:100, 40:45] = 0.55  # false
    made[10:50, 90:95] = 0.62  # true
    made[80:84, 100:140] = 0.4  # not drawn
    return made


@pytest.fixture
def doubtful(model, probability):
    layer = model.add_image((255 - 200 * probability).astype(np.uint8))
    session = Session.of(model)
    prediction = Prediction("model", (1, *probability.shape))
    prediction.keep(0, probability, 0.0)
    session.predictions[layer] = prediction
    return Doubtful.of(model)


def shown(qtbot, doubtful, row):
    qtbot.waitUntil(lambda: doubtful.shown is not None and abs(doubtful.shown.centre[0] - row) < 6)


def test_without_a_drawing_a_sentence(doubtful):
    with pytest.raises(InputError, match="start from the prediction"):
        doubtful.next()
    with pytest.raises(InputError, match="No doubtful branch is shown"):
        doubtful.remove()


def test_one_after_the_other(model, qtbot, doubtful, probability):
    desk, keys = CorrectingDesk.of(model), Shortcuts.of(model)
    layer = desk.need_correction()
    desk.editor.frame.paint(probability >= 0.5)
    keys.press("doubtful")
    shown(qtbot, doubtful, 80)
    outline = layers.find(model, "doubtful", desk.editor.source)
    assert outline.visible
    assert outline.data[70, 36:40].any()
    assert not outline.data[70, 41:44].any()
    assert model.layers.selection.active is layer
    assert np.allclose(camera(model).center[-2:], doubtful.shown.centre)
    assert "drawn, may be none" in doubtful.message
    keys.press("is none")
    assert not layer.data[66:100, 40:45].any()
    assert layer.data[50:60, 10:150].all()
    shown(qtbot, doubtful, 82)
    assert "not drawn" in doubtful.message
    keys.press("is vessel")
    assert layer.data[80:84, 105:135].all()
    shown(qtbot, doubtful, 30)
    keys.press("is vessel")
    qtbot.waitUntil(lambda: "is left" in doubtful.message)
    assert layer.data[10:50, 90:95].all()
    assert not outline.visible
    layer.undo()
    layer.undo()
    assert layer.data[66:100, 40:45].all()


def test_it_goes_with_the_frame_and_with_what_is_drawn(model, qtbot, doubtful, probability):
    desk = CorrectingDesk.of(model)
    desk.need_correction()
    desk.editor.frame.paint(probability >= 0.5)
    before = camera(model).center
    doubtful.next()
    shown(qtbot, doubtful, 80)
    desk.editor.frame.erase(doubtful.shown.pixels)
    assert doubtful.shown is None
    doubtful.next()
    shown(qtbot, doubtful, 82)
    assert camera(model).center != before
    other = model.add_image(np.zeros((50, 50), np.uint8))
    assert doubtful.shown is None
    assert camera(model).center == before  # the next frame is seen as this one was

    Session.of(model).angiogram = desk.session.angiogram = next(one for one in model.layers if one is not other)
    doubtful.next()
    shown(qtbot, doubtful, 30)
    camera(model).center = moved = (0, 7, 9)
    Session.of(model).angiogram = other
    assert camera(model).center == moved  # by the person
