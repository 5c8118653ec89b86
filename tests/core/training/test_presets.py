"""Presets fit the memory and the time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from vasomim_core.config import FinetuneConfig, PretrainConfig, check, fields
from vasomim_core.training.costs import network_title
from vasomim_core.training.duration import estimate
from vasomim_core.training.presets import apply_preset, describe, finetune_preset, pretrain_preset

NAMES = ("quick", "balanced", "thorough")
GB = 1 << 30


def tuned(name: str, frames: int = 20, memory: int = 8 * GB, cuda: bool = False, init: str | None = "vasomim-demo"):
    config = FinetuneConfig(Path("labels"), Path("run"), init=init)
    return apply_preset(config, finetune_preset(name, frames, memory, cuda, init))


@pytest.mark.parametrize("frames", [1, 20, 5000])
@pytest.mark.parametrize("memory", [0, 64 * GB])
@pytest.mark.parametrize("cuda", [False, True])
def test_every_preset_is_a_config_whose_batch_divides(frames, memory, cuda):
    configs = [tuned(n, frames, memory, cuda, init) for n in NAMES for init in (None, "vasomim-demo", "missing.pth")]
    start = PretrainConfig(Path("data"), Path("run"))
    configs += [apply_preset(start, pretrain_preset(n, frames, memory, cuda)) for n in NAMES]
    for config in configs:
        check(config)
        assert config.training.batch_size % config.training.accumulate == 0
        assert estimate(config, frames) > 0


@pytest.mark.parametrize("init", [None, "vasomim-demo", "foreign.pth"])
def test_quick_is_minutes_and_each_preset_takes_longer(init):
    quick, balanced, thorough = (estimate(tuned(name, init=init), 20) for name in NAMES)
    assert quick < 600 < balanced < 2 * 3600 < thorough < 12 * 3600


def test_from_a_segmentation_model_sizes_are_its_own_and_the_rate_is_lower():
    config = tuned("quick")
    assert (config.architecture, config.frame_size, config.init) == ("unext", 512, "vasomim-demo")
    assert config.training.learning_rate < tuned("quick", init=None).training.learning_rate


def test_little_memory_splits_the_batch_and_says_so():
    roomy = finetune_preset("thorough", 200, 64 * GB, False, "foreign.pth")
    tight = finetune_preset("thorough", 200, 3 * GB, False, "foreign.pth")
    assert roomy["training"]["batch_size"] == tight["training"]["batch_size"]
    assert roomy["training"]["accumulate"] == 1 < tight["training"]["accumulate"]
    assert "parts" in describe(tight)
    assert "parts" not in describe(roomy)


def test_what_a_preset_does_not_name_stays():
    config = FinetuneConfig(Path("labels"), Path("run"), dice_weight=0.3)
    changed = apply_preset(config, finetune_preset("quick", 20, GB, False, None))
    assert (changed.dice_weight, changed.labels, changed.training.seed) == (0.3, Path("labels"), 0)


@pytest.mark.parametrize("architecture", get_args(fields(FinetuneConfig)["architecture"][0]))
def test_every_architecture_has_its_costs(architecture):
    config = FinetuneConfig(Path("labels"), Path("run"), architecture=architecture)
    assert estimate(config, 100) > estimate(config, 10) > 0
    preset = {**finetune_preset("quick", 20, GB, False, None), "architecture": architecture}
    assert describe(preset).startswith(network_title(architecture))


def test_nothing_is_promised_for_cuda():
    config = apply_preset(tuned("quick"), {"training": {"device": "cuda"}})
    assert estimate(config, 20) is None


def test_torch_stays_out():
    modules = ", ".join(f"vasomim_core.training.{name}" for name in ("duration", "preflight", "presets", "runs"))
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
