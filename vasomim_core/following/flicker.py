"""Probabilities of a run in which neighbouring frames have a say: what flickers is noise, vessels stay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import InputError
from vasomim_core.following.motion import Evidence, Map, Way, evidence, motion

Seen = tuple[Evidence, Map]
"""Evidence of a frame, and what is made steady of it."""


def steady(run: Iterable[tuple[NDArray[np.uint8], NDArray[np.floating]]]) -> Iterator[NDArray[np.float32]]:
    """The mean of what is said of each frame and of the frames before and after it, brought along the flow.

    Args:
        run: frames, uint8 (H, W), vessels dark, in the order of time, each with its probability of vessel, (H, W) in
            [0, 1], or with several planes (K, H, W), the first of them that of vessel. Three are held at a time.

    Yields:
        float32 in [0, 1] of the probability's shape, one a frame.

    Raises:
        InputError: frames, or a frame and its probability, differ in size.
    """
    before: Seen | None = None
    here: Seen | None = None
    for frame, said in run:
        planes = np.asarray(said).astype(np.float32)
        after = evidence(frame, planes if planes.ndim == 2 else planes[0]), planes
        if here is not None:
            if planes.shape != here[1].shape:
                raise InputError(f"a frame of {here[1].shape} is followed by one of {planes.shape} px: give one run")
            yield mean_along(here, [one for one in (before, after) if one is not None])
        before, here = here, after
    if here is not None:
        yield mean_along(here, [] if before is None else [before])


def mean_along(here: Seen, others: Iterable[Seen]) -> Map:
    """The mean of a frame's planes and those of other frames, brought to it along the flow to each."""
    total = here[1].copy()
    count = np.ones(total.shape[-2:], np.float32)
    for seen, planes in others:
        way = Way.along(motion(here[0], seen), count.shape)
        stack = planes.reshape(-1, *count.shape)
        total += np.reshape([way.bring(stack[k]) for k in range(len(stack))], total.shape)
        count += way.bring(np.ones_like(count))
    return total / count
