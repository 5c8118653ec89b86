"""The fullest frame of a run: where the contrast agent is, whatever the noise, in few glances."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vasomim_core.anatomy.fullest import fullest_frame, noise_level
from vasomim_core.errors import InputError
from vasomim_core.reading import Frames
from vasomim_core.synthetic import synthesize_cine


def stack(shown: NDArray[np.uint8], seen: list[int] | None = None, damaged: tuple[int, ...] = ()) -> Frames:
    """A run of these frames, which notes those that are decoded, and some of which cannot be."""

    def read(index: int) -> NDArray[np.uint8]:
        if seen is not None:
            seen.append(index)
        if index in damaged:
            raise InputError("damaged")
        return shown[index]

    return Frames(read, shown.shape, shown.dtype, Path("run.tif"))


@pytest.fixture(scope="module")
def filling() -> tuple[NDArray[np.uint8], NDArray[np.int_]]:
    """A left tree that fills, uint8 (8, 256, 256), and how many pixels of each frame are vessel."""
    made = synthesize_cine(3, frames=8, frame_time_ms=250, side="left", size=256)
    return made.frames, made.masks.sum(axis=(1, 2))


def test_it_is_where_the_vessels_are_filled(filling):
    frames, vessel = filling
    washed_out = np.concatenate([frames, frames[:1].repeat(8, 0)])
    assert vessel[fullest_frame(stack(washed_out))] > 0.9 * vessel.max()


def test_noise_is_not_taken_for_vessels(filling):
    frames, vessel = filling
    rng = np.random.default_rng(0)
    noisy = np.concatenate([frames[:1].repeat(4, 0), frames])  # before the contrast agent comes, and at less dose
    noise = np.where(np.arange(len(noisy)) < 4, 40, 4)[:, None, None] * rng.standard_normal(noisy.shape)
    noisy = np.clip(noisy + noise, 0, 255).astype(np.uint8)
    found = fullest_frame(stack(noisy))
    assert found >= 4
    assert vessel[found - 4] > 0.9 * vessel.max()


def test_a_thin_and_faint_vessel_is_more_than_none():
    """What is taken off for noise is no more than noise gives: at 5 grey levels of it, a line of 20 is seen."""
    run = np.full((4, 192, 192), 120.0)
    cv2.line(run[2], (20, 30), (170, 160), 100.0, 3)
    run += 5 * np.random.default_rng(0).standard_normal(run.shape)
    assert fullest_frame(stack(run.clip(0, 255).astype(np.uint8))) == 2


@pytest.mark.parametrize("sigma", [2.0, 12.0])
def test_the_level_of_noise_is_found_whatever_edges_there_are(sigma):
    rng = np.random.default_rng(0)
    frame = 100 + np.add.outer(20 * rng.standard_normal(200), 20 * rng.standard_normal(240)).astype(np.float32)
    assert noise_level(frame) == pytest.approx(0, abs=1e-3)
    noise = rng.normal(0, sigma, frame.shape).astype(np.float32)
    assert noise_level(frame + noise) == pytest.approx(sigma, rel=0.02)


def test_large_frames_are_judged_as_small_ones(filling):
    frames, _ = filling
    small = np.stack([cv2.resize(frame, (192, 128), interpolation=cv2.INTER_AREA) for frame in frames])
    large = small.repeat(4, 1).repeat(4, 2)
    assert fullest_frame(stack(large)) == fullest_frame(stack(small))


def test_few_frames_are_looked_at_from_the_first_to_the_last():
    blank = np.full((200, 32, 32), 90, np.uint8)
    seen: list[int] = []
    assert fullest_frame(stack(blank, seen)) == 0  # the first of equals
    assert (len(seen), seen[0], seen[-1]) == (24, 0, 199)
    assert np.diff(seen).max() <= 200 / 23 + 1
    seen.clear()
    fullest_frame(stack(blank[:5], seen))
    assert seen == [0, 1, 2, 3, 4]


def test_damaged_frames_are_passed_over(filling):
    frames, vessel = filling
    best = fullest_frame(stack(frames))
    second = fullest_frame(stack(frames, damaged=(best,)))
    assert second not in (None, best)
    assert vessel[second] > 0.8 * vessel.max()
    assert fullest_frame(stack(frames, damaged=tuple(range(best)))) == best
    assert fullest_frame(stack(frames, damaged=tuple(range(8)))) is None
