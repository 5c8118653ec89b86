"""Labels in and out from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vasomim_core.cli import run
from vasomim_core.files import write_json, write_png
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.labelset import LabelSet


@pytest.fixture
def pairs(tmp_path):
    """Two frames whose masks tell two classes apart."""
    rng = np.random.default_rng(0)
    for n in range(2):
        write_png(tmp_path / "pairs" / "images" / f"{n}.png", rng.integers(0, 255, (20, 30)).astype(np.uint8))
        write_png(tmp_path / "pairs" / "masks" / f"{n}.png", rng.integers(0, 3, (20, 30)).astype(np.uint8))
    classes = [
        {"value": 1, "name": "artery", "colour": "#ff0000", "vessel": True},
        {"value": 2, "name": "catheter", "colour": "#00ff00", "vessel": False},
    ]
    write_json(tmp_path / "pairs" / "classes.json", classes)
    return tmp_path / "pairs"


def told(capsys, *arguments) -> dict:
    assert run([str(one) for one in arguments] + ["--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_classes_survive_in_and_out_and_in_again(pairs, tmp_path, capsys):
    first = told(capsys, "import", pairs, "--into", tmp_path / "set")
    assert (first["made"], first["added"], first["classes"]) == (True, 2, ["artery", "catheter"])
    again = told(capsys, "import", pairs, "--into", tmp_path / "set")
    assert (again["made"], again["added"], again["before"]) == (False, 0, 2)
    out = told(capsys, "export", tmp_path / "set", "--output", tmp_path / "coco")
    assert (out["frames"], out["classes"]) == (2, ["artery", "catheter"])
    told(capsys, "import", tmp_path / "coco", "--into", tmp_path / "back")

    def content(folder, **how):
        frames = open_labels(folder, **how)
        names = [{one.value: one.name for one in frame.classes} for frame in frames]
        return {
            f.frame_sha256: {name: int((f.class_mask() == value).sum()) for value, name in known.items()}
            for f, known in zip(frames, names, strict=True)
        }

    assert content(tmp_path / "set") == content(tmp_path / "back") == content(pairs)
    assert [one.vessel for one in LabelSet.open(tmp_path / "back").classes] == [True, False]


def test_as_arcade_all_of_a_coco_file_is_vessel(pairs, tmp_path, capsys):
    told(capsys, "import", pairs, "--into", tmp_path / "set")
    told(capsys, "export", tmp_path / "set", "--output", tmp_path / "coco")
    union = told(capsys, "import", tmp_path / "coco", "--into", tmp_path / "union", "--from", "arcade")
    assert union["classes"] == ["vessel"]


def test_what_is_no_label_ends_in_a_sentence(tmp_path, capsys):
    assert run(["import", str(tmp_path / "gone"), "--into", str(tmp_path / "set")]) == 1
    assert "gone" in capsys.readouterr().err
    assert run(["export", str(tmp_path / "gone"), "--output", str(tmp_path / "out")]) == 1
    assert "gone" in capsys.readouterr().err
