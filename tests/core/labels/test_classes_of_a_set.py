"""Named classes of a label set: what its masks hold, what is refused, and that nothing changes for a set of one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from tests.core.labels import old_set
from tests.core.labels.made import frame, mask
from vasomim_core import files
from vasomim_core.classes import VESSEL, LabelClass, new_class, vessel_of
from vasomim_core.errors import ConfigError, LabelError
from vasomim_core.files import write_png
from vasomim_core.labels.labelled import labels_fingerprint, open_labels
from vasomim_core.labels.labelset import OUTSIDE, LabelSet, pixel_sha256
from vasomim_core.labels.mask import mask_sha256

MAIN = LabelClass(1, "main")
CATHETER = LabelClass(2, "catheter", "#3ca0e8", vessel=False)
TWIG = LabelClass(7, "twig", "#4cc26e")
THREE = (MAIN, CATHETER, TWIG)


class Killed(BaseException):
    """What the tests raise in place of a kill: nothing in the library catches it."""


def drawn(seed: int) -> np.ndarray:
    """A class mask (12, 16) of all three."""
    return np.random.default_rng(seed).choice(np.array([0, 1, 2, 7], np.uint8), (12, 16))


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return LabelSet.create(tmp_path / "set", "coronaries", THREE)


def file_of(labels: LabelSet, id: str) -> np.ndarray:
    return np.asarray(Image.open(labels.mask_path(id)))


# A set of one class


def test_a_set_of_before_is_read_and_written_as_before(tmp_path: Path) -> None:
    labels = LabelSet.open(old_set.write(tmp_path / "set"))
    assert labels.classes == VESSEL
    assert labels.check() == []
    for revision, pixels in ((1, old_set.FIRST), (2, old_set.SECOND), (None, old_set.SECOND)):
        assert labels.mask("a", revision).dtype == bool
        np.testing.assert_array_equal(labels.mask("a", revision), np.array(pixels, bool))
        np.testing.assert_array_equal(labels.class_mask("a", revision), np.array(pixels, np.uint8))
    opened = open_labels(labels.folder)[0]
    assert (opened.mask_sha256, opened.classes, opened.values) == (labels.record("a").mask_sha256, VESSEL, (1,))
    assert {name: (labels.folder / name).read_bytes() for name in old_set.FILES} == old_set.FILES, "only read"

    again = np.array(old_set.FIRST, np.float32) * 3
    assert labels.update_mask("a", again, "C").mask_sha256 == labels.revisions("a")[0].mask_sha256
    np.testing.assert_array_equal(file_of(labels, "a"), np.array(old_set.FIRST) * 255)
    assert (labels.folder / "labelset.json").read_bytes() == old_set.FILES["labelset.json"]
    assert labels.add(labels.frame("a"), np.array(old_set.SECOND, bool)).revision == 4


def test_a_new_set_of_one_class_is_one_of_before(tmp_path: Path) -> None:
    index = json.loads((LabelSet.create(tmp_path / "set", "x").folder / "labelset.json").read_text())
    assert list(index) == ["format", "version", "name", "created", "key"]
    assert index["version"] == 1


def test_further_classes_change_no_identity(tmp_path: Path) -> None:
    labels = LabelSet.open(old_set.write(tmp_path / "set"))
    before, fingerprint = labels.records(), labels_fingerprint(open_labels(labels.folder))
    assert labels.set_classes((*VESSEL, CATHETER)) == (*VESSEL, CATHETER)
    assert LabelSet.open(labels.folder).classes == (*VESSEL, CATHETER)
    assert json.loads((labels.folder / "labelset.json").read_text())["version"] == 2
    assert labels.records() == before
    assert labels.check() == []
    assert labels_fingerprint(open_labels(labels.folder)) == fingerprint
    same = labels.update_mask("a", np.array(old_set.SECOND, np.uint8), "B")
    assert same.revision == 2, "a mask of class 1 is the one of 255"
    np.testing.assert_array_equal(labels.class_mask("a", 1), old_set.FIRST)
    labels.set_classes(VESSEL)
    index = {**json.loads(old_set.FILES["labelset.json"])}
    assert json.loads((labels.folder / "labelset.json").read_text()) == index


def test_a_value_that_another_program_wrote_stays_the_one_class(tmp_path: Path) -> None:
    labels = LabelSet.open(old_set.write(tmp_path / "set"))
    write_png(labels.mask_path("a"), np.array(old_set.SECOND, np.uint8) * np.uint8(2))
    labels.set_classes((*VESSEL, CATHETER))
    np.testing.assert_array_equal(labels.class_mask("a"), old_set.SECOND)
    assert labels.check() == []


def test_any_value_is_the_only_class(tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x", [TWIG])
    for seed, value in enumerate((True, 1, 255, 7)):
        id = labels.add(frame(seed), mask(seed) * value).id
        np.testing.assert_array_equal(labels.class_mask(id), mask(seed) * np.uint8(7))
        np.testing.assert_array_equal(file_of(labels, id), mask(seed) * np.uint8(7))
    assert labels.check() == []
    with pytest.raises(LabelError, match="more than one value"):
        labels.add(frame(9), drawn(0))


def test_the_classes_in_the_documentation_are_those_of_a_set(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "labelset.md").read_text(encoding="utf-8")
    block = re.search(r"^### Classes$.*?```json\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    assert block
    (tmp_path / "labelset.json").write_text(block[1], encoding="utf-8")
    classes = LabelSet(tmp_path).classes
    assert [(c.value, c.name, c.vessel) for c in classes] == [
        (1, "main vessel", True),
        (2, "side branch", True),
        (3, "catheter", False),
    ]
    new = LabelSet.create(tmp_path / "new", "coronaries", classes)
    assert json.loads((new.folder / "labelset.json").read_text())["classes"] == json.loads(block[1])["classes"]


# A set of several


def test_a_class_mask_comes_back_as_it_was_given(labels: LabelSet) -> None:
    record = labels.add(frame(1), drawn(1), annotator="A")
    again = LabelSet.open(labels.folder)
    assert again.classes == THREE
    np.testing.assert_array_equal(again.class_mask(record.id), drawn(1))
    assert again.class_mask(record.id).dtype == np.uint8
    np.testing.assert_array_equal(again.mask(record.id), np.isin(drawn(1), [1, 7]))
    np.testing.assert_array_equal(file_of(labels, record.id), drawn(1))
    assert record.mask_sha256 == pixel_sha256(drawn(1))
    assert again.check() == []


def test_without_values_a_mask_is_of_the_class_of_the_smallest(labels: LabelSet) -> None:
    for seed, value in enumerate((True, 255, np.float32(255))):
        record = labels.add(frame(seed), mask(seed) * value)
        np.testing.assert_array_equal(file_of(labels, record.id), mask(seed))
        assert record.mask_sha256 == pixel_sha256(mask(seed))
    both = np.where(mask(5), 255, drawn(5))
    id = labels.add(frame(5), both).id
    np.testing.assert_array_equal(labels.class_mask(id), np.where(mask(5), 1, drawn(5)))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.where(mask(0), 3, 0), "value 3, which is of no class \\(1 main, 2 catheter, 7 twig\\)"),
        (np.where(mask(0), 258, 0), "value 258"),
        (np.where(mask(0), -1, 0), "value -1"),
        (np.where(mask(0), 1.5, 0), r"value 1\.5"),
        (np.where(mask(0), np.nan, 0), "value nan"),
        (np.zeros((12, 15), np.uint8), "12×15 and its frame 12×16"),
        (np.zeros((12, 16, 3), np.uint8), "one plane"),
    ],
)
def test_values_of_no_class_are_refused_before_anything_is_written(labels: LabelSet, bad, says: str) -> None:
    id = labels.add(frame(0), drawn(0)).id
    for refused in (lambda: labels.update_mask(id, bad, "A"), lambda: labels.add(frame(1), bad)):
        with pytest.raises(LabelError, match=says):
            refused()
    assert (len(labels.records()), labels.check()) == (1, [])


def test_a_file_with_a_value_of_no_class_is_named(labels: LabelSet) -> None:
    id = labels.add(frame(0), drawn(0)).id
    write_png(labels.mask_path(id), np.where(mask(0), 3, 0).astype(np.uint8))
    for refused in (lambda: labels.mask(id), lambda: labels.class_mask(id), lambda: open_labels(labels.folder)):
        with pytest.raises(LabelError, match=rf"{id}\.png has the value 3"):
            refused()
    assert [f"{id}.png has the value 3" in told for told in labels.check()] == [True]


def test_revisions_keep_their_classes(labels: LabelSet) -> None:
    id = labels.add(frame(0), drawn(1), annotator="A").id
    labels.update_mask(id, mask(2), "B")
    write_png(labels.mask_path(id), drawn(3))
    labels.set_status(id, "flagged")
    restored = labels.restore(id, 1)
    assert [r.annotator for r in labels.revisions(id)] == ["A", "B", OUTSIDE, "A"]
    for revision, pixels in ((1, drawn(1)), (2, mask(2)), (3, drawn(3)), (4, drawn(1)), (None, drawn(1))):
        np.testing.assert_array_equal(labels.class_mask(id, revision), pixels)
    assert restored.mask_sha256 == labels.revisions(id)[0].mask_sha256
    assert labels.check() == []


@given(arrays(np.uint8, (4, 5), elements=st.sampled_from([0, 1, 2, 7])))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_class_mask_comes_back(labels: LabelSet, pixels: np.ndarray) -> None:
    seen = np.zeros((4, 5), np.uint8)
    record = labels.add(seen, pixels)
    np.testing.assert_array_equal(labels.class_mask(record.id), pixels)
    np.testing.assert_array_equal(labels.mask(record.id), vessel_of(pixels, THREE))
    (opened,) = (f for f in open_labels(labels.folder) if f.shape == (4, 5))
    np.testing.assert_array_equal(opened.class_mask(), pixels)
    assert opened.mask_sha256 == record.mask_sha256 == mask_sha256(pixels, THREE)
    assert opened.vessel == np.isin(pixels, [1, 7]).mean()
    assert opened.values == tuple(sorted({*pixels.ravel().tolist()} - {0}))
    assert labels.check() == []


@given(arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 2])), arrays(np.uint8, (3, 4), elements=st.just(0)))
def test_two_masks_have_one_identity_only_if_they_are_equal(a: np.ndarray, b: np.ndarray) -> None:
    for other in (b, (a != 0).astype(np.uint8), np.where(a == 0, 2, a)):
        equal = bool((a == other).all())
        assert (mask_sha256(a, THREE) == mask_sha256(other, THREE)) == equal


# Changing the classes


def test_names_colours_and_what_is_vessel_may_change(labels: LabelSet) -> None:
    record = labels.add(frame(0), drawn(0))
    fingerprint = labels_fingerprint(open_labels(labels.folder))
    new = (replace(MAIN, name="left", colour="#000000"), replace(CATHETER, vessel=True), TWIG)
    labels.set_classes(reversed(new))
    assert LabelSet.open(labels.folder).classes == new
    np.testing.assert_array_equal(labels.mask(record.id), drawn(0) != 0)
    assert (labels.records(), labels.check()) == ([record], [])
    assert labels_fingerprint(open_labels(labels.folder)) != fingerprint, "another vessel is learned"
    labels.set_classes(THREE)
    assert labels_fingerprint(open_labels(labels.folder)) == fingerprint


def test_a_class_that_is_drawn_stays(labels: LabelSet) -> None:
    a = labels.add(frame(0), np.where(mask(0), 7, 0)).id
    labels.add(frame(1), np.where(mask(1), 7, 0))
    labels.set_classes((MAIN, TWIG))
    with pytest.raises(LabelError, match=r"^Class twig is in 2 labels of .*, or in earlier revisions of them"):
        labels.set_classes((MAIN, CATHETER))
    for record in labels.records():
        labels.update_mask(record.id, mask(0), "A")
    with pytest.raises(LabelError, match="2 labels"):
        labels.set_classes((MAIN, CATHETER))
    assert LabelSet(labels.folder).classes == (MAIN, TWIG), "nothing was changed"
    np.testing.assert_array_equal(labels.class_mask(a, 1), np.where(mask(0), 7, 0))


def test_a_value_of_no_class_does_not_become_one(labels: LabelSet) -> None:
    id = labels.add(frame(0), mask(0)).id
    write_png(labels.mask_path(id), mask(0) * np.uint8(9))
    with pytest.raises(LabelError, match=r"^The value 9, of no class, is in 1 label of"):
        labels.set_classes((MAIN,))
    labels.set_classes((*THREE, LabelClass(9, "nine")))
    np.testing.assert_array_equal(labels.class_mask(id), mask(0) * np.uint8(9))


def test_the_smallest_value_stays_once_there_are_labels(labels: LabelSet) -> None:
    labels.set_classes((CATHETER, TWIG))
    labels.set_classes((TWIG,))
    labels.add(frame(0), np.zeros((12, 16)))
    for wrong in (THREE, (replace(TWIG, value=8),)):
        with pytest.raises(LabelError, match=r"smallest value, 7 \(twig\)"):
            labels.set_classes(wrong)
    labels.set_classes((replace(TWIG, name="vessel"), replace(CATHETER, value=8)))
    assert labels.check() == []


def test_classes_that_contradict_each_other_are_refused(labels: LabelSet, tmp_path: Path) -> None:
    twice = (MAIN, replace(TWIG, name="MAIN"))
    with pytest.raises(ConfigError, match="two classes"):
        labels.set_classes(twice)
    with pytest.raises(ConfigError, match="two classes"):
        LabelSet.create(tmp_path / "new", "x", twice)
    assert not (tmp_path / "new").exists()
    assert labels.classes == THREE


def test_what_others_wrote_into_the_index_stays(labels: LabelSet) -> None:
    index = labels.folder / "labelset.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "key": None, "site": "Lyon"}))
    labels.set_classes((MAIN, TWIG))
    assert json.loads(index.read_text()).items() >= {"key": None, "site": "Lyon", "version": 2}.items()


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": None},
        {"classes": []},
        {"classes": {}},
        {"classes": ["vessel"]},
        {"classes": [{"value": 1, "name": "a", "colour": "#000000"}]},
        {"classes": [{"value": 1, "name": "a", "colour": "#000000", "vessel": True, "id": 3}]},
        {"classes": [{"value": 1, "name": "a", "colour": "red", "vessel": True}]},
        {"classes": [{"value": 1.0, "name": "a", "colour": "#000000", "vessel": True}]},
        {"classes": [{"value": 1, "name": "a", "colour": "#000000", "vessel": False}]},
        {"version": 1},
        {"version": 4},
    ],
)
def test_an_index_whose_classes_do_not_fit_is_named(labels: LabelSet, changes: dict[str, object]) -> None:
    id = labels.add(frame(0), drawn(0)).id
    index = labels.folder / "labelset.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), **changes}))
    for refused in (
        lambda: LabelSet.open(labels.folder),
        lambda: labels.classes,
        lambda: labels.class_mask(id),
        lambda: labels.update_mask(id, drawn(1), "A"),
        lambda: labels.set_classes(THREE),
    ):
        with pytest.raises(LabelError, match=r"labelset\.json"):
            refused()


def test_a_change_that_is_killed_is_whole_or_absent(labels: LabelSet, monkeypatch: pytest.MonkeyPatch) -> None:
    id = labels.add(frame(0), mask(0)).id
    rename = files.os.replace
    for after in (False, True):

        def replace_or_die(source, target, after=after) -> None:
            if after:
                rename(source, target)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(files.os, "replace", replace_or_die)
            with pytest.raises(Killed):
                labels.set_classes((MAIN, TWIG))
        assert LabelSet.open(labels.folder).classes == ((MAIN, TWIG) if after else THREE)
    np.testing.assert_array_equal(labels.mask(id), mask(0))
    assert labels.check() == []


@pytest.mark.parametrize("moment", range(5))
def test_a_label_that_was_killed_is_finished_though_the_classes_came_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")
    id = labels.add(frame(0), mask(1), annotator="A", id="a").id
    rename, count = files.os.replace, iter(range(100))

    def replace_or_die(source, target) -> None:
        if next(count) == moment:
            raise Killed
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", replace_or_die)
        try:
            labels.update_mask(id, mask(2), "B")
        except Killed:
            pass
        else:
            assert moment == 4
    LabelSet(labels.folder).set_classes((*VESSEL, CATHETER))
    reopened = LabelSet.open(labels.folder)
    assert reopened.check() == []
    np.testing.assert_array_equal(reopened.class_mask(id), mask(2 if moment > 1 else 1))
    assert reopened.update_mask(id, drawn(0) % 3, "C").revision == reopened.revisions(id)[-1].revision
    np.testing.assert_array_equal(reopened.class_mask(id), drawn(0) % 3)


# Two at once


def test_a_writer_takes_the_classes_as_they_are_now(labels: LabelSet) -> None:
    other = LabelSet.open(labels.folder)
    other.set_classes((MAIN, CATHETER))
    with pytest.raises(LabelError, match="value 7, which is of no class"):
        labels.add(frame(0), drawn(0))
    other.set_classes((MAIN, CATHETER, replace(TWIG, value=9)))
    id = labels.add(frame(0), np.where(mask(0), 9, 0)).id
    assert [c.value for c in labels.classes] == [1, 2, 9]
    np.testing.assert_array_equal(other.class_mask(id), np.where(mask(0), 9, 0))


def test_a_reader_that_knew_one_class_sees_a_second_one(tmp_path: Path) -> None:
    reader = LabelSet.create(tmp_path / "set", "x")
    id = reader.add(frame(0), mask(0)).id
    frames = open_labels(reader.folder)
    writer = LabelSet.open(reader.folder)
    writer.set_classes((*VESSEL, CATHETER))
    np.testing.assert_array_equal(frames[0].class_mask(), mask(0))
    writer.update_mask(id, mask(1) * 2, "A")
    np.testing.assert_array_equal(reader.class_mask(id), mask(1) * 2)
    assert not reader.mask(id).any()
    for read in (frames[0].mask, frames[0].class_mask):
        with pytest.raises(LabelError, match="a class that came to its set a moment ago: open the labels again"):
            read()


WRITER = """
import sys, numpy as np
from vasomim_core.errors import LabelError
from vasomim_core.labels.labelset import LabelSet
labels = LabelSet.open(sys.argv[1])
random = np.random.default_rng(int(sys.argv[2]))
for i in range(25):
    values = [0, *(one.value for one in labels.classes)]
    try:
        labels.add(np.full((8, 8), i % 5, np.uint8), random.choice(values, (8, 8)), annotator=sys.argv[2])
    except LabelError as error:
        assert "which is of no class" in str(error)
"""


def test_one_changes_the_classes_while_two_draw(tmp_path: Path) -> None:
    """Classes come and go, two processes draw with those that they see: a mask keeps what it says, or is refused."""
    labels = LabelSet.create(tmp_path / "set", "x")
    labels.add(np.zeros((8, 8), np.uint8), np.eye(8))
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(labels.folder), str(n)]) for n in (1, 2)]
    random = np.random.default_rng(0)
    changed, refusals = 0, []
    while any(writer.poll() is None for writer in writers):
        values = {2, 3, 4} - {int(random.integers(2, 5))}
        try:
            labels.set_classes((*VESSEL, *(LabelClass(v, f"class {v}", vessel=v != 3) for v in sorted(values))))
            changed += 1
        except LabelError as error:
            refusals.append(str(error))
        time.sleep(0.05)  # locks are not fair
    assert [writer.returncode for writer in writers] == [0, 0]
    assert changed
    assert refusals
    assert all("earlier revisions" in refusal for refusal in refusals)
    assert labels.check() == []
    for record in labels.records():
        revisions = labels.revisions(record.id)
        assert [r.revision for r in revisions] == list(range(1, record.revision + 1))
        for r in revisions:
            pixels = labels.class_mask(record.id, r.revision)  # refuses a value of no class
            assert mask_sha256(pixels, labels.classes) == r.mask_sha256


def test_of_two_programs_that_add_a_class_at_once_none_loses_its_own(labels: LabelSet) -> None:
    def add(name: str) -> tuple[LabelClass, ...]:
        def change(classes: tuple[LabelClass, ...]) -> tuple[LabelClass, ...]:
            time.sleep(0.1)  # long enough for the others to have read the same classes, if they may
            return (*classes, new_class(classes, name))

        return LabelSet.open(labels.folder).set_classes(change)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, ("stent", "wire", "clip", "graft")))
    names = [one.name for one in LabelSet.open(labels.folder).classes]
    assert sorted(names) == sorted(["main", "catheter", "twig", "stent", "wire", "clip", "graft"])
