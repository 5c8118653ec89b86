"""Categories as classes: ARCADE's, those of a label set that is written as COCO, and `classes.json`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from tests.core.labels.made import frame, mask, save, take_in
from vasomim_core.classes import COLOURS, VESSEL, LabelClass, vessel_of
from vasomim_core.errors import ConfigError, LabelError
from vasomim_core.evaluation.folders import evaluate
from vasomim_core.exchange.formats import hand_over, labelled
from vasomim_core.labels.arcade import CocoMasks, split_annotations
from vasomim_core.labels.class_list import read_classes, write_classes
from vasomim_core.labels.labelled import label_classes, labels_fingerprint, open_labels
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.labels.run_lengths import RunLengths, packed, unpacked

MAIN = LabelClass(1, "main")
CATHETER = LabelClass(2, "catheter", "#3ca0e8", vessel=False)
TWIG = LabelClass(7, "twig", "#4cc26e")
THREE = (MAIN, CATHETER, TWIG)


def drawn(seed: int) -> np.ndarray:
    """A class mask (12, 16) of all three."""
    return np.random.default_rng(seed).choice(np.array([0, 1, 2, 7], np.uint8), (12, 16))


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    labels = LabelSet.create(tmp_path / "set", "x", THREE)
    for seed in range(4):
        labels.add(frame(seed), drawn(seed), id=f"a.{seed}")
    labels.add(frame(4), mask(4) * 0)
    labels.add(frame(5), drawn(5), status="flagged")
    labels.add(frame(6).astype(np.uint16) * 9, drawn(6), id="deep")
    return labels


def write_coco(labels: LabelSet, folder: Path) -> list[str]:
    return list(hand_over(labelled(labels.folder), "coco", folder).names)


# COCO's categories


def document(*annotations: tuple[int, list[float]], categories: Any = None) -> dict[str, Any]:
    listed = [
        {"id": 1, "name": "1", "supercategory": ""},
        {"id": 5, "name": "wire", "supercategory": "other", "color": [0, 16, 255]},
        {"id": 26, "name": "stenosis"},
    ]
    return {
        "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 12}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": category, "segmentation": [polygon]}
            for n, (category, polygon) in enumerate(annotations, 1)
        ],
        "categories": listed if categories is None else categories,
    }


def coco(folder: Path, value: Any) -> CocoMasks:
    (folder / "c.json").write_text(json.dumps(value))
    return CocoMasks(folder / "c.json")


def box(left: int, top: int, right: int, bottom: int) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def test_categories_are_classes(tmp_path: Path) -> None:
    assert coco(tmp_path, document()).classes == (
        LabelClass(1, "1", COLOURS[0]),
        LabelClass(5, "wire", "#0010ff", vessel=False),
        LabelClass(26, "stenosis", COLOURS[2]),
    )


@pytest.mark.parametrize("color", [[0, 0, 256], [-1, 0, 0], [0, 0], [0] * 4, [0.0, 0, 0], [True, 0, 0], "red", None])
def test_what_is_no_colour_is_passed_over(tmp_path: Path, color: Any) -> None:
    (one,) = coco(tmp_path, document(categories=[{"id": 3, "name": "a", "color": color}])).classes
    assert one == LabelClass(3, "a", COLOURS[0])


def test_what_overlaps_goes_to_the_larger_value_and_to_vessel_before_others(tmp_path: Path) -> None:
    stenosis, segment, wire = (26, box(4, 2, 6, 4)), (1, box(1, 2, 9, 4)), (5, box(0, 3, 11, 6))
    expected = np.zeros((8, 12), np.uint8)
    for value, rows, columns in ((5, slice(3, 7), slice(0, 12)), (1, slice(2, 5), slice(1, 10))):
        expected[rows, columns] = value
    expected[2:5, 4:7] = 26
    for order in ((stenosis, segment, wire), (wire, segment, stenosis)):
        masks = coco(tmp_path, document(*order))
        np.testing.assert_array_equal(masks.class_mask("a"), expected)
        np.testing.assert_array_equal(masks.mask("a"), np.isin(expected, [1, 26]))


polygons = st.lists(st.floats(-4, 14, width=16), min_size=6, max_size=6)


@given(st.lists(st.tuples(st.sampled_from([1, 5, 26]), polygons), max_size=6))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_union_of_the_vessel_classes_is_the_mask(
    tmp_path: Path, annotations: list[tuple[int, list[float]]]
) -> None:
    masks = coco(tmp_path, document(*annotations))
    found = masks.class_mask("a")
    np.testing.assert_array_equal(vessel_of(found, masks.classes), masks.mask("a"))
    for value in np.unique(found[found > 0]).tolist():
        alone = coco(tmp_path, document(*(one for one in annotations if one[0] == value)))
        assert (alone.class_mask("a")[found == value] == value).all()


@pytest.mark.parametrize(
    ("categories", "says"),
    [
        ([], "lists no categories"),
        ("x", "lists no categories"),
        (["x"], "number 1 is no category"),
        ([{"id": 1}], "called None"),
        ([{"id": 100, "name": "a"}], "value 100"),
        ([{"id": [1], "name": "a"}], r"value \[1\]"),
        ([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "two classes"),
        ([{"id": 1, "name": "a", "supercategory": "other"}], "no class counts as vessel"),
    ],
)
def test_categories_that_cannot_be_classes_are_told_where_they_are_asked_for(
    tmp_path: Path, categories: Any, says: str
) -> None:
    masks = coco(tmp_path, document((1, box(1, 2, 9, 4)), categories=categories))
    assert masks.mask("a").shape == (8, 12)
    with pytest.raises(LabelError, match=rf"c\.json .*{says}"):
        _ = masks.classes


@pytest.mark.parametrize("category", [3, None, "1", [1]])
def test_an_annotation_of_no_category_is_told(tmp_path: Path, category: Any) -> None:
    masks = coco(tmp_path, document((category, box(1, 2, 9, 4))))
    assert masks.mask("a").any()
    with pytest.raises(LabelError, match="annotation of frame 'a' whose category"):
        masks.class_mask("a")


def test_arcade_has_its_segments_as_classes(arcade: Path) -> None:
    masks = CocoMasks(split_annotations(arcade / "val"))
    assert [one.name for one in masks.classes][:2] + [one.name for one in masks.classes][-2:] == [
        "1",
        "2",
        "14b",
        "stenosis",
    ]
    assert all(one.vessel for one in masks.classes)
    assert len(masks.classes) == 26
    for stem in masks.stems[::20]:
        np.testing.assert_array_equal(masks.class_mask(stem) > 0, masks.mask(stem))


# A label set as COCO


@given(hnp.arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_run_lengths_come_back(pixels: np.ndarray) -> None:
    lengths = RunLengths.of(pixels)
    np.testing.assert_array_equal(lengths.mask(), pixels)
    assert unpacked(packed(lengths.counts)) == list(lengths.counts)
    assert all(count > 0 for count in lengths.counts[1:])


@given(st.lists(st.integers(0, 1 << 40), max_size=20))
def test_packed_numbers_come_back(numbers: list[int]) -> None:
    assert unpacked(packed(numbers)) == numbers


def test_run_lengths_are_packed_as_in_coco() -> None:
    """As the tools of COCO write the mask whose only pixels are (1, 1) and (2, 1) of 4×3."""
    pixels = np.zeros((4, 3), bool)
    pixels[1:3, 1] = True
    assert RunLengths.of(pixels).counts == (5, 2, 5)
    assert packed((5, 2, 5)) == "525"
    assert packed((100, 33, 7, 40)) == "T3Q177"


def test_a_label_set_is_written_as_coco_and_reads_back_equal(labels: LabelSet, tmp_path: Path) -> None:
    ids = write_coco(labels, tmp_path / "out")
    assert sorted(ids) == sorted(record.id for record in labels.records("accepted"))
    there = {f.name: f for f in open_labels(labels.folder)}
    back = {f.name: f for f in open_labels(tmp_path / "out", categories=True)}
    assert back.keys() == there.keys() == set(ids)
    assert label_classes(tmp_path / "out", categories=True) == THREE
    for name, f in back.items():
        assert f.classes == THREE
        np.testing.assert_array_equal(f.frame(), there[name].frame())
        np.testing.assert_array_equal(f.class_mask(), there[name].class_mask())
        np.testing.assert_array_equal(f.mask(), there[name].mask())
    assert labels_fingerprint(back.values()) == labels_fingerprint(there.values())
    for f in open_labels(tmp_path / "out"):
        assert f.classes == VESSEL
        np.testing.assert_array_equal(f.mask(), there[f.name].mask())


def test_what_coco_is_told_of_a_class_in_a_frame(tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x", THREE)
    pixels = np.zeros((12, 16), np.uint8)
    pixels[3:5, 6:11] = 7
    labels.add(frame(0), pixels, id="a")
    write_coco(labels, tmp_path / "out")
    value = json.loads((tmp_path / "out" / "annotations" / "out.json").read_text())
    assert value["images"] == [{"id": 1, "file_name": "a.png", "height": 12, "width": 16}]
    assert value["categories"] == [
        {"id": 1, "name": "main", "supercategory": "vessel", "color": [232, 65, 60]},
        {"id": 2, "name": "catheter", "supercategory": "other", "color": [60, 160, 232]},
        {"id": 7, "name": "twig", "supercategory": "vessel", "color": [76, 194, 110]},
    ]
    (one,) = value["annotations"]
    assert (one["image_id"], one["category_id"], one["area"], one["bbox"]) == (1, 7, 10, [6, 3, 5, 2])
    assert one["iscrowd"] == 0


def test_nothing_is_written_over(labels: LabelSet, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(LabelError, match="not empty"):
        write_coco(labels, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    with pytest.raises(LabelError, match="could not be written to"):
        write_coco(labels, tmp_path / "out" / "mine" / "further")


def test_only_accepted_labels_go(tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")
    labels.add(frame(0), mask(0), status="skipped")
    with pytest.raises(LabelError, match="none of them is accepted"):
        write_coco(labels, tmp_path / "out")


# classes.json


@pytest.fixture
def classed(pairs: Path) -> Path:
    """`images/` and `masks/` with the values of three classes."""
    for i in range(4):
        save(pairs / "masks" / f"{i}.png", drawn(i))
    write_classes(pairs / "classes.json", THREE)
    return pairs


def test_a_folder_says_what_its_values_mean(classed: Path) -> None:
    assert read_classes(classed / "classes.json") == label_classes(classed) == THREE
    for f in open_labels(classed):
        np.testing.assert_array_equal(f.class_mask(), drawn(int(f.name)))
        np.testing.assert_array_equal(f.mask(), np.isin(drawn(int(f.name)), [1, 7]))
        assert f.classes == THREE
    union = classed.parent / "union"
    for f in open_labels(classed):
        save(union / f"{f.name}.png", f.mask() * np.uint8(255))
    assert evaluate(union, classed).mean["dsc"] == 1
    (classed / "classes.json").unlink()
    with pytest.raises(LabelError, match="more than one value beside 0"):
        open_labels(classed)


def test_values_that_a_folder_does_not_name_are_refused(classed: Path) -> None:
    write_classes(classed / "classes.json", (MAIN, CATHETER))
    with pytest.raises(LabelError, match=r"masks/0\.png has the value 7.*the first of 4"):
        open_labels(classed)


@pytest.mark.parametrize("content", ["", "{}", "[]", '[{"value": 1}]', "[1]"])
def test_a_list_of_classes_that_is_none_is_named(classed: Path, content: str) -> None:
    (classed / "classes.json").write_text(content)
    with pytest.raises(LabelError, match=r"classes\.json"):
        open_labels(classed)


def test_classes_that_contradict_each_other_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two classes"):
        write_classes(tmp_path / "classes.json", (MAIN, MAIN))
    assert list(tmp_path.iterdir()) == []


# Importing


def test_classes_are_imported_by_name(classed: Path, tmp_path: Path) -> None:
    labels = LabelSet.create(
        tmp_path / "set", "x", (LabelClass(3, "other"), LabelClass(4, "Twig"), LabelClass(5, "main"))
    )
    with pytest.raises(LabelError, match="has no class called catheter"):
        take_in(labels, classed)
    assert labels.records() == []
    labels.set_classes((*labels.classes, LabelClass(6, "CATHETER", vessel=False)))
    assert len(take_in(labels, classed)) == 4
    for i in range(4):
        found = labels.class_mask(labels.find(frame(i)).id)  # type: ignore[union-attr]
        for theirs, ours in ((0, 0), (1, 5), (2, 6), (7, 4)):
            np.testing.assert_array_equal(found == ours, drawn(i) == theirs)


def test_a_mask_of_no_class_becomes_vessel_or_nothing(pairs: Path, tmp_path: Path) -> None:
    for n, (classes, value) in enumerate(
        (
            (VESSEL, 1),
            ((MAIN, LabelClass(9, "Vessel")), 9),
            ((MAIN, CATHETER), 1),
            ((LabelClass(1, "wire", vessel=False), TWIG), None),
        )
    ):
        labels = LabelSet.create(tmp_path / str(n), "x", classes)
        if value is None:
            with pytest.raises(LabelError, match="no class called vessel"):
                take_in(labels, pairs)
            continue
        take_in(labels, pairs)
        for i in range(4):
            found = labels.class_mask(labels.find(frame(i)).id)  # type: ignore[union-attr]
            np.testing.assert_array_equal(found, mask(i) * np.uint8(value))


def test_arcade_is_imported_with_its_segments(arcade_part: Path, tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x", label_classes(arcade_part, categories=True))
    assert len(take_in(labels, arcade_part, categories=True)) == 9
    masks = CocoMasks(split_annotations(arcade_part))
    for record in labels.records():
        assert record.source
        stem = record.source.split()[-1]
        np.testing.assert_array_equal(labels.class_mask(record.id), masks.class_mask(stem))
    plain = LabelSet.create(tmp_path / "plain", "x")
    with pytest.raises(LabelError, match="no class called 1, "):
        take_in(plain, arcade_part, categories=True)
    write_coco(labels, tmp_path / "out")
    assert labels_fingerprint(open_labels(tmp_path / "out", categories=True)) == labels_fingerprint(
        open_labels(labels.folder)
    )


def test_categories_are_of_no_matter_to_other_labels(labels: LabelSet, pairs: Path) -> None:
    for folder in (labels.folder, pairs):
        assert open_labels(folder, categories=True) == open_labels(folder)


def test_a_coco_file_is_copied_into_a_split(labels: LabelSet, tmp_path: Path) -> None:
    """Renaming the folder, as people do, leaves it a split."""
    write_coco(labels, tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "mine")
    assert len(open_labels(tmp_path / "mine")) == 6
    with Image.open(tmp_path / "mine" / "images" / "deep.png") as image:
        assert image.mode.startswith("I;16")
