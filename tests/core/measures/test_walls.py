"""Walls from grey levels: vessels of a known width, wide and thin, straight profiles and their derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

import vasomim_core as vm
from vasomim_core.correction.cost import VesselCost
from vasomim_core.measures.centreline import STEP, from_path, resampled, smoothed
from vasomim_core.measures.lumen_profile import blurred_chord
from vasomim_core.measures.measuring import Measure
from vasomim_core.measures.segment import find_segment
from vasomim_core.measures.wall_fit import Belief

from .drawn import at, narrowed, tube

KNOWN = Belief(np.hypot(0.9, 12**-0.5), 0.05)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.4, 12), st.floats(0.5, 2.0), st.floats(-2, 2), st.floats(0, 1.5))
def test_the_blurred_chord_is_the_chord_blurred(radius, blur, centre, saturation):
    fine = 0.02
    x = np.arange(-2000, 2001) * fine
    s = np.sqrt(np.maximum(1 - ((x - centre) / radius) ** 2, 0))
    shadow = s if saturation < 1e-3 else (1 - np.exp(-saturation * s)) / saturation
    expected = gaussian_filter1d(shadow, blur / fine, truncate=6)
    args = np.array([centre]), np.array([radius])
    found = blurred_chord(x[::100], *args, blur, np.array([saturation])).value[0]
    np.testing.assert_allclose(found, expected[::100], atol=2e-3)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 8), st.floats(0.5, 2.0), st.floats(-2, 2), st.floats(0.05, 1.5))
def test_its_derivatives_are_those_of_differences(radius, blur, centre, saturation):
    x, h = np.linspace(-12, 12, 60), 1e-2

    def profile(c=0.0, r=0.0, b=0.0, k=0.0):
        return blurred_chord(
            x, np.array([centre + c]), np.array([radius * np.exp(r)]), blur * np.exp(b), np.array([saturation + k])
        )

    at_it = profile()
    for name, step in (("by_centre", "c"), ("by_log_radius", "r"), ("by_log_blur", "b"), ("by_saturation", "k")):
        expected = (profile(**{step: h}).value - profile(**{step: -h}).value) / (2 * h)
        np.testing.assert_allclose(getattr(at_it, name), expected, atol=1e-2)


@pytest.mark.parametrize("diameter", [2.0, 3.0, 5.0, 9.0, 15.0])
def test_a_width_is_right_to_four_tenths_of_a_pixel(diameter):
    frame = tube(diameter, contrast=12.0 if diameter < 4 else 6.0)
    segment = find_segment(VesselCost(frame), [at(30), at(150)], KNOWN)
    assert segment.diameter[8:-8] == pytest.approx(diameter, abs=0.4)


def test_blur_makes_no_vessel_wider():
    widths = []
    for blur in (0.7, 1.3):
        belief = Belief(float(np.hypot(blur, 12**-0.5)), 0.05)
        cost = VesselCost(tube(4.0, blur=blur, contrast=10))
        widths.append(find_segment(cost, [at(30), at(150)], belief).diameter.mean())
    assert widths[0] == pytest.approx(widths[1], abs=0.25)


def test_a_vessel_close_by_does_not_catch_the_wall():
    frame = tube(5.0, others=[(61.0, 9.0)])
    segment = find_segment(VesselCost(frame), [at(30), at(150)], KNOWN)
    assert segment.diameter[8:-8] == pytest.approx(5.0, abs=0.6)


def test_the_centreline_is_recentred():
    frame = tube(11.0)
    segment = find_segment(VesselCost(frame), [np.add(at(30), (3, 0)), np.add(at(150), (-3, 0))], KNOWN)
    rows = np.array([at(column)[0] for column in segment.centreline[:, 1]])
    assert segment.centreline[4:-4, 0] == pytest.approx(rows[4:-4], abs=0.3)
    assert np.diff(segment.distance) == pytest.approx(STEP, abs=0.1)


def test_the_blur_of_a_wide_vessel_is_found():
    for blur in (0.7, 1.4):
        segment = find_segment(VesselCost(tube(12.0, blur=blur)), [at(30), at(150)], Belief())
        assert segment.blur == pytest.approx(np.hypot(blur, 12**-0.5), rel=0.15)


@pytest.mark.parametrize(
    ("clicks", "words"),
    [
        ([(50, 20), (500, 90)], "outside the frame"),
        ([(50, 90), (51, 91)], "less than 8 px apart"),
        ([(6, 20), (6, 150)], "no vessel leads from row 6, column 20"),
        ([(50, 20)], "two points"),
        ([(50, 20), "ab"], "no point"),
    ],
)
def test_clicks_that_make_no_measure_are_told(clicks, words):
    with pytest.raises(vm.VasoMIMError, match=words):
        find_segment(VesselCost(tube(7.0)), clicks, KNOWN)


def test_a_smoothed_line_keeps_its_ends_and_a_straight_one_itself():
    points = np.linspace((3, 4), (40, 90), 60)
    np.testing.assert_allclose(smoothed(points, 5), points, atol=1e-9)
    wavy = points + np.random.default_rng(0).normal(0, 1, points.shape)
    np.testing.assert_allclose(smoothed(wavy, 5)[[0, -1]], wavy[[0, -1]], atol=1e-9)
    line = resampled(points)
    assert line.normals @ (points[-1] - points[0]) == pytest.approx(0, abs=1e-9)
    assert len(from_path(np.array([[1, 1], [1, 2], [1, 3]])).points) >= 3


def test_a_measure_moves_with_its_frame():
    frame = tube(narrowed(8.0, 50))
    here = vm.measure(frame, at(30), at(150))
    turned = vm.measure(np.ascontiguousarray(frame.T), at(30)[::-1], at(150)[::-1])
    assert turned.mld_px == pytest.approx(here.mld_px, abs=0.1)
    assert turned.ds_percent == pytest.approx(here.ds_percent, abs=1.5)


def test_noise_is_no_stenosis_and_a_stenosis_is_not_smoothed_away():
    """A square on bends does either the one or the other: 9 % and 79 % when soft, 4 % and 66 % when stiff."""

    def read(diameter):
        frames = [tube(diameter, noise=8.0, seed=seed) for seed in range(4)]
        segments = [find_segment(VesselCost(frame), [at(30), at(150)], KNOWN) for frame in frames]
        return np.mean([Measure.of(segment).ds_percent for segment in segments])

    assert read(8.0) < 6
    assert read(narrowed(12.0, 80, length=24)) == pytest.approx(80, abs=4)
