"""Probabilities of a run in which neighbouring frames have a say: what flickers is noise, vessels stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import InputError
from vasomim_core.following.motion import Evidence, Map, Way, evidence, motion


def steady(
    frames: Sequence[NDArray[np.uint8]], probabilities: Sequence[NDArray[np.floating]]
) -> Iterator[NDArray[np.float32]]:
    """The mean of each frame's probability and those of the frames before and after it, brought along the flow.

    Args:
        frames: uint8 (H, W) each, vessels dark, in the order of time.
        probabilities: of vessel, (H, W) in [0, 1], as many.

    Yields:
        float32 (H, W) in [0, 1], one a frame.

    Raises:
        InputError: there are not as many probabilities as frames, or they differ in size.
    """
    if len(frames) != len(probabilities):
        raise InputError(f"there are {len(frames)} frames and {len(probabilities)} probabilities: give one for each")
    return _steady(frames, probabilities)


def _steady(
    frames: Sequence[NDArray[np.uint8]], probabilities: Sequence[NDArray[np.floating]]
) -> Iterator[NDArray[np.float32]]:
    seen: dict[int, Evidence] = {}
    planes: dict[int, Map] = {}
    for index in range(len(frames)):
        near = around(index, len(frames))
        seen = {i: seen[i] if i in seen else evidence(frames[i], probabilities[i]) for i in near}
        planes = {i: planes[i] if i in planes else np.float32(probabilities[i]) for i in near}
        if len({plane.shape for plane in planes.values()}) > 1:
            raise InputError(f"frame {index} and those beside it differ in size: give one run")
        ways = {i: Way.along(motion(seen[index], seen[i]), planes[index].shape) for i in near if i != index}
        yield mean_along(planes, index, ways)


def around(index: int, count: int) -> range:
    """A frame and those beside it."""
    return range(max(0, index - 1), min(count, index + 2))


def mean_along(planes: dict[int, Map], index: int, ways: dict[int, Way]) -> Map:
    """The mean of a plane (H, W) and those of other frames, brought to it along the way to each."""
    total, count = planes[index].astype(np.float32), np.ones(planes[index].shape, np.float32)
    for other, way in ways.items():
        total += way.bring(planes[other])
        count += way.inside
    return total / count
