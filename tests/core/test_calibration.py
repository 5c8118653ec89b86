"""Calibration: what the error measures, and that the fit undoes what was done to a probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from vasomim_core.calibration import AS_TRAINED, Reliability, calibrate, fit


def table_of(p, truth):
    return Reliability.of(p.astype(np.float32), truth)


def honest(rng, n=200_000):
    p = rng.beta(0.3, 1.0, n)
    return p, rng.random(n) < p


def test_an_honest_probability_has_no_error_and_a_constant_one_has_its_distance():
    p, truth = honest(np.random.default_rng(0))
    assert table_of(p, truth).error() < 0.005
    assert table_of(np.full(1000, 0.7), np.arange(1000) < 400).error() == pytest.approx(0.3, abs=0.004)
    assert np.isnan(Reliability.empty().error())


def test_the_error_is_that_of_the_bins_of_scikit_learn():
    rng = np.random.default_rng(1)
    p = rng.random(100_000)
    truth = rng.random(100_000) < p**2
    frequency, mean = calibration_curve(truth, p, n_bins=15)
    weights = np.histogram(p, 15, (0, 1))[0] / len(p)
    assert table_of(p, truth).error() == pytest.approx((weights * np.abs(frequency - mean)).sum(), abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.4, 3), st.floats(-2, 2), st.integers(0, 100))
def test_the_fit_undoes_what_was_done(slope, intercept, seed):
    p, truth = honest(np.random.default_rng(seed), 60_000)
    wrong = expit(slope * logit(np.clip(p, 1e-4, 1 - 1e-4)) + intercept)
    table = table_of(wrong, truth)
    found = fit(table)
    assert table.calibrated(found).error() < 0.01
    right = calibrate(wrong.astype(np.float32), found)
    assert right.dtype == np.float32
    assert np.all(np.diff(right[np.argsort(wrong)]) >= 0)  # no two pixels change places
    assert table_of(right, truth).error() == pytest.approx(table.calibrated(found).error(), abs=0.003)


def test_the_fit_is_a_logistic_regression():
    rng = np.random.default_rng(2)
    p, truth = honest(rng, 50_000)
    wrong = expit(1.7 * logit(np.clip(p, 1e-4, 1 - 1e-4)) - 0.4)
    reference = LogisticRegression(C=1e9).fit(logit(wrong)[:, None], truth)
    assert fit(table_of(wrong, truth)) == pytest.approx((reference.coef_[0, 0], reference.intercept_[0]), abs=0.01)


def test_frames_add_up():
    rng = np.random.default_rng(3)
    p, truth = honest(rng, 1000)
    halves = table_of(p[:500], truth[:500]) + table_of(p[500:], truth[500:])
    whole = table_of(p, truth)
    assert np.array_equal(halves.pixels, whole.pixels)
    assert np.array_equal(halves.vessel, whole.vessel)
    other = whole.calibrated((2.0, 0.5))
    assert (whole + other).pixels.sum() == 2000
    assert (other + other).error() == pytest.approx(other.error())


def test_where_nothing_can_be_learned_nothing_changes():
    p = np.random.default_rng(4).random(100).astype(np.float32)
    assert fit(table_of(p, np.zeros(100, bool))) == AS_TRAINED
    assert calibrate(p, AS_TRAINED) is p
