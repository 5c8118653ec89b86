"""What holds for every method: its loss falls, frozen parts stay, parts of a batch make the batch, its file is used."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.core.methods.made import SMALL, begun, learner, moment, settings, small
from vasomim_core.config import FinetuneConfig
from vasomim_core.methods.method import Moment
from vasomim_core.methods.settings import METHODS, settings_of
from vasomim_core.models.catalogue import Card, checked, read_card
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.training.optimisation import decayed_groups, learning_rate
from vasomim_core.training.start import start_network

ALL = list(METHODS)
pytestmark = pytest.mark.usefixtures("tiny")


@pytest.mark.parametrize("name", ALL)
def test_the_loss_falls_and_what_is_frozen_never_gets_a_gradient(name):
    config = small(name)
    method, batch = begun(config)
    frozen = {n: p.clone() for n, p in method.named_parameters() if not p.requires_grad}
    optimiser = torch.optim.AdamW(decayed_groups(method, 0.0), lr=1e-3)
    losses = []
    for step in range(8):
        now = moment(config, step % 2, 8)  # two masks, turn by turn
        loss = method(batch, now)["loss"]
        loss.backward()
        method.before_step(now, optimiser)
        optimiser.step()
        optimiser.zero_grad()
        method.after_step(now)
        losses.append(loss.item())
    assert sum(losses[-2:]) < 0.97 * sum(losses[:2]), losses
    slow = ("slow", "teacher")
    for n, p in method.named_parameters():
        if n in frozen:
            assert p.grad is None
            if not n.startswith(slow):
                assert torch.equal(p, frozen[n]), n
    if any(n.startswith(slow) for n in frozen):
        moved = [n for n in frozen if n.startswith(slow) and not torch.equal(frozen[n], method.get_parameter(n))]
        assert moved


@pytest.mark.parametrize("name", [name for name in ALL if name != "mocov3"])
def test_parts_of_a_batch_have_the_mean_loss_of_the_whole(name):
    """So several processes compute what one would."""
    config = small(name)
    method, batch = begun(config)
    method.eval()
    with torch.no_grad():
        whole = method(batch, moment(config))["loss"]
        parts = []
        for rows in (slice(0, 2), slice(2, 4)):
            part = {key: value[rows] for key, value in batch.items()}
            parts.append(method(part, Moment(0, 0, rows, 4, config.training.seed, 4))["loss"])
    assert torch.stack(parts).mean() == pytest.approx(float(whole), rel=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_the_file_of_a_method_has_the_names_of_timm_and_finetuning_starts_from_it(name, tmp_path):
    method = learner(small(name))
    kind, architecture, options, further = method.described()
    path = tmp_path / "model.safetensors"
    card = {"mask_ratio": 0.5, "sampler": "uniform", "co_guidance": False, "consistency": 0.0} | further
    save_checkpoint(path, method.kept(), Card(kind, architecture, options, config=card))
    assert read_card(path).pretrained
    start = start_network(FinetuneConfig("labels", "run", init=str(path), input_size=64))
    kept, own = method.kept(), start.network.encoder.state_dict()
    assert own.keys() <= kept.keys()
    for key in own:
        assert torch.equal(own[key], kept[key]), key
    assert start.network(torch.randn(1, 3, 96, 64)).shape == (1, 1, 96, 64)  # any size


@pytest.mark.parametrize("name", ALL)
def test_methods_are_listed_by_name_and_say_what_they_are(name):
    kind = METHODS[name].settings
    assert kind.method == name
    assert settings_of(name) is kind
    first = kind.__doc__.splitlines()[0]
    assert ":" in first
    assert first.endswith(".")
    assert dataclasses.is_dataclass(kind)
    assert set(SMALL) == set(METHODS)


def test_learning_rates_are_those_of_the_papers():
    rates = {name: METHODS[name].settings.rate(64) for name in ("simmim", "mocov3", "dino", "chexworld")}
    assert rates == {
        "simmim": 1e-4 * 64 / 512,
        "mocov3": 1.5e-4 * 64 / 256,
        "dino": 5e-4 * 64 / 256,
        "chexworld": 2e-4,
    }
    for name, rate in rates.items():
        training = METHODS[name].settings("a", "b").training
        assert (training.learning_rate, training.batch_size) == (rate, 64)


def test_the_step_schedule_is_a_tenth_from_seven_eighths_on():
    training = dataclasses.replace(settings("simmim").training, learning_rate=1.0, warmup=0.1, epochs=80)
    rates = [learning_rate(step, 800, step // 10, training) for step in (0, 79, 80, 400, 699, 700, 799)]
    assert rates == pytest.approx([1 / 80, 1, 1, 1, 1, 0.1, 0.1])


def test_a_card_of_an_encoder_fits_its_architecture():
    from vasomim_core.errors import ConfigError

    assert checked({"kind": "encoder", "architecture": "encoder", "options": {"relative_positions": True}}).pretrained
    for kind, architecture in (("encoder", "mae"), ("autoencoder", "encoder"), ("segmentation model", "encoder")):
        with pytest.raises(ConfigError, match="architecture"):
            checked({"kind": kind, "architecture": architecture})
