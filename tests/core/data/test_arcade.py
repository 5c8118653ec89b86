from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vasomim_core.data.arcade import CocoMasks, is_arcade_split, split_annotations
from vasomim_core.errors import InputError, LabelError


def document() -> dict[str, Any]:
    """Two frames of 12×8 pixels (width × height); the first has two overlapping rectangles."""
    return {
        "images": [
            {"id": 7, "file_name": "b.png", "height": 8, "width": 12},
            {"id": 3, "file_name": "sub/a.png", "height": 8, "width": 12},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 5, "segmentation": [[1, 1, 5, 1, 5, 4, 1, 4]]},
            {"id": 2, "image_id": 7, "category_id": 26, "segmentation": [[4, 3, 9, 3, 9, 6, 4, 6]]},
        ],
        "categories": [],
    }


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def test_a_mask_is_the_union_of_all_polygons(tmp_path: Path) -> None:
    masks = CocoMasks(write(tmp_path / "c.json", document()))
    assert masks.stems == ("b", "a")
    assert masks.size("a") == (8, 12)
    assert masks.file_name("a") == "sub/a.png"
    assert "a" in masks
    assert "c" not in masks
    expected = np.zeros((8, 12), bool)
    expected[1:5, 1:6] = expected[3:7, 4:10] = True  # PIL draws the border too
    np.testing.assert_array_equal(masks.mask("b"), expected)
    assert masks.mask("a").shape == (8, 12)
    assert not masks.mask("a").any()


def test_polygons_may_leave_the_frame(tmp_path: Path) -> None:
    value = document()
    value["annotations"][0]["segmentation"] = [[-50, -50, 500, -50, 500, 500, -50, 500]]
    assert CocoMasks(write(tmp_path / "c.json", value)).mask("b").all()


def test_an_arcade_split_is_known_by_its_layout(tmp_path: Path) -> None:
    split = tmp_path / "val"
    assert not is_arcade_split(split)
    (split / "images").mkdir(parents=True)
    assert not is_arcade_split(split)
    with pytest.raises(InputError, match=r"annotations/val\.json is missing"):
        split_annotations(split)
    named = write(split / "annotations" / "val.json", document())
    assert is_arcade_split(split)
    assert split_annotations(split) == named
    write(split / "annotations" / "backup.json", document())
    assert split_annotations(split) == named
    renamed = split.rename(tmp_path / "mine")
    assert not is_arcade_split(renamed)  # two files, and neither bears the folder's name
    (renamed / "annotations" / "backup.json").unlink()
    assert split_annotations(renamed).name == "val.json"


def test_the_split_folder_may_be_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    write(tmp_path / "annotations" / f"{tmp_path.name}.json", document())
    write(tmp_path / "annotations" / "other.json", document())
    monkeypatch.chdir(tmp_path)
    assert split_annotations(".").stem == tmp_path.name


def broken(**changes: Any) -> dict[str, Any]:
    value = document()
    for path, new in changes.items():
        *keys, last = (int(key) if key.isdigit() else key for key in path.split("__"))
        target = value
        for key in keys:
            target = target[key]
        if new is None:
            del target[last]
        else:
            target[last] = new
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "wrong type"),
        (None, "wrong type"),
        (broken(images=None), "key 'images' is missing"),
        (broken(images=[], annotations=[]), "no image"),
        (broken(images__0__height=None), "key 'height' is missing"),
        (broken(images__0__height="tall"), "wrong type"),
        (broken(images__0__width=0), "of the size"),
        (broken(images__0__width=10**9), "of the size"),
        (broken(images__0__id=[1]), "wrong type"),
        (broken(images__0__file_name="a.jpg"), "two images with the name 'a'"),
        (broken(images__0__id=3), "two images"),
        (broken(annotations=None), "key 'annotations' is missing"),
        (broken(annotations__0__image_id=99), "image id 99"),
        (broken(annotations__0__segmentation=None), "key 'segmentation' is missing"),
        (broken(annotations__0__segmentation={"counts": [1], "size": [8, 12]}), "run lengths"),
        (broken(annotations__0__segmentation=[[1, 1, 5]]), "pairs of x and y"),
        (broken(annotations__0__segmentation=[[1, 1]]), "pairs of x and y"),
        (broken(annotations__0__segmentation=[[1, 1, 5, float("nan"), 5, 4]]), "pairs of x and y"),
        (broken(annotations__0__segmentation=[[1, 1, 1e12, 1, 5, 4]]), "pairs of x and y"),
        (broken(annotations__0__segmentation=[[1, 1, 10**400, 1, 5, 4]]), "wrong type"),
        (broken(annotations__0__segmentation=5), "wrong type"),
    ],
)
def test_a_broken_annotation_file_is_one_sentence_that_names_it(tmp_path: Path, value: Any, message: str) -> None:
    path = write(tmp_path / "c.json", value)
    with pytest.raises(LabelError, match=message) as caught:
        CocoMasks(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\x89PNG\xff", b"[" * 100_000])
def test_a_file_that_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"c\.json is not valid JSON"):
        CocoMasks(path)


def test_a_missing_file_and_an_unknown_frame_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json cannot be read"):
        CocoMasks(tmp_path / "none.json")
    with pytest.raises(LabelError, match="no frame named 'z'"):
        CocoMasks(write(tmp_path / "c.json", document())).mask("z")


@pytest.mark.parametrize(("split", "frames"), [("train", 1000), ("val", 200)])
def test_arcade_itself(arcade: Path, split: str, frames: int) -> None:
    assert is_arcade_split(arcade / split)
    masks = CocoMasks(split_annotations(arcade / split))
    assert len(masks) == frames
    for stem in masks.stems[::50]:
        with Image.open(arcade / split / "images" / masks.file_name(stem)) as image:
            assert masks.mask(stem).shape == (image.height, image.width)
        assert 0.005 < masks.mask(stem).mean() < 0.3
