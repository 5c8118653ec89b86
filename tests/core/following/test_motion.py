from __future__ import annotations

import numpy as np
import pytest

from vasomim_core.evaluation.metrics import dsc
from vasomim_core.following.motion import SIDE, Way, disagreement, evidence, motion
from vasomim_core.synthetic import synthesize


@pytest.mark.parametrize(("size", "shift"), [(192, (4, -6)), (192, (20, 14)), (480, (12, -18))])
def test_a_frame_that_was_shifted_is_brought_back(size: int, shift: tuple[int, int]):
    drawn = synthesize(3, size=size)
    moved = np.roll(drawn.frame, shift, (0, 1))
    flow = motion(evidence(moved), evidence(drawn.frame))
    way = Way.along(flow, moved.shape)
    brought = way.bring(drawn.mask.astype(np.float32)) > 0.5
    truth = np.roll(drawn.mask, shift, (0, 1))
    inner = np.s_[32:-32, 32:-32]
    assert dsc(brought[inner], truth[inner]) > 0.93
    assert dsc(brought[inner], drawn.mask[inner]) < 0.6


def test_large_frames_are_reduced_and_their_ways_are_not():
    drawn = synthesize(3, size=2 * SIDE)
    seen = evidence(drawn.frame)
    assert seen.vessels.shape == seen.darkness.shape == (SIDE, SIDE)
    way = Way.along(motion(seen, seen), drawn.frame.shape)
    np.testing.assert_allclose(way.bring(drawn.mask.astype(np.float32)), drawn.mask, atol=0.05)


def test_contrast_that_arrives_is_no_motion():
    """Half of the tree is not filled yet: what is filled stays where it is."""
    look = synthesize(3, size=192)
    empty = np.full(look.frame.shape, np.median(look.frame), np.uint8)
    half = np.where(np.arange(192)[:, None] < 96, look.frame, empty)
    flow = motion(evidence(look.frame), evidence(half))
    lumen = look.mask.copy()
    lumen[80:] = False
    assert np.median(np.linalg.norm(flow[lumen], axis=1)) < 0.3


def test_ways_there_and_back_disagree_where_one_of_them_is_wrong():
    flow, back = np.zeros((40, 60, 2), np.float32), np.zeros((40, 60, 2), np.float32)
    flow[..., 0], back[..., 0] = 3, -3
    back[:20, :, 1] = 4
    apart = disagreement(flow, back)
    np.testing.assert_allclose(apart[22:, 5:-5], 0)
    np.testing.assert_allclose(apart[:18, 5:-5], 4)


def test_what_comes_from_outside_is_nothing():
    flow = np.zeros((8, 8, 2), np.float32)
    flow[..., 1] = 3
    way = Way.along(flow, (8, 8))
    np.testing.assert_array_equal(way.bring(np.ones((8, 8), np.float32))[:, 0] > 0.5, np.arange(8) < 5)
    np.testing.assert_array_equal(way.inside[:, 0], np.arange(8) < 5)


def test_vesselness_and_the_model_have_an_equal_say_in_what_flow_is_taken_of():
    drawn = synthesize(3, size=192)
    by_itself, full, none = (evidence(drawn.frame, p) for p in (None, np.ones((192, 192)), np.zeros((192, 192))))
    vesselness = 255 * by_itself.vesselness
    np.testing.assert_allclose(by_itself.vessels, vesselness, atol=0.51)
    np.testing.assert_allclose(full.vessels, (vesselness + 255) / 2, atol=0.51)
    np.testing.assert_allclose(none.vessels, vesselness / 2, atol=0.51)
