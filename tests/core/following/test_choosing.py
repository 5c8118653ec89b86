"""The frame to correct first, on runs whose motion is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vasomim_core.errors import InputError
from vasomim_core.following import choose_frame
from vasomim_core.reading import Frames

from .conftest import Run

STEPS = [0, 5, 10, 15, 15, 15, 20, 26]
"""px to the right in which a full frame lies: the fifth of them rests between its neighbours."""


def opened(shown: NDArray[np.generic], damaged: tuple[int, ...] = ()) -> Frames:
    def read(index: int) -> NDArray[np.generic]:
        if index in damaged:
            raise InputError("damaged")
        return shown[index]

    return Frames(read, shown.shape, shown.dtype, Path("run.tif"))


@pytest.fixture(scope="module")
def moved(run: Run) -> NDArray[np.uint8]:
    """Three frames at rest without contrast agent, then a full one that moves by STEPS."""
    full = [np.roll(run.frames[6], step, 1) for step in STEPS]
    return np.stack([run.frames[0]] * 3 + full)


def test_it_is_the_one_that_rests_among_the_full_ones(moved: NDArray[np.uint8]):
    found = choose_frame(opened(moved))
    assert found.index == 3 + 4
    assert found.fullness > 0.95
    assert found.motion < 0.5
    assert found.usual == pytest.approx(5, abs=1.5)


def test_motion_is_in_pixels_of_the_frame(moved: NDArray[np.uint8]):
    large = np.stack([np.kron(frame, np.ones((3, 3), np.uint8)) for frame in moved])
    found = choose_frame(opened(large))
    assert found.index == 7
    assert found.usual == pytest.approx(15, abs=4.5)


def test_what_cannot_be_read_is_passed_over(moved: NDArray[np.uint8]):
    assert choose_frame(opened(moved, damaged=(7,))).index in (6, 8)
    with pytest.raises(InputError, match="no frame of this run can be read"):
        choose_frame(opened(moved, damaged=tuple(range(11))))
    alone = choose_frame(opened(moved, damaged=tuple(i for i in range(11) if i != 5)))
    assert alone.index == 5  # of which nothing is known but that it can be read


def test_levels_of_sixteen_bits_are_the_same_frames(moved: NDArray[np.uint8]):
    assert choose_frame(opened(moved.astype(np.uint16) * 16)).index == 7


def test_a_run_without_vessels_has_a_frame_too():
    assert 0 <= choose_frame(opened(np.full((5, 64, 64), 90, np.uint8))).index < 5
    with pytest.raises(InputError, match="a still has no frame"):
        choose_frame(opened(np.full((1, 64, 64), 90, np.uint8)))
