from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from scipy.ndimage import binary_erosion, distance_transform_edt
from skimage.morphology import skeletonize
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from vasomim_core.errors import ConfigError, InputError, LabelError
from vasomim_core.evaluation.metrics import (
    METRICS,
    cldice,
    dsc,
    evaluate_masks,
    expected_calibration_error,
    hd95,
    iou,
    mean_scores,
    precision,
    score_frame,
    sensitivity,
)
from vasomim_core.files import write_png

Mask = NDArray[np.bool_]
OVERLAPS = [dsc, cldice, iou, sensitivity, precision]


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[Mask, Mask]:
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=12))
    return draw(arrays(bool, shape)), draw(arrays(bool, shape))


def blobs(seed: int, side: int = 96) -> Mask:
    """Some thick lines on an empty frame."""
    rng = np.random.default_rng(seed)
    canvas = Image.new("L", (side, side))
    for _ in range(4):
        ImageDraw.Draw(canvas).line(rng.integers(0, side, 6).tolist(), fill=1, width=int(rng.integers(2, 9)))
    return np.array(canvas) > 0


def save(folder: Path, name: str, mask: NDArray) -> Path:
    write_png(folder / name, mask.astype(np.uint8) * np.uint8(255))
    return folder / name


# --- the formulas


@given(mask_pairs())
def test_scores_are_bounded_and_consistent(pair: tuple[Mask, Mask]) -> None:
    p, g = pair
    for metric in OVERLAPS:
        assert 0 <= metric(p, g) <= 1
    assert dsc(p, g) == dsc(g, p)
    assert cldice(p, g) == cldice(g, p)
    assert sensitivity(p, g) == precision(g, p)
    assert dsc(p, g) == pytest.approx(2 * iou(p, g) / (1 + iou(p, g)))


@given(mask_pairs())
@settings(deadline=None)
def test_a_perfect_prediction_scores_one(pair: tuple[Mask, Mask]) -> None:
    mask, _ = pair
    assert [metric(mask, mask) for metric in OVERLAPS] == [1.0] * 5
    assert hd95(mask, mask) == 0


@given(mask_pairs())
@settings(max_examples=60, deadline=None)
def test_hd95_is_symmetric_and_shorter_than_the_diagonal(pair: tuple[Mask, Mask]) -> None:
    p, g = pair
    assume(p.any() and g.any())
    assert hd95(p, g) == pytest.approx(hd95(g, p))
    assert 0 <= hd95(p, g) < np.hypot(*p.shape)


@given(mask_pairs())
def test_overlaps_agree_with_scikit_learn(pair: tuple[Mask, Mask]) -> None:
    p, g = pair
    assume(p.any() and g.any())
    p_, g_ = p.ravel(), g.ravel()
    assert dsc(p, g) == pytest.approx(f1_score(g_, p_))
    assert iou(p, g) == pytest.approx(jaccard_score(g_, p_))
    assert sensitivity(p, g) == pytest.approx(recall_score(g_, p_))
    assert precision(p, g) == pytest.approx(precision_score(g_, p_))


@pytest.mark.parametrize("seed", range(6))
def test_scores_agree_with_monai(seed: int) -> None:
    import torch
    from monai.metrics import ConfusionMatrixMetric, DiceMetric, HausdorffDistanceMetric, MeanIoU

    p, g = blobs(seed), blobs(seed + 100)
    tensors = [torch.from_numpy(mask)[None, None].float() for mask in (p, g)]
    ours = score_frame(p, g)
    assert ours.dsc == pytest.approx(DiceMetric()(*tensors).item())
    assert ours.iou == pytest.approx(MeanIoU()(*tensors).item())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        assert ours.hd95 == HausdorffDistanceMetric(include_background=True, percentile=95)(*tensors).item()
    counts = ConfusionMatrixMetric(metric_name=("sensitivity", "precision"))
    counts(*tensors)
    assert [ours.sensitivity, ours.precision] == pytest.approx([x.item() for x in counts.aggregate()])


@pytest.mark.parametrize("seed", range(6))
def test_hd95_agrees_with_distance_transforms(seed: int) -> None:
    p, g = blobs(seed), blobs(seed + 100)
    p_edge, g_edge = (mask & ~binary_erosion(mask) for mask in (p, g))
    there = np.percentile(distance_transform_edt(~g_edge)[p_edge], 95)
    back = np.percentile(distance_transform_edt(~p_edge)[g_edge], 95)
    assert hd95(p, g) == pytest.approx(max(there, back), rel=1e-5)


def test_known_answers() -> None:
    truth = np.zeros((20, 40), bool)
    truth[8:13, 5:35] = True
    moved = np.roll(truth, 3, axis=0)
    # 2 of 5 rows overlap; the centreline (row 10) of one lies outside the other, 3 rows away.
    scores = score_frame(moved, truth, "moved")
    assert scores.name == "moved"
    assert scores.dsc == scores.sensitivity == scores.precision == pytest.approx(0.4)
    assert scores.iou == pytest.approx(0.25)
    assert scores.cldice == 0
    assert scores.hd95 == 3
    # The thin line keeps the topology and loses the area: the point of clDice.
    thin = np.zeros_like(truth)
    thin[10, 5:35] = True
    assert cldice(thin, truth) > 0.95
    assert dsc(thin, truth) == pytest.approx(2 * 30 / (30 + 150))


@pytest.mark.parametrize("value", [1, 255, True, 0.5])
def test_anything_but_zero_is_vessel(value: float) -> None:
    mask = blobs(0)
    assert score_frame(mask * value, mask).dsc == 1


def test_empty_masks() -> None:
    empty, some = np.zeros((30, 40), bool), np.ones((30, 40), bool)
    both = score_frame(empty, empty)
    assert [getattr(both, name) for name in METRICS] == [1, 1, 1, 1, 1, 0]
    for p, g in ((empty, some), (some, empty)):
        assert [getattr(score_frame(p, g), name) for name in METRICS] == [0, 0, 0, 0, 0, 50]


@pytest.mark.parametrize("metric", [*OVERLAPS, hd95])
def test_masks_of_other_sizes_are_refused(metric: Callable[[Mask, Mask], float]) -> None:
    with pytest.raises(LabelError, match=r"\(4, 5\).*\(5, 4\)"):
        metric(np.ones((4, 5), bool), np.ones((5, 4), bool))
    with pytest.raises(LabelError):
        metric(np.ones((2, 4, 5), bool), np.ones((2, 4, 5), bool))


def test_bool_arrays_of_pil_are_scored() -> None:
    odd = np.array(Image.fromarray(blobs(0)))
    assert odd.view(np.uint8).max() == 255  # a "True" that scikit-image's tables do not know
    assert score_frame(odd, blobs(1)) == score_frame(blobs(0), blobs(1))


def test_one_pixel_and_odd_frames_are_scored() -> None:
    for shape in ((1, 1), (31, 17)):
        assert score_frame(np.ones(shape, bool), np.ones(shape, bool)).cldice == 1


def test_the_mean_counts_every_frame() -> None:
    g = blobs(0)
    rows = [score_frame(g, g), score_frame(np.zeros_like(g), g)]
    assert mean_scores(rows) == {
        **dict.fromkeys(("dsc", "cldice", "iou", "sensitivity", "precision"), 0.5),
        "hd95": pytest.approx(np.hypot(96, 96) / 2),
    }
    with pytest.raises(InputError):
        mean_scores([])


# --- calibration


def test_calibration_error_of_known_cases() -> None:
    assert expected_calibration_error([0.0, 1.0, 1.0], [0, 1, 1]) == 0
    assert expected_calibration_error([0.0, 1.0], [1, 0]) == 1
    assert expected_calibration_error([[0.8, 0.8], [0.8, 0.8]], [[1, 1], [1, 0]]) == pytest.approx(0.05)
    assert expected_calibration_error([0.2, 0.9], [0, 0], bins=1) == pytest.approx(0.55)
    # The upper border belongs to a bin: 0.5 joins 0.4, whose errors cancel; 0.6 stands alone.
    assert expected_calibration_error([0.4, 0.5, 0.6], [0, 1, 1], bins=2) == pytest.approx((0.1 + 0.4) / 3)
    assert expected_calibration_error([0.2, 0.9], [0, 1], weights=[3, 1]) == pytest.approx((3 * 0.2 + 0.1) / 4)


def test_calibration_error_agrees_with_monai() -> None:
    calibration = pytest.importorskip("monai.metrics.calibration", reason="MONAI < 1.6 has no calibration")
    import torch

    rng = np.random.default_rng(0)
    p = rng.random((64, 64))
    g = rng.random((64, 64)) < p**2
    metric = calibration.CalibrationErrorMetric(num_bins=15)
    metric(torch.from_numpy(p)[None, None], torch.from_numpy(g)[None, None].float())
    assert expected_calibration_error(p, g) == pytest.approx(metric.aggregate().item(), abs=1e-5)


@given(arrays(np.float32, 50, elements=st.floats(0, 1, width=32)), arrays(bool, 50), st.integers(1, 40))
def test_calibration_error_is_at_least_the_mean_gap(p: NDArray, g: Mask, bins: int) -> None:
    error = expected_calibration_error(p, g, bins)
    assert abs(p.mean(dtype=float) - g.mean()) - 1e-9 <= error <= 1


def test_calibration_error_refuses_what_is_no_probability() -> None:
    for p in ([1.5], [-0.1], [np.nan], [np.inf], [], [0.5, 0.5]):
        with pytest.raises(InputError):
            expected_calibration_error(p, [1] if p else [])
    with pytest.raises(ConfigError):
        expected_calibration_error([0.5], [1], bins=0)
    for weights in ([0.0], [1.0, 1.0]):
        with pytest.raises(InputError, match="Weights"):
            expected_calibration_error([0.5], [1], weights=weights)


# --- folders


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
    result = evaluate_masks(*folders, progress=lambda done, total: seen.append((done, total)))
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
    plain = evaluate_masks(prediction, truth)
    (truth.parent / "set").mkdir()
    truth.rename(truth.parent / "set" / "masks")
    assert evaluate_masks(prediction, truth.parent / "set") == plain


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
        lambda m: np.where(m, 128, 127).astype(np.uint8),
    ],
    ids=["0/1", "0/255", "16-bit 0/1", "16-bit 0/65535", "16-bit 0/255", "rgb", "just over half"],
)
def test_masks_are_read_in_every_usual_coding(tmp_path: Path, suffix: str, coded: Callable[[Mask], NDArray]) -> None:
    mask = blobs(0, 40)
    (tmp_path / "p").mkdir()
    if suffix == "png":
        write_png(tmp_path / "p" / "a.png", coded(mask))
    else:
        tifffile.imwrite(tmp_path / "p" / "a.tif", coded(mask))
    save(tmp_path / "g", "a.png", mask)
    assert evaluate_masks(tmp_path / "p", tmp_path / "g").mean["dsc"] == 1


def test_a_one_bit_mask_is_read(tmp_path: Path) -> None:
    save(tmp_path / "g", "a.png", blobs(0))
    (tmp_path / "p").mkdir()
    Image.fromarray(blobs(0)).save(tmp_path / "p" / "a.png")
    assert evaluate_masks(tmp_path / "p", tmp_path / "g").mean["dsc"] == 1


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_stack_is_scored_frame_by_frame(tmp_path: Path, compression: str | None) -> None:
    p, g = (np.stack([blobs(seed + first) for seed in range(3)]) for first in (0, 100))
    g[1] = False
    for folder, stack in (("p", p), ("g", g)):
        (tmp_path / folder).mkdir()
        pages = stack.astype(np.uint8) * np.uint8(255)
        tifffile.imwrite(tmp_path / folder / "run.tif", pages, photometric="minisblack", compression=compression)
    rows = evaluate_masks(tmp_path / "p", tmp_path / "g").rows
    assert rows == tuple(score_frame(p[t], g[t], f"run[{t}]") for t in range(3))
    tifffile.imwrite(tmp_path / "p" / "run.tif", p[:2].astype(np.uint8), photometric="minisblack")
    with pytest.raises(LabelError, match=r"run\.tif holds 2 masks.*holds 3"):
        evaluate_masks(tmp_path / "p", tmp_path / "g")


def test_a_missing_prediction_is_named(folders: tuple[Path, Path]) -> None:
    prediction, truth = folders
    (prediction / "b.png").unlink()
    with pytest.raises(InputError, match=r"b\.png is missing: 1 of the 2 frames"):
        evaluate_masks(prediction, truth)


def test_other_sizes_are_named_with_both(folders: tuple[Path, Path]) -> None:
    prediction, truth = folders
    save(prediction, "b.png", np.ones((31, 17), bool))
    with pytest.raises(LabelError, match=r"b\.png.*17×31.*96×96"):
        evaluate_masks(prediction, truth)


def test_two_files_of_one_stem_are_refused(folders: tuple[Path, Path]) -> None:
    prediction, truth = folders
    tifffile.imwrite(prediction / "b.tif", blobs(1).astype(np.uint8))
    with pytest.raises(LabelError, match=r"b\.tif and b\.png"):
        evaluate_masks(prediction, truth)


def test_files_that_are_no_masks_are_named(folders: tuple[Path, Path]) -> None:
    prediction, truth = folders
    whole = (prediction / "b.png").read_bytes()
    for content in (b"", b"no picture", whole[: len(whole) // 2]):
        (prediction / "b.png").write_bytes(content)
        with pytest.raises(InputError, match=r"b\.png cannot be read as a mask"):
            evaluate_masks(prediction, truth)
    write_png(prediction / "b.png", np.arange(96 * 96, dtype=np.uint8).reshape(96, 96) % 26)
    with pytest.raises(InputError, match=r"b\.png is not a binary mask: its brightest value is 25"):
        evaluate_masks(prediction, truth)
    write_png(prediction / "b.png", np.stack([blobs(seed) * np.uint8(255) for seed in range(3)], axis=-1))
    with pytest.raises(InputError, match=r"b\.png cannot be read as a mask: it is in colour"):
        evaluate_masks(prediction, truth)
    (prediction / "b.png").unlink()
    tifffile.imwrite(prediction / "b.tif", np.full((96, 96), 0.7, np.float32))
    with pytest.raises(InputError, match=r"b\.tif cannot be read as a mask: it holds fractions"):
        evaluate_masks(prediction, truth)


def test_paths_of_the_wrong_kind_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    prediction, truth = folders
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LabelError, match="empty holds no masks"):
        evaluate_masks(prediction, empty)
    for bad in (tmp_path / "nowhere", truth / "a.png"):
        with pytest.raises(InputError, match=bad.name):
            evaluate_masks(prediction, bad)
        with pytest.raises(InputError, match=bad.name):
            evaluate_masks(bad, truth)


# --- ARCADE


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

    result = evaluate_masks(tmp_path / "p", coco)
    assert [row.name for row in result.rows] == [Path(image["file_name"]).stem for image in document["images"]]
    np.testing.assert_allclose([(row.dsc, row.cldice) for row in result.rows], expected, rtol=1e-12)
    assert evaluate_masks(tmp_path / "p", tmp_path / "val") == result


def test_masks_with_any_text_are_read(tmp_path):
    """Programs write what they like beside the picture; a mask is one all the same."""
    mask = blobs(1)
    for folder in ("p", "t"):
        (tmp_path / folder).mkdir()
        info = PngInfo()
        info.add_text("comment", "x" * (1 << 21), zip=True)
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / folder / "a.png", pnginfo=info)
    assert evaluate_masks(tmp_path / "p", tmp_path / "t").rows[0].dsc == 1
