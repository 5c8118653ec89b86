from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from skimage.morphology import skeletonize

from tests.core.evaluation.made import Mask, blobs
from vasomim_core.errors import InputError, LabelError
from vasomim_core.evaluation.folders import evaluate
from vasomim_core.evaluation.metrics import mean_scores, score_frame
from vasomim_core.files import write_png


def save(folder: Path, name: str, mask: NDArray) -> Path:
    write_png(folder / name, mask.astype(np.uint8) * np.uint8(255))
    return folder / name


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two frames a, b: predictions with one file too many, and true masks."""
    for seed, stem in enumerate("ab"):
        save(tmp_path / "p", f"{stem}.png", blobs(seed))
        save(tmp_path / "g", f"{stem}.png", blobs(seed + 100))
    save(tmp_path / "p", "extra.png", blobs(9))
    (tmp_path / "p" / "notes.txt").write_text("no mask")
    return tmp_path / "p", tmp_path / "g"


def test_a_folder_of_masks_is_scored_in_order(folders: tuple[Path, Path]) -> None:
    seen: list[tuple[int, int]] = []
    result = evaluate(*folders, progress=lambda done, total: seen.append((done, total)))
    assert result.rows == (score_frame(blobs(0), blobs(100), "a"), score_frame(blobs(1), blobs(101), "b"))
    assert (result.n, result.unused, seen) == (2, 1, [(1, 2), (2, 2)])
    assert result.mean == mean_scores(result.rows)
    json.dumps(result.to_dict(rows=True), allow_nan=False)
    assert result.to_dict()["dsc"] == pytest.approx(100 * result.mean["dsc"])
    assert result.to_dict()["hd95"] == result.mean["hd95"]
    assert [row["name"] for row in result.to_dict(rows=True)["rows"]] == ["a", "b"]
    assert "rows" not in result.to_dict()


def test_truth_may_lie_in_a_masks_folder(folders: tuple[Path, Path]) -> None:
    prediction, truth = folders
    plain = evaluate(prediction, truth)
    (truth.parent / "set").mkdir()
    truth.rename(truth.parent / "set" / "masks")
    assert evaluate(prediction, truth.parent / "set") == plain


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(
    "coded",
    [
        lambda m: m.astype(np.uint8),
        lambda m: m.astype(np.uint8) * np.uint8(255),
        lambda m: m.astype(np.uint16),
        lambda m: m.astype(np.uint16) * np.uint16(65535),
        lambda m: m.astype(np.uint16) * np.uint16(255),
        lambda m: np.repeat(m[..., None], 3, 2).astype(np.uint8) * np.uint8(255),
    ],
    ids=["0/1", "0/255", "16-bit 0/1", "16-bit 0/65535", "16-bit 0/255", "rgb"],
)
def test_masks_are_read_in_every_usual_coding(tmp_path: Path, suffix: str, coded: Callable[[Mask], NDArray]) -> None:
    mask = blobs(0, 40)
    (tmp_path / "p").mkdir()
    if suffix == "png":
        write_png(tmp_path / "p" / "a.png", coded(mask))
    else:
        tifffile.imwrite(tmp_path / "p" / "a.tif", coded(mask))
    save(tmp_path / "g", "a.png", mask)
    assert evaluate(tmp_path / "p", tmp_path / "g").mean["dsc"] == 1


def test_a_one_bit_mask_is_read(tmp_path: Path) -> None:
    save(tmp_path / "g", "a.png", blobs(0))
    (tmp_path / "p").mkdir()
    Image.fromarray(blobs(0)).save(tmp_path / "p" / "a.png")
    assert evaluate(tmp_path / "p", tmp_path / "g").mean["dsc"] == 1


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_stack_is_scored_frame_by_frame(tmp_path: Path, compression: str | None) -> None:
    p, g = (np.stack([blobs(seed + first) for seed in range(3)]) for first in (0, 100))
    g[1] = False
    for folder, stack in (("p", p), ("g", g)):
        (tmp_path / folder).mkdir()
        pages = stack.astype(np.uint8) * np.uint8(255)
        tifffile.imwrite(tmp_path / folder / "run.tif", pages, photometric="minisblack", compression=compression)
    rows = evaluate(tmp_path / "p", tmp_path / "g").rows
    assert rows == tuple(score_frame(p[t], g[t], f"run[{t}]") for t in range(3))
    tifffile.imwrite(tmp_path / "p" / "run.tif", p[:2].astype(np.uint8), photometric="minisblack")
    with pytest.raises(LabelError, match=r"run\.tif holds 2 masks.*holds 3"):
        evaluate(tmp_path / "p", tmp_path / "g")


def test_a_missing_prediction_is_named(folders: tuple[Path, Path]) -> None:
    prediction, truth = folders
    (prediction / "b.png").unlink()
    with pytest.raises(InputError, match=r"b\.png is missing: 1 of the 2 frames"):
        evaluate(prediction, truth)


def test_other_sizes_are_named_with_both(folders: tuple[Path, Path]) -> None:
    prediction, truth = folders
    save(prediction, "b.png", np.ones((31, 17), bool))
    with pytest.raises(LabelError, match=r"b\.png.*17×31.*96×96"):
        evaluate(prediction, truth)


def test_two_files_of_one_stem_are_refused(folders: tuple[Path, Path]) -> None:
    prediction, truth = folders
    tifffile.imwrite(prediction / "b.tif", blobs(1).astype(np.uint8))
    with pytest.raises(LabelError, match=r"b\.png and .*b\.tif have the same stem"):
        evaluate(prediction, truth)


def test_files_that_are_no_masks_are_named(folders: tuple[Path, Path]) -> None:
    prediction, truth = folders
    whole = (prediction / "b.png").read_bytes()
    for content, says in ((b"", "is empty"), (b"no picture", "unknown kind"), (whole[: len(whole) // 2], "truncated")):
        (prediction / "b.png").write_bytes(content)
        with pytest.raises(InputError, match=rf"b\.png .*{says}"):
            evaluate(prediction, truth)
    write_png(prediction / "b.png", np.arange(96 * 96, dtype=np.uint8).reshape(96, 96) % 26)
    with pytest.raises(LabelError, match=r"b\.png has more than one value beside 0"):
        evaluate(prediction, truth)
    write_png(prediction / "b.png", np.stack([blobs(seed) * np.uint8(255) for seed in range(3)], axis=-1))
    with pytest.raises(LabelError, match=r"b\.png has more than one value beside 0"):
        evaluate(prediction, truth)
    (prediction / "b.png").unlink()
    tifffile.imwrite(prediction / "b.tif", np.full((96, 96), 0.7, np.float32))
    with pytest.raises(LabelError, match=r"b\.tif holds fractions"):
        evaluate(prediction, truth)


def test_paths_of_the_wrong_kind_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    prediction, truth = folders
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LabelError, match="empty holds no masks"):
        evaluate(prediction, empty)
    for bad in (tmp_path / "nowhere", truth / "a.png"):
        with pytest.raises(InputError, match=bad.name):
            evaluate(prediction, bad)
        with pytest.raises(InputError, match=bad.name):
            evaluate(bad, truth)


def plain_scores(p: Mask, g: Mask) -> tuple[float, float]:
    """DSC and clDice, written down once more."""
    sp, sg = skeletonize(p), skeletonize(g)
    a, b = (sp & g).sum() / max(sp.sum(), 1), (sg & p).sum() / max(sg.sum(), 1)
    return 2 * (p & g).sum() / (p.sum() + g.sum()), 2 * a * b / max(a + b, 1e-9)


def test_arcade_is_scored_as_an_independent_scorer_does(arcade: Path, tmp_path: Path) -> None:
    document = json.loads((arcade / "val" / "annotations" / "val.json").read_text())
    document["images"] = document["images"][::10]
    kept = {image["id"] for image in document["images"]}
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] in kept]
    (tmp_path / "val" / "images").mkdir(parents=True)
    (tmp_path / "val" / "annotations").mkdir()
    coco = tmp_path / "val" / "annotations" / "val.json"
    coco.write_text(json.dumps(document))

    rng = np.random.default_rng(0)
    expected = []
    for image in document["images"]:
        canvas = Image.new("L", (image["width"], image["height"]))
        for annotation in document["annotations"]:
            if annotation["image_id"] == image["id"]:
                for xy in annotation["segmentation"]:
                    ImageDraw.Draw(canvas).polygon(list(zip(xy[::2], xy[1::2], strict=True)), fill=1)
        truth = np.array(canvas) > 0
        moved = np.roll(truth, rng.integers(-4, 5, 2), axis=(0, 1)) ^ (rng.random(truth.shape) < 0.002)
        save(tmp_path / "p", image["file_name"], moved)
        expected.append(plain_scores(moved, truth))

    result = evaluate(tmp_path / "p", coco)
    assert [row.name for row in result.rows] == [Path(image["file_name"]).stem for image in document["images"]]
    np.testing.assert_allclose([(row.dsc, row.cldice) for row in result.rows], expected, rtol=1e-12)
    assert evaluate(tmp_path / "p", tmp_path / "val") == result


def test_masks_with_any_text_are_read(tmp_path):
    """Programs write what they like beside the picture; a mask is one all the same."""
    mask = blobs(1)
    for folder in ("p", "t"):
        (tmp_path / folder).mkdir()
        info = PngInfo()
        info.add_text("comment", "x" * (1 << 21), zip=True)
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / folder / "a.png", pnginfo=info)
    assert evaluate(tmp_path / "p", tmp_path / "t").rows[0].dsc == 1
