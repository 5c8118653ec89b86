"""What a model said about an angiogram: probabilities are kept, so that the threshold can move without a new run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vasomim_core.classes import ClassMask, LabelClass, vessel_of
from vasomim_core.config import Vessels
from vasomim_core.models.class_mask import ClassRules, Probabilities

LEVELS = 255


@dataclass
class Prediction:
    """The probabilities of some or all frames of one angiogram by one model, and what of them is shown.

    Attributes:
        model: name of the model.
        shape: (T, H, W); T = 1 for a still.
        rules: which classes it tells apart, and how its probabilities become them.
        mirrored: whether the probability is averaged with that of the mirrored frame.
        thresholds: probability from which a pixel counts as vessel, and as a main branch.
        vessels: which of the two are shown.
        hidden: names of classes that are not shown.
        asked: name or path by which the model was asked for; two files may share a name.
        version: by which another file under the same name or path is seen.
        device: on which the last frame was computed.
        seconds: that it took.
        uncertainty: mean uncertainty in bits of each computed frame, by itself.
    """

    model: str
    shape: tuple[int, int, int]
    mirrored: bool = False
    thresholds: dict[Vessels, float] = field(default_factory=lambda: {"every": 0.5, "main": 0.5})
    rules: ClassRules = field(default_factory=ClassRules)
    vessels: Vessels = "every"
    hidden: frozenset[str] = frozenset()
    asked: str = ""
    version: int = 0
    device: str = ""
    seconds: float = 0.0
    uncertainty: dict[int, float] = field(default_factory=dict)
    _levels: dict[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False)
    _steady: dict[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    @property
    def threshold(self) -> float:
        """Of what is shown: of every vessel, or of main branches."""
        return self.thresholds[self.seen]

    @threshold.setter
    def threshold(self, value: float) -> None:
        self.thresholds[self.seen] = value

    @property
    def seen(self) -> Vessels:
        """What is shown, main branches alone only where the model tells them apart."""
        return self.vessels if self.rules.main is not None else "every"

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """What the model tells apart."""
        return self.rules.classes

    def by(self, asked: str, mirrored: bool, version: int) -> bool:
        """Whether this model, asked for in this way, would add to these frames."""
        return (self.asked, self.mirrored, self.version) == (asked, mirrored, version)

    def keep(
        self,
        index: int,
        probability: NDArray[np.float32],
        mean_uncertainty: float,
        classes: NDArray[np.float32] | None = None,
    ) -> None:
        """Keep the probability (H, W) of vessel in a frame, and those of classes (C, H, W), in 256 levels each."""
        self._steady = {}  # the neighbours would say something else now
        planes = probability[None]
        if classes is not None and len(self.classes) > 1:
            planes = np.concatenate([planes, classes])
        self._levels[index] = np.rint(planes * LEVELS).astype(np.uint8)
        self.uncertainty[index] = mean_uncertainty

    def as_shown(self) -> Prediction:
        """A prediction of its own that stays as this one is shown now."""
        return replace(self, thresholds=dict(self.thresholds), uncertainty={}, _levels=dict(self._seen))

    @property
    def steadied(self) -> bool:
        """Whether the frames before and after each have a say in what is shown of it."""
        return bool(self._steady)

    @property
    def said_by(self) -> str:
        """The model, and that its neighbours had a say, for what is made of this."""
        return f"{self.model}, steadied by its neighbours" if self.steadied else self.model

    def each_by_itself(self) -> dict[int, NDArray[np.uint8]]:
        """What the model said of each computed frame: uint8 (1 + C, H, W) in `LEVELS` steps, the first of vessel."""
        return dict(self._levels)

    def steady(self, planes: dict[int, NDArray[np.uint8]]) -> None:
        """Show these instead of what the model said of each frame by itself; {} = show that again."""
        self._steady = planes

    @property
    def _seen(self) -> dict[int, NDArray[np.uint8]]:
        return self._steady or self._levels

    def __contains__(self, index: int) -> bool:
        return index in self._levels

    @property
    def frames(self) -> list[int]:
        """The computed frames."""
        return sorted(self._levels)

    def probability(self, index: int) -> NDArray[np.float32]:
        """Probability (H, W) in [0, 1] of what is shown of a computed frame: vessel, or a main branch."""
        plane = self.rules.main + 1 if self.seen == "main" and self.rules.main is not None else 0
        return self._seen[index][plane].astype(np.float32) / np.float32(LEVELS)

    def class_mask(self, index: int) -> ClassMask:
        """What is shown of a computed frame, uint8 (H, W): class values, 0 = nothing."""
        planes = self._seen[index].astype(np.float32) / np.float32(LEVELS)
        found = Probabilities(planes[0], planes[1:] if len(planes) > 1 else planes)
        least = float(np.float32(max(1, round(self.threshold * LEVELS))) / np.float32(LEVELS))
        if self.seen == "main" and self.rules.main is not None:
            value = np.uint8(self.classes[self.rules.main].value)
            drawn = self.rules.vessels(found, "main", least)[1] * value
        else:
            drawn = self.rules.mask(found, least)
        drawn[np.isin(drawn, [one.value for one in self.classes if one.name in self.hidden])] = 0
        return drawn

    def mask(self, index: int) -> NDArray[np.bool_]:
        """The vessels (H, W) that are shown of a computed frame."""
        return vessel_of(self.class_mask(index), self.classes)
