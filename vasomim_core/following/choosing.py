"""The frame of a run to correct first: full of vessels, and hardly moving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vasomim_core.anatomy.fullest import vessel_amounts
from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.following.motion import Evidence, evidence, motion
from vasomim_core.reading import Frames

FULL = 0.9
"""Share of the fullest frame's vessel from which a frame is full."""
MOST = 24  # full frames whose motion is looked at, spread over all of them
VESSEL = 0.5  # vesselness from which a pixel's motion counts


@dataclass(frozen=True)
class ChosenFrame:
    """A frame, and why it was chosen.

    Attributes:
        index: of the frame, from 0.
        fullness: how much vessel is in it, as a share of the fullest frame's, (0, 1].
        motion: by how many px of the frame its vessels move, the mean over the steps to the frames beside it.
        usual: the median of this over all full frames.
    """

    index: int
    fullness: float
    motion: float
    usual: float


def choose_frame(frames: Frames) -> ChosenFrame:
    """Of the frames that are full of vessels, the one whose vessels move least: what is drawn there has sharp edges.

    A frame is full where it has 0.9 or more of the vessel that the fullest one has, read between at most 24 frames
    spread over the run (`vessel_amounts`); of the full ones at most 24 are looked at. Motion is the length of the flow
    between the vessels of the frame and of those before and after it (`motion`), the mean over its vessels.

    Args:
        frames: grey, vessels dark, of any range; those that cannot be decoded are passed over.

    Raises:
        InputError: there are fewer than two, or none can be decoded.
    """
    count = len(frames)
    if count < 2:
        raise InputError("a still has no frame to choose: give a run")
    amounts = vessel_amounts(frames)
    if not amounts:
        raise InputError("no frame of this run can be read: export the file again")
    fullness = np.interp(np.arange(count), list(amounts), list(amounts.values()))
    fullness /= max(fullness.max(), 1e-6)
    full = np.flatnonzero(fullness >= min(FULL, fullness.max()))
    some = full[np.unique(np.linspace(0, len(full) - 1, MOST).round().astype(int))]
    moving = _motions(frames, [int(index) for index in some])
    if not moving:
        fullest = max(amounts, key=amounts.__getitem__)
        return ChosenFrame(fullest, 1.0, 0.0, 0.0)
    index = min(moving, key=moving.__getitem__)
    return ChosenFrame(index, float(fullness[index]), moving[index], float(np.median(list(moving.values()))))


def _motions(frames: Frames, indices: Sequence[int]) -> dict[int, float]:
    """Of the frames that can be read and have one beside them that can, how far their vessels move in px."""
    seen: dict[int, Evidence | None] = {}

    def look(index: int) -> Evidence | None:
        if index not in seen:
            try:
                seen[index] = evidence(_eight_bits(frames[index])) if 0 <= index < len(frames) else None
            except VasoMIMError:
                seen[index] = None
        return seen[index]

    found: dict[int, float] = {}
    for index in indices:
        here, beside = look(index), [other for other in (look(index - 1), look(index + 1)) if other is not None]
        if here is None or not beside:
            continue
        vessel = here.vesselness >= VESSEL
        enlarge = frames.shape[1] / here.vesselness.shape[0]
        lengths = [np.linalg.norm(motion(here, other)[vessel], axis=1) for other in beside]
        found[index] = enlarge * float(np.mean(lengths)) if vessel.any() else 0.0
        for old in [one for one in seen if one < index - 1]:
            del seen[old]
    return found


def _eight_bits(frame: NDArray[np.generic]) -> NDArray[np.uint8]:
    grey = np.float32(frame)
    low, high = float(grey.min()), float(grey.max())
    return np.asarray((grey - low) * (255 / max(high - low, 1e-6)), np.uint8)
