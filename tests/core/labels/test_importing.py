from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.core.labels.made import frame, mask, save
from vasomim_core.errors import LabelError
from vasomim_core.labels.importing import import_arcade, import_pairs
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.labelset import LabelSet, pixel_sha256


def test_imported_pairs_tell_no_file_names_and_never_replace_a_mask(pairs: Path, tmp_path: Path) -> None:
    (pairs / "images" / "0.png").rename(pairs / "images" / "Doe^Jane.png")
    (pairs / "masks" / "0.png").rename(pairs / "masks" / "Doe^Jane.png")
    labels = LabelSet.create(tmp_path / "set", "x")
    added = import_pairs(labels, pairs, annotator="A")
    assert len(added) == 4
    assert {r.annotator for r in labels.records("accepted")} == {"A"}
    assert labels.check() == []
    for path in labels.folder.rglob("*"):
        assert "Doe" not in path.name
        assert path.suffix != ".json" or "Doe" not in path.read_text()
    corrected = labels.update_mask(added[0], mask(99), "B")
    save(pairs / "images" / "new.png", frame(50))
    save(pairs / "masks" / "new.png", mask(50))
    assert len(import_pairs(labels, pairs)) == 1
    assert labels.record(added[0]) == corrected


def test_frames_of_a_run_are_imported_as_one_group_with_their_places(pairs: Path, tmp_path: Path) -> None:
    for folder, stack in (("images", [frame(s) for s in (20, 21, 20)]), ("masks", [mask(s) * 1 for s in (20, 21, 22)])):
        pages = np.stack(stack).astype(np.uint8)
        tifffile.imwrite(pairs / folder / "run.tif", pages, photometric="minisblack")
    labels = LabelSet.create(tmp_path / "set", "x")
    first, again = import_pairs(labels, pairs), import_pairs(labels, pairs)
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
        import_pairs(labels, pairs)
    assert labels.records() == []


def test_arcade_is_imported_with_its_frames_and_masks(arcade_part: Path, tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")
    assert len(import_arcade(labels, arcade_part)) == 9, "of identical frames the first"
    original = {f.frame_sha256: f for f in open_labels(arcade_part)[::-1]}
    for f in open_labels(labels.folder):
        np.testing.assert_array_equal(f.mask(), original[f.frame_sha256].mask())
    assert {r.source for r in labels.records()} >= {"ARCADE train 1", "ARCADE train 20"}
