"""Model files say what they are, load whole or not at all, and are found by name."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from vasomim_core.config import Architecture, EncoderSize
from vasomim_core.errors import CheckpointError, ConfigError
from vasomim_core.models.catalogue import Card, Preprocessing, find_model, models, read_card, register
from vasomim_core.models.checkpoint import read_state, save_checkpoint
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.registry import ARCHITECTURES, build, choose_device, load_model, load_pretrained
from vasomim_core.models.unext import UNeXt
from vasomim_core.models.vasomim import VasoMIM
from vasomim_core.models.vit import encoder_options
from vasomim_core.training.costs import COSTS, ENCODER
from vasomim_core.training.pretrain import load_segmentor

CARD = Card(
    kind="segmentation model",
    architecture="unext",
    preprocessing=Preprocessing(frame_size=256, threshold=0.4),
    config={"training": {"seed": 3}},
    data={"frames": 7, "sha256": "00"},
    scores={"validation": {"dsc": 70.0}},
    description="a test",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VASOMIM_MODELS", str(tmp_path / "models"))
    return tmp_path


def test_a_file_gives_back_its_card_and_tensors(folder):
    network = UNeXt()
    save_checkpoint(folder / "m.safetensors", network.state_dict(), CARD)
    assert read_card(folder / "m.safetensors") == CARD
    state = read_state(folder / "m.safetensors")
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in state.items())


def test_half_precision_files_load_as_fp32(folder):
    torch.manual_seed(0)  # a network drawn at random lies beyond the tolerance now and then
    network = UNeXt().eval()
    save_checkpoint(folder / "half.safetensors", network.state_dict(), CARD, half=True)
    save_checkpoint(folder / "full.safetensors", network.state_dict(), CARD)
    assert (folder / "half.safetensors").stat().st_size < 0.6 * (folder / "full.safetensors").stat().st_size
    model = load_model(folder / "half.safetensors", "cpu")
    assert next(model.network.parameters()).dtype == torch.float32
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(model.network(x), network(x), atol=2e-2, rtol=2e-2)


def test_registered_models_are_found_by_name_and_never_overwritten(folder):
    save_checkpoint(folder / "m.safetensors", UNeXt().state_dict(), CARD)
    assert register(folder / "m.safetensors", "mine") == "mine"
    assert register(folder / "m.safetensors", "mine") == "mine-2"
    assert {"mine", "mine-2"} <= models().keys()
    model = load_model("mine", "cpu")
    assert model.card == CARD
    assert not model.network.training
    with pytest.raises(CheckpointError, match=r"known models: .*mine"):
        find_model("yours")


def test_a_foreign_unext_state_dict_loads_strictly(folder):
    state = {f"module.{k}": v for k, v in UNeXt().state_dict().items()}
    torch.save({"state_dict": state}, folder / "unext.pth")
    network = load_segmentor(folder / "unext.pth")
    assert torch.equal(network.final.weight, state["module.final.weight"])
    del state["module.final.bias"]
    torch.save(state, folder / "short.pth")
    with pytest.raises(CheckpointError, match=r"1 tensors are missing.*final\.bias"):
        load_segmentor(folder / "short.pth")


def test_a_pretrained_file_holds_both_parts_and_mae_names(folder):
    options = {"encoder": "tiny", "input_size": 64, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
    model = VasoMIM(MaskedAutoencoder(**options), UNeXt())
    config = {"mask_ratio": 0.6, "sampler": "top-k", "co_guidance": True, "consistency": 0.5}
    card = Card("autoencoder", "mae", options, config=config)
    save_checkpoint(folder / "p.safetensors", model.pretrained_state(), card)
    assert "blocks.0.attn.qkv.weight" in read_state(folder / "p.safetensors")
    again, _ = load_pretrained(folder / "p.safetensors", "cpu")
    assert (again.mask_ratio, again.sampler, again.co_guidance) == (0.6, "top-k", True)
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)
    assert isinstance(load_model(folder / "p.safetensors", "cpu").network, MaskedAutoencoder)
    with pytest.raises(CheckpointError, match="the segmentor must be a UNeXt-S"):
        load_segmentor(folder / "p.safetensors")


def test_unknown_things_are_named(folder):
    with pytest.raises(ConfigError, match="unknown architecture"):
        build("resnet", {})
    with pytest.raises(ConfigError, match="does not take"):
        build("unext", {"depth": 3})
    with pytest.raises(ConfigError, match="unknown device"):
        choose_device("gpu0")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            choose_device("cuda")


def test_what_settings_may_name_there_is():
    """The types of the settings are the one list of names; each table beside them has exactly these."""
    assert set(ARCHITECTURES) - {"mae", "encoder"} == set(get_args(Architecture)) == set(COSTS)
    assert set(ENCODER) == set(get_args(EncoderSize))
    for size in get_args(EncoderSize):
        assert encoder_options(size, 64, 16)["img_size"] == 64
