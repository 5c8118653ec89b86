"""What is known of a run beside how it stands: name, notes, what it learned from, what came of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from napari_vasomim.runs import jobs
from napari_vasomim.runs.about import About, read_about, shown_name, write_about
from napari_vasomim.runs.origin import begun_from, differences, made_by, models_of, origin, scored_alike
from tests.napari.runs.made import finetuned, made, write_model
from vasomim_core.config import PretrainConfig, Training
from vasomim_core.errors import ConfigError
from vasomim_core.models import catalogue
from vasomim_core.training.runs import ABOUT, load_config

pytestmark = pytest.mark.once


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VASOMIM_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_a_run_has_a_name_and_notes_of_its_own_and_its_folder_stays(tmp_path):
    run = finetuned(tmp_path / "runs" / "finetune-1")
    assert shown_name(run) == "finetune-1"
    write_about(run, About("  Left  coronary\n", "the second try"))
    assert read_about(run) == About("Left coronary", "the second try")
    (status,) = jobs.list_runs(run.parent)
    assert (status.run, status.name, status.notes) == (run, "Left coronary", "the second try")
    for broken in ("[]", '{"name": 3}', "{", "\xff"):
        (run / ABOUT).write_text(broken, encoding="latin-1")
        assert read_about(run) == About()
    assert "second try" not in jobs.report(run)


def test_it_says_what_it_learned_from_and_was_scored_on(tmp_path):
    run = finetuned(tmp_path / "one", init="vasomim-fast")
    said = "Learns from 12 labelled frames of labels-a, from vasomim-fast on. Scored on 4 frames of the same, held out."
    assert origin(run) == said
    facts = {"frames": 1, "validation_frames": 7, "validation_sha256": "c", "synthetic_frames": 30}
    other = finetuned(tmp_path / "two", val=tmp_path / "judged", data=facts)
    assert origin(other) == (
        "Learns from 1 labelled frame of labels-a, from scratch; besides 30 synthetic. Scored on 7 frames of judged."
    )
    pretrained = made(tmp_path / "three", PretrainConfig(tmp_path / "frames", tmp_path / "three"), {})
    assert origin(pretrained) == "Learns from 16 files of frames, without labels."
    (run / "data.json").unlink()
    assert origin(run) == ""
    assert scored_alike(run, other) is None
    assert scored_alike(other, other) is True
    assert scored_alike(finetuned(tmp_path / "four"), other) is False


def test_settings_that_differ(tmp_path):
    one = finetuned(tmp_path / "one")
    other = finetuned(tmp_path / "two", init="vasomim-fast", training=Training(epochs=1, batch_size=4))
    assert differences(one, other) == [("init", "none", "vasomim-fast"), ("training.batch_size", "32", "4")]
    assert differences(one, one) == []
    (other / "config.yaml").unlink()
    with pytest.raises(ConfigError):
        differences(one, other)


def test_models_know_their_run_and_runs_their_models(tmp_path, models):
    one, other = finetuned(tmp_path / "one"), finetuned(tmp_path / "two", fraction=0.5)
    name = catalogue.register(one / "model.safetensors", "mine")
    config = load_config(one)
    facts = {"frames": 12, "sha256": "a", "validation_frames": 4, "validation_sha256": "b"}
    write_model(models / "longer.safetensors", replace(config, training=replace(config.training, epochs=90)), facts)
    write_model(models / "seed.safetensors", replace(config, training=replace(config.training, seed=9)), facts)
    write_model(models / "more-labels.safetensors", config, {**facts, "sha256": "z"})
    assert made_by([other, one, Path("nowhere")]) == {name: one, "longer": one}  # resumed for more epochs
    assert models_of(other, [one]) == []
    again = finetuned(tmp_path / "again", (60.0, 72.0))  # the same lesson from another start
    assert made_by([again, one]) == {name: one}
    assert models_of(one, [again]) == [name]
    third = finetuned(tmp_path / "three", init=name)
    assert begun_from(name, [one, other, third]) == [third]


def test_models_are_renamed_and_packaged_ones_never(models):
    write_model(models / "mine.safetensors", load_config(finetuned(models.parent / "run")), {})
    catalogue.rename_model("mine", "better")
    assert not (models / "mine.safetensors").exists()
    assert "better" in catalogue.models()
    for name, new, said in (
        ("better", "vasomim-fast", "already"),
        ("better", "better", "already"),
        ("better", "../out", "cannot name"),
        ("vasomim-fast", "mine", "comes with the package"),
        ("mine", "again", "deleted or renamed"),
    ):
        with pytest.raises(ConfigError, match=said):
            catalogue.rename_model(name, new)


def test_a_run_that_a_person_has_named_can_still_be_taken_up(tmp_path):
    """A window prepares a folder; its process, which comes later, finds the name in it."""
    from vasomim_core.training.runs import _check_room

    run = finetuned(tmp_path / "run")
    for path in run.iterdir():
        if path.name != "config.yaml":
            path.unlink()
    write_about(run, About("mine"))
    assert _check_room(load_config(run)) is False
    assert json.loads((run / ABOUT).read_text())["name"] == "mine"
