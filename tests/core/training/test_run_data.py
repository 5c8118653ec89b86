"""A resumed run works on exactly what it began with, and says where that is no longer what lies on the disk."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.core.training.test_resume import FINETUNING, PRETRAINING, losses, same_model, vasomim
from vasomim_core.files import write_png
from vasomim_core.models.catalogue import read_card
from vasomim_core.training.events import EventLog, read_events

STOP = 5  # of 9 to 12 steps
SEGMENTOR = ["--input-size", 64, "--batch-size", 4, "--device", "cpu", "--log-every", 1, "--epochs", 4]


@pytest.fixture
def stopped_at(monkeypatch):
    """Runs a command that is asked to stop after a step."""
    write = EventLog.write

    def run(step: int, *arguments: object) -> int:
        def write_and_ask(log, event, **values):
            write(log, event, **values)
            if event == "step" and values["step"] == step:
                signal.raise_signal(signal.SIGTERM)

        with monkeypatch.context() as patch:
            patch.setattr(EventLog, "write", write_and_ask)
            return vasomim(*arguments)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def folder(labelled, tmp_path) -> Path:
    """Labels of this test's own."""
    return shutil.copytree(labelled, tmp_path / "labels")


@pytest.fixture(scope="module")
def whole(labelled, tmp_path_factory) -> Path:
    """An unbroken run on the same labels."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert vasomim("finetune", "--labels", labelled, "--run", run, *FINETUNING) == 0
    return run


def change(folder: Path) -> None:
    """One frame more, one less, one mask drawn anew."""
    rng = np.random.default_rng(7)
    write_png(folder / "images" / "99.png", rng.integers(0, 255, (96, 80), np.uint8))
    write_png(folder / "masks" / "99.png", (rng.random((96, 80)) > 0.9).astype(np.uint8) * 255)
    for part in ("images", "masks"):
        (folder / part / "3.png").unlink()
    write_png(folder / "masks" / "5.png", np.eye(96, 80, dtype=np.uint8) * 255)


def warnings(run: Path) -> list[str]:
    return [e["message"] for e in read_events(run) if e["event"] == "warning"]


def validations(run: Path) -> list[tuple[int, dict[str, float]]]:
    return [(e["step"], e["scores"]) for e in read_events(run) if e["event"] == "validation"]


@pytest.mark.parametrize("gone", [False, True], ids=["changed", "gone"])
def test_labels_that_change_meanwhile_change_nothing_and_are_told(folder, whole, tmp_path, stopped_at, gone, capsys):
    run = tmp_path / "run"
    assert stopped_at(STOP, "finetune", "--labels", folder, "--run", run, *FINETUNING) == 0
    if gone:
        shutil.rmtree(folder)
    else:
        change(folder)
    capsys.readouterr()
    assert vasomim("finetune", "--resume", run) == 0
    said = capsys.readouterr().out
    assert "it goes on with those that it began with" in said
    if not gone:
        assert "1 added, 1 removed, 1 changed (first: labels/99)" in said
    assert losses(run) == losses(whole)
    assert validations(run) == validations(whole)
    assert same_model(run, whole)
    ours, theirs = (read_card(one / "model.safetensors") for one in (run, whole))
    assert ours.data == theirs.data
    assert (ours.data["frames"], ours.data["validation_frames"]) == (9, 3)
    assert not (run / "cache").exists()


def test_the_same_labels_are_no_news(folder, whole, tmp_path, stopped_at):
    run = tmp_path / "run"
    assert stopped_at(STOP, "finetune", "--labels", folder, "--run", run, *FINETUNING) == 0
    assert vasomim("finetune", "--resume", run) == 0
    assert warnings(run) == []


@pytest.mark.parametrize("damage", ["gone", "cut", "other pixels", "index", "validation"])
def test_a_lost_cache_is_made_again_from_the_same_labels_alone(folder, whole, tmp_path, stopped_at, damage, capsys):
    run = tmp_path / "run"
    assert stopped_at(STOP, "finetune", "--labels", folder, "--run", run, *FINETUNING) == 0
    cache = run / "cache"
    if damage == "gone":
        shutil.rmtree(cache)
    elif damage == "cut":
        (cache / "frames.bin").write_bytes((cache / "frames.bin").read_bytes()[:-1])
    elif damage == "other pixels":
        size = (cache / "masks.bin").stat().st_size
        (cache / "masks.bin").write_bytes(bytes(size))
    elif damage == "index":
        (cache / "index.json").write_text("[" * 100_000)
    else:
        shutil.rmtree(cache / "validation")
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    change(folder)
    assert vasomim("finetune", "--resume", run) == 1
    refusal = capsys.readouterr().err
    assert "1 added, 1 removed, 1 changed" in refusal
    assert "unexpected" not in refusal
    shutil.rmtree(folder)
    kept.rename(folder)
    assert vasomim("finetune", "--resume", run) == 0
    assert losses(run) == losses(whole)
    assert validations(run) == validations(whole)
    assert same_model(run, whole)


def test_a_run_that_does_not_know_what_it_learned_from_is_not_resumed(folder, tmp_path, stopped_at, capsys):
    run = tmp_path / "run"
    assert stopped_at(STOP, "finetune", "--labels", folder, "--run", run, *FINETUNING) == 0
    (run / "data.json").write_text('{"items": []}')
    assert vasomim("finetune", "--resume", run) == 1
    assert "does not say what it has learned from" in capsys.readouterr().err


@pytest.mark.parametrize("job", ["pretrain", "segmentor"])
def test_angiograms_that_change_meanwhile_too(folder, tmp_path, stopped_at, job, capsys):
    data = folder / "images"
    settings = SEGMENTOR if job == "segmentor" else [*PRETRAINING, "--consistency", 0]
    one, run = tmp_path / "whole", tmp_path / "run"
    assert vasomim(job, "--data", data, "--run", one, *settings) == 0
    assert stopped_at(STOP, job, "--data", data, "--run", run, *settings) == 0
    change(folder)
    capsys.readouterr()
    assert vasomim(job, "--resume", run) == 0
    assert "1 added, 1 removed (first: 99.png)" in capsys.readouterr().out
    assert losses(run) == losses(one)
    assert same_model(run, one)
    assert read_card(run / "model.safetensors").data == read_card(one / "model.safetensors").data


def test_a_file_that_was_only_touched_is_the_same(folder, tmp_path, stopped_at):
    data = folder / "images"
    run = tmp_path / "run"
    assert stopped_at(STOP, "segmentor", "--data", data, "--run", run, *SEGMENTOR) == 0
    (data / "1.png").touch()
    assert vasomim("segmentor", "--resume", run) == 0
    assert warnings(run) == []


def test_the_record_names_frames_and_no_folder(whole):
    record = json.loads((whole / "data.json").read_text())
    assert len(record["items"]) == 12
    assert sum(item["validation"] for item in record["items"].values()) == 3
    assert str(whole.parent) not in json.dumps(record)
