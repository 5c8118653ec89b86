"""Settings of guided masking: what they are at first, and how far each of them goes."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from vasomim_core.errors import ConfigError
from vasomim_core.masking.schedule import MaskingSchedule, guidance_strength
from vasomim_core.schema import fields

RANGES = {
    "input_size": (32, 1024, 32, "px"),
    "patch_size": (4, 64, None, "px"),
    "mask_ratio": (0.05, 0.95, 0.05, ""),
    "beta_start": (0, 1, 0.05, ""),
    "beta_end": (0, 1, 0.05, ""),
    "epochs": (1, 10_000, None, ""),
    "seed": (0, 2**31 - 1, None, ""),
}


def test_the_settings_at_first():
    assert asdict(MaskingSchedule()) == {
        "input_size": 224, "patch_size": 16, "mask_ratio": 0.5, "sampler": "anatomy", "beta_start": 0.0,
        "beta_end": 0.5, "co_guidance": False, "epochs": 200, "seed": 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", RANGES)
def test_a_setting_goes_from_its_least_to_its_most(name):
    least, most, step, unit = RANGES[name]
    _, ui = fields(MaskingSchedule)[name]
    assert (ui.min, ui.max, ui.step, ui.unit, ui.advanced) == (least, most, step, unit, False)
    other = {"input_size": 64} if name == "patch_size" else {"patch_size": 4} if name == "input_size" else {}
    for value in (least, most):
        replace(MaskingSchedule(), **{name: value} | other).check()
    for value in (least - 0.01 if isinstance(least, float) else least - 1, most + 1):
        with pytest.raises(ConfigError, match=name):
            replace(MaskingSchedule(), **{name: value} | other).check()


def test_patches_fill_the_input():
    with pytest.raises(ConfigError, match="does not divide"):
        MaskingSchedule(224, 15).check()


def test_a_model_has_its_own_sizes():
    own = MaskingSchedule(512, 8, 0.7, seed=3)
    assert own.for_model({}) == MaskingSchedule(224, 16, 0.7, seed=3)
    assert own.for_model({"input_size": 96, "mask_ratio": 0.1}) == MaskingSchedule(96, 16, 0.7, seed=3)
    assert own.for_model({"patch_size": 32}) == MaskingSchedule(224, 32, 0.7, seed=3)


def test_guidance_at_its_borders():
    assert guidance_strength(0, 1) == 0.5
    assert guidance_strength(3, 8) == 0.25
    assert guidance_strength(0, 2, 1.0, 0.0) == 0.5
    assert MaskingSchedule(beta_start=0.25, beta_end=0.75, epochs=4).beta(1) == 0.5
    for start, end in ((-0.01, 0.5), (1.01, 0.5), (0.5, -0.01), (0.5, 1.01)):
        with pytest.raises(ConfigError, match="give a share"):
            guidance_strength(0, 2, start, end)
