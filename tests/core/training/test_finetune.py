"""Finetuning: which frames it learns from, where it starts, how fast each layer moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import timm
import torch

from vasomim_core.config import FinetuneConfig, PretrainConfig, Training
from vasomim_core.errors import CheckpointError
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.splitting import training_and_validation
from vasomim_core.models.catalogue import read_card
from vasomim_core.models.checkpoint import read_state
from vasomim_core.models.segmentation import ViTPyramid
from vasomim_core.training.events import read_events
from vasomim_core.training.finetune import finetune, score_network
from vasomim_core.training.finetune_data import shared_frames
from vasomim_core.training.optimisation import decayed_groups, layer_decayed_groups
from vasomim_core.training.pretrain import pretrain
from vasomim_core.training.result import TrainingResult
from vasomim_core.training.start import start_network

QUICK = Training(epochs=1, batch_size=4, device="cpu", precision="fp32", log_every=1)


@pytest.fixture(scope="module")
def config(labelled, tmp_path_factory) -> FinetuneConfig:
    run = tmp_path_factory.mktemp("finetune") / "run"
    return FinetuneConfig(
        labels=labelled, run=run, encoder="tiny", width=4, frame_size=64, input_size=64, training=QUICK
    )


@pytest.fixture(scope="module")
def encoder(labelled, tmp_path_factory):
    run = tmp_path_factory.mktemp("pretrain") / "run"
    small = {"encoder": "tiny", "input_size": 64, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
    data = labelled / "images"
    return pretrain(PretrainConfig(data=data, run=run, segmentor_epochs=1, training=QUICK, **small)).model


def labelled_parts(config):
    return training_and_validation(open_labels(config.labels), None, config.fraction, config.training.seed)


def test_training_and_validation_share_no_frame_and_change_with_the_seed(config):
    training, validation = labelled_parts(config)
    assert len(training) + len(validation) == 12
    assert not {f.frame_sha256 for f in training} & {f.frame_sha256 for f in validation}
    subsets = set()
    for seed in range(5):
        half = replace(config, fraction=0.5, training=replace(QUICK, seed=seed))
        training, validation = labelled_parts(half)
        assert len(training) + len(validation) == 6
        subsets.add(frozenset(f.name for f in training + validation))
    assert len(subsets) > 1


def test_frames_chosen_on_that_were_learned_from_are_told(config, labelled):
    assert "12 of 12" in shared_frames(open_labels(labelled), open_labels(labelled))[0]
    assert shared_frames(*labelled_parts(config)) == []


def test_the_best_epoch_is_kept_with_its_score(config):
    longer = replace(config, architecture="unext", training=replace(QUICK, epochs=6, learning_rate=1e-2))
    result = finetune(longer)
    model = result.model
    scores = [e["scores"]["dsc"] for e in read_events(config.run) if e["event"] == "validation"]
    assert len(scores) == 6
    assert result == TrainingResult(
        config.run, config.run / "model.safetensors", "finished", 6, result.scores, 1 + scores.index(max(scores))
    )
    assert result.scores["dsc"] == max(scores)
    card = read_card(model)
    assert card.scores["validation"]["dsc"] == max(scores)
    assert card.preprocessing.frame_size == 64
    assert str(config.labels) not in str(card.config)  # folders may be named after people
    assert card.config["training"]["epochs"] == 6
    again = start_network(replace(config, init=str(model)))
    assert again.architecture == "unext"
    assert again.segments
    _, validation = labelled_parts(longer)
    pairs = ((one.frame(), one.mask()) for one in validation)
    assert score_network(again.network.eval(), card.preprocessing, pairs)["dsc"] == max(scores)
    assert not (config.run / "cache").exists()
    assert not (config.run / "state.pt").exists()


def test_a_model_never_gets_worse_by_its_finetuning(config, tmp_path):
    training = replace(QUICK, epochs=6, learning_rate=1e-2)
    taught = finetune(replace(config, run=tmp_path / "taught", architecture="unext", training=training)).model
    ruined = replace(config, run=tmp_path / "ruined", init=str(taught), training=replace(QUICK, learning_rate=1.0))
    result = finetune(replace(ruined, training=replace(ruined.training, weight_decay=0.0, clip=None)))
    first, *later = [e for e in read_events(ruined.run) if e["event"] == "validation"]
    assert first["epoch"] == 0
    assert max(e["scores"]["dsc"] for e in later) < first["scores"]["dsc"]
    assert (result.best_epoch, result.scores) == (0, first["scores"])
    before, after = read_state(taught), read_state(result.model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert "the model it started from, unchanged" in read_card(result.model).description
    assert "finetuned on" in read_card(taught).description


def test_patience_ends_the_run(config, tmp_path):
    still = replace(config, run=tmp_path / "run", architecture="unext", patience=2)
    still = replace(still, training=replace(QUICK, epochs=50, learning_rate=1e-8))
    result = finetune(still)
    assert (result.reason, result.best_epoch, result.epochs) == ("patience", 3, 5)
    end = list(read_events(tmp_path / "run"))[-1]
    assert end["reason"] == "patience"


def test_centrelines_count_when_they_are_asked_for(config, tmp_path):
    losses = {}
    for weight in (0.0, 1.0):
        run = tmp_path / str(weight)
        settings = replace(config, run=run, architecture="resunet", cldice_weight=weight)
        model = finetune(settings).model
        losses[weight] = next(e["loss"] for e in read_events(run) if e["event"] == "step")
        assert read_card(model).config["cldice_weight"] == weight
        assert read_card(model).options == {"width": 4}
    assert 0 < losses[1.0] - losses[0.0] < 1.01  # the first step has the same weights and views


def test_finetuning_starts_from_the_pretrained_encoder(config, encoder):
    start = start_network(replace(config, init=str(encoder), encoder="large"))
    assert start.architecture == "vit"
    assert not start.segments
    assert start.options["encoder"] == "tiny"  # the checkpoint knows better than the setting
    pretrained = read_state(encoder)
    own = start.network.encoder.state_dict()
    assert torch.equal(own["blocks.7.mlp.fc2.weight"], pretrained["blocks.7.mlp.fc2.weight"])


def test_finetuning_starts_from_an_imagenet_encoder(config, tmp_path):
    encoder = timm.create_model("tf_efficientnet_lite2")
    torch.save(encoder.state_dict(), tmp_path / "lite2.pth")
    start = start_network(replace(config, init=str(tmp_path / "lite2.pth"), architecture="effunet", width=8))
    assert (start.architecture, start.options, start.segments) == ("effunet", {"width": 8}, False)
    assert torch.equal(start.network.encoder.state_dict()["conv_stem.weight"], encoder.conv_stem.weight)
    kept = [name for name, parameter in start.network.named_parameters() if not parameter.requires_grad]
    assert kept
    assert all("conv_dw" in name for name in kept)


def test_an_encoder_does_not_start_a_unet(config, encoder):
    with pytest.raises(CheckpointError, match="with architecture vit"):
        start_network(replace(config, init=str(encoder), architecture="unet"))


def test_layers_nearer_to_the_input_learn_slower():
    network = ViTPyramid("tiny", 64, 16, width=4)
    groups = layer_decayed_groups(network, 0.5, 0.05)
    scale = {id(p): g["lr_scale"] for g in groups for p in g["params"]}
    assert len(scale) == sum(1 for _ in network.parameters())
    at = lambda name: scale[id(network.get_parameter(name))]  # noqa: E731
    assert at("head.weight") == at("encoder.norm.weight") == 1
    assert at("encoder.blocks.11.mlp.fc1.weight") == 0.5
    assert at("encoder.blocks.0.mlp.fc1.weight") == 0.5**12
    assert at("encoder.patch_embed.proj.weight") == at("encoder.cls_token") == 0.5**13
    decay = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    assert decay[id(network.encoder.blocks[0].mlp.fc1.bias)] == 0
    assert decay[id(network.encoder.blocks[0].mlp.fc1.weight)] == 0.05


@pytest.mark.parametrize("weight_decay", [0.05, 0.0])
def test_a_saved_optimiser_finds_its_parameters_in_the_order_of_earlier_versions(weight_decay):
    """Layer after layer from the input, decayed ones first: it counts them, and knows no names."""
    network = ViTPyramid("tiny", 64, 16, width=4)
    network.head.bias.requires_grad_(False)

    def layer(name: str) -> int:
        if name.startswith("encoder.blocks."):
            return int(name.split(".")[2]) + 1
        return 0 if name.startswith("encoder.") and not name.startswith("encoder.norm.") else 13

    names = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    expected = [
        (0.75 ** (13 - n), 0.0 if flat else weight_decay, found)
        for n in range(14)
        for flat in (False, True)
        if (found := [m for m in names if layer(m) == n and (network.get_parameter(m).ndim <= 1) == flat])
    ]
    name = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = [
        (group["lr_scale"], group["weight_decay"], [name[id(parameter)] for parameter in group["params"]])
        for group in layer_decayed_groups(network, 0.75, weight_decay)
    ]
    assert groups == expected
    for one_scale in (decayed_groups(network, weight_decay), layer_decayed_groups(network, 1.0, weight_decay)):
        decayed, kept = ([name[id(p)] for p in group["params"]] for group in one_scale)
        assert decayed == [m for m in names if network.get_parameter(m).ndim > 1]
        assert kept == [m for m in names if network.get_parameter(m).ndim <= 1]
        assert [group["weight_decay"] for group in one_scale] == [weight_decay, 0.0]
        assert all("lr_scale" not in group for group in one_scale)
