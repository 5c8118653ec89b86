"""From what a model says of a frame to the class of each pixel. Free of torch: a window moves thresholds by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import MAIN, VESSEL, ClassMask, LabelClass


@dataclass(frozen=True)
class Probabilities:
    """What a model says of one frame.

    Attributes:
        vessel: float32 (H, W) in [0, 1], the probability of vessel, of whatever class; calibrated.
        classes: float32 (C, H, W) in [0, 1], that of each class, in the order of the card's; those of vessel classes
            add up to `vessel`.
    """

    vessel: NDArray[np.float32]
    classes: NDArray[np.float32]


@dataclass(frozen=True)
class ClassRules:
    """How probabilities of a model become classes.

    Attributes:
        classes: in the order of its outputs.
        thresholds: by class name, the probability of that class from which a pixel is of it, whatever the others say.
    """

    classes: tuple[LabelClass, ...] = VESSEL
    thresholds: dict[str, float] = field(default_factory=dict)

    @property
    def main(self) -> int | None:
        """The place of the main branches among the classes; None = they are not told from others."""
        return next((place for place, one in enumerate(self.classes) if one.name.casefold() == MAIN), None)

    @property
    def main_threshold(self) -> float:
        """The probability from which a pixel belongs to a main branch."""
        return 0.5 if self.main is None else self.thresholds.get(self.classes[self.main].name, 0.5)

    def mask(self, found: Probabilities, threshold: float) -> ClassMask:
        """See `class_mask`."""
        return class_mask(found, self.classes, threshold, self.thresholds)


def class_mask(
    found: Probabilities,
    classes: Sequence[LabelClass],
    threshold: float,
    class_thresholds: Mapping[str, float] | None = None,
) -> ClassMask:
    """The class of each pixel.

    What is vessel with `threshold` or more is of the likeliest vessel class; elsewhere the likeliest of background and
    the other classes is taken. Before that a class with a threshold of its own takes what reaches it, of several the
    first: a vessel class of what is vessel, another of what is none.

    Args:
        found: probabilities of a frame.
        classes: of the model, in the order of its outputs.
        threshold: probability of vessel from which a pixel is vessel.
        class_thresholds: by class name.

    Returns:
        uint8 (H, W), class values, 0 = background.
    """
    own = class_thresholds or {}
    vessel = found.vessel >= threshold
    mask = np.zeros(vessel.shape, np.uint8)
    kinds: dict[bool, list[int]] = {True: [], False: []}
    for k, one in enumerate(classes):
        if one.name not in own:
            kinds[one.vessel].append(k)
    if kinds[False]:
        background = 1 - found.classes.sum(axis=0)
        likeliest = np.concatenate([background[None], found.classes[kinds[False]]]).argmax(axis=0)
        mask[:] = np.array([0, *(classes[k].value for k in kinds[False])], np.uint8)[likeliest]
    # Where all vessel classes have thresholds of their own, what none of them takes is of the likeliest all the same.
    among = kinds[True] or [k for k, one in enumerate(classes) if one.vessel]
    values = np.array([classes[k].value for k in among], np.uint8)
    mask[vessel] = values[found.classes[among][:, vessel].argmax(axis=0)]
    for k, one in reversed(list(enumerate(classes))):
        if one.name in own:
            takes = found.classes[k] >= own[one.name]
            mask[takes & (vessel if one.vessel else ~vessel)] = one.value
    return mask
