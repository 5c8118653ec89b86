"""Rates, groups of weights, and where bf16 is native."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vasomim_core.config import Training
from vasomim_core.training.optimisation import decayed_groups, learning_rate, native_bf16


def test_cosine_rises_then_falls_to_zero():
    settings = Training(learning_rate=0.1, warmup=0.1, epochs=10)
    rates = [learning_rate(s, 100, s // 10, settings) for s in range(100)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[9] == rates[10] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.05)
    assert rates[-1] < 1e-4


def test_poly_falls_per_epoch():
    settings = Training(learning_rate=1e-3, schedule="poly", warmup=0, epochs=4)
    rates = [learning_rate(s, 8, s // 2, settings) for s in range(8)]
    assert rates[0] == rates[1] == 1e-3
    assert rates[6] == pytest.approx(1e-3 * 0.25**0.9)


def test_a_warm_up_of_part_of_a_step_ends_at_the_full_rate():
    """2.5 of 10 steps: three rise by thirds, then half a cosine over the 7.5 that are left."""
    settings = Training(learning_rate=0.3, warmup=0.25, epochs=10)
    rates = [learning_rate(step, 10, step, settings) for step in range(10)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[3:] == pytest.approx([0.15 * (1 + np.cos(np.pi * (step - 2.5) / 7.5)) for step in range(3, 10)])
    assert learning_rate(0, 1, 0, Training(learning_rate=0.3, warmup=0)) == 0.3


def test_biases_and_vectors_do_not_decay():
    layer = nn.Linear(2, 3)
    layer.fixed = nn.Parameter(torch.zeros(2, 2), requires_grad=False)
    decayed, others = decayed_groups(layer, 0.05)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    assert ([p.shape for p in decayed["params"]], [p.shape for p in others["params"]]) == ([(3, 2)], [(3,)])


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bf16_is_native_from_ampere_on_and_where_a_cpu_has_either_unit(monkeypatch, capability, native):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert native_bf16(torch.device("cuda")) is native
    for avx, amx in np.ndindex(2, 2):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: bool(avx))
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: bool(amx))
        assert native_bf16(torch.device("cpu")) is bool(avx or amx)
