from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.core.exchange.conftest import THREE, drawn
from tests.core.labels.made import frame, mask, save, take_in
from vasomim_core.classes import LabelClass
from vasomim_core.errors import LabelError
from vasomim_core.exchange.formats import labelled
from vasomim_core.exchange.importing import carry_out, import_labels, plan_import
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.labelset import LabelSet, pixel_sha256


def test_imported_pairs_tell_no_file_names_and_never_replace_a_mask(pairs: Path, tmp_path: Path) -> None:
    (pairs / "images" / "0.png").rename(pairs / "images" / "Doe^Jane.png")
    (pairs / "masks" / "0.png").rename(pairs / "masks" / "Doe^Jane.png")
    labels = LabelSet.create(tmp_path / "set", "x")
    added = take_in(labels, pairs, annotator="A")
    assert len(added) == 4
    assert {r.annotator for r in labels.records("accepted")} == {"A"}
    assert labels.check() == []
    for path in labels.folder.rglob("*"):
        assert "Doe" not in path.name
        assert path.suffix != ".json" or "Doe" not in path.read_text()
    corrected = labels.update_mask(added[0], mask(99), "B")
    save(pairs / "images" / "new.png", frame(50))
    save(pairs / "masks" / "new.png", mask(50))
    assert len(take_in(labels, pairs)) == 1
    assert labels.record(added[0]) == corrected


def test_frames_of_a_run_are_imported_as_one_group_with_their_places(pairs: Path, tmp_path: Path) -> None:
    for folder, stack in (("images", [frame(s) for s in (20, 21, 20)]), ("masks", [mask(s) * 1 for s in (20, 21, 22)])):
        pages = np.stack(stack).astype(np.uint8)
        tifffile.imwrite(pairs / folder / "run.tif", pages, photometric="minisblack")
    labels = LabelSet.create(tmp_path / "set", "x")
    first, again = take_in(labels, pairs), take_in(labels, pairs)
    assert (len(first), again) == (7, [])
    alone = [r for r in labels.records() if r.frame_index is None]
    run = sorted((r for r in labels.records() if r.frame_index is not None), key=lambda r: r.frame_index or 0)
    assert {r.group for r in alone} == {None}
    assert [(r.frame_index, r.group) for r in run] == [(i, pixel_sha256(frame(20))[:16]) for i in range(3)]
    for r, seed in zip(run, (20, 21, 22), strict=True):
        np.testing.assert_array_equal(labels.mask(r.id), mask(seed))


def test_nothing_is_imported_from_a_folder_with_a_mistake(pairs: Path, tmp_path: Path) -> None:
    save(pairs / "masks" / "3.png", np.zeros((5, 5), np.uint8))
    labels = LabelSet.create(tmp_path / "set", "x")
    with pytest.raises(LabelError, match=r"3\.png"):
        take_in(labels, pairs)
    assert labels.records() == []


def test_arcade_is_imported_with_its_frames_and_masks(arcade_part: Path, tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")
    assert len(take_in(labels, arcade_part)) == 9, "of identical frames the first"
    original = {f.frame_sha256: f for f in open_labels(arcade_part)[::-1]}
    for f in open_labels(labels.folder):
        np.testing.assert_array_equal(f.mask(), original[f.frame_sha256].mask())
    assert {r.source for r in labels.records()} >= {"ARCADE train 1", "ARCADE train 20"}


# What is said before, and what becomes of masks that differ


def test_another_mask_becomes_a_revision_and_the_first_stays(pairs: Path, tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")
    labels.add(frame(0), mask(90), annotator="B", group="g", note="mine", status="flagged")
    labels.add(frame(1), mask(1), annotator="B")
    plan = plan_import(labelled(pairs), labels)
    assert (len(plan.new), plan.same, [one.where for one in plan.conflicting]) == (2, 1, [str(pairs / "images/0.png")])
    assert plan.report()[0] == "2 new, 1 the same, 1 conflicting."
    assert len(labels.ids()) == 2, "nothing is written by looking"
    done = carry_out(plan, labels, "C")
    assert (len(done.added), len(done.revised)) == (2, 1)
    record = labels.record(done.revised[0])
    assert (record.revision, record.annotator, record.group, record.note) == (2, "C", "g", "mine")
    assert record.status == "accepted"
    np.testing.assert_array_equal(labels.mask(record.id), mask(0))
    np.testing.assert_array_equal(labels.mask(record.id, 1), mask(90))
    assert plan_import(labelled(pairs), labels).same == 4
    labels.update_mask(record.id, mask(91), "B")
    assert plan_import(labelled(pairs), labels).same == 4, "an earlier revision is nothing new"


def test_a_report_can_be_read_at_a_glance(pairs: Path) -> None:
    plan = plan_import(labelled(pairs), None)
    many = tuple(f"sentence {n}." for n in range(30))
    told = replace(plan, left=many, notes=many).report()
    assert told[1:4] == many[:3]
    assert told[4] == "… and 27 more left out."
    assert told[-1] == "… and 20 more notes."
    assert len(told) == 1 + 4 + 11


def test_new_only_leaves_what_is_there(pairs: Path, tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")
    mine = labels.add(frame(0), mask(90))
    done = import_labels(labelled(pairs), labels, new_only=True)
    assert (len(done.added), done.revised, labels.record(mine.id)) == (3, (), mine)


def test_classes_that_the_set_lacks_come_when_asked(labels: LabelSet, tmp_path: Path) -> None:
    other = LabelSet.create(tmp_path / "other", "x", (LabelClass(2, "main"), LabelClass(7, "wire", vessel=False)))
    other.add(frame(0), drawn(0) * 0 + 7)
    plan = plan_import(labelled(labels.folder), other)
    assert [(one.value, one.name, one.vessel) for one in plan.missing] == [(3, "catheter", False), (4, "twig", True)]
    assert any("catheter, twig" in line for line in plan.report())
    with pytest.raises(LabelError, match="no class called catheter, twig"):
        carry_out(plan, other)
    assert (len(other.ids()), len(other.classes)) == (1, 2)
    carry_out(plan, other, add_classes=True)
    found = other.class_mask(other.find(frame(1), 3).id)  # type: ignore[union-attr]
    for theirs, ours in ((0, 0), (1, 2), (2, 3), (7, 4)):
        np.testing.assert_array_equal(found == ours, drawn(1) == theirs)


def test_a_set_without_labels_takes_the_classes_as_they_are(labels: LabelSet, tmp_path: Path) -> None:
    other = LabelSet.create(tmp_path / "other", "x")
    import_labels(labelled(labels.folder), other, add_classes=True)
    assert other.classes == THREE


def test_a_plan_is_not_carried_out_on_something_else(pairs: Path, labels: LabelSet, tmp_path: Path) -> None:
    other = LabelSet.create(tmp_path / "other", "x", THREE[:2])
    plan = plan_import(labelled(labels.folder), other)
    other.set_classes((*THREE[:2], LabelClass(8, "twig")))
    with pytest.raises(LabelError, match=r"classes of .*other have changed"):
        carry_out(plan, other, add_classes=True)
    plain = LabelSet.create(tmp_path / "plain", "x")
    plan = plan_import(labelled(pairs), plain)
    save(pairs / "images" / "3.png", frame(77))
    with pytest.raises(LabelError, match=r"3\.png has changed"):
        carry_out(plan, plain)
    assert len(plain.ids()) == 3, "what was written stays"


def test_frames_without_an_index_are_found_by_their_pixels(pairs: Path, tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")
    for index in (4, 5):
        labels.add(frame(0), mask(0), frame_index=index)
    labels.add(frame(1), mask(1), frame_index=6)
    plan = plan_import(labelled(pairs), labels)
    assert (len(plan.new), plan.same) == (2, 1)
    assert "pixels of 2 frames" in plan.left[0]


def test_groups_of_two_sets_are_not_the_same_patients(labels: LabelSet, tmp_path: Path) -> None:
    other = LabelSet.create(tmp_path / "other", "x", THREE)
    assert not any("pseudonyms" in note for note in plan_import(labelled(labels.folder), other).notes)
    other.add(frame(50), drawn(0), group="elsewhere")
    assert any("pseudonyms" in note for note in plan_import(labelled(labels.folder), other).notes)


def test_labels_that_another_reader_accepted_are_replaced_only_when_that_is_said(pairs: Path, tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")
    mine = labels.add(frame(0), mask(90), annotator="A")
    plan = plan_import(labelled(pairs), labels)
    assert plan.told_of_others("B") == "1 of the labels that conflict was accepted by A."
    assert (plan.told_of_others("a"), plan.of_others("A")) == ("", ())
    with pytest.raises(LabelError, match="accepted by A: say whether"):
        carry_out(plan, labels, "B")
    with pytest.raises(LabelError, match="Nobody is named"):
        carry_out(plan, labels, others="second")
    assert labels.ids() == [mine.id]
    done = carry_out(plan, labels, "B", others="second")
    assert (len(done.added), done.revised, done.read, labels.record(mine.id)) == (3, (), (mine.id,), mine)
    np.testing.assert_array_equal(labels.reading_mask(mine.id, 1) != 0, mask(0))
    assert plan_import(labelled(pairs), labels).same == 4

    labels.update_mask(mine.id, mask(91), "A")
    with pytest.raises(LabelError, match=r"A has accepted a label of .* meanwhile"):
        carry_out(plan, labels, "B", others="replace")
    assert labels.record(mine.id).annotator == "A"
