"""nnU-Net raw, as nnU-Net itself wants it, and as others have made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.core.exchange.conftest import THREE, drawn
from tests.core.labels.made import frame, mask, save
from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.errors import LabelError
from vasomim_core.exchange.formats import hand_over, labelled
from vasomim_core.exchange.importing import plan_import
from vasomim_core.exchange.nnunet import NnunetFolder
from vasomim_core.files import write_json
from vasomim_core.labels.labelset import LabelSet


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Two frames as somebody else has prepared them."""
    folder = tmp_path / "Dataset007_Others"
    for n in range(2):
        save(folder / "imagesTr" / f"case{n}_0000.png", frame(n))
        save(folder / "labelsTr" / f"case{n}.png", mask(n) * np.uint8(1) + mask(n + 9) * np.uint8(1))
    save(folder / "imagesTs" / "held_0000.png", frame(7))
    write_json(folder / "dataset.json", document())
    return folder


def document(**changes: Any) -> dict[str, Any]:
    labels = {"background": 0, "main": 1, "side": 2}
    return {"channel_names": {"0": "XA"}, "labels": labels, "numTraining": 2, "file_ending": ".png"} | changes


def test_values_are_consecutive_and_come_back(labels: LabelSet, tmp_path: Path) -> None:
    out = tmp_path / "Dataset101_Coronaries"
    written = hand_over(labelled(labels.folder), "nnunet", out)
    told = json.loads((out / "dataset.json").read_text())
    assert told["labels"] == {"background": 0, "main": 1, "catheter": 2, "twig": 3}
    assert (told["channel_names"], told["file_ending"], told["numTraining"]) == ({"0": "XA"}, ".png", 6)
    assert {path.name for path in (out / "imagesTr").iterdir()} == {f"{name}_0000.png" for name in written.names}
    assert {path.name for path in (out / "labelsTr").iterdir()} == {f"{name}.png" for name in written.names}
    deep = drawn(6)
    with Image.open(out / "labelsTr" / "deep.png") as image:
        found = np.asarray(image)
        assert image.mode == "L"
    for theirs, ours in ((0, 0), (1, 1), (2, 2), (3, 7)):
        np.testing.assert_array_equal(found == theirs, deep == ours)
    with Image.open(out / "imagesTr" / "deep_0000.png") as image:
        assert image.size == found.shape[::-1]
        assert image.mode.startswith("I;16")
    assert any("folds" in note for note in written.notes)


def test_labels_of_others_are_read_by_name(foreign: Path, tmp_path: Path) -> None:
    folder = NnunetFolder(foreign)
    assert [(one.value, one.name, one.vessel) for one in folder.classes()] == [(1, "main", True), (2, "side", True)]
    assert "all are taken for it" in folder.notes()[0]
    labels = LabelSet.create(tmp_path / "set", "x", (LabelClass(2, "Main"), LabelClass(5, "side", vessel=False)))
    plan = plan_import(labelled(foreign), labels)
    assert (len(plan.new), plan.missing) == (2, ())
    assert any("main 1 → 2, side 2 → 5" in note.lower() for note in plan.notes)
    assert any("side counts as vessel there and not in the set" in note for note in plan.notes)


def test_a_plain_vessel_is_the_default_class(foreign: Path) -> None:
    for n in range(2):
        save(foreign / "labelsTr" / f"case{n}.png", mask(n) * np.uint8(1))
    write_json(foreign / "dataset.json", document(labels={"background": 0, "vessel": 1}))
    assert NnunetFolder(foreign).classes() == VESSEL


def test_names_that_nnunet_takes_for_its_own(tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x", (LabelClass(1, "Ignore"), LabelClass(4, "background")))
    labels.add(frame(0), mask(0) * np.uint8(4))
    hand_over(labelled(labels.folder), "nnunet", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "dataset.json").read_text())["labels"]
    assert told == {"background": 0, "Ignore (class)": 1, "background (class)": 2}
    assert NnunetFolder(tmp_path / "out").classes() == labels.classes


def test_who_renames_a_label_outside_gets_another_class(labels: LabelSet, tmp_path: Path) -> None:
    hand_over(labelled(labels.folder), "nnunet", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "dataset.json").read_text())
    told["labels"] = {"background": 0, "main": 1, "wire": 2, "twig": 3}
    write_json(tmp_path / "out" / "dataset.json", told)
    assert [(one.value, one.name) for one in NnunetFolder(tmp_path / "out").classes()] == [
        (1, "main"),
        (2, "wire"),
        (7, "twig"),
    ]
    assert THREE[1].name == "catheter"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": {"background": 0, "vessel": [1, 2]}}, "region 'vessel'"),
        ({"labels": {"background": 0, "main": 1, "side": 2, "ignore": 3}}, "ignore label"),
        ({"labels": {"background": 0, "main": 1, "Main": 2}}, "cannot be classes"),
        ({"labels": [1]}, "lists no labels"),
        ({"channel_names": {"0": "red", "1": "green"}}, "2 channels"),
        ({"dataset": {}}, "lie elsewhere"),
        ({"labels": {"background": 0, "main": 1}}, "has the value 2"),
        ({"vasomim": []}, "does not list frames"),
        ({"vasomim": {"classes": 1}}, "does not list its classes"),
    ],
)
def test_what_cannot_be_read_is_told(foreign: Path, changes: dict[str, Any], says: str) -> None:
    write_json(foreign / "dataset.json", document(**changes))
    with pytest.raises(LabelError, match=says):
        plan_import(labelled(foreign), None)


def test_frames_and_labels_that_do_not_fit(foreign: Path) -> None:
    (foreign / "labelsTr" / "case1.png").unlink()
    with pytest.raises(LabelError, match=r"case1_0000\.png has no label"):
        plan_import(labelled(foreign), None)
    save(foreign / "labelsTr" / "case1.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(LabelError, match=r"3×3 and the frame 12×16"):
        plan_import(labelled(foreign), None)
    save(foreign / "imagesTr" / "case1_0001.png", frame(1))
    with pytest.raises(LabelError, match="no first channel"):
        plan_import(labelled(foreign), None)
