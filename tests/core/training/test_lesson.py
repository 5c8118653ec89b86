"""What a finetuning run learns to tell apart, and what it says of that before it starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.config import FinetuneConfig
from vasomim_core.data.codes import LIKELY
from vasomim_core.errors import LabelError
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.models.catalogue import Card
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.registry import build
from vasomim_core.training.lesson import class_change, lesson_of

TWO = (LabelClass(3, "Artery"), LabelClass(5, "Catheter", vessel=False))


def config(**changes) -> FinetuneConfig:
    return FinetuneConfig(Path("labels"), Path("run"), **changes)


def names(lesson) -> list[tuple[int, str, bool]]:
    return [(one.value, one.name, one.vessel) for one in lesson.classes]


def test_complete_labels_are_learned_as_they_are():
    lesson = lesson_of(config(), TWO)
    assert (lesson.classes, lesson.labelled, lesson.catheter) == (TWO, (3, 5), 5)
    assert lesson.thresholds == {}
    assert LIKELY not in lesson.meaning


def test_main_branches_get_others_beside_them_and_a_catheter_where_one_is_drawn():
    lesson = lesson_of(config(complete=False), VESSEL)
    assert names(lesson) == [(1, "main branch", True), (2, "other branch", True)]
    lesson = lesson_of(config(complete=False, synthetic=0.2), VESSEL)
    assert names(lesson)[2] == (3, "catheter", False)
    assert (lesson.labelled, lesson.catheter, lesson.thresholds) == ((1,), 3, {"main branch": 0.5})
    assert LIKELY in lesson.meaning


def test_a_catheter_that_is_labelled_is_the_one_that_is_drawn():
    lesson = lesson_of(config(complete=False, synthetic=0.2), TWO)
    assert names(lesson) == [(1, "other branch", True), (3, "Artery", True), (5, "Catheter", False)]
    assert lesson.catheter == 5
    assert lesson.thresholds == {"Artery": 0.5, "Catheter": 0.5}


def test_a_set_that_has_other_branches_already_is_complete():
    with pytest.raises(LabelError, match="other branch"):
        lesson_of(config(complete=False), (*VESSEL, LabelClass(2, "Other branch")))


def test_what_becomes_of_the_models_classes_is_said_before(tmp_path):
    labels = LabelSet.create(tmp_path / "set", "two", TWO)
    labels.add(np.arange(64, dtype=np.uint8).reshape(8, 8), np.zeros((8, 8), np.uint8))
    asked = FinetuneConfig(labels.folder, tmp_path / "run", init="vasomim-demo")
    assert class_change(asked) == (
        "The model knows vessel and learns Artery and Catheter: vessel goes on as Artery, Catheter is learned from "
        "nothing."
    )
    path = tmp_path / "knows.safetensors"
    save_checkpoint(
        path,
        build("unext", {"outputs": 3}).state_dict(),
        Card("segmentation model", "unext", {"outputs": 3}, classes=TWO),
    )
    assert class_change(FinetuneConfig(labels.folder, tmp_path / "run", init=str(path))) == ""
    assert class_change(FinetuneConfig(labels.folder, tmp_path / "run")) == ""
    assert class_change(FinetuneConfig(labels.folder, tmp_path / "run", init="vasomim-encoder")) == ""
