"""Which labelled frames are learned from and which are judged on: whole groups, drawn by a seed. Reads no file.

training, validation = training_and_validation(frames, None, fraction=1.0, seed=0)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from vasomim_core.errors import LabelError
from vasomim_core.labels.labelled import LabelledFrame, require_frames


def training_and_validation(
    frames: list[LabelledFrame], val: list[LabelledFrame] | None, fraction: float, seed: int
) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
    """The frames to learn from and the frames to choose the best epoch on; of those of one source, never of one group.

    `fraction` comes first: with a tenth of a thousand labels, and no `val`, ninety are learned from and ten chosen on.

    Args:
        frames: labelled frames.
        val: labelled frames to choose on; None = those that `split_validation` takes from `frames`.
        fraction: share of `frames` to use, in (0, 1].
        seed: of both draws.

    Raises:
        LabelError: frames that cannot be split.
    """
    if fraction < 1:
        frames = take_fraction(frames, fraction, seed)
    return split_validation(frames, seed) if val is None else (frames, val)


def split_validation(frames: Sequence[LabelledFrame], seed: int) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
    """`split_by_group` with as many frames for validation as `validation_count` says."""
    return split_by_group(frames, validation_count(len(frames)) / max(1, len(frames)), seed)


def validation_count(frames: int) -> int:
    """How many of some frames are validated on: a tenth, but three as soon as two thirds are left to learn from.

    One frame or two cannot tell whether a model that was good before has become better.
    """
    return max(1, round(0.1 * frames), min(3, frames // 3))


def split_by_group(
    frames: Sequence[LabelledFrame], fraction: float, seed: int
) -> tuple[list[LabelledFrame], list[LabelledFrame]]:
    """Split into a training and a validation part, whole groups to one side.

    Groups are drawn in random order and go to validation as long as they fit into its share. Each side gets
    at least one group; where none fits, validation gets the smallest.

    Args:
        frames: At least two groups.
        fraction: Share of the frames for validation, in (0, 1).
        seed: Non-negative; the same seed and frames give the same split on every machine.

    Returns:
        training and validation, each in the order of `frames`.

    Raises:
        LabelError: there are fewer than two groups.
    """
    _check_fraction(fraction, below=1)
    require_frames(frames)
    sizes = Counter(f.group for f in frames)
    if len(sizes) < 2:
        raise LabelError(
            f"All {len(frames)} labelled frames are of one group (patient or sequence) and cannot be split: "
            "give --val, or label frames of a second patient."
        )
    share = max(1, round(fraction * len(frames)))
    chosen: set[str] = set()
    taken = 0
    for group in _shuffled(sizes, seed, stream=0):
        if taken + sizes[group] <= share and len(chosen) < len(sizes) - 1:
            chosen.add(group)
            taken += sizes[group]
    chosen = chosen or {min(sizes, key=lambda group: (sizes[group], group))}
    return [f for f in frames if f.group not in chosen], [f for f in frames if f.group in chosen]


def take_fraction(frames: Sequence[LabelledFrame], fraction: float, seed: int) -> list[LabelledFrame]:
    """Take ⌈fraction · n⌉ frames, group after group in random order; the last group may be cut.

    Subsets are nested: with the same seed, a smaller fraction is part of a larger one.

    Args:
        frames: n frames.
        fraction: In (0, 1].
        seed: Non-negative; the same seed and frames give the same subset on every machine.

    Returns:
        The subset in the order of `frames`.

    Raises:
        LabelError: there are no frames.
    """
    _check_fraction(fraction, below=math.inf)
    require_frames(frames)
    rank = {group: i for i, group in enumerate(_shuffled((f.group for f in frames), seed, stream=1))}
    order = sorted(range(len(frames)), key=lambda i: rank[frames[i].group])
    # Without the rounding, 0.07 · 100 = 7.000000000000001 would be 8 frames.
    count = math.ceil(round(fraction * len(frames), 9))
    return [frames[i] for i in sorted(order[: max(1, count)])]


def _shuffled(groups: Iterable[str], seed: int, stream: int) -> list[str]:
    """The distinct groups in an order that depends on their names and the seed alone, whatever the machine.

    `stream` keeps the draws of the split and of the subset apart.
    """
    names = sorted(set(groups))
    draws = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream]))).random(len(names))
    return [names[i] for i in np.argsort(draws, kind="stable")]


def _check_fraction(fraction: float, below: float) -> None:
    if not (0 < fraction <= 1 and fraction < below):
        raise LabelError(f"The fraction {fraction} of the labels is out of range: give a number above 0 and up to 1.")
