"""A label set in a folder that other people, sync programs, file browsers and killed writers use as well."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vasomim_core.config import FinetuneConfig, Training
from vasomim_core.errors import LabelError
from vasomim_core.labels import labelset
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.locks import locked
from vasomim_core.training.preflight import check_before_training

HERE = pytest.mark.skipif(sys.platform == "win32", reason="names and pipes that Windows has not")


def frame(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (48, 64)).astype(np.uint8)


def mask(row: int = 3) -> np.ndarray:
    drawn = np.zeros((48, 64), bool)
    drawn[row : row + 4, 2:50] = True
    return drawn


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    made = LabelSet.create(tmp_path / "set", "coronaries")
    for i in range(6):
        made.add(frame(i), mask(i), id=f"f{i}", group=f"g{i}", annotator="A")
    return made


def record_of(labels: LabelSet, id: str) -> Path:
    return labels.folder / "records" / f"{id}.json"


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def goes_on(labels: LabelSet, *named: str, readable: int = 6) -> None:
    """Listing, training, adding and checking go on, and what is passed over is named."""
    opened = LabelSet.open(labels.folder)
    assert len(opened.records()) == readable
    assert len(open_labels(labels.folder)) == readable
    problems, warnings, counts = check_before_training(labels.folder)
    assert (problems, counts["frames"]) == ([], readable)
    for name in named:
        assert any(name in told for told in opened.listing().passed_over), name
        assert any(name in told for told in opened.check()), name
        assert any(name in told for told in warnings), name
    assert opened.add(frame(50), mask(), annotator="B").revision == 1
    assert opened.update_mask("f5", mask(20), "B").revision == opened.record("f5").revision
    np.testing.assert_array_equal(LabelSet.open(labels.folder).mask("f5"), mask(20))


@pytest.mark.parametrize("name", ["f0 (1).json", "f0.sync-conflict-20260301-101010-ABCDEFG.json", "f0-PC-7.json"])
def test_a_conflict_copy_of_a_record_is_named_and_passed_over(labels: LabelSet, name: str) -> None:
    shutil.copy(record_of(labels, "f0"), labels.folder / "records" / name)
    goes_on(labels, name)


@pytest.mark.parametrize("part", ["frames", "masks", "history"])
def test_conflict_copies_elsewhere_are_named(labels: LabelSet, part: str) -> None:
    if part == "history":
        shutil.copytree(labels.folder / part / "f0", labels.folder / part / "f0 (1)")
    else:
        shutil.copy(labels.folder / part / "f0.png", labels.folder / part / "f0 (1).png")
    goes_on(labels, "f0 (1)")


@HERE
def test_what_file_browsers_leave_everywhere_is_named_by_check_alone(labels: LabelSet) -> None:
    for part in ("frames", "masks", "records", "history", "history/f0"):
        for name in ("Icon\r", "desktop.ini", ".DS_Store", "Thumbs.db"):
            (labels.folder / part / name).write_bytes(b"x")
    goes_on(labels)
    assert LabelSet(labels.folder).listing().passed_over == ()
    told = LabelSet(labels.folder).check()
    assert len(told) == 5 * 3
    assert not any("\r" in sentence for sentence in told)


@HERE
def test_a_name_that_is_no_text_can_be_told(labels: LabelSet) -> None:
    os.close(os.open(os.fsencode(labels.folder / "records") + b"/\xff\x1b[31m.json", os.O_CREAT))
    goes_on(labels, "\ufffd\ufffd[31m.json")
    "".join(LabelSet(labels.folder).check()).encode()


def test_half_of_a_character_in_a_record_neither_ends_reading_nor_writing(labels: LabelSet) -> None:
    edit(record_of(labels, "f0"), note="cut \ud83d", group="\udc00")
    assert "\\ud83d" in record_of(labels, "f0").read_text()
    goes_on(labels)
    opened = LabelSet.open(labels.folder)
    assert (opened.record("f0").note, opened.record("f0").group) == ("cut \ufffd", "\ufffd")
    opened.set_status("f0", "flagged", note="and \ud800 typed 😀")
    assert opened.record("f0").note == "and \ufffd typed 😀"
    assert opened.check() == []


HOSTILE = {
    "nested": "[" * 100_000 + "]" * 100_000,
    "nested fields": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "a number": "7",
    "not finite": '{"revision": NaN}',
    "many digits": '{"revision": ' + "9" * 6000 + "}",
    "large": '{"note": "' + "x" * (2 << 20) + '"}',
    "empty": "",
    "no text": "\udcff",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_record_hides_no_other(labels: LabelSet, what: str) -> None:
    record_of(labels, "f0").write_text(HOSTILE[what], encoding="utf-8", errors="surrogateescape")
    goes_on(labels, "f0.json", readable=5)


@pytest.mark.parametrize("changes", [{"revision": "2"}, {"frame_index": [1]}, {"created": 7}, {"status": None}])
def test_text_for_a_number_hides_no_other(labels: LabelSet, changes: dict[str, object]) -> None:
    edit(record_of(labels, "f0"), **changes)
    goes_on(labels, "f0.json", readable=5)


def test_a_frame_whose_record_is_damaged_is_not_added_under_a_second_name(labels: LabelSet) -> None:
    record_of(labels, "f0").write_text("{")
    with pytest.raises(LabelError, match=r"f0\.json is not valid JSON"):
        LabelSet.open(labels.folder).add(frame(0), mask())
    assert len(LabelSet.open(labels.folder).ids()) == 6


def test_a_note_longer_than_a_record_is_refused_before_it_is_written(labels: LabelSet) -> None:
    with pytest.raises(LabelError, match="longer than 1 MiB"):
        labels.set_status("f0", "flagged", note="x" * (1 << 20))
    assert LabelSet.open(labels.folder).check() == []


def test_a_record_may_have_one_mib_to_the_byte(labels: LabelSet) -> None:
    path = record_of(labels, "f0")
    whole = "x" * ((1 << 20) - path.stat().st_size)
    assert labels.set_status("f0", "accepted", note=whole) == LabelSet.open(labels.folder).record("f0")
    assert path.stat().st_size == 1 << 20
    with pytest.raises(LabelError, match="longer than 1 MiB"):
        labels.set_status("f0", "accepted", note=whole + "x")
    assert labels.record("f0").note == whole
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(LabelError, match="larger than 1 MiB"):
        labels.record("f0")


def test_ten_million_revisions_are_one_sentence(labels: LabelSet) -> None:
    edit(record_of(labels, "f0"), revision=10**7)
    told = LabelSet.open(labels.folder).check()
    assert len(told) == 2  # masks and records
    assert all("2.png to 10000000.png are missing" in t or "2.json to 10000000.json are missing" in t for t in told)
    assert labels.update_mask("f0", mask(9), "B").revision == 10**7 + 1


def test_a_history_that_is_ahead_and_damaged_is_not_written_over(labels: LabelSet) -> None:
    labels.update_mask("f0", mask(8), "B")
    edit(record_of(labels, "f0"), revision=1)
    damaged = labels.folder / "history" / "f0" / "2.json"
    damaged.write_text("{")
    opened = LabelSet.open(labels.folder)
    assert opened.update_mask("f0", mask(30), "C").revision > 2
    assert damaged.read_text() == "{"
    assert [record.annotator for record in opened.revisions("f0")][-1] == "C"
    assert any("2.json" in told for told in opened.check())


# Links and pipes


@HERE
@pytest.mark.parametrize("part", ["frames", "masks", "records", "history"])
def test_a_linked_folder_is_not_followed_out_of_the_set(labels: LabelSet, tmp_path: Path, part: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(labels.folder / part, elsewhere)
    (labels.folder / part).symlink_to(elsewhere)
    before = sorted((path, path.stat().st_mtime_ns) for path in elsewhere.rglob("*"))
    says = f"{part} is a link that leads out of the label set"
    for act in (
        lambda: labels.add(frame(50), mask()),
        lambda: labels.update_mask("f0", mask(9), "B"),
        lambda: labels.set_group("f0", "g"),
        labels.records,
        lambda: open_labels(labels.folder),
    ):
        with pytest.raises(LabelError, match=says):
            act()
    (told,) = labels.check()
    assert says in told
    assert sorted((path, path.stat().st_mtime_ns) for path in elsewhere.rglob("*")) == before


@HERE
def test_a_linked_file_is_not_followed_out_of_the_set_and_one_within_is(labels: LabelSet, tmp_path: Path) -> None:
    shutil.move(labels.mask_path("f0"), tmp_path / "f0.png")
    (labels.folder / "masks" / "f0.png").symlink_to(tmp_path / "f0.png")
    shutil.move(record_of(labels, "f1"), tmp_path / "f1.json")
    record_of(labels, "f1").symlink_to(tmp_path / "f1.json")
    (labels.folder / "inside").mkdir()
    shutil.move(record_of(labels, "f2"), labels.folder / "inside" / "f2.json")
    record_of(labels, "f2").symlink_to(Path("..", "inside", "f2.json"))
    told = labels.check()
    assert [any(name in sentence for sentence in told) for name in ("f0.png", "f1.json", "f2")] == [True, True, False]
    assert [record.id for record in labels.records()] == ["f0", "f2", "f3", "f4", "f5"]
    with pytest.raises(LabelError, match=r"masks.f0\.png is a link"):
        labels.mask("f0")
    with pytest.raises(LabelError, match=r"masks.f0\.png is a link"):
        open_labels(labels.folder)


@HERE
def test_a_named_pipe_is_passed_over(labels: LabelSet) -> None:
    for name in ("records/pipe.json", "frames/pipe.png", "masks/pipe.png", "history/pipe", "records/a pipe"):
        os.mkfifo(labels.folder / name)
    goes_on(labels, "pipe.json", "a pipe")


@HERE
def test_a_named_pipe_in_place_of_a_mask_is_a_sentence(labels: LabelSet) -> None:
    labels.mask_path("f0").unlink()
    os.mkfifo(labels.folder / "masks" / "f0.png")
    assert any("f0.png is no plain file" in told for told in labels.check())
    with pytest.raises(LabelError, match="no plain file"):
        open_labels(labels.folder)


# File systems without locks


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_file_system_without_locks_is_written_to(labels: LabelSet, no_locks: None) -> None:
    goes_on(labels)
    assert LabelSet.open(labels.folder).check() == []


def test_who_writes_is_named_where_one_waits_in_vain(labels: LabelSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelset, "LONGEST_WAIT", 0.0)
    with locked(labels.folder / ".lock"), pytest.raises(LabelError, match=f"held by process {os.getpid()} on"):
        labels.set_group("f0", "p")


# What killed writers leave


def test_old_temporary_files_are_swept_by_the_next_writer(labels: LabelSet) -> None:
    parts = ("", "frames", "masks", "records", "history/f0")
    old = [labels.folder / part / f".f0.0123abcd.{kind}" for part in parts for kind in ("json", "png")]
    new, others = labels.folder / "masks" / ".f1.0123abcd.png", labels.folder / "masks" / ".someone-else.png"
    for path in (*old, new, others):
        path.write_bytes(b"half")
    for path in (*old, others):
        os.utime(path, (0, 0))
    LabelSet.open(labels.folder).records()
    assert all(path.exists() for path in old), "a reader removes nothing"
    LabelSet.open(labels.folder).set_group("f0", "p")
    assert not any(path.exists() for path in old)
    assert new.exists(), "another computer may be writing it, where locks do not reach"
    assert others.exists()
    for age, stays in ((570, True), (630, False)):  # seconds
        os.utime(new, (time.time() - age,) * 2)
        LabelSet.open(labels.folder).set_group("f0", "p")
        assert new.exists() is stays


def test_a_set_without_its_empty_folders_is_whole(tmp_path: Path) -> None:
    """As it comes from an archive or a version control that keeps no empty folders."""
    made = LabelSet.create(tmp_path / "set", "coronaries")
    for part in ("frames", "masks", "records", "history"):
        (made.folder / part).rmdir()
    opened = LabelSet.open(made.folder)
    assert (opened.ids(), opened.records(), opened.check()) == ([], [], [])
    assert opened.add(frame(), mask()).revision == 1
    assert opened.check() == []


def test_the_warnings_of_a_run_name_what_was_passed_over(labels: LabelSet, tmp_path: Path) -> None:
    from vasomim_core.training.events import read_events
    from vasomim_core.training.finetune import finetune

    record_of(labels, "f0").write_text("{")
    shutil.copy(record_of(labels, "f1"), labels.folder / "records" / "f1 (1).json")
    small = {"architecture": "unext", "frame_size": 32, "input_size": 32, "augment": False}
    training = Training(epochs=1, batch_size=2, device="cpu", precision="fp32")
    finetune(FinetuneConfig(labels.folder, tmp_path / "run", training=training, **small))
    told = [event["message"] for event in read_events(tmp_path / "run") if event["event"] == "warning"]
    assert any("f0.json" in sentence for sentence in told)
    assert any("f1 (1).json" in sentence for sentence in told)
