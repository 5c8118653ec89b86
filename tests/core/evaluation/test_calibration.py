"""Calibration: the error of counted pixels is that of the pixels, and the fit undoes what was done to a probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from vasomim_core.errors import ConfigError, InputError
from vasomim_core.evaluation.calibration import (
    AS_TRAINED,
    Reliability,
    best_threshold,
    calibrate,
    expected_calibration_error,
    fit,
)
from vasomim_core.evaluation.metrics import dsc


def counted(p, truth):
    return Reliability.of(p.astype(np.float32), truth)


def honest(rng, n=200_000):
    p = rng.beta(0.3, 1.0, n)
    return p, rng.random(n) < p


def test_counting_keeps_the_error_of_the_pixels():
    rng = np.random.default_rng(1)
    p = rng.random(100_000)
    truth = rng.random(100_000) < p**2
    assert counted(p, truth).error() == pytest.approx(expected_calibration_error(p, truth), abs=1e-3)
    assert counted(*honest(rng)).error() < 0.005
    with pytest.raises(InputError, match="not all be 0"):
        Reliability.empty().error()


@settings(max_examples=20, deadline=None)
@given(st.floats(0.4, 3), st.floats(-2, 2), st.integers(0, 100))
def test_the_fit_undoes_what_was_done(slope, intercept, seed):
    p, truth = honest(np.random.default_rng(seed), 60_000)
    wrong = expit(slope * logit(np.clip(p, 1e-4, 1 - 1e-4)) + intercept)
    counts = counted(wrong, truth)
    found = fit(counts)
    assert counts.calibrated(found).error() < 0.01
    right = calibrate(wrong.astype(np.float32), found)
    assert right.dtype == np.float32
    assert np.all(np.diff(right[np.argsort(wrong)]) >= 0)  # no two pixels change places
    assert counted(right, truth).error() == pytest.approx(counts.calibrated(found).error(), abs=0.003)


def test_the_fit_is_a_logistic_regression():
    rng = np.random.default_rng(2)
    p, truth = honest(rng, 50_000)
    wrong = expit(1.7 * logit(np.clip(p, 1e-4, 1 - 1e-4)) - 0.4)
    reference = LogisticRegression(C=1e9).fit(logit(wrong)[:, None], truth)
    assert fit(counted(wrong, truth)) == pytest.approx((reference.coef_[0, 0], reference.intercept_[0]), abs=0.01)


def test_frames_add_up():
    p, truth = honest(np.random.default_rng(3), 1000)
    halves, whole = counted(p[:500], truth[:500]) + counted(p[500:], truth[500:]), counted(p, truth)
    assert np.array_equal(halves.vessel, whole.vessel)
    assert np.array_equal(halves.background, whole.background)
    assert whole.vessel.sum() == truth.sum()


def test_where_nothing_can_be_learned_nothing_changes():
    p = np.random.default_rng(4).random(100).astype(np.float32)
    assert fit(counted(p, np.zeros(100, bool))) == AS_TRAINED
    assert calibrate(p, AS_TRAINED) is p


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 4))
def test_no_threshold_gives_better_masks(seed, count):
    rng = np.random.default_rng(seed)
    frames = [honest(rng, 2_000) for _ in range(count)]
    best = best_threshold([counted(p, truth) for p, truth in frames])

    def mean(threshold):
        return np.mean([dsc(p[None] >= threshold, truth[None]) for p, truth in frames])

    assert mean(best) >= max(mean(t) for t in np.linspace(0.02, 0.98, 49)) - 0.005


def test_an_honest_pixel_is_taken_from_half_the_dsc_on():
    p, truth = honest(np.random.default_rng(4))
    best = best_threshold([counted(p, truth)])
    assert best == pytest.approx(dsc(p[None] >= best, truth[None]) / 2, abs=0.03)
    assert best_threshold([Reliability.of(np.full(9, 0.2, np.float32), np.zeros(9, bool))]) > 0.2  # nothing to find


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
def test_calibration_error_is_at_least_the_mean_gap(p: NDArray, g: NDArray, bins: int) -> None:
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


def test_no_probability_is_nearer_to_certainty_than_one_in_a_million() -> None:
    certain = np.array([0, 1], np.float32)
    assert calibrate(certain, (1.0, 1.0)) == pytest.approx(expit(np.array([1, -1]) + logit([1e-6, 1 - 1e-6])), rel=1e-3)
    assert calibrate(certain, (2.0, 0.0))[0] == pytest.approx(1e-12, rel=1e-3)
    assert calibrate(np.array([0.2], np.float32), (2.0, -1.0)) == pytest.approx(1 / (1 + 16 * np.e))
    counts = counted(certain, np.array([False, True]))
    assert (counts.background[0], counts.vessel[-1]) == (1, 1), "in the outermost cells"
    assert counts.calibrated((1.0, 100.0)).background[-1] == 1
    assert counts.error() == pytest.approx(1e-6, rel=0.01)


def test_cells_are_of_equal_width_on_the_logit() -> None:
    """Half of 2000 lie below 0.5; a probability counts in the cell that its own middle is nearest to."""
    middles = logit(1 - 1e-6) * (np.arange(2000) + 0.5 - 1000) / 1000
    counts = Reliability.of(expit(middles), np.ones(2000, bool))
    assert counts.vessel.tolist() == [1] * 2000
    assert counts.calibrated((1.0, 0.0)).vessel.tolist() == [1] * 2000
    assert counts.background.sum() == 0
    assert counts.calibrated((0.5, 0.0)).vessel[500:1500].tolist() == [2] * 1000


def test_the_best_threshold_is_the_lowest_that_gives_the_largest_mean() -> None:
    first = counted(np.array([0.9, 0.6, 0.3]), np.array([True, True, False]))
    assert 0.3 < best_threshold([first]) < 0.304  # a cell is 0.003 wide there
    second = counted(np.array([0.8, 0.3, 0.1]), np.array([True, True, False]))
    # DSC of both from a threshold behind 0.1 on: 4/5 and 1; behind 0.3: 1 and 2/3.
    assert 0.1 < best_threshold([first, second]) < 0.102
    assert 0.3 < best_threshold([first, first, first, second]) < 0.304
    nothing = counted(np.array([0.05]), np.array([False]))
    assert 0.05 < best_threshold([nothing]) < 0.051, "nothing to find, and nothing found"
    assert best_threshold([counted(np.array([0.5]), np.array([True]))]) == pytest.approx(1e-6)
