"""Reliability: the error of counted pixels is that of the pixels, and the fit undoes what was done to a probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from vasomim_core.errors import InputError
from vasomim_core.evaluation.calibration import AS_TRAINED, calibrate
from vasomim_core.evaluation.metrics import dsc, expected_calibration_error
from vasomim_core.evaluation.reliability import Reliability, best_threshold, fit


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
