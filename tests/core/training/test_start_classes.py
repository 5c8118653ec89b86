"""A segmentation model that goes on to learn other classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.config import FinetuneConfig
from vasomim_core.models.catalogue import Card
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.outputs import outputs_of, probabilities
from vasomim_core.models.registry import build
from vasomim_core.training.start import start_network

MAIN, OTHER = LabelClass(1, "main branch"), LabelClass(2, "other branch")
CATHETER = LabelClass(3, "catheter", vessel=False)
THREE = (MAIN, OTHER, CATHETER)
ARCHITECTURES = ["effunet-small", "unext", "unet", "vit"]


def saved(tmp_path, architecture, classes):
    options = {"outputs": outputs_of(classes)} if len(classes) > 1 else {}
    if architecture == "vit":
        options |= {"encoder": "tiny", "input_size": 64}
    network = build(architecture, options).eval()
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, network.state_dict(), Card("segmentation model", architecture, options, classes=classes))
    return network, FinetuneConfig(tmp_path, tmp_path / "run", init=str(path))


def logits(network) -> torch.Tensor:
    torch.manual_seed(3)
    with torch.inference_mode():
        return network.eval()(torch.randn(1, 3, 64, 64))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_that_knew_vessel_hands_it_on_to_each_vessel_class(tmp_path, architecture):
    old, config = saved(tmp_path, architecture, VESSEL)
    start = start_network(config, THREE)
    found, before = logits(start.network), logits(old)
    assert found.shape[1] == 4
    torch.testing.assert_close(found[:, 1:2], before)
    torch.testing.assert_close(found[:, 2:3], before)
    assert not found[:, 0].any()
    assert (probabilities(found)[:, 2] < 0.5).all()
    assert not start.segments
    assert "vessel goes on as main branch" in start.notes[0]
    assert "catheter is learned from nothing" in start.notes[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_classes_go_on_by_their_names_wherever_they_stand(tmp_path, architecture):
    old, config = saved(tmp_path, architecture, THREE)
    start = start_network(config, (LabelClass(1, "Catheter", vessel=False), LabelClass(5, "main branch")))
    found, before = logits(start.network), logits(old)
    torch.testing.assert_close(found[:, 0], before[:, 0])
    torch.testing.assert_close(found[:, 1], before[:, 3])
    torch.testing.assert_close(found[:, 2], before[:, 1])
    assert "other branch is forgotten" in start.notes[0]


def test_one_class_of_several_goes_on_as_a_logit_against_the_background(tmp_path):
    old, config = saved(tmp_path, "unext", THREE)
    found = logits(start_network(config, (MAIN,)).network)
    before = logits(old)
    torch.testing.assert_close(found[:, 0], before[:, 1] - before[:, 0])


@pytest.mark.parametrize("classes", [VESSEL, THREE])
def test_the_same_classes_go_on_as_they_are(tmp_path, classes):
    old, config = saved(tmp_path, "unext", classes)
    start = start_network(config, classes)
    np.testing.assert_array_equal(logits(start.network), logits(old))
    assert start.segments
    assert not start.notes


def test_a_network_from_nothing_starts_with_few_vessels(tmp_path):
    start = start_network(FinetuneConfig(tmp_path, tmp_path / "run", architecture="unet"), THREE)
    vessel = probabilities(torch.zeros(1, 4, 1, 1) + start.network.final_conv.bias[None, :, None, None])
    assert float(vessel.sum()) == pytest.approx(0.04, abs=0.005)
