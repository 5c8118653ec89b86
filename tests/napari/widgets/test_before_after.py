"""Before and after a finetuning run: which frames are compared, by which models, and what is said of it."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import QLabel

from napari_vasomim.background import engine
from napari_vasomim.widgets import before_after
from napari_vasomim.widgets.before_after import CHANGED, NO_BEFORE, SINCE, BeforeAfter, _held_out
from vasomim_core.config import FinetuneConfig, PretrainConfig
from vasomim_core.errors import InputError
from vasomim_core.files import write_json, write_png
from vasomim_core.inference.requests import Segmentation
from vasomim_core.labels.labelled import labels_fingerprint, open_labels
from vasomim_core.labels.splitting import training_and_validation
from vasomim_core.models.catalogue import Card
from vasomim_core.models.class_mask import ClassRules
from vasomim_core.synthetic import write_samples
from vasomim_core.training.runs import load_config, save_config

from ..mouse import settle

pytestmark = pytest.mark.once  # what of Qt it uses others try with both bindings


@pytest.fixture
def labels(tmp_path) -> Path:
    folder = tmp_path / "labels"
    write_samples(folder, 12, size=96)
    return folder


@pytest.fixture
def run(labels, tmp_path, monkeypatch) -> Path:
    """A finished run, whose model file exists in name."""
    config = FinetuneConfig(labels, tmp_path / "run", init="vasomim-demo", fraction=0.9)
    save_config(config.run / "config.yaml", config)
    learned, _ = training_and_validation(open_labels(labels), None, 0.9, config.training.seed)
    made = Card("segmentation model", "unext", data={"sha256": labels_fingerprint(learned)})
    read = before_after.read_card
    monkeypatch.setattr(before_after, "read_card", lambda path: made if path.parent == config.run else read(path))
    return config.run


@pytest.fixture
def asked(monkeypatch) -> list[tuple[str, np.ndarray, Future]]:
    """What the inference child is asked, as (model, frame, future)."""
    calls = []

    def call(request):
        calls.append((Path(request.model).name, request.frame, Future()))
        return calls[-1][2]

    monkeypatch.setattr(engine.shared(), "call", call)
    return calls


@pytest.fixture
def held_out(labels):
    return training_and_validation(open_labels(labels), None, 0.9, 0)[1]


def opened(qtbot, run, asked):
    dialog = BeforeAfter(run)
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


def answer(qtbot, asked, number, probability):
    qtbot.waitUntil(lambda: len(asked) > number, timeout=10_000)
    asked[number][2].set_result(
        Segmentation(probability, probability[None], ClassRules(), probability, 0.1, "cpu", "m", 0, 0.5)
    )


def test_only_held_out_frames_by_the_old_and_the_new_model_with_their_means(qtbot, run, asked, held_out):
    dialog = opened(qtbot, run, asked)
    for n, frame in enumerate(held_out):
        truth = np.asarray(frame.mask(), np.float32)
        answer(qtbot, asked, 2 * n, np.zeros_like(truth))
        answer(qtbot, asked, 2 * n + 1, truth)
    qtbot.waitUntil(lambda: len(dialog.after) == len(held_out))
    assert [model for model, _, _ in asked] == ["vasomim-demo.safetensors", "model.safetensors"] * len(held_out)
    for n, frame in enumerate(held_out):
        np.testing.assert_array_equal(asked[2 * n][1], frame.frame())
    expected = np.mean([100.0 * (not np.any(frame.mask())) for frame in held_out])
    count = f"{len(held_out)} held-out frame" + "s" * (len(held_out) > 1)
    assert f"{count}: before {expected:.1f}, after 100.0" in dialog.summary.text()
    assert dialog.notes.isHidden()
    assert dialog.progress.isHidden()
    assert held_out[0].name in {label.text() for label in dialog.findChildren(QLabel)}


@pytest.mark.parametrize("init", [None, "a model that has gone"])
def test_without_a_segmentation_model_there_is_no_before(qtbot, run, asked, held_out, labels, init):
    save_config(run / "config.yaml", FinetuneConfig(labels, run, init=init, fraction=0.9))
    dialog = opened(qtbot, run, asked)
    for n, frame in enumerate(held_out):
        answer(qtbot, asked, n, np.asarray(frame.mask(), np.float32))
    qtbot.waitUntil(lambda: len(dialog.after) == len(held_out))
    assert {model for model, _, _ in asked} == {"model.safetensors"}
    assert dialog.notes.text() == NO_BEFORE
    assert "before" not in dialog.summary.text()
    assert held_out[0].name in {label.text() for label in dialog.findChildren(QLabel)}


def test_an_encoder_alone_is_no_before(qtbot, run, asked, monkeypatch):
    read = before_after.read_card
    monkeypatch.setattr(
        before_after,
        "read_card",
        lambda path: replace(read(path), kind="autoencoder") if path.stem == "vasomim-demo" else read(path),
    )
    dialog = opened(qtbot, run, asked)
    qtbot.waitUntil(lambda: bool(asked), timeout=10_000)
    assert dialog.notes.text() == NO_BEFORE


def test_labels_that_changed_since_are_told(qtbot, run, asked, labels):
    for path in (labels / "masks").iterdir():
        write_png(path, np.eye(96, dtype=np.uint8) * 255)
    dialog = opened(qtbot, run, asked)
    qtbot.waitUntil(lambda: bool(asked), timeout=10_000)
    assert dialog.notes.text() == CHANGED


def test_frames_added_since_do_not_change_which_were_held_out(qtbot, run, asked, labels, held_out):
    """Else the draw would be another one, and frames that were learned from would be shown as held out."""
    shown = {one.frame_sha256 for one in held_out}
    record = {
        f"labels/{one.name}": {
            "frame_sha256": one.frame_sha256,
            "mask_sha256": one.mask_sha256,
            "validation": one.frame_sha256 in shown,
        }
        for one in open_labels(labels)
    }
    write_json(run / "data.json", {"items": record, "caches": {}, "facts": {}, "warnings": []})
    assert _held_out(run, load_config(run)) == (held_out, "")
    write_samples(labels.parent / "more", 40, seed=5, size=96)
    for part in ("images", "masks"):
        for path in (labels.parent / "more" / part).iterdir():
            path.rename(labels / part / f"more-{path.name}")
    assert {one.frame_sha256 for one in training_and_validation(open_labels(labels), None, 0.9, 0)[1]} != shown
    found, note = _held_out(run, load_config(run))
    assert [one.frame_sha256 for one in found] == [one.frame_sha256 for one in held_out]
    assert note == SINCE
    dialog = opened(qtbot, run, asked)
    qtbot.waitUntil(lambda: bool(asked), timeout=10_000)
    assert dialog.notes.text() == SINCE


def test_closed_while_it_works_nothing_more_is_asked(qtbot, run, asked, held_out, notifications):
    dialog = BeforeAfter(run)
    dialog.show()
    qtbot.waitUntil(lambda: bool(asked), timeout=10_000)
    with qtbot.waitSignal(dialog.destroyed):
        dialog.close()
    answer(qtbot, asked, 0, np.zeros((96, 96), np.float32))
    settle()
    assert len(asked) == 1
    assert notifications == []


def test_what_fails_is_a_sentence_in_the_window(qtbot, run, asked, labels, tmp_path):
    dialog = opened(qtbot, run, asked)
    qtbot.waitUntil(lambda: bool(asked), timeout=10_000)
    asked[0][2].set_exception(InputError("the model is of another kind <x>"))
    qtbot.waitUntil(lambda: "another kind <x>" in dialog.summary.text())
    assert dialog.progress.isHidden()
    shutil.rmtree(labels)
    gone = opened(qtbot, run, asked)
    qtbot.waitUntil(lambda: "does not exist" in gone.summary.text(), timeout=10_000)
    other = tmp_path / "other"
    save_config(other / "config.yaml", PretrainConfig(labels, other))
    wrong = opened(qtbot, other, asked)
    qtbot.waitUntil(lambda: "no finetuning run" in wrong.summary.text(), timeout=10_000)


def test_labels_that_go_while_it_works_are_a_sentence(qtbot, run, asked, labels, tmp_path):
    val = Path(shutil.copytree(labels, tmp_path / "val"))
    save_config(run / "config.yaml", FinetuneConfig(labels, run, val=val, init="vasomim-demo", fraction=0.9))
    dialog = opened(qtbot, run, asked)
    qtbot.waitUntil(lambda: bool(asked), timeout=10_000)
    shutil.rmtree(val)
    answer(qtbot, asked, 0, np.zeros((96, 96), np.float32))
    qtbot.waitUntil(lambda: str(val) in dialog.summary.text(), timeout=10_000)
    assert dialog.progress.isHidden()
