"""What following starts from and what comes of it: anchors, what a model says of the run, proposals. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vasomim.prediction import LEVELS
from vasomim_core.classes import ClassMask, LabelClass
from vasomim_core.following import Followed
from vasomim_core.models import catalogue


class Said(Sequence[NDArray[np.float32]]):
    """What a model says of vessels in the frames of a run, kept in 256 levels.

    Attributes:
        asked: name or path by which the model was asked for.
        version: by which another file under the same name or path is seen.
        model: its name.
        levels: uint8 (H, W), by the index of the frame.
    """

    def __init__(self, asked: str, version: int) -> None:
        self.asked, self.version, self.model = asked, version, catalogue.model_name(asked)
        self.levels: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, index: Any) -> Any:
        return self.levels[index].astype(np.float32) / np.float32(LEVELS)


@dataclass(frozen=True, eq=False)
class Anchors:
    """What a person drew on the frames of a run.

    Attributes:
        masks: copies, uint8 (H, W), by the index of the frame.
        classes: what their values mean.
    """

    masks: dict[int, ClassMask]
    classes: tuple[LabelClass, ...]

    def same(self, other: Anchors) -> bool:
        """Whether the same is drawn in the same classes."""
        alike = self.classes == other.classes and self.masks.keys() == other.masks.keys()
        return alike and all(np.array_equal(mask, other.masks[index]) for index, mask in self.masks.items())


@dataclass(frozen=True, eq=False)
class Proposals:
    """What came of following.

    Attributes:
        anchors: from which it was done.
        model: which found the vessels.
        frames: what each frame shows, by its index; anchors are among them.
    """

    anchors: Anchors
    model: str
    frames: dict[int, Followed]

    def provenance(self) -> str:
        """What a draft that was taken from here began with, for its label's record."""
        numbers = [index + 1 for index in sorted(self.anchors.masks)]
        which = f"frame {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} frames"
        return f"{self.model}, followed from {which}"
