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
