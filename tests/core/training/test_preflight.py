"""What is wrong with labels is said before a run."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vasomim_core.files import write_png
from vasomim_core.synthetic import write_samples
from vasomim_core.training.preflight import check_before_training


@pytest.fixture
def labels(tmp_path) -> Path:
    write_samples(tmp_path / "labels", 6, size=96, least_width=0.5)
    return tmp_path / "labels"


def test_good_labels_have_counts_and_no_problem(labels):
    problems, warnings, counts = check_before_training(labels)
    assert (problems, warnings) == ([], [])
    assert (counts["frames"], counts["groups"], counts["sizes"]) == (6, 6, {"96×96": 6})
    assert 0 < counts["vessel"] < 50


def test_bad_labels_are_told_by_the_name_of_the_first_file(labels, tmp_path):
    image, mask = (sorted((labels / part).iterdir())[2] for part in ("images", "masks"))
    write_png(mask, np.zeros((32, 32), np.uint8))
    assert image.name in check_before_training(labels)[0][0]
    mask.unlink()
    assert image.name in check_before_training(labels)[0][0]
    assert check_before_training(tmp_path / "missing")[0]
    (tmp_path / "file").write_text("x")
    assert check_before_training(tmp_path / "file")[0]


def test_masks_that_are_probably_wrong_are_warned_of(labels):
    first, second, *rest = sorted((labels / "masks").iterdir())
    write_png(first, np.zeros((96, 96), np.uint8))
    write_png(second, 255 - cv2.imread(str(second), cv2.IMREAD_GRAYSCALE))
    problems, warnings, _ = check_before_training(labels)
    assert problems == []
    assert any(first.stem in w and "empty" in w for w in warnings)
    assert any(second.stem in w and "inverted" in w for w in warnings)
    for path in (second, *rest):
        write_png(path, np.zeros((96, 96), np.uint8))
    assert "nothing to learn" in check_before_training(labels)[0][0]


def test_one_group_cannot_be_split(labels):
    for part in ("images", "masks"):
        for path in sorted((labels / part).iterdir())[1:]:
            path.unlink()
    problems, warnings, _ = check_before_training(labels)
    assert "one group" in problems[0]
    assert "only 1" in warnings[0]
