from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.core.labels.made import IDENTICAL, frame, mask, save, take_in
from vasomim_core.errors import LabelError
from vasomim_core.labels.arcade import CocoMasks
from vasomim_core.labels.labelled import labels_fingerprint, open_labels
from vasomim_core.labels.labelset import LabelSet, pixel_sha256
from vasomim_core.labels.report import check_labels
from vasomim_core.reading import to_uint8


def test_pairs_are_read_by_stem_in_natural_order(pairs: Path) -> None:
    save(pairs / "images" / "10.png", frame(10))
    tifffile.imwrite(pairs / "masks" / "10.tif", mask(10).astype(np.uint8))
    save(pairs / "masks" / "without-an-image.png", mask(0))
    frames = open_labels(pairs)
    assert [f.name for f in frames] == ["0", "1", "2", "3", "10"]
    assert len({f.group for f in frames}) == 5
    for f, seed in zip(frames, (0, 1, 2, 3, 10), strict=True):
        np.testing.assert_array_equal(f.frame(), frame(seed))
        np.testing.assert_array_equal(f.mask(), mask(seed))
        assert f.frame().dtype == np.uint8
        assert f.mask().dtype == bool


def test_what_was_opened_twice_is_equal_until_a_file_changes(pairs: Path) -> None:
    once = open_labels(pairs)
    assert open_labels(pairs) == once
    assert "partial" not in repr(once[0]), "what reads the pixels is no part of it"
    save(pairs / "masks" / "3.png", mask(4))
    assert [a == b for a, b in zip(open_labels(pairs), once, strict=True)] == [True, True, True, False]


def test_a_curated_set_gives_its_accepted_frames_and_groups(tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")
    deep = frame(0).astype(np.uint16) * 257
    given = labels.add(deep, mask(0), group="p").id
    labels.add(frame(1), mask(1), group="p")
    alone = labels.add(frame(2), mask(2)).id
    labels.add(frame(3), mask(3), status="flagged")
    frames = open_labels(labels.folder)
    assert [f.group for f in frames if f.name != alone] == ["p", "p"]
    (single,) = (f for f in frames if f.name == alone)
    assert single.group != "p"
    np.testing.assert_array_equal(single.mask(), mask(2))
    np.testing.assert_array_equal(next(f for f in frames if f.name == given).frame(), to_uint8(deep))


def test_arcade_masks_are_its_polygons_and_identical_frames_share_a_group(arcade_part: Path) -> None:
    frames = {f.name: f for f in open_labels(arcade_part)}
    coco = CocoMasks(arcade_part / "annotations" / "train.json")
    assert len(frames) == 14
    assert check_labels(list(frames.values())).groups == 9
    assert all(frames[a].group == frames[b].group for a, b in IDENTICAL)
    for name in ("1", "20", "214"):
        np.testing.assert_array_equal(frames[name].mask(), coco.mask(name))
    assert check_labels(list(frames.values())).warnings == ()


def test_pixel_identical_frames_share_a_group_across_given_ones(tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")
    for index, group in ((0, "b"), (1, "a"), (2, None)):
        labels.add(frame(0), mask(index), group=group, frame_index=index)
    labels.add(frame(1), mask(1), group="b")
    labels.add(frame(2), mask(1), group="c")
    assert sorted(f.group for f in open_labels(labels.folder)) == ["a", "a", "a", "a", "c"]


def test_a_run_and_its_multi_page_mask_are_one_group(pairs: Path) -> None:
    run = np.stack([frame(s) for s in (20, 21)])
    tifffile.imwrite(pairs / "images" / "run.tif", run, photometric="minisblack")
    tifffile.imwrite(
        pairs / "masks" / "run.tif",
        np.stack([mask(s) for s in (20, 21)]).astype(np.uint8),
        photometric="minisblack",
    )
    frames = {f.name: f for f in open_labels(pairs)}
    assert frames["run[0]"].group == frames["run[1]"].group
    assert check_labels(list(frames.values())).groups == 5
    np.testing.assert_array_equal(frames["run[1]"].frame(), frame(21))
    np.testing.assert_array_equal(frames["run[1]"].mask(), mask(21))
    save(pairs / "masks" / "0.png", mask(0))
    (pairs / "masks" / "run.tif").unlink()
    save(pairs / "masks" / "run.png", mask(0))
    with pytest.raises(LabelError, match=r"run\.png has 1 masks for the 2 frames"):
        open_labels(pairs)


def test_dicom_files_of_a_patient_are_one_group(pairs: Path, tmp_path: Path) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid

    for i, patient in enumerate(("A", "A", "B")):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = XRayAngiographicImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.PatientID, data.Modality, data.PhotometricInterpretation = patient, "XA", "MONOCHROME2"
        data.Rows, data.Columns, data.SamplesPerPixel, data.PixelRepresentation = 12, 16, 1, 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
        data.PixelData = frame(30 + i).tobytes()
        data.save_as(pairs / "images" / f"d{i}.dcm", enforce_file_format=True)
        save(pairs / "masks" / f"d{i}.png", mask(i))
    groups = {f.name: f.group for f in open_labels(pairs)}
    assert groups["d0"] == groups["d1"] != groups["d2"]
    assert groups == {f.name: f.group for f in open_labels(pairs)}, "no chance in it"

    labels = LabelSet.create(tmp_path / "set", "x")
    take_in(labels, pairs)
    stored = {record.group for record in labels.records()} - {None}
    assert len(stored) == 2
    assert not stored & {"A", "B"}
    assert len({f.group for f in open_labels(labels.folder)}) == 4 + 2


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("masks", np.zeros((16, 12), np.uint8), r"images/2\.png is 16×12 and the frame 12×16"),
        ("masks", np.arange(192, dtype=np.uint8).reshape(12, 16), r"masks/2\.png has more than one value"),
        ("masks", b"", r"masks/2\.png is empty"),
        ("images", b"\x89PNG\r\n\x1a\n", r"images/2\.png is truncated"),
    ],
)
def test_a_bad_file_is_named_before_the_run(pairs: Path, name: str, content: np.ndarray | bytes, says: str) -> None:
    path = pairs / name / "2.png"
    path.write_bytes(content) if isinstance(content, bytes) else save(path, content)
    with pytest.raises(LabelError, match=says):
        open_labels(pairs)


def test_the_fingerprint_is_of_the_content_not_of_names(pairs: Path, tmp_path: Path) -> None:
    before = labels_fingerprint(open_labels(pairs))
    labels = LabelSet.create(tmp_path / "set", "x")
    take_in(labels, pairs)
    assert labels_fingerprint(open_labels(labels.folder)) == before
    changed = mask(0)
    changed[0, 0] ^= True
    save(pairs / "masks" / "0.png", changed)
    assert labels_fingerprint(open_labels(pairs)) != before


def test_the_fingerprint_follows_accepted_content_alone(tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")

    def fingerprint() -> str:
        return labels_fingerprint(open_labels(labels.folder))

    a, b = labels.add(frame(0), mask(0)).id, labels.add(frame(1), mask(1)).id
    both = fingerprint()
    labels.set_group(a, "g")
    assert fingerprint() == both
    labels.set_status(b, "skipped")
    one = fingerprint()
    labels.update_mask(b, mask(5), "A")
    assert fingerprint() == one != both
    labels.update_mask(a, mask(5), "A")
    assert fingerprint() != one
    labels.restore(a, 1)
    assert fingerprint() == one


def test_pixels_may_be_kept_elsewhere_and_no_file_is_read_again(pairs: Path) -> None:
    kept: list[np.ndarray] = []

    def keep(pixels: np.ndarray) -> Callable[[], np.ndarray]:
        kept.append(pixels)
        return lambda: pixels

    frames = open_labels(pairs, keep)
    shutil.rmtree(pairs)
    assert len(kept) == 8
    for f in frames:
        assert f.frame_sha256 == pixel_sha256(f.frame())
        assert f.mask_sha256 == pixel_sha256(f.mask())
        np.testing.assert_array_equal(f.mask(), mask(int(f.name)))


def test_a_file_that_has_become_shorter_since_is_told(pairs: Path) -> None:
    for folder in ("images", "masks"):
        pages = np.stack([mask(s) for s in (20, 21)]).astype(np.uint8)
        tifffile.imwrite(pairs / folder / "run.tif", pages, photometric="minisblack")
    last = open_labels(pairs)[-1]
    assert last.name == "run[1]"
    for folder in ("images", "masks"):
        tifffile.imwrite(pairs / folder / "run.tif", mask(20).astype(np.uint8), photometric="minisblack")
    for read in (last.frame, last.mask):
        with pytest.raises(LabelError, match=r"run\.tif.*has changed"):
            read()


def test_the_first_bad_file_is_named_of_a_run_and_others(pairs: Path) -> None:
    (pairs / "images" / "1.png").write_bytes(b"")
    save(pairs / "masks" / "3.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(LabelError, match=r"images/1\.png is empty.*the first of 2 such problems in 4 files"):
        open_labels(pairs)
