from __future__ import annotations

import numpy as np
import pytest

from vasomim_core.errors import InputError
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.following import steady

from .conftest import Run


def test_neighbours_fill_what_flickers(run: Run):
    calm = list(steady(run.frames, run.said))
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
    for one in steady(frames, said):
        np.testing.assert_allclose(one, said[0], atol=1e-3)


def test_a_run_of_one_frame_is_itself(run: Run):
    (one,) = steady(run.frames[:1], run.said[:1])
    np.testing.assert_array_equal(one, run.said[0])


def test_other_numbers_and_sizes(run: Run):
    with pytest.raises(InputError, match="10 frames and 9"):
        steady(run.frames, run.said[1:])
    with pytest.raises(InputError, match="segment this very run"):
        list(steady(run.frames[:3], [run.said[0], run.said[1][:50], run.said[2]]))
