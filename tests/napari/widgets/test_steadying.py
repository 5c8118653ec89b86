"""Whole cine in which neighbouring frames have a say: when, on which layers, and what can happen meanwhile."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest

from napari_vasomim.background import engine
from napari_vasomim.canvas import layers
from napari_vasomim.widgets.segment import SegmentPanel
from napari_vasomim.widgets.shown_export import ShownMasks
from vasomim_core.inference.requests import Segmentation
from vasomim_core.models import catalogue
from vasomim_core.models.class_mask import ClassRules

from ..mouse import click

pytestmark = pytest.mark.once  # what is tested here knows no Qt

FRAMES = 4
FLICKERS = 2
"""The frame in which the model says half of what it says in the others."""


@pytest.fixture
def run(model):
    frame = np.full((64, 64), 120, np.uint8)
    frame[30:34] = 60
    data = np.stack([frame] * FRAMES)
    data[FLICKERS, 0, 0] = 121
    return model.add_image(data, name="run")


@pytest.fixture
def sure():
    """How sure the model is of the vessel; a test may change it."""
    return [0.8]


@pytest.fixture
def panel(model, beside, run, sure, monkeypatch):
    def call(request):
        said = np.float32(sure[0]) * (request.frame < 90).astype(np.float32)
        if request.frame[0, 0] == 121:
            said /= 2
        answer, version = Future(), catalogue.version_of(request.model)
        answer.set_result(Segmentation(said, said[None], ClassRules(), said, 0.1, "cpu", "some-model", version, 0.5))
        return answer

    monkeypatch.setattr(engine.shared(), "call", call)
    return beside(model, SegmentPanel)


def found(panel):
    """Whether the vessel is seen in each frame, on the layer and in what is handed over."""
    run = panel.session.angiogram
    shown = layers.find(panel.viewer, "prediction", run)
    masks = ShownMasks(run, panel.session.predictions[run]).sources()[0].masks()
    seen = [bool((shown.data[i] > 0).any()) for i in range(FRAMES)]
    assert seen == [bool(masks.class_mask(i).any()) for i in range(FRAMES)]
    return seen


def settled(qtbot, panel):
    qtbot.waitUntil(panel.now.isEnabled)


def test_neighbours_have_a_say_in_a_whole_cine_and_the_layers_tell(model, panel, run, qtbot):
    panel.steady.setChecked(True)
    click(qtbot, panel.all)
    settled(qtbot, panel)
    assert found(panel) == [True] * FRAMES
    assert layers.find(model, "prediction", run).name == "prediction, steadied · run"
    assert layers.find(model, "probability", run).data[FLICKERS, 32, 32] == pytest.approx(2 / 3, abs=0.01)
    assert "some-model, steadied by its neighbours" in panel.state.text()
    panel.steady.setChecked(False)
    assert found(panel) == [True, True, False, True]
    assert layers.find(model, "prediction", run).name == "prediction · run"
    assert "steadied" not in panel.state.text()
    panel.steady.setChecked(True)  # without another run
    settled(qtbot, panel)
    assert found(panel) == [True] * FRAMES


def test_single_frames_are_as_the_model_says(model, panel, run, sure, qtbot):
    panel.steady.setChecked(True)
    model.dims.set_current_step(0, FLICKERS)
    click(qtbot, panel.now)
    settled(qtbot, panel)
    assert not panel.session.predictions[run].steadied
    panel.steady.setChecked(False)
    click(qtbot, panel.all)
    settled(qtbot, panel)
    assert found(panel) == [True, True, False, True]
    panel.steady.setChecked(True)
    settled(qtbot, panel)
    sure[0] = 0.2
    click(qtbot, panel.now)  # a frame that is done anew makes all of it anew
    settled(qtbot, panel)
    prediction = panel.session.predictions[run]
    assert prediction.steadied
    assert prediction.probability(FLICKERS)[32, 32] == pytest.approx((0.8 + 0.1 + 0.8) / 3, abs=0.01)


@pytest.mark.parametrize("happening", ["inverted", "deleted", "changed their mind"])
def test_what_is_not_wanted_any_more_is_not_shown(model, panel, run, qtbot, happening):
    click(qtbot, panel.all)
    settled(qtbot, panel)
    prediction = panel.session.predictions[run]
    panel.steady.setChecked(True)
    assert panel.steady.busy
    if happening == "inverted":
        panel.session.set_bright_vessels(True)
    elif happening == "deleted":
        model.layers.remove(run)
    else:
        panel.steady.setChecked(False)
    qtbot.waitUntil(lambda: not panel.steady.busy)
    assert not prediction.steadied
