from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from scipy.ndimage import binary_erosion, distance_transform_edt
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from tests.core.evaluation.made import Mask, blobs
from vasomim_core.errors import InputError, LabelError
from vasomim_core.evaluation.metrics import (
    METRICS,
    cldice,
    dsc,
    hd95,
    iou,
    mean_overlap,
    mean_scores,
    precision,
    score_frame,
    sensitivity,
)

OVERLAPS = [dsc, cldice, iou, sensitivity, precision]


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[Mask, Mask]:
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=12))
    return draw(arrays(bool, shape)), draw(arrays(bool, shape))


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


def test_the_mean_overlap_is_dsc_and_cldice_in_percent() -> None:
    line, half, none = np.zeros((3, 5, 9), bool)
    line[2, 1:7] = half[2, 1:4] = True
    assert mean_overlap([(line, line), (half, line)]) == pytest.approx((100 * (1 + 6 / 9) / 2, 100 * (1 + 2 / 3) / 2))
    thick = line.copy()
    thick[1:4, 1:7] = True  # three rows around the line
    found = mean_overlap([(thick, line), (none, line)])
    assert found == pytest.approx((100 * 12 / 24 / 2, 50 * cldice(thick, line)))
    assert found[0] != found[1]
    with pytest.raises(InputError, match="no frame"):
        mean_overlap([])


@pytest.mark.parametrize("metric", [dsc, cldice, hd95])
def test_a_probability_is_no_mask(metric) -> None:
    mask = np.eye(8, dtype=bool)
    probability = np.where(mask, np.float32(0.8), np.float32(0.1))
    with pytest.raises(LabelError, match=r"prediction is no mask.*threshold"):
        metric(probability, mask)
    with pytest.raises(LabelError, match="truth is no mask"):
        metric(mask, probability)
    assert metric(np.where(mask, 0.8, 0.0), mask) == metric(mask, mask)  # two values are a mask
