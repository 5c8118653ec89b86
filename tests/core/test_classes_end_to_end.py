"""Three classes, from a label set to a model, to its masks, to COCO and back into a set."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vasomim_core.classes import LabelClass, vessel_of
from vasomim_core.cli import run
from vasomim_core.config import FinetuneConfig, Training
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.files import write_png
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.models.catalogue import read_card
from vasomim_core.models.registry import load_model
from vasomim_core.reading import read_angiogram
from vasomim_core.training.finetune import finetune

CLASSES = (
    LabelClass(2, "artery", "#ff0000"),
    LabelClass(5, "vein", "#0000ff"),
    LabelClass(9, "catheter", "#ffff00", vessel=False),
)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame with a dark bar across (an artery), one upwards (a vein), and a bright square (a catheter)."""
    rng = np.random.default_rng(seed)
    frame, mask = 150 + rng.normal(0, 4, (64, 64)), np.zeros((64, 64), np.uint8)
    row, column, (top, left) = rng.integers(6, 24), rng.integers(6, 54), rng.integers((36, 4), (52, 50))
    for value, grey, place in (
        (5, 90, np.s_[28:, column : column + 5]),
        (2, 50, np.s_[row : row + 6, :]),
        (9, 230, np.s_[top : top + 9, left : left + 9]),
    ):
        frame[place], mask[place] = grey + rng.normal(0, 4, frame[place].shape), value
    return frame.clip(0, 255).astype(np.uint8), mask


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    made = LabelSet.create(tmp_path_factory.mktemp("sets") / "three", "three", CLASSES)
    for seed in range(14):
        made.add(*drawn(seed), group=str(seed))
    return made


@pytest.fixture(scope="module")
def trained(labels):
    config = FinetuneConfig(
        labels.folder,
        labels.folder.parent / "run",
        architecture="unext",
        frame_size=64,
        input_size=64,
        augment=False,
        validate_every=10,
        training=Training(epochs=70, batch_size=6, learning_rate=4e-3, device="cpu", precision="fp32"),
    )
    finetune(config)
    return config.run


def test_the_model_knows_the_classes_of_the_set_and_its_scores_name_them(trained):
    card = read_card(trained / "model.safetensors")
    assert card.classes == CLASSES
    assert set(card.scores["validation"]) == {"frames", "dsc", "cldice", "dsc artery", "dsc vein", "dsc catheter"}


def test_it_tells_them_apart_in_frames_that_it_has_not_seen(trained):
    model = load_model(trained, "cpu")
    scores = []
    for seed in range(100, 106):
        frame, truth = drawn(seed)
        found = model.class_mask(model.predict_classes(frame))
        scores.append([dsc(found == one.value, truth == one.value) for one in CLASSES])
    assert (np.mean(scores, axis=0) > 0.75).all()


def test_the_command_writes_vessel_as_the_union(trained, tmp_path):
    frame, truth = drawn(200)
    write_png(tmp_path / "in" / "frame.png", frame)
    arguments = ["segment", tmp_path / "in", "--output", tmp_path / "out", "--model", trained, "--device", "cpu"]
    assert run([str(one) for one in arguments]) == 0
    mask = read_angiogram(tmp_path / "out" / "frame.png").frames[0]
    assert set(np.unique(mask)) <= {0, 255}
    assert dsc(mask > 0, vessel_of(truth, CLASSES)) > 0.75
    assert dsc(mask > 0, truth == 9) < 0.2


def test_a_model_that_does_not_know_main_branches_says_so(trained, tmp_path, capsys):
    write_png(tmp_path / "in" / "frame.png", drawn(0)[0])
    arguments = ["segment", tmp_path / "in", "--output", tmp_path / "out", "--model", trained, "--vessels", "main"]
    assert run([str(one) for one in arguments]) == 1
    assert "artery, vein, catheter" in capsys.readouterr().err
    assert not (tmp_path / "out" / "frame.png").exists()


def test_what_it_finds_goes_into_a_set_to_coco_and_back(trained, labels, tmp_path, capsys):
    model = load_model(trained, "cpu")
    found = LabelSet.create(tmp_path / "found", "found", model.classes)
    for one in open_labels(labels.folder):
        frame = one.frame()
        found.add(frame, model.class_mask(model.predict_classes(frame)), model=model.name)
    for command in (
        ["export", found.folder, "--output", tmp_path / "coco"],
        ["import", tmp_path / "coco", "--into", tmp_path / "back", "--categories"],
    ):
        assert run([str(one) for one in command] + ["--json"]) == 0
        json.loads(capsys.readouterr().out)
    back = {one.frame_sha256: one for one in open_labels(tmp_path / "back")}
    assert {one.name for one in LabelSet.open(tmp_path / "back").classes} == {one.name for one in CLASSES}
    for one in open_labels(found.folder):
        again = back[one.frame_sha256]
        for kind in CLASSES:
            value = next(c.value for c in again.classes if c.name == kind.name)
            np.testing.assert_array_equal(again.class_mask() == value, one.class_mask() == kind.value)
