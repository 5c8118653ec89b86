"""Settings: exact round trips, ranges, one name everywhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vasomim_core import config as config_module
from vasomim_core import schema
from vasomim_core.config import (
    FinetuneConfig,
    PretrainConfig,
    SegmentorConfig,
    Training,
    Ui,
    check,
    fields,
    from_dict,
    to_dict,
)
from vasomim_core.errors import ConfigError
from vasomim_core.methods.settings import METHODS

JOBS = {
    SegmentorConfig: {"data": Path("a"), "run": Path("b")},
    **{entry.settings: {"data": Path("a"), "run": Path("b")} for entry in METHODS.values()},
    FinetuneConfig: {"labels": Path("a"), "run": Path("b")},
}


@pytest.mark.parametrize("job", JOBS)
def test_defaults_are_valid_and_survive_yaml(job):
    config = job(**JOBS[job])
    check(config)
    assert from_dict(job, yaml.safe_load(yaml.safe_dump(to_dict(config)))) == config


@given(
    rate=st.floats(1e-8, 1),
    epochs=st.integers(1, 10_000),
    clip=st.none() | st.floats(1e-3, 1000),
    betas=st.tuples(st.floats(0, 0.9999), st.floats(0, 0.9999)),
    ratio=st.floats(0.05, 0.95),
    guided=st.booleans(),
)
def test_any_values_survive_yaml(rate, epochs, clip, betas, ratio, guided):
    training = Training(learning_rate=rate, epochs=epochs, clip=clip, betas=betas)
    config = PretrainConfig(Path("x"), Path("ü/y"), mask_ratio=ratio, co_guidance=guided, training=training)
    assert from_dict(PretrainConfig, yaml.safe_load(yaml.safe_dump(to_dict(config)))) == config


@pytest.mark.parametrize("job", [*JOBS, Training])
def test_every_field_has_a_help_line(job):
    written = "".join(kind.__doc__ or "" for kind in job.__mro__[:-1])
    for name in fields(job):
        assert f"\n        {name}: " in written, name


@pytest.mark.parametrize("job", [*JOBS, Training])
def test_defaults_lie_in_their_ranges_and_steps_are_no_larger(job):
    for field in dataclasses.fields(job):
        _, ui = fields(job)[field.name]
        if ui.step is not None and isinstance(field.default, float) and field.default > 0:
            assert ui.step <= field.default, field.name
        assert isinstance(ui, Ui)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"labels": "a", "run": "b", "fraction": 2.0}, "fraction is 2"),
        ({"labels": "a", "run": "b", "training": {"epochs": 0}}, r"training\.epochs is 0"),
        ({"labels": "a", "run": "b", "training": {"epochs": "ten"}}, "'ten'"),
        ({"labels": "a", "run": "b", "architecture": "resnet"}, "choose one of vit, unet"),
        ({"labels": "a", "run": "b", "augment": 1}, "augment is 1"),
        ({"labels": "a"}, "lack run"),
        ({"labels": "a", "run": "b", "lr": 1}, "unknown setting 'lr'"),
        ({"labels": None, "run": "b"}, "labels must not be empty"),
    ],
)
def test_what_is_wrong_is_named(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        from_dict(FinetuneConfig, values)


def test_a_range_is_checked_for_each_number_of_a_tuple():
    with pytest.raises(ConfigError, match="betas"):
        check(Training(betas=(0.9, 1.5)))


def test_in_a_notebook_paths_may_be_text_and_models_paths():
    config = FinetuneConfig(labels="labelled", run="runs/1", val=None, init=Path("model.safetensors"))
    assert (config.labels, config.run, config.val, config.init) == (
        Path("labelled"),
        Path("runs/1"),
        None,
        "model.safetensors",
    )
    assert PretrainConfig("frames", "runs/2", segmentor=Path("s")).segmentor == "s"
    assert from_dict(FinetuneConfig, to_dict(config)) == config


def test_a_type_checker_takes_text_for_paths_and_reads_paths(tmp_path):
    """As the class converts them; a field that is not a path is still checked."""
    mypy = pytest.importorskip("mypy.api")
    (tmp_path / "code.py").write_text(
        "from pathlib import Path\n"
        "from vasomim_core.config import FinetuneConfig, PretrainConfig, SegmentorConfig\n"
        "config = FinetuneConfig('labels', run='run', val='val', init=Path('run') / 'model.safetensors')\n"
        "SegmentorConfig(Path('data'), 'run')\n"
        "folder: Path = PretrainConfig('data', run=Path('run'), segmentor=Path('s.safetensors')).run / 'x'\n"
        "FinetuneConfig('labels', 'run', width='16')\n"
        "number: int = config.run\n"
        "length: int = config.init\n"
    )
    own = [config_module.__file__, schema.__file__]  # all that is looked into, for it takes its time
    options = ["--config-file=", "--follow-imports=skip", "--cache-dir", str(tmp_path)]
    said, broken, _ = mypy.run([*options, str(tmp_path / "code.py"), *own])
    assert [line.split(":")[1] for line in said.splitlines() if ": error:" in line] == ["6", "7", "8"], said + broken
