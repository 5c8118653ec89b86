from __future__ import annotations

import numpy as np
import pytest

from vasomim_core.errors import InputError
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.following import steady

from .conftest import Run


def test_neighbours_fill_what_flickers(run: Run):
    calm = list(steady(zip(run.frames, run.said, strict=True)))
    assert len(calm) == len(run.frames)
    assert calm[0].dtype == np.float32
    before, after = (
        np.mean([dsc(one > 0.3, truth) for one, truth in zip(p[4:], run.masks[4:], strict=True)])
        for p in (run.said, calm)
    )
    assert after > before + 0.03


def test_what_does_not_change_stays():
    frames = np.full((3, 64, 64), 100, np.uint8)
    frames[:, 30:34] = 60
    said = np.zeros((3, 64, 64), np.float32)
    said[:, 30:34] = 0.8
    for one in steady(zip(frames, said, strict=True)):
        np.testing.assert_allclose(one, said[0], atol=1e-3)


def test_what_has_come_into_the_frame_is_not_made_less(run: Run):
    """The table was moved: what comes from outside the frame before has no say."""
    frames = [np.roll(run.frames[6], shift, 1) for shift in (0, 30)]
    for one in steady((frame, np.full(frame.shape, 0.6, np.float32)) for frame in frames):
        np.testing.assert_allclose(one[2:-2, 2:-2], 0.6, atol=0.02)


def test_a_run_of_one_frame_is_itself(run: Run):
    (one,) = steady([(run.frames[0], run.said[0])])
    np.testing.assert_array_equal(one, run.said[0])


def test_planes_beside_that_of_vessel_go_along(run: Run):
    """Further planes are brought along the flow of the first."""
    both = np.stack([run.said, run.masks.astype(np.float32)], axis=1)
    one, two = (list(steady(zip(run.frames, said, strict=True))) for said in (run.said, both))
    for index in range(10):
        np.testing.assert_allclose(two[index][0], one[index], atol=1e-6)
    brought = [dsc(two[index][1] > 0.5, run.masks[index]) for index in range(4, 10)]
    assert min(brought) > 0.9


def test_other_sizes(run: Run):
    with pytest.raises(InputError, match="segment this very run"):
        list(steady([(run.frames[0], run.said[0][:50])]))
    with pytest.raises(InputError, match="give one run"):
        list(steady([(run.frames[0], run.said[0]), (run.frames[1][:50], run.said[1][:50])]))
