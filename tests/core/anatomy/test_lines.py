"""The line filter: what it answers to, and what it is for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vasomim_core.anatomy import lines, sato


def drawn(angle: float, width: int = 3, depth: float = 40.0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A dark line through the middle of a grey frame, and its pixels."""
    line = np.zeros((96, 96), np.uint8)
    way = 60 * np.array([np.cos(angle), np.sin(angle)])
    a, b = np.rint(48 - way).astype(int).tolist(), np.rint(48 + way).astype(int).tolist()
    cv2.line(line, a, b, 1, width)
    return 128 - depth * line.astype(np.float32), line > 0


@given(st.floats(0, np.pi))
def test_a_line_of_any_direction_answers_on_itself(angle: float) -> None:
    frame, line = drawn(angle)
    response = lines(frame)
    inner = np.s_[20:-20, 20:-20]
    assert line[inner][np.unravel_index(response[inner].argmax(), response[inner].shape)]
    assert response[48, 48] > 0.25 * 40


@given(st.floats(-50, 50), st.floats(0.1, 10))
def test_grey_levels_may_be_shifted_and_scaled(offset: float, factor: float) -> None:
    frame, _ = drawn(0.7)
    np.testing.assert_allclose(lines(factor * frame + offset), factor * lines(frame), atol=1e-2 * factor)


def test_a_flat_frame_and_a_bright_line_give_nothing_on_the_line() -> None:
    assert lines(np.full((40, 50), 77, np.uint8)).max() == pytest.approx(0, abs=1e-4)
    frame, _ = drawn(0.4)
    assert lines(-frame)[48, 48] < 0.05 * lines(frame)[48, 48]


def test_the_wall_of_a_wide_vessel_answers_much_less_than_a_thin_one() -> None:
    wide, _ = drawn(0.4, width=25)
    thin, _ = drawn(0.4, width=3)
    assert lines(wide)[30:-30, 30:-30].max() < 0.5 * lines(thin)[48, 48]


def test_a_faint_thin_line_stands_out_of_noise_more_than_in_the_hessian() -> None:
    gains = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        angle = rng.uniform(0, np.pi)
        frame, _ = drawn(angle, depth=12)
        _, middle = drawn(angle, width=1)
        far = cv2.dilate((frame < 128).astype(np.uint8), np.ones((15, 15))) == 0
        noisy = frame + rng.normal(0, 12, frame.shape).astype(np.float32)
        along, point = (
            (response[middle].mean() - response[far].mean()) / response[far].std()
            for response in (lines(noisy), sato(noisy, (1.5,)))
        )
        gains.append(along / point)
    assert np.mean(gains) > 1.3


def answer(down: float, right: float, across: float, along: float) -> float:
    """What one bright pixel gives at another one, so far below and to its right: by the formula, at full length."""
    reach = int(np.ceil(2 * max(across, along)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
    best = 0.0
    for angle in np.deg2rad(np.arange(0, 180, 15)):
        off, on = (y * np.cos(angle) - x * np.sin(angle)) / across, (x * np.cos(angle) + y * np.sin(angle)) / along
        gaussian = np.exp(-(off**2) / 2) * np.exp(-(on**2) / 2)
        second, first = (off**2 - 1) * gaussian, off * gaussian
        here = (y == -down) & (x == -right)
        if here.any():
            line = (second - second.mean())[here] / gaussian.sum()
            best = max(best, (line - np.abs(first[here]) / gaussian.sum() / 2).item())
    return best


@pytest.mark.parametrize("widths", [(1.5, 6.0), (2.0, 5.0), (3.0, 3.0)])
def test_the_answer_is_that_of_the_formula(widths: tuple[float, float]) -> None:
    frame = np.zeros((41, 41), np.float32)
    frame[20, 20] = 1000
    expected = [
        [1000 * answer(row - 20, column - 20, *widths) for column in range(4, 37, 2)] for row in range(4, 37, 2)
    ]
    response = lines(frame, *widths)
    assert response.dtype == np.float32
    np.testing.assert_allclose(response[4:37:2, 4:37:2], expected, atol=1e-3)
    if widths == (1.5, 6.0):
        np.testing.assert_array_equal(lines(frame), response)


def test_a_frame_goes_on_mirrored_beyond_its_border() -> None:
    frame = np.random.default_rng(0).normal(100, 20, (30, 24)).astype(np.float32)
    larger = lines(np.pad(frame, 16, mode="symmetric"))
    np.testing.assert_allclose(lines(frame), larger[16:-16, 16:-16], atol=1e-3)
