from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vasomim_core import files
from vasomim_core.errors import LabelError
from vasomim_core.files import write_png
from vasomim_core.labels import history
from vasomim_core.labels.labelset import OUTSIDE, LabelSet, pixel_sha256


class Killed(BaseException):
    """What the tests raise in place of a kill: nothing in the library catches it."""


def frame(seed: int = 0, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (12, 16)).astype(dtype)


def mask(row: int = 3) -> np.ndarray:
    drawn = np.zeros((12, 16), bool)
    drawn[row, 2:9] = True
    return drawn


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    return LabelSet.create(tmp_path / "set", "coronaries")


def test_a_label_comes_back_as_it_was_given(labels: LabelSet) -> None:
    given = labels.add(
        frame(1, "uint16"),
        mask(),
        group="g1",
        annotator="A",
        model="demo",
        source="s",
        frame_index=4,
        note="n",
    )
    reopened = LabelSet.open(labels.folder)
    assert reopened.name == "coronaries"
    assert reopened.key == labels.key
    assert reopened.record(given.id) == given
    assert given.frame_sha256 == pixel_sha256(frame(1, "uint16"))
    np.testing.assert_array_equal(reopened.frame(given.id), frame(1, "uint16"))
    np.testing.assert_array_equal(reopened.mask(given.id), mask())
    assert reopened.check() == []


def test_masks_are_stored_as_0_and_255(labels: LabelSet) -> None:
    id = labels.add(frame(), mask().astype(np.float32)).id
    np.testing.assert_array_equal(np.asarray(Image.open(labels.mask_path(id))), mask() * np.uint8(255))


def test_the_same_frame_becomes_a_revision_and_another_index_another_frame(labels: LabelSet) -> None:
    first = labels.add(frame(), mask(1), annotator="A", group="g", frame_index=0, id="mine")
    again = labels.add(frame(), mask(2), annotator="B", frame_index=0, status="flagged")
    other = labels.add(frame(), mask(2), annotator="B", frame_index=1)
    assert (again.id, again.revision, again.group, again.status) == ("mine", 2, "g", "flagged")
    assert again.created == first.created
    assert other.id != first.id
    assert labels.find(frame(), 1) == other
    assert labels.find(frame(9), 1) is None
    with pytest.raises(LabelError, match="belongs to another frame"):
        labels.add(frame(5), mask(), id="mine")


def test_each_record_is_read_once_to_find_frames(labels: LabelSet, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        labels.add(frame(seed), mask())
    read: list[str] = []
    identity = history.identity
    monkeypatch.setattr(history, "identity", lambda files, id: read.append(id) or identity(files, id))
    opened = LabelSet.open(labels.folder)
    assert all(opened.find(frame(seed)) is not None for seed in range(3))
    assert read == opened.ids()


def test_revisions_are_kept_and_restored_as_new_ones(labels: LabelSet) -> None:
    id = labels.add(frame(), mask(1), annotator="A", model="demo").id
    labels.update_mask(id, mask(2), "B")
    labels.set_status(id, "flagged")
    restored = labels.restore(id, 1)
    assert (restored.revision, restored.annotator, restored.model, restored.status) == (
        3,
        "A",
        "demo",
        "flagged",
    )
    assert [r.annotator for r in labels.revisions(id)] == ["A", "B", "A"]
    for revision, row in ((1, 1), (2, 2), (3, 1), (None, 1)):
        np.testing.assert_array_equal(labels.mask(id, revision), mask(row))
    with pytest.raises(LabelError, match="no revision 9"):
        labels.restore(id, 9)


def test_saving_the_same_again_changes_nothing(labels: LabelSet) -> None:
    before = labels.add(frame(), mask(), annotator="A")
    assert labels.update_mask(before.id, mask(), "A") == before
    assert labels.add(frame(), mask(), annotator="A") == before
    assert labels.update_mask(before.id, mask(), "B").revision == 2, "another person approved it"


def test_status_and_group_change_without_a_revision(labels: LabelSet) -> None:
    id = labels.add(frame(), mask(), group="p").id
    labels.add(frame(1), mask(), group="p", status="skipped")
    labels.add(frame(2), mask())
    labels.set_status(id, "flagged", note="catheter?")
    labels.set_group(id, "q")
    record = labels.record(id)
    assert (record.status, record.note, record.group, record.revision) == ("flagged", "catheter?", "q", 1)
    assert sorted((r.status, r.group or "") for r in labels.records()) == [
        ("accepted", ""),
        ("flagged", "q"),
        ("skipped", "p"),
    ]
    assert [r.id for r in labels.records("flagged")] == [id]
    with pytest.raises(LabelError, match="accepted, skipped, flagged"):
        labels.set_status(id, "done")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.zeros((12, 15)), "12×15 and its frame 12×16"),
        (np.zeros((12, 16, 3), np.uint8), "one plane"),
        (np.full((12, 16), np.nan), "not finite"),
        (np.linspace(0, 1, 192).reshape(12, 16), "more than one value"),
        (np.full((12, 16), "x"), "numbers"),
    ],
)
def test_what_is_not_a_mask_is_refused_before_anything_is_written(labels: LabelSet, bad, says: str) -> None:
    id = labels.add(frame(), mask()).id
    with pytest.raises(LabelError, match=says):
        labels.update_mask(id, bad, "A")
    with pytest.raises(LabelError, match=says):
        labels.add(frame(1), bad)
    assert labels.check() == []
    assert len(labels.records()) == 1


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), np.zeros((0, 4), np.uint8)]
)
def test_what_is_not_a_frame_is_refused(labels: LabelSet, bad: np.ndarray) -> None:
    with pytest.raises(LabelError, match="The frame"):
        labels.add(bad, np.zeros(bad.shape[:2]))


@pytest.mark.parametrize("id", ["../x", ".x", "a/b", "", "a" * 101, "nobody"])
def test_ids_that_name_no_frame(labels: LabelSet, id: str) -> None:
    for use in (
        labels.record,
        lambda i: labels.set_status(i, "skipped"),
        lambda i: labels.update_mask(i, mask(), "A"),
    ):
        with pytest.raises(LabelError, match="id"):
            use(id)


# A kill at every moment


def _kill_at(monkeypatch: pytest.MonkeyPatch, moment: int, after: bool) -> None:
    """Raise before, or right after, the rename number `moment`."""
    rename, count = files.os.replace, iter(range(1000))

    def replace_or_die(source, target) -> None:
        now = next(count)
        if now == moment and not after:
            raise Killed
        rename(source, target)
        if now == moment:
            raise Killed

    monkeypatch.setattr(files.os, "replace", replace_or_die)


def _moments(writes: int) -> list[tuple[int, bool]]:
    return [(moment, after) for moment in range(writes) for after in (False, True)]


@pytest.mark.parametrize(("moment", "after"), _moments(4))
def test_an_update_killed_between_writes_is_whole_or_absent(
    labels: LabelSet, monkeypatch: pytest.MonkeyPatch, moment: int, after: bool
) -> None:
    id = labels.add(frame(), mask(1), annotator="A").id
    with monkeypatch.context() as patch:
        _kill_at(patch, moment, after)
        with pytest.raises(Killed):
            labels.update_mask(id, mask(2), "B")

    looking = LabelSet(labels.folder)  # a reader that mends nothing, as on a read-only disk
    assert looking.mask(id).shape == looking.frame(id).shape
    assert looking.record(id).revision in (1, 2)

    reopened = LabelSet.open(labels.folder)
    committed = (moment, after) >= (1, True)
    assert reopened.check() == []
    assert reopened.record(id).annotator == ("B" if committed else "A")
    np.testing.assert_array_equal(reopened.mask(id), mask(2 if committed else 1))
    np.testing.assert_array_equal(reopened.mask(id, 1), mask(1))
    reopened.update_mask(id, mask(7), "C")
    assert [r.annotator for r in reopened.revisions(id)] == (["A", "B", "C"] if committed else ["A", "C"])


@pytest.mark.parametrize("reopen", [True, False])
@pytest.mark.parametrize(("moment", "after"), _moments(5))
def test_an_add_killed_between_writes_can_be_repeated(
    labels: LabelSet, monkeypatch: pytest.MonkeyPatch, moment: int, after: bool, reopen: bool
) -> None:
    kept = labels.add(frame(0), mask(0))
    with monkeypatch.context() as patch:
        _kill_at(patch, moment, after)
        with pytest.raises(Killed):
            labels.add(frame(1), mask(1), annotator="A")
    if reopen:
        labels = LabelSet.open(labels.folder)
        committed = (moment, after) >= (2, True)
        assert len(labels.records()) == 1 + committed
        problems = labels.check()
        assert all("has no record" in problem for problem in problems)
        assert len(problems) == (not committed and (moment, after) >= (0, True))
    assert labels.add(frame(1), mask(1), annotator="A").revision == 1
    assert labels.record(kept.id) == kept
    assert LabelSet.open(labels.folder).check() == []


def test_a_set_killed_while_it_was_made_can_be_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _kill_at(patch, 0, after=False)
        with pytest.raises(Killed):
            LabelSet.create(tmp_path / "set", "x")
    LabelSet.create(tmp_path / "set", "x").add(frame(), mask())


WRITER = """
import sys, numpy as np
from vasomim_core.labels.labelset import LabelSet
labels = LabelSet.open(sys.argv[1])
frame = np.zeros((64, 64), np.uint8)
for i in range(int(sys.argv[3])):
    mask = np.random.default_rng(i).random((64, 64)) < 0.5
    print(labels.add(frame, mask, annotator=f"{sys.argv[2]} {i}").revision, flush=True)
"""


def _writer(labels: LabelSet, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(labels.folder), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_sigkill_loses_nothing_that_was_reported_and_frees_the_lock(labels: LabelSet) -> None:
    child = _writer(labels, "A", 100_000)
    assert child.stdout
    lines = [child.stdout.readline() for _ in range(20)]
    child.send_signal(signal.SIGKILL)
    reported = int((lines + child.stdout.read().splitlines())[-1])
    child.wait()
    reopened = LabelSet.open(labels.folder)
    (record,) = reopened.records()
    assert reported <= record.revision <= reported + 1
    assert reopened.check() == []
    assert reopened.update_mask(record.id, np.zeros((64, 64)), "B").revision == record.revision + 1


def test_two_programs_write_one_frame_and_no_mask_is_lost(labels: LabelSet) -> None:
    children = [_writer(labels, name, 15) for name in "AB"]
    assert [child.wait(60) for child in children] == [0, 0]
    (record,) = labels.records()
    assert record.revision == 30
    assert {r.annotator for r in labels.revisions(record.id)} == {f"{n} {i}" for n in "AB" for i in range(15)}
    assert labels.check() == []


def test_a_full_disk_is_one_sentence_and_the_old_label_stays(labels: LabelSet, monkeypatch: pytest.MonkeyPatch) -> None:
    before = labels.add(frame(), mask(1))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(LabelError, match="No space left on device"):
            labels.update_mask(before.id, mask(2), "A")
        with pytest.raises(LabelError, match="No space left on device"):
            LabelSet.create(labels.folder.with_name("other"), "x")
    reopened = LabelSet.open(labels.folder)
    assert reopened.records() == [before]
    assert reopened.check() == []


# What others do to the folder


def test_a_mask_changed_by_another_program_is_named_and_then_kept(labels: LabelSet) -> None:
    id = labels.add(frame(), mask(1), annotator="A").id
    write_png(labels.mask_path(id), mask(2) * np.uint8(1))
    assert [str(labels.mask_path(id)) in problem for problem in labels.check()] == [True]
    labels.update_mask(id, mask(3), "B")
    assert [r.annotator for r in labels.revisions(id)] == ["A", OUTSIDE, "B"]
    np.testing.assert_array_equal(labels.mask(id, 2), mask(2))
    assert labels.check() == []


def test_check_names_what_is_wrong(labels: LabelSet) -> None:
    ids = [labels.add(frame(i), mask(), id=f"f{i}").id for i in range(7)]
    labels.frame_path("f0").unlink()
    labels.mask_path("f1").write_bytes(b"")
    write_png(labels.mask_path("f2"), np.zeros((3, 3), np.uint8))
    write_png(labels.frame_path("f3"), frame(99))
    (labels.folder / "records" / "f4.json").write_text("{")
    (labels.folder / "history" / "f5" / "1.png").unlink()
    write_png(labels.frame_path("stray"), frame())
    problems = labels.check()
    named = ["f0.png", "f1.png", "f2.png", "f3.png", "f4.json", "f5/1.png", "stray.png"]
    assert len(problems) == len(named)
    for problem, name in zip(problems, named, strict=True):
        assert name in problem
        assert problem.count(". ") == 0, "one sentence"
    assert [record.id for record in labels.records()] == [id for id in ids if id != "f4"]
    assert [(labels.folder / "records" / "f4.json").as_posix() in told for told in labels.listing().passed_over] == [
        True
    ]


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "ok"},
        {"revision": "1"},
        {"revision": True},
        {"revision": float("nan")},
        {"revision": 10**12},
        {"frame_index": False},
        {"group": 3},
        {"new": 1},
    ],
)
def test_a_record_that_does_not_fit_is_named(labels: LabelSet, changes: dict[str, object]) -> None:
    labels.add(frame(), mask(), id="a")
    _edit(labels.folder / "records" / "a.json", **changes)
    with pytest.raises(LabelError, match=r"a\.json has"):
        labels.record("a")


def test_folders_that_cannot_be_opened_or_made(labels: LabelSet, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="is no label set"):
        LabelSet.open(tmp_path)
    with pytest.raises(LabelError, match="not empty"):
        LabelSet.create(labels.folder, "again")
    for changes, says in (
        ({"version": 4}, "newer"),
        ({"key": "12"}, "no usable"),
        ({"format": "x"}, "not the index"),
    ):
        index = labels.folder / "labelset.json"
        original = index.read_text()
        _edit(index, **changes)
        with pytest.raises(LabelError, match=says):
            LabelSet.open(labels.folder)
        index.write_text(original)


def test_each_set_has_a_key_of_32_bytes_of_its_own(labels: LabelSet, tmp_path: Path) -> None:
    other = LabelSet.create(tmp_path / "other", "coronaries")
    assert len(labels.key) == len(other.key) == 32
    assert labels.key != other.key


def test_a_set_whose_key_was_removed_still_opens(labels: LabelSet) -> None:
    record = labels.add(frame(), mask(), group="g")
    _edit(labels.folder / "labelset.json", key=None)
    opened = LabelSet.open(labels.folder)
    assert opened.record(record.id) == record
    with pytest.raises(LabelError, match="no key"):
        _ = opened.key


def test_the_example_in_the_documentation_is_a_label_set(tmp_path: Path) -> None:
    """Each block of JSON in docs/labelset.md, put where its heading says, opens without a complaint."""
    text = (Path(__file__).parents[3] / "docs" / "labelset.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^#+ `(\S+\.json)`.*?```json\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    assert {name.split("/")[0] for name, _ in blocks} == {"labelset.json", "records", "history", "readings"}
    for name, block in blocks:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(block, encoding="utf-8")
    (record,) = LabelSet(tmp_path).records()
    assert [r.revision for r in LabelSet(tmp_path).revisions(record.id)] == [1, 2]
    assert LabelSet(tmp_path).revisions(record.id)[-1].mask_sha256 == record.mask_sha256
    assert [(one.annotator, one.beside) for one in LabelSet(tmp_path).readings(record.id)] == [("B", record.revision)]
