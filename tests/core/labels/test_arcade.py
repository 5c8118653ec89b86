from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from vasomim_core.errors import InputError, LabelError
from vasomim_core.labels.arcade import CocoMasks, is_arcade_split, split_annotations


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


def test_a_side_may_have_32768_pixels(tmp_path: Path) -> None:
    value = document()
    value["images"][0] |= {"width": 32_768, "height": 1}
    value["images"][1] |= {"width": 1, "height": 32_768}
    masks = CocoMasks(write(tmp_path / "c.json", value))
    assert (masks.size("b"), masks.size("a")) == ((1, 32_768), (32_768, 1))


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
        (broken(images__0__width=32_769, images__0__height=1), "of the size"),
        (broken(images__0__id=[1]), "wrong type"),
        (broken(images__0__file_name="a.jpg"), "two images with the name 'a'"),
        (broken(images__0__id=3), "two images"),
        (broken(annotations=None), "key 'annotations' is missing"),
    ],
)
def test_a_broken_annotation_file_is_one_sentence_that_names_it(tmp_path: Path, value: Any, message: str) -> None:
    path = write(tmp_path / "c.json", value)
    with pytest.raises(LabelError, match=message) as caught:
        CocoMasks(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 99}, "image id 99"),
        ({"image_id": [1]}, "wrong type"),
        ({"segmentation": None}, "wrong type"),
        ({"segmentation": ...}, "has no segmentation"),
        ({"segmentation": {"counts": [1], "size": [8, 12]}}, "do not fill"),
        ({"segmentation": {"counts": [96], "size": [12, 8]}}, "another size than 8×12"),
        ({"segmentation": {"counts": [-96, 192], "size": [8, 12]}}, "do not fill"),
        ({"segmentation": {"counts": "o", "size": [8, 12]}}, "cut off"),
        ({"segmentation": {"counts": "\u00e9", "size": [8, 12]}}, "unknown writing"),
        ({"segmentation": {"counts": "o" * 10**5, "size": [8, 12]}}, "unknown writing"),
        ({"segmentation": [[1, 1, 5]]}, "pairs of x and y"),
        ({"segmentation": [[1, 1]]}, "pairs of x and y"),
        ({"segmentation": [[1, 1, 5, float("nan"), 5, 4]]}, "pairs of x and y"),
        ({"segmentation": [[1, 1, 1e12, 1, 5, 4]]}, "pairs of x and y"),
        ({"segmentation": [[1, 1, 10**400, 1, 5, 4]]}, "wrong type"),
        ({"segmentation": 5}, "wrong type"),
    ],
)
def test_an_odd_annotation_is_named_and_the_others_serve(tmp_path: Path, changes: dict, message: str) -> None:
    value = document()
    for key, new in changes.items():
        value["annotations"][0][key] = new
        if new is ...:
            del value["annotations"][0][key]
    masks = CocoMasks(write(tmp_path / "c.json", value))
    ((sentence,),) = masks.problems.values()
    assert message in sentence
    assert str(tmp_path / "c.json") in sentence
    assert "id 1" in sentence
    expected = np.zeros((8, 12), bool)
    expected[3:7, 4:10] = True
    np.testing.assert_array_equal(masks.mask("b"), expected)
    value["annotations"][1] = value["annotations"][0]
    with pytest.raises(LabelError, match="Of 2 annotations none"):
        CocoMasks(write(tmp_path / "c.json", value))


def packed(lengths: list[int]) -> str:
    """COCO's string of run lengths, written as its documents define it."""
    text = ""
    for place, length in enumerate(lengths):
        value = length - lengths[place - 2] if place > 2 else length
        while True:
            code = value & 31
            value >>= 5
            ends = value == (-1 if code & 16 else 0)
            text += chr(48 + (code if ends else code | 32))
            if ends:
                break
    return text


@given(
    mask=hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))),
    written=st.sampled_from(["numbers", "text"]),
)
def test_run_lengths_are_read(tmp_path_factory: pytest.TempPathFactory, mask: np.ndarray, written: str) -> None:
    flat = mask.ravel(order="F")
    ends = [*(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    lengths = ([0] if flat[0] else []) + np.diff([0, *ends]).tolist()
    counts = lengths if written == "numbers" else packed(lengths)
    value = {
        "images": [{"id": 1, "file_name": "a.png", "height": mask.shape[0], "width": mask.shape[1]}],
        "annotations": [{"id": 1, "image_id": 1, "segmentation": {"counts": counts, "size": list(mask.shape)}}],
    }
    masks = CocoMasks(write(tmp_path_factory.mktemp("coco") / "c.json", value))
    np.testing.assert_array_equal(masks.mask("a"), mask)
    assert masks.problems == {}


def test_names_from_a_mac_are_equal(tmp_path: Path) -> None:
    value = document()
    value["images"][0]["file_name"] = "cafe\u0301.png"  # decomposed
    masks = CocoMasks(write(tmp_path / "c.json", value))
    for name in ("caf\u00e9", "cafe\u0301"):
        assert name in masks
        assert masks.mask(name).any()


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
    assert len(masks.stems) == frames
    for stem in masks.stems[::50]:
        with Image.open(arcade / split / "images" / f"{stem}.png") as image:
            assert masks.mask(stem).shape == (image.height, image.width)
        assert 0.005 < masks.mask(stem).mean() < 0.3
