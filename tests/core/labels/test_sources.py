"""What is a labelled folder, and that learning and scoring take the same for one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.core.labels.made import frame, mask, save, take_in
from vasomim_core.errors import InputError, LabelError
from vasomim_core.evaluation.folders import evaluate
from vasomim_core.labels.arcade import is_arcade_split
from vasomim_core.labels.labelled import open_labels
from vasomim_core.labels.labelset import LabelSet


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


def test_frames_without_a_mask(pairs: Path) -> None:
    (pairs / "masks" / "1.png").unlink()
    with pytest.raises(LabelError, match=r"1\.png has no mask"):
        open_labels(pairs)
    (pairs / "masks" / "3.png").unlink()
    with pytest.raises(LabelError, match=r"images/1\.png has no mask.*first of 2 "):
        open_labels(pairs)


def test_an_arcade_image_without_annotation(arcade_part: Path, tmp_path: Path) -> None:
    part = tmp_path / "train"
    shutil.copytree(arcade_part, part)
    save(part / "images" / "5000.png", frame(0))
    assert is_arcade_split(part)
    with pytest.raises(LabelError, match=r"5000\.png has no mask"):
        open_labels(part)


def test_names_from_a_mac_find_their_masks(pairs: Path) -> None:
    save(pairs / "images" / "cafe\u0301.png", frame(9))
    save(pairs / "masks" / "caf\u00e9.png", mask(9) * np.uint8(255))
    assert "caf\u00e9" in {f.name for f in open_labels(pairs)}
    prediction = pairs.parent / "prediction"
    shutil.copytree(pairs / "masks", prediction)
    (prediction / "caf\u00e9.png").rename(prediction / "cafe\u0301.png")
    assert evaluate(prediction, pairs).mean["dsc"] == 1


def test_a_mask_in_the_alpha_channel_is_seen_and_asked_about(pairs: Path, tmp_path: Path) -> None:
    drawn = mask(2) * np.uint8(255)
    for colour in (0, 255):
        plane = np.full_like(drawn, colour)
        save(pairs / "masks" / "2.png", np.stack([plane, plane, plane, drawn], -1))
        for refused in (
            lambda: open_labels(pairs),
            lambda c=colour: take_in(LabelSet.create(tmp_path / f"set{c}", "x"), pairs),
            lambda: evaluate(pairs / "masks", pairs),
        ):
            with pytest.raises(LabelError, match=r"2\.png has an alpha channel.*rename the folder to masks-alpha"):
                refused()
    for path in (pairs / "masks").iterdir():
        grey = np.asarray(Image.open(path).convert("RGBA"))[..., :3] if path.stem != "2" else np.zeros((12, 16, 3))
        save(path, np.dstack([grey, mask(int(path.stem)) * 255]).astype(np.uint8))
    (pairs / "masks").rename(pairs / "masks-alpha")
    for f in open_labels(pairs):
        np.testing.assert_array_equal(f.mask(), mask(int(f.name)))
    assert len(take_in(LabelSet.create(tmp_path / "set", "x"), pairs)) == 4
    for f in open_labels(pairs):
        save(tmp_path / "prediction" / f"{f.name}.png", f.mask() * np.uint8(255))
    assert evaluate(tmp_path / "prediction", pairs).mean["dsc"] == 1
    assert evaluate(pairs / "masks-alpha", pairs).mean["dsc"] == 1
    save(pairs / "masks" / "2.png", drawn)
    for refused in (lambda: open_labels(pairs), lambda: evaluate(tmp_path / "prediction", pairs)):
        with pytest.raises(LabelError, match="both there"):
            refused()


def test_an_alpha_channel_that_says_the_same_or_nothing_is_no_question(pairs: Path) -> None:
    drawn = mask(2) * np.uint8(255)
    for alpha in (drawn, np.full_like(drawn, 255)):
        save(pairs / "masks" / "2.png", np.stack([drawn, drawn * 0, drawn * 0, alpha], -1))
        np.testing.assert_array_equal(open_labels(pairs)[2].mask(), mask(2))


def test_masks_may_be_pgm_or_bmp(pairs: Path) -> None:
    for name in ("1.pgm", "2.bmp"):
        (pairs / "masks" / f"{name[0]}.png").unlink()
        save(pairs / "masks" / name, mask(int(name[0])) * np.uint8(255))
    assert [bool((f.mask() == mask(int(f.name))).all()) for f in open_labels(pairs)] == [True] * 4
    assert evaluate(pairs / "masks", pairs).mean["dsc"] == 1


Coding = Callable[[np.ndarray], np.ndarray]
CODED: dict[str, Coding] = {
    "0/1": lambda m: m.astype(np.uint8),
    "0/255": lambda m: m * np.uint8(255),
    "one bit": lambda m: m,
    "0/25": lambda m: m * np.uint8(25),
    "16-bit 0/255": lambda m: m * np.uint16(255),
    "16-bit 0/65535": lambda m: m * np.uint16(65535),
    "red": lambda m: m[..., None] * np.array([255, 0, 0], np.uint8),
}
GREY: dict[str, Coding] = {
    "127/128": lambda m: np.where(m, 128, 127).astype(np.uint8),
    "soft edge": lambda m: np.where(m, 255, 0).astype(np.uint8) - np.eye(12, 16, dtype=np.uint8) * m,
    "two colours": lambda m: np.stack([m, m & (np.arange(16) > 7), m], -1) * np.uint8(255),
    "16-bit grey": lambda m: m * np.arange(1, 17, dtype=np.uint16) * np.uint16(4000),
}


@pytest.mark.parametrize("coded", CODED.values(), ids=CODED)
def test_what_is_a_mask_to_learn_from_is_one_to_score_with(pairs: Path, coded: Coding) -> None:
    whole = shutil.copytree(pairs / "masks", pairs.parent / "whole")
    save(pairs / "masks" / "2.png", coded(mask(2)))
    np.testing.assert_array_equal(open_labels(pairs)[2].mask(), mask(2))
    assert evaluate(whole, pairs).mean["dsc"] == evaluate(pairs / "masks", whole).mean["dsc"] == 1


@pytest.mark.parametrize("coded", GREY.values(), ids=GREY)
def test_what_only_a_person_can_decide_is_refused_by_both(pairs: Path, coded: Coding) -> None:
    whole = shutil.copytree(pairs / "masks", pairs.parent / "whole")
    save(pairs / "masks" / "2.png", coded(mask(2)))
    for refused in (
        lambda: open_labels(pairs),
        lambda: evaluate(whole, pairs),
        lambda: evaluate(pairs / "masks", whole),
    ):
        with pytest.raises(LabelError, match=r"2\.png has more than one value beside 0: threshold it"):
            refused()


def test_frames_in_folders_of_their_own_are_scored_as_they_are_learned_from(pairs: Path) -> None:
    for part, image in (("images", frame(9)), ("masks", mask(9) * np.uint8(255))):
        save(pairs / part / "more" / "0.png", image)
    prediction = shutil.copytree(pairs / "masks", pairs.parent / "prediction")
    names = [f.name for f in open_labels(pairs)]
    assert names == ["0", "1", "2", "3", "more/0"]
    assert [row.name for row in evaluate(prediction, pairs).rows] == names
    (prediction / "more" / "0.png").unlink()
    with pytest.raises(InputError, match=r"more/0\.png is missing: 1 of the 5"):
        evaluate(prediction, pairs)


def test_of_a_label_set_what_was_accepted_is_true_and_what_is_damaged_is_told(tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")
    good, bad = (labels.add(frame(seed), mask(seed)).id for seed in (0, 1))
    labels.add(frame(2), mask(2), status="flagged")
    save(tmp_path / "prediction" / f"{good}.png", mask(0) * np.uint8(255))
    (labels.folder / "records" / f"{bad}.json").write_text("{")
    found = evaluate(tmp_path / "prediction", labels.folder)
    assert [(row.name, row.dsc) for row in found.rows] == [(good, 1)]
    assert [f.name for f in open_labels(labels.folder)] == [good]
    assert any(bad in note for note in found.notes)


def test_a_label_set_whose_only_record_is_damaged_says_so(tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x")
    with pytest.raises(LabelError, match="0 frames and none of them is accepted"):
        open_labels(labels.folder)
    id = labels.add(frame(0), mask(0)).id
    (labels.folder / "records" / f"{id}.json").write_text("{")
    with pytest.raises(LabelError, match=rf"{id}\.json is not valid JSON"):
        open_labels(labels.folder)


def test_a_coco_file_alone_is_scored_against_and_not_learned_from(arcade: Path) -> None:
    coco = arcade / "val" / "annotations" / "val.json"
    with pytest.raises(LabelError, match=r"val\.json has masks and no frames"):
        open_labels(coco)
    with pytest.raises(InputError, match="neither a folder of masks nor a COCO file"):
        open_labels(arcade / "val" / "images" / "1.png")


def test_images_without_masks_are_no_truth(pairs: Path) -> None:
    (pairs / "masks").rename(pairs.parent / "prediction")
    with pytest.raises(LabelError, match="holds images/ and no masks"):
        evaluate(pairs.parent / "prediction", pairs)
