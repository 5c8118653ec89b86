"""Segmenting with a model that tells main branches, others and a catheter apart, in the real window."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_vasomim.canvas import layers
from napari_vasomim.widgets.segment import SegmentPanel
from vasomim_core.classes import LabelClass
from vasomim_core.models.catalogue import Card, Preprocessing
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.registry import build, load_model

from ..mouse import click
from .test_segment import done

pytestmark = pytest.mark.once  # what of Qt it uses others try with both bindings

CLASSES = (
    LabelClass(1, "main branch", "#ff0000"),
    LabelClass(2, "other branch", "#0000ff"),
    LabelClass(3, "catheter", "#ffff00", vessel=False),
)


@pytest.fixture
def three(tmp_path):
    """A network with random weights whose three classes all come."""
    torch.manual_seed(1)
    network = build("unext", {"outputs": 4})
    with torch.no_grad():
        network.final.bias.zero_()
        network.final.weight.mul_(20)
    preprocessing = Preprocessing(frame_size=128, threshold=0.45, class_thresholds={"main branch": 0.5})
    card = Card("segmentation model", "unext", {"outputs": 4}, preprocessing, classes=CLASSES)
    path = tmp_path / "three.safetensors"
    save_checkpoint(path, network.state_dict(), card)
    return path


@pytest.fixture
def panel(model, beside, qtbot, still, three):
    model.add_image(still)
    panel = beside(model, SegmentPanel)
    assert panel.vessels.isHidden()
    panel.session.model = str(three)
    click(qtbot, panel.now)
    done(qtbot, panel)
    return panel


def shown(panel):
    return layers.find(panel.viewer, "prediction", panel.session.angiogram)


def test_classes_have_their_colours_and_are_those_of_the_model(panel, still, three):
    loaded = load_model(three, "cpu")
    expected = loaded.class_mask(loaded.predict_classes(still))
    drawn = shown(panel).data
    assert set(np.unique(expected)) == {0, 1, 2, 3}
    assert (drawn == expected).mean() > 0.99
    colours = shown(panel).colormap
    for one in CLASSES:
        wanted = [int(one.colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        np.testing.assert_allclose(colours.map(np.array([one.value]))[0][:3], wanted, atol=0.01)


def test_main_branches_alone_with_their_own_threshold(panel, qtbot):
    every = shown(panel).data.copy()
    assert panel.threshold.value() == pytest.approx(0.45)
    assert panel.vessels.isVisible()
    panel.vessels.setCurrentIndex(1)
    panel.vessels.chosen.emit("main")
    assert panel.threshold.value() == pytest.approx(0.5)
    assert set(np.unique(shown(panel).data)) == {0, 1}
    assert not panel.classes.isVisible()
    prediction = panel.session.predictions[panel.session.angiogram]
    measured = layers.find(panel.viewer, "probability", panel.session.angiogram).data
    np.testing.assert_allclose(measured, prediction.probability(0))
    panel.threshold.setValue(0.9)
    fewer = shown(panel).data.copy()
    panel.vessels.setCurrentIndex(0)
    panel.vessels.chosen.emit("every")
    np.testing.assert_array_equal(shown(panel).data, every)
    assert (fewer == 1).sum() < (every == 1).sum()
    assert panel.threshold.value() == pytest.approx(0.45)


def test_a_class_is_hidden_by_one_click_and_comes_back(panel, qtbot):
    every = shown(panel).data.copy()
    button = next(b for b in panel.classes.children() if getattr(b, "text", str)() == "catheter")
    click(qtbot, button)
    np.testing.assert_array_equal(shown(panel).data, np.where(every == 3, 0, every))
    click(qtbot, button)
    np.testing.assert_array_equal(shown(panel).data, every)


def test_a_model_of_vessel_alone_after_it_has_no_classes_to_choose(panel, qtbot):
    panel.session.model = "vasomim-demo"
    click(qtbot, panel.now)
    done(qtbot, panel)
    assert panel.vessels.isHidden()
    assert panel.classes.isHidden()
    assert set(np.unique(shown(panel).data)) <= {0, 1}
    own = shown(panel).colormap.map(np.array([1]))[0][:3]
    assert own[2] > 0.7  # the colour of all predictions, and not red
