from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.core.reading.files import write_dicom
from vasomim_core.errors import LabelError
from vasomim_core.evaluation.metrics import evaluate_masks
from vasomim_core.labels.arcade import CocoMasks, is_arcade_split
from vasomim_core.labels.labelled import (
    LabelledFrame,
    check_labels,
    held_out,
    hold_out,
    import_arcade,
    import_pairs,
    labels_fingerprint,
    open_labels,
    split_by_group,
    take_fraction,
)
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.reading import to_uint8

IDENTICAL = {("20", "214"), ("168", "793"), ("337", "972"), ("478", "887"), ("501", "612")}


def frame(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (12, 16)).astype(np.uint8)


def mask(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((12, 16)) < 0.2


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for i in range(4):
        save(tmp_path / "pairs" / "images" / f"{i}.png", frame(i))
        save(tmp_path / "pairs" / "masks" / f"{i}.png", mask(i) * np.uint8(255))
    return tmp_path / "pairs"


@pytest.fixture(scope="session")
def arcade_part(arcade: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ARCADE's training split with 14 of its images, the identical ones among them."""
    part = tmp_path_factory.mktemp("arcade") / "train"
    shutil.copytree(arcade / "train" / "annotations", part / "annotations")
    (part / "images").mkdir()
    for stem in {stem for pair in IDENTICAL for stem in pair} | {"1", "2", "3", "4"}:
        shutil.copy(arcade / "train" / "images" / f"{stem}.png", part / "images")
    return part


def invented(groups: list[str]) -> list[LabelledFrame]:
    return [
        LabelledFrame(
            name=str(i),
            group=group,
            frame=lambda: np.zeros((4, 4), np.uint8),
            mask=lambda: np.zeros((4, 4), bool),
            shape=(4, 4),
            frame_sha256=f"{i:x}",
            mask_sha256=f"{i:x}",
            vessel=0.1,
            constant=False,
        )
        for i, group in enumerate(groups)
    ]


# Where they come from


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
    import_pairs(labels, pairs)
    stored = {record.group for record in labels.records()} - {None}
    assert len(stored) == 2
    assert not stored & {"A", "B"}
    assert len({f.group for f in open_labels(labels.folder)}) == 4 + 2


# What can be wrong


def test_frames_without_a_mask(pairs: Path) -> None:
    (pairs / "masks" / "1.png").unlink()
    with pytest.raises(LabelError, match=r"1\.png has no mask"):
        open_labels(pairs)
    (pairs / "masks" / "3.png").unlink()
    with pytest.raises(LabelError, match=r"images/1\.png has no mask.*first of 2 "):
        open_labels(pairs)


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


def test_folders_that_hold_no_labels(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="does not exist"):
        open_labels(tmp_path / "nowhere")
    with pytest.raises(LabelError, match="holds no labels"):
        open_labels(pairs / "masks")
    (tmp_path / "bare" / "images").mkdir(parents=True)
    (tmp_path / "bare" / "masks").mkdir()
    with pytest.raises(LabelError, match="no angiogram"):
        open_labels(tmp_path / "bare")
    labels = LabelSet.create(tmp_path / "set", "x")
    labels.add(frame(0), mask(0), status="skipped")
    with pytest.raises(LabelError, match="1 frames and none of them is accepted"):
        open_labels(labels.folder)


def test_an_arcade_image_without_annotation(arcade_part: Path, tmp_path: Path) -> None:
    part = tmp_path / "train"
    shutil.copytree(arcade_part, part)
    save(part / "images" / "5000.png", frame(0))
    assert is_arcade_split(part)
    with pytest.raises(LabelError, match=r"5000\.png has no mask"):
        open_labels(part)


def test_the_report_names_probable_mistakes(pairs: Path) -> None:
    save(pairs / "masks" / "0.png", np.zeros((12, 16), np.uint8))
    save(pairs / "masks" / "1.png", ~mask(1))
    save(pairs / "images" / "2.png", np.full((12, 16), 7, np.uint8))
    save(pairs / "images" / "9.png", np.zeros((8, 8), np.uint8) + np.arange(8, dtype=np.uint8))
    save(pairs / "masks" / "9.png", np.eye(8, dtype=bool))
    report = check_labels(open_labels(pairs))
    assert (report.frames, report.groups, report.sizes) == (5, 5, {(12, 16): 4, (8, 8): 1})
    assert (report.empty, report.inverted, report.constant) == (("0",), ("1",), ("2",))
    assert [warning.split(")")[0] for warning in report.warnings] == [
        f"1 of 5 labelled frames (first: {name}" for name in "012"
    ]
    with pytest.raises(LabelError, match="no labelled frames"):
        check_labels([])


# Splits and subsets

some_groups = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60)
some_fraction = st.floats(0.01, 0.99)
some_seed = st.integers(0, 2**31 - 1)


@given(some_groups, some_fraction, some_seed)
def test_a_split_keeps_groups_whole_and_neither_side_empty(groups: list[str], fraction: float, seed: int) -> None:
    frames = invented(groups)
    if len(set(groups)) < 2:
        with pytest.raises(LabelError, match=r"give --val, or label frames of a second patient"):
            split_by_group(frames, fraction, seed)
        return
    training, validation = split_by_group(frames, fraction, seed)
    assert training
    assert validation
    assert sorted(training + validation, key=lambda f: int(f.name)) == frames
    assert not {f.group for f in training} & {f.group for f in validation}
    smallest = min(groups.count(g) for g in set(groups))
    assert len(validation) <= max(round(fraction * len(frames)), smallest)
    again = split_by_group(frames[::-1], fraction, seed)
    assert {f.name for f in again[1]} == {f.name for f in validation}, "the order of files does not matter"


def test_single_frames_split_exactly_and_by_the_seed() -> None:
    frames = invented([f"g{i}" for i in range(100)])
    parts = [tuple(f.name for f in split_by_group(frames, 0.1, seed)[1]) for seed in range(5)]
    assert {len(part) for part in parts} == {10}
    assert len(set(parts)) == 5


@pytest.mark.parametrize(("frames", "validated"), [(2, 1), (5, 1), (6, 2), (9, 3), (10, 3), (30, 3), (100, 10)])
def test_three_frames_are_held_out_as_soon_as_enough_are_left_to_learn_from(frames: int, validated: int) -> None:
    assert held_out(frames) == validated
    training, validation = hold_out(invented([f"g{i}" for i in range(frames)]), 0)
    assert (len(training), len(validation)) == (frames - validated, validated)


@given(some_groups, some_fraction, some_fraction, some_seed)
def test_subsets_have_the_exact_size_and_are_nested(groups: list[str], p: float, q: float, seed: int) -> None:
    frames = invented(groups)
    small, large = (take_fraction(frames, fraction, seed) for fraction in sorted((p, q)))
    assert set(small) <= set(large)
    assert small == [f for f in frames if f in small], "order kept"
    assert len(small) - 1 < min(p, q) * len(frames) <= len(small) + 1e-6
    cut = [g for g in set(groups) if 0 < sum(f.group == g for f in small) < groups.count(g)]
    assert len(cut) <= 1, "at most the last group is cut"
    assert take_fraction(frames, 1, seed) == frames


def test_subsets_change_with_the_seed_and_are_the_same_on_every_machine() -> None:
    frames = invented([f"g{i:02}" for i in range(20)])
    subsets = [tuple(f.name for f in take_fraction(frames, 0.2, seed)) for seed in range(6)]
    assert len(set(subsets)) == 6
    assert subsets[0] == ("4", "7", "10", "18")
    assert len(take_fraction(invented(["g"] * 100), 0.07, 0)) == 7, "0.07 · 100 is a little more than 7 in binary"


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, float("nan")])
def test_fractions_out_of_range(fraction: float) -> None:
    for use in (take_fraction, split_by_group):
        with pytest.raises(LabelError, match="fraction"):
            use(invented(["a", "b"]), fraction, 0)


def test_the_fingerprint_is_of_the_content_not_of_names(pairs: Path, tmp_path: Path) -> None:
    before = labels_fingerprint(open_labels(pairs))
    labels = LabelSet.create(tmp_path / "set", "x")
    import_pairs(labels, pairs)
    assert labels_fingerprint(open_labels(labels.folder)) == before
    changed = mask(0)
    changed[0, 0] ^= True
    save(pairs / "masks" / "0.png", changed)
    assert labels_fingerprint(open_labels(pairs)) != before


# Import


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


# Names, alpha, odd annotations, windows


def test_names_from_a_mac_find_their_masks(pairs: Path) -> None:
    save(pairs / "images" / "cafe\u0301.png", frame(9))
    save(pairs / "masks" / "caf\u00e9.png", mask(9) * np.uint8(255))
    assert "caf\u00e9" in {f.name for f in open_labels(pairs)}
    prediction = pairs.parent / "prediction"
    shutil.copytree(pairs / "masks", prediction)
    (prediction / "caf\u00e9.png").rename(prediction / "cafe\u0301.png")
    assert evaluate_masks(prediction, pairs).mean["dsc"] == 1


def test_a_mask_in_the_alpha_channel_is_seen_and_asked_about(pairs: Path, tmp_path: Path) -> None:
    drawn = mask(2) * np.uint8(255)
    for colour in (0, 255):
        plane = np.full_like(drawn, colour)
        save(pairs / "masks" / "2.png", np.stack([plane, plane, plane, drawn], -1))
        for refused in (
            lambda: open_labels(pairs),
            lambda c=colour: import_pairs(LabelSet.create(tmp_path / f"set{c}", "x"), pairs),
            lambda: evaluate_masks(pairs / "masks", pairs),
        ):
            with pytest.raises(LabelError, match=r"2\.png has an alpha channel.*rename the folder to masks-alpha"):
                refused()
    for path in (pairs / "masks").iterdir():
        grey = np.asarray(Image.open(path).convert("RGBA"))[..., :3] if path.stem != "2" else np.zeros((12, 16, 3))
        save(path, np.dstack([grey, mask(int(path.stem)) * 255]).astype(np.uint8))
    (pairs / "masks").rename(pairs / "masks-alpha")
    for f in open_labels(pairs):
        np.testing.assert_array_equal(f.mask(), mask(int(f.name)))
    assert len(import_pairs(LabelSet.create(tmp_path / "set", "x"), pairs)) == 4
    for f in open_labels(pairs):
        save(tmp_path / "prediction" / f"{f.name}.png", f.mask() * np.uint8(255))
    assert evaluate_masks(tmp_path / "prediction", pairs).mean["dsc"] == 1
    save(pairs / "masks" / "2.png", drawn)
    with pytest.raises(LabelError, match="both there"):
        open_labels(pairs)


def test_an_alpha_channel_that_says_the_same_or_nothing_is_no_question(pairs: Path) -> None:
    drawn = mask(2) * np.uint8(255)
    for alpha in (drawn, np.full_like(drawn, 255)):
        save(pairs / "masks" / "2.png", np.stack([drawn, drawn * 0, drawn * 0, alpha], -1))
        np.testing.assert_array_equal(open_labels(pairs)[2].mask(), mask(2))


def test_odd_annotations_and_set_aside_windows_are_in_the_report(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / "x" / "images" / f"{i}.png", frame(i))
    annotation = {"id": 5, "image_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}
    document = {
        "images": [{"id": i, "file_name": f"{i}.png", "height": 12, "width": 16} for i in range(2)],
        "annotations": [annotation, {"id": 6, "image_id": 1}, {"id": 7, "image_id": 9, "segmentation": []}],
    }
    (tmp_path / "x" / "annotations").mkdir()
    (tmp_path / "x" / "annotations" / "x.json").write_text(json.dumps(document))
    frames = open_labels(tmp_path / "x")
    assert frames[1].vessel > 0
    warnings = check_labels(frames).warnings
    assert any("id 6" in w and "left out" in w for w in warnings)
    assert any("id 7" in w for w in warnings)


def test_a_frame_whose_window_hides_it_is_in_the_report(pairs: Path) -> None:
    deep = frame(7).astype(np.uint16) * 9 + 800
    write_dicom(pairs / "images" / "7.dcm", deep[np.newaxis], WindowCenter=128, WindowWidth=256)
    save(pairs / "masks" / "7.png", mask(7) * np.uint8(255))
    frames = open_labels(pairs)
    assert any("set aside" in w for w in check_labels(frames).warnings)
    np.testing.assert_array_equal(next(f for f in frames if f.name == "7").frame(), to_uint8(deep))


def test_masks_may_be_pgm_or_bmp(pairs: Path) -> None:
    for name in ("1.pgm", "2.bmp"):
        (pairs / "masks" / f"{name[0]}.png").unlink()
        save(pairs / "masks" / name, mask(int(name[0])) * np.uint8(255))
    assert [bool((f.mask() == mask(int(f.name))).all()) for f in open_labels(pairs)] == [True] * 4
    assert evaluate_masks(pairs / "masks", pairs).mean["dsc"] == 1
