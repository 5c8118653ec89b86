"""Who labelled what: nobody's accepted label is replaced unasked, and second readings are kept beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.core.labels import old_set
from tests.core.labels.made import frame, mask
from vasomim_core.classes import LabelClass
from vasomim_core.errors import LabelError
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.labelset import OUTSIDE, LabelSet
from vasomim_core.labels.readers import OthersLabelError, Replacing
from vasomim_core.labels.readings import newest_of_each, to_read_again


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return LabelSet.create(tmp_path / "set", "x")


def version(labels: LabelSet) -> int:
    return int(json.loads((labels.folder / "labelset.json").read_text())["version"])


# Replacing


def test_the_accepted_label_of_another_reader_stays_until_that_revision_is_agreed(labels: LabelSet) -> None:
    first = labels.add(frame(0), mask(0), annotator="A")
    ways = (
        lambda by: labels.add(frame(0), mask(1), annotator="B", replacing=by),
        lambda by: labels.update_mask(first.id, mask(2), "B", replacing=by),
        lambda by: labels.restore(first.id, 1, replacing=by),
        lambda by: labels.set_status(first.id, "skipped", replacing=by),
    )
    for way in ways[:2]:
        labels.update_mask(first.id, mask(9), "A")
        before = labels.record(first.id)
        for stale in (0, before.revision - 1):
            with pytest.raises(OthersLabelError, match="A accepted"):
                way(Replacing("B", stale))
        assert labels.record(first.id) == before
        assert way(Replacing("B", before.revision)).revision == before.revision + 1
    labels.update_mask(first.id, mask(9), "A")
    for way in ways[2:]:
        with pytest.raises(OthersLabelError):
            way(Replacing("B"))
    assert labels.set_status(first.id, "accepted", replacing=Replacing("B")).status == "accepted", "nothing is lost"
    assert labels.set_status(first.id, "flagged", replacing=Replacing("B", labels.record(first.id).revision))


@pytest.mark.parametrize(
    ("by", "status"), [("b ", "accepted"), ("", "accepted"), (OUTSIDE, "accepted"), ("A", "flagged")]
)
def test_ones_own_and_nobodys_labels_do_not_ask(labels: LabelSet, by: str, status) -> None:
    labels.add(frame(0), mask(0), annotator=by, status=status)
    assert labels.add(frame(0), mask(1), annotator="B", replacing=Replacing("B")).revision == 2


# Second readings


def test_a_second_reading_lies_beside_the_label(labels: LabelSet) -> None:
    first = labels.add(frame(0), mask(0), annotator="A", model="vasomim-demo")
    index = (labels.folder / "labelset.json").read_bytes()
    with pytest.raises(LabelError, match="by A herself"):
        labels.add_reading(first.id, mask(1), "a")
    with pytest.raises(LabelError, match="needs a reader"):
        labels.add_reading(first.id, mask(1), " ")
    assert (labels.folder / "labelset.json").read_bytes() == index, "a set without readings stays as it was"
    one = labels.add_reading(first.id, mask(1), "B", blind=True, drawn_by=(0.5, 7))
    assert labels.add_reading(first.id, mask(1), "B", blind=True, drawn_by=(0.5, 7)) == one
    two = labels.add_reading(first.id, mask(2), "B", model="m")
    assert (one.number, one.beside, one.share, one.seed, one.blind) == (1, 1, 0.5, 7, True)
    assert labels.readings(first.id) == [one, two]
    assert newest_of_each([one, two]) == [two]
    assert newest_of_each([one, two], blind_first=True) == [one]
    np.testing.assert_array_equal(labels.reading_mask(first.id, 1) != 0, mask(1))

    assert version(labels) == 3
    assert labels.record(first.id) == first
    np.testing.assert_array_equal(open_labels(labels.folder)[0].mask(), mask(0)), "training has the label alone"
    assert labels.check() == []
    assert [r.revision for r in LabelSet.open(labels.folder).revisions(first.id)] == [1]


def test_an_old_set_is_read_as_before_and_upgraded_by_writing(tmp_path: Path) -> None:
    labels = LabelSet.open(old_set.write(tmp_path / "old"))
    assert (labels.readings("a"), labels.record("a").settled, labels.read_again()) == ([], False, [])
    labels.set_status("a", "flagged")
    assert "settled" not in json.loads((tmp_path / "old/records/a.json").read_text())
    assert version(labels) == 1
    labels.add_reading("a", labels.mask("a"), "C")
    assert version(labels) == 3
    labels.set_classes((*labels.classes, LabelClass(2, "twig")))
    labels.set_classes(labels.classes[:1])
    assert version(labels) == 3, "it does not forget that there are readers"


def test_a_class_that_a_reading_alone_has_stays(labels: LabelSet) -> None:
    id = labels.add(frame(0), mask(0), annotator="A").id
    two = labels.set_classes((*labels.classes, LabelClass(2, "twig")))
    labels.add_reading(id, mask(1) * np.uint8(2), "B")
    with pytest.raises(LabelError, match="Class twig is in 1 label"):
        labels.set_classes(two[:1])


def test_what_is_wrong_with_readings_is_named(labels: LabelSet) -> None:
    id = labels.add(frame(0), mask(0), annotator="A").id
    for n in range(3):
        labels.add_reading(id, mask(n), f"B{n}")
    readings = labels.folder / "readings"
    (readings / id / "1.json").write_text("{}")
    (readings / id / "2.png").write_bytes((readings / id / "3.png").read_bytes())
    (readings / id / "3 (1).png").write_bytes(b"")
    (readings / "gone").mkdir()
    found = "\n".join(labels.check())
    for words in ("1.json has missing", "2.png was changed", "3 (1).png is not named", "gone has no record"):
        assert words in found
    assert [r.number for r in labels.readings(id)] == [2, 3]
    (readings / id / "4.png").write_bytes(b"")
    assert labels.add_reading(id, mask(7), "C").number == 5, "what was interrupted is not written over"


def test_a_share_is_drawn_by_its_seed(labels: LabelSet) -> None:
    for n in range(9):
        labels.add(frame(n), mask(n), annotator="AB"[n == 8], status="flagged" if n == 7 else "accepted")
    records = labels.records()
    chosen, read = to_read_again(records, {}, "B", 0.5, 3)
    assert (len(chosen), read) == (4, [])
    assert chosen == to_read_again(records[::-1], {}, "b", 0.5, 3)[0]
    assert chosen == to_read_again(records, {}, "B", 1.0, 3)[0][:4]
    assert chosen != to_read_again(records, {}, "B", 0.5, 4)[0]
    reading = labels.add_reading(chosen[1].id, mask(0), "B")
    assert to_read_again(records, {chosen[1].id: [reading]}, "B", 0.5, 3) == (chosen, [chosen[1]])
    assert to_read_again(records, {chosen[1].id: [replace(reading, annotator="C")]}, "B", 0.5, 3)[1] == []
    labels.settle(chosen[0].id, mask(0), "S")
    left, _ = to_read_again(labels.records(), {}, "B", 0.5, 3)
    assert [one.id for one in left] == [one.id for one in chosen[1:]], "what is settled makes room for no other"
    assert to_read_again(labels.records(), {}, "A", 1.0, 3)[0] == [records[8]], "nor does A read her own again"


# Settling


def test_what_is_settled_is_the_label_until_it_is_replaced(labels: LabelSet) -> None:
    id = labels.add(frame(0), mask(0), annotator="A").id
    labels.add_reading(id, mask(1), "B")
    with pytest.raises(LabelError, match="has changed meanwhile"):
        labels.settle(id, mask(1), "S", seen=4)
    settled = labels.settle(id, mask(1), "S", seen=1)
    assert (settled.revision, settled.annotator, settled.settled) == (2, "S", True)
    assert LabelSet.open(labels.folder).record(id) == settled
    assert labels.add(frame(0), mask(1), annotator="S") == settled
    assert labels.set_status(id, "accepted").settled
    assert not labels.update_mask(id, mask(3), "S").settled
    assert labels.restore(id, 2).settled
    assert labels.settle(id, mask(1), "S", seen=4).revision == 4
    assert labels.check() == []
