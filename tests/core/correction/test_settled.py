"""Costs, walls and paths stay what they were when the tools were tuned.

The numbers beside this file were written by `python -m tests.core.correction.test_settled`. A change that is meant to
change them tries the tools again on real frames, too.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from vasomim_core.correction.cost import VesselCost
from vasomim_core.correction.lumen import lumen, painted
from vasomim_core.correction.paths import MinimalPaths

from .frames import straight

SETTLED = Path(__file__).with_name("settled.npz")
# (H, W), with a probability: lengths as in 512², 1.4 times and 2 times longer. From 2 on, a smaller frame is filtered.
CASES = [((150, 200), False), ((150, 200), True), ((600, 840), True), ((1024, 1024), False)]


@cache
def cost_of(case: int) -> VesselCost:
    """Vessels of several widths, side by side and across, so faint in the noise that each setting matters."""
    (height, width), with_probability = CASES[case]
    rng = np.random.default_rng(case)
    rows, columns = np.indices((height, width)) / (max(height, width) / 200)
    depth = np.zeros((height, width), np.float32)
    for row, slope, half, dark in ((30, 0.1, 1.5, 25), (62, -0.1, 5, 60), (76, 0.02, 3, 30), (110, 0.25, 2, 15)):
        depth[np.abs(rows - row - slope * columns - 4 * np.sin(columns / 15)) <= half] += dark
    depth[np.abs(columns - 90 - 0.2 * rows) <= 3] += 35
    noise = rng.integers(-30, 31, (height, width)).astype(np.float32)
    frame = cv2.GaussianBlur(170 - depth, (0, 0), 0.8) + cv2.GaussianBlur(noise, (0, 0), 0.7)
    probability = None
    if with_probability:
        probability = cv2.GaussianBlur((depth > 20).astype(np.float32), (0, 0), 3) * rng.random((height, 1), np.float32)
    return VesselCost(frame.clip(0, 255).astype(np.uint8), probability)


def costs(case: int) -> dict[str, np.ndarray]:
    """The costs of some pixels."""
    cost = cost_of(case)
    step = cost.frame.shape[0] // 12
    return {name: getattr(cost, name)[3::step, 5::step] for name in ("trace", "join")}


def walls(case: int) -> dict[str, np.ndarray]:
    """Centre and width along lines through the frame, beside the vessels too."""
    cost = cost_of(case)
    height, width = (n - 1 for n in cost.frame.shape)
    measured = [
        lumen(cost, straight((a * height, 0.05 * width), (b * height, 0.95 * width)))
        for a, b in ((0.22, 0.34), (0.42, 0.3), (0.5, 0.53), (0.6, 0.9), (0.1, 0.95))
    ]
    return {"centre": np.concatenate([c for c, _ in measured]), "width": np.concatenate([w for _, w in measured])}


def paths(case: int) -> dict[str, np.ndarray]:
    """Where paths go, near and far, from a click and from a mask; and what the first of them paints."""
    cost = cost_of(case)
    height, width = (n - 1 for n in cost.frame.shape)
    mask = np.zeros(cost.frame.shape, bool)
    mask[height // 2, : width // 3] = True
    click, drawn = MinimalPaths.from_point(cost, (0.22 * height, 0.05 * width)), MinimalPaths.from_mask(cost, mask)
    ends = [(0.24 * height, 0.14 * width), (0.34 * height, 0.95 * width), (0.9 * height, 0.6 * width)]
    found = {f"click{i}": click.to(end) for i, end in enumerate(ends)}
    found |= {f"mask{i}": drawn.to(end) for i, end in enumerate(ends)}
    return found | {"painted": np.argwhere(painted(cost, found["click0"]))}


def settled(case: int, made: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    with np.load(SETTLED) as file:
        return [(name, array, file[f"{name}{case}"]) for name, array in made.items()]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_cost_of_a_pixel_stays_what_it_was(case):
    for _, cost, was in settled(case, costs(case)):
        assert_allclose(cost, was, rtol=2e-3)


@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_walls_stay_where_they_were(case):
    for _, wall, was in settled(case, walls(case)):
        assert wall.shape == was.shape
        # A rounding may move a wall, from one of two that are as good, for a few pixels of the path.
        assert (np.abs(wall - was) < 0.02).mean() > 0.996


@pytest.mark.parametrize("case", range(len(CASES)))
def test_paths_go_where_they_went(case):
    for name, path, was in settled(case, paths(case)):
        ours, theirs = (set(map(tuple, pixels.tolist())) for pixels in (path, was))
        assert len(ours & theirs) > 0.985 * len(ours | theirs), name


if __name__ == "__main__":
    arrays = {}
    for case in range(len(CASES)):
        for name, array in (costs(case) | walls(case) | paths(case)).items():
            arrays[f"{name}{case}"] = array.astype(np.float32 if array.dtype.kind == "f" else np.int16)
    np.savez_compressed(SETTLED, **arrays)
