"""From what a model says of a frame to the class of each pixel. Free of torch: a window moves thresholds by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import MAIN, VESSEL, ClassMask, LabelClass, vessel_of
from vasomim_core.config import Vessels


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
        least_piece: see `without_specks`.
        threshold: probability of vessel, of whatever class, from which a pixel is vessel.
    """

    classes: tuple[LabelClass, ...] = VESSEL
    thresholds: dict[str, float] = field(default_factory=dict)
    least_piece: float = 0.0
    threshold: float = 0.5

    @property
    def main(self) -> int | None:
        """The place of the main branches among the classes; None = they are not told from others."""
        return next((place for place, one in enumerate(self.classes) if one.name.casefold() == MAIN), None)

    @property
    def main_threshold(self) -> float:
        """The probability from which a pixel belongs to a main branch."""
        return 0.5 if self.main is None else self.thresholds.get(self.classes[self.main].name, 0.5)

    def mask(self, found: Probabilities, threshold: float) -> ClassMask:
        """The class of each pixel, without specks of vessel; see `class_mask`."""
        drawn = class_mask(found, self.classes, threshold, self.thresholds)
        if self.least_piece:
            vessel = vessel_of(drawn, self.classes)
            drawn[vessel & ~without_specks(vessel, self.least_piece)] = 0
        return drawn

    def vessels(
        self, found: Probabilities, which: Vessels, threshold: float
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Probability (H, W) and mask (H, W), without specks, of every vessel or, where it is told, of main branches.

        Main branches are a part of every vessel, as the model's own threshold gives them, and of what `mask` calls so:
        there they also have the rim in which they are likelier than another branch, without reaching their threshold.
        """
        if which == "every" or self.main is None:
            return found.vessel, without_specks(found.vessel >= threshold, self.least_piece)
        p = found.classes[self.main]
        return p, (p >= threshold) & without_specks(found.vessel >= self.threshold, self.least_piece)


def without_specks(mask: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    """A mask without its small pieces: a coronary tree hangs together, what a model takes for vessel in bones does not.

    Args:
        mask: bool (H, W).
        least: area of the smallest piece (8-connected) that stays, as a share of the frame's; 0 = all stay.

    Returns:
        bool (H, W).
    """
    if not least:
        return mask
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= least * mask.size
    kept[0] = False
    return kept[pieces]


def class_mask(
    found: Probabilities,
    classes: Sequence[LabelClass],
    threshold: float,
    class_thresholds: Mapping[str, float] | None = None,
) -> ClassMask:
    """The class of each pixel.

    What is vessel with `threshold` or more is of the likeliest vessel class; elsewhere the likeliest of background and
    the other classes without a threshold of their own is taken. Before that a class with one takes what reaches it, of
    several the first: a vessel class of what is vessel, another of what is none.

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
    others = [k for k, one in enumerate(classes) if not one.vessel and one.name not in own]
    if others:
        background = 1 - found.classes.sum(axis=0)
        likeliest = np.concatenate([background[None], found.classes[others]]).argmax(axis=0)
        mask[:] = np.array([0, *(classes[k].value for k in others)], np.uint8)[likeliest]
    # A threshold of its own does not keep a class from what it is likeliest in: a branch's rim is not another branch.
    among = [k for k, one in enumerate(classes) if one.vessel]
    values = np.array([classes[k].value for k in among], np.uint8)
    mask[vessel] = values[found.classes[among][:, vessel].argmax(axis=0)]
    for k, one in reversed(list(enumerate(classes))):
        if one.name in own:
            takes = found.classes[k] >= own[one.name]
            mask[takes & (vessel if one.vessel else ~vessel)] = one.value
    return mask
