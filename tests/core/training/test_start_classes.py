"""A segmentation model that goes on to learn other classes."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.config import FinetuneConfig
from vasomim_core.errors import ConfigError
from vasomim_core.models.catalogue import Card, checked
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.outputs import outputs_of, probabilities
from vasomim_core.models.registry import build, load_model
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


def chances(network) -> torch.Tensor:
    """Of background and classes, (1 + C, 64, 64)."""
    found = probabilities(logits(network))[0]
    return torch.cat([1 - found.sum(dim=0, keepdim=True), found])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_that_knew_vessel_hands_it_on_to_each_vessel_class(tmp_path, architecture):
    old, config = saved(tmp_path, architecture, VESSEL)
    start = start_network(config, (MAIN, OTHER))
    found, before = chances(start.network), chances(old)
    torch.testing.assert_close(found[0], before[0])
    torch.testing.assert_close(found[1], before[1] / 2)
    torch.testing.assert_close(found[2], before[1] / 2)
    assert start.segments
    assert "vessel goes on as main branch" in start.notes[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_learned_from_nothing_is_hardly_found_at_first(tmp_path, architecture):
    _, config = saved(tmp_path, architecture, VESSEL)
    start = start_network(config, THREE)
    assert chances(start.network)[3].mean() < 0.5
    assert not start.segments
    assert "catheter is learned from nothing" in start.notes[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_classes_go_on_by_their_names_wherever_they_stand(tmp_path, architecture):
    old, config = saved(tmp_path, architecture, THREE)
    start = start_network(config, (LabelClass(1, "Catheter", vessel=False), LabelClass(5, "main branch")))
    found, before = chances(start.network), chances(old)
    torch.testing.assert_close(found[1], before[3])
    torch.testing.assert_close(found[2], before[1])
    torch.testing.assert_close(found[0], before[0] + before[2])
    assert "other branch is forgotten" in start.notes[0]
    assert start.segments


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_as_many_classes_in_another_order_are_not_mistaken_for_each_other(tmp_path, architecture):
    old, config = saved(tmp_path, architecture, THREE)
    found, before = chances(start_network(config, (CATHETER, MAIN, OTHER)).network), chances(old)
    torch.testing.assert_close(found, before[[0, 3, 1, 2]])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_that_told_vessels_apart_goes_on_as_their_union(tmp_path, architecture):
    old, config = saved(tmp_path, architecture, THREE)
    start = start_network(config, VESSEL)
    assert logits(start.network).shape[1] == 1
    torch.testing.assert_close(chances(start.network)[1], chances(old)[1:3].sum(dim=0))
    assert start.segments
    assert start.notes == (
        "The model knows main branch, other branch and catheter and learns vessel: main branch and other branch go on "
        "as vessel, catheter is forgotten.",
    )


def test_one_class_of_several_goes_on_against_all_the_rest(tmp_path):
    old, config = saved(tmp_path, "unext", THREE)
    torch.testing.assert_close(chances(start_network(config, (MAIN,)).network)[1], chances(old)[1])


@pytest.mark.parametrize(
    "classes", [VESSEL, THREE, (MAIN, CATHETER), (OTHER, LabelClass(4, "graft")), (LabelClass(1, "LAD"), CATHETER)]
)
def test_a_union_is_saved_loaded_and_goes_on_again(tmp_path, classes):
    _, config = saved(tmp_path, "effunet-small", THREE)
    start = start_network(config, VESSEL)
    path = tmp_path / "union.safetensors"
    card = Card("segmentation model", start.architecture, start.options)
    save_checkpoint(path, start.network.state_dict(), card)
    torch.testing.assert_close(logits(load_model(path).network), logits(start.network))
    again = chances(start_network(replace(config, init=str(path)), classes).network)
    vessels = [k for k, one in enumerate(classes, 1) if one.vessel]
    if all(one.vessel for one in classes):
        torch.testing.assert_close(again[vessels].sum(dim=0), chances(start.network)[1])
    assert torch.isfinite(again).all()


def test_a_union_learns_what_it_is_shown(tmp_path):
    _, config = saved(tmp_path, "effunet-small", THREE)
    network = copy.deepcopy(start_network(config, VESSEL).network)  # as the average of the weights is
    torch.nn.functional.softplus(-network(torch.randn(1, 3, 64, 64))).mean().backward()
    assert all(float(row.abs().sum()) > 0 for row in network.head.weight.grad.split(4))


def test_a_card_whose_parts_do_not_fit_is_refused(tmp_path):
    for parts in ([2, 2], [1, 1, 1], [3, 0], [2, 2.5], "2"):
        with pytest.raises(ConfigError, match=r"parts|outputs"):
            checked({"kind": "segmentation model", "architecture": "unext", "options": {"outputs": 3, "parts": parts}})


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
    assert float(vessel.detach().sum()) == pytest.approx(0.04, abs=0.005)
