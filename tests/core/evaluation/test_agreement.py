"""Two readers of a label set: their agreement is what the metrics say of their masks."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.core.labels.made import frame, mask
from vasomim_core.classes import LabelClass
from vasomim_core.cli import run
from vasomim_core.errors import LabelError
from vasomim_core.evaluation.agreement import agreement_of, sum_up, write_csv
from vasomim_core.evaluation.metrics import cldice, dsc, score_frame
from vasomim_core.labels.labelset import LabelSet

CLASSES = (LabelClass(1, "main"), LabelClass(2, "twig"), LabelClass(3, "wire", vessel=False))


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    made = LabelSet.create(tmp_path / "set", "x")
    for n in range(4):
        id = made.add(frame(n), mask(n), annotator="A", model="m" if n < 2 else None, id=f"f{n}").id
        if n < 3:
            made.add_reading(id, mask(n) | mask(n + 20), "B", model="m" if n == 0 else None, blind=True)
    return made


def test_it_is_what_the_metrics_say_of_the_two_masks(labels: LabelSet) -> None:
    rows = agreement_of(labels)
    assert [row.vessel.dsc for row in rows] == sorted(row.vessel.dsc for row in rows), "the worst first"
    for row in rows:
        n = int(row.id[1:])
        scores = score_frame(mask(n), mask(n) | mask(n + 20))
        assert (row.vessel.dsc, row.vessel.cldice) == (scores.dsc, pytest.approx(scores.cldice))
    assert {row.id: row.began for row in rows} == {"f0": "both", "f1": "first", "f2": "neither"}
    (one,) = sum_up(rows)
    values = [dsc(mask(n), mask(n) | mask(n + 20)) for n in range(3)]
    assert (one.readers, one.blind, one.what, one.frames) == (("A", "B"), True, "vessel", 3)
    assert one.dsc == pytest.approx(np.mean(values))
    assert one.dsc_sd == pytest.approx(np.std(values, ddof=1))


def test_what_comes_after_a_reading_changes_nothing(labels: LabelSet) -> None:
    before = sum_up(agreement_of(labels))
    labels.update_mask("f0", mask(50), "A")
    labels.settle("f1", mask(51), "C")
    labels.add_reading("f2", mask(2), "B")  # not blind: she may have seen the label
    assert sum_up(agreement_of(labels)) == before
    assert {row.id: row.settled for row in agreement_of(labels)} == {"f0": False, "f1": True, "f2": False}
    labels.add_reading("f1", mask(52), "D")
    found = sum_up(agreement_of(labels))
    assert [(one.who, one.frames, one.dsc_sd) for one in found[1:]] == [("C – D, not blind", 1, None)]


def test_each_class_where_either_has_drawn_it(tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "classes", "x", CLASSES)
    first, second = np.zeros((12, 16), np.uint8), np.zeros((12, 16), np.uint8)
    first[2:4, :8], first[6:8, :] = 1, 3
    second[2:4, 4:12], second[6:8, :] = 2, 3
    for n in (0, 1):
        id = labels.add(frame(n), first * (n == 0), annotator="A").id
        labels.add_reading(id, second, "B", blind=True)
    found = {one.what: one for one in sum_up(agreement_of(labels))}
    assert {what: one.frames for what, one in found.items()} == {"vessel": 2, "main": 1, "twig": 2, "wire": 2}
    assert found["main"].dsc == found["twig"].dsc == 0
    assert found["wire"].dsc == pytest.approx(0.5), "once the same, once missed"
    assert found["vessel"].dsc == pytest.approx(dsc(first == 1, second == 2) / 2)
    assert found["vessel"].cldice == pytest.approx(cldice(first == 1, second == 2) / 2)


def test_a_table_for_a_statistician(labels: LabelSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels.add_reading("f3", mask(3), "=1+1", blind=True, drawn_by=(0.25, 7))
    assert run(["agreement", str(labels.folder), "--per-frame", "--csv", str(tmp_path / "a.csv")]) == 0
    printed = capsys.readouterr().out
    assert "A – B" in printed
    assert "began with a prediction: " in printed
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert (rows["f3"]["dsc"], rows["f3"]["share"], rows["f3"]["seed"], rows["f3"]["second"]) == (
        "100",
        "0.25",
        "7",
        "'=1+1",
    )
    assert float(rows["f0"]["cldice"]) == pytest.approx(100 * cldice(mask(0), mask(0) | mask(20)), abs=1e-3)


def test_a_set_that_one_has_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = LabelSet.create(tmp_path / "one", "x")
    labels.add(frame(0), mask(0), annotator="A")
    assert run(["agreement", str(labels.folder)]) == 0
    assert "was read by two readers" in capsys.readouterr().out
    with pytest.raises(LabelError, match="no table"):
        write_csv(tmp_path / "a.csv", agreement_of(labels))
