"""Synthetic frames and synthetic contrast to learn from."""

from __future__ import annotations

import numpy as np
import pytest

from vasomim_core.data.codes import BESIDE, NO_VESSEL, SOME_VESSEL, UNKNOWN
from vasomim_core.data.synthetic import coded_contrast, coded_synthetic, with_contrast


def test_a_frame_comes_with_vessels_catheter_and_background():
    found = [coded_synthetic((3, n), catheter=7, size=256) for n in range(4)]
    assert {int(value) for _, codes in found for value in np.unique(codes)} == {0, 7, SOME_VESSEL}
    for frame, codes in found:
        assert frame.shape == codes.shape == (256, 256)
        assert 0.01 < (codes == SOME_VESSEL).mean() < 0.3
    frames = [frame for frame, _ in found]
    assert (frames[0] != frames[1]).any()
    np.testing.assert_array_equal(coded_synthetic((3, 1), catheter=7, size=256)[0], frames[1])


def test_a_model_that_knows_no_catheter_takes_it_for_background():
    _, codes = coded_synthetic((3, 0), catheter=0, size=128)
    assert set(np.unique(codes)) == {0, SOME_VESSEL}


def test_contrast_is_vessels_alone():
    depth, codes = coded_contrast((5, 1), size=256)
    assert set(np.unique(codes)) == {SOME_VESSEL, UNKNOWN}
    vessel = codes == SOME_VESSEL
    assert np.median(depth[vessel]) > 20
    assert (depth[~vessel] > 0).mean() < 0.05  # thinner ends, and borders


@pytest.mark.parametrize("shape", [(256, 256), (100, 180)])
def test_vessels_are_drawn_darker_and_labelled_and_labels_stay(shape):
    contrast = coded_contrast((5, 1), size=256)
    frame = np.full(shape, 200, np.uint8)
    codes = np.full((2 * shape[0], 2 * shape[1]), NO_VESSEL, np.uint8)
    codes[: shape[0]] = 4
    codes[-20:] = BESIDE
    for seed in range(8):
        drawn, known = with_contrast(frame, codes, contrast, np.random.default_rng(seed))
        assert drawn.shape == shape
        assert known.shape == codes.shape
        assert (known[: shape[0]] == 4).all()
        new = known == SOME_VESSEL
        assert new.any()
        np.testing.assert_array_equal(known[~new], codes[~new])
        pixel = new.reshape(shape[0], 2, shape[1], 2).all(axis=(1, 3))
        assert drawn[pixel].mean() < 195
        assert drawn.max() <= 200
    assert (frame == 200).all()
    assert not (codes == SOME_VESSEL).any()
