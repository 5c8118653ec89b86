"""A measure of one piece of vessel: diameters, reference, stenosis, lesion, in px and, with a scale, in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vasomim_core.correction.cost import VesselCost
from vasomim_core.correction.points import Point
from vasomim_core.errors import ConfigError
from vasomim_core.measures.reference import APART, MARKERS, Reference, check_reference, reference_line
from vasomim_core.measures.scale import Scale
from vasomim_core.measures.segment import Segment, find_segment

Floats = NDArray[np.floating]

BORDER = 0.95
"""Share of the reference diameter below which a lesion reaches from its narrowest place."""


@dataclass(frozen=True)
class Measure:
    """What a person reads of one piece of vessel. All lengths are in px of the frame; `text` gives mm with the source.

    The narrowest place is that of the least diameter over its reference between the markers: in a vessel that tapers,
    the least diameter alone would always be its end.

    Attributes:
        segment: centreline and walls.
        reference: which of the three references of DICOM PS3.17 T.4.
        markers: the two places that the reference is read at, in px along the segment, rising, `reference.APART` apart.
        scale: mm per px and where it comes from; None = pixels.
        name: what a person calls it.
    """

    segment: Segment
    reference: Reference = "interpolated"
    markers: tuple[float, float] = (0.0, 0.0)
    scale: Scale | None = None
    name: str = ""

    def __post_init__(self) -> None:
        check_reference(self.reference)
        first, last = self.markers
        if not (first >= 0 and first + APART <= last <= self.length_px + 1e-6):
            raise ConfigError(
                f"markers at {first:g} and {last:g} px are no reference: give two places on the segment, from 0 to "
                f"{self.length_px:.1f} px, the first before the second by {APART:g} px or more"
            )

    @classmethod
    def of(
        cls, segment: Segment, reference: Reference = "interpolated", scale: Scale | None = None, name: str = ""
    ) -> Measure:
        """A measure with its markers at 5 % and 95 % of the segment."""
        length = float(segment.distance[-1])
        return cls(segment, reference, (MARKERS[0] * length, MARKERS[1] * length), scale, name)

    @cached_property
    def distance(self) -> Floats:
        """Distance along the centreline in px, (n,)."""
        return self.segment.distance

    @cached_property
    def diameter(self) -> Floats:
        """D(s) in px, (n,)."""
        return self.segment.diameter

    @cached_property
    def reference_diameter(self) -> Floats:
        """RD(s) in px, (n,)."""
        return reference_line(self.distance, self.diameter, self.reference, self.markers)

    @cached_property
    def narrowest(self) -> int:
        """Index of the place at which the minimal lumen diameter is read."""
        between = (self.distance >= self.markers[0] - 1e-9) & (self.distance <= self.markers[1] + 1e-9)
        return int(np.where(between, self.diameter / self.reference_diameter, np.inf).argmin())

    @property
    def length_px(self) -> float:
        """Of the whole segment."""
        return float(self.segment.distance[-1])

    @property
    def mean_px(self) -> float:
        """Mean diameter of the whole segment."""
        return float(self.diameter.mean())

    @property
    def mld_px(self) -> float:
        """Minimal lumen diameter."""
        return float(self.diameter[self.narrowest])

    @property
    def reference_px(self) -> float:
        """Reference diameter at the minimal lumen diameter."""
        return float(self.reference_diameter[self.narrowest])

    @property
    def ds_percent(self) -> float:
        """Diameter stenosis, 100·(1 − MLD/RD); below 0 where nothing is narrower than the reference."""
        return 100 * (1 - self.mld_px / self.reference_px)

    @cached_property
    def lesion(self) -> tuple[int, int] | None:
        """First and last index of the lesion; None where nothing between the markers is narrower than 95 % of RD.

        It reaches from the narrowest place to where D comes to 95 % of RD on either side.
        """
        narrow = (self.diameter < BORDER * self.reference_diameter) & (self.distance >= self.markers[0])
        narrow &= self.distance <= self.markers[1]
        if not narrow[self.narrowest]:
            return None
        wide = np.flatnonzero(~narrow)
        before, after = wide[wide < self.narrowest], wide[wide > self.narrowest]
        return (int(before[-1]) + 1 if len(before) else 0), (int(after[0]) - 1 if len(after) else len(narrow) - 1)

    @property
    def lesion_px(self) -> float | None:
        """Length of the lesion; None where there is none."""
        return None if self.lesion is None else float(self.distance[self.lesion[1]] - self.distance[self.lesion[0]])

    def with_(self, **changed: Any) -> Measure:
        """The same segment with another reference, markers, scale or name."""
        return replace(self, **changed)

    def text(self, length_px: float | None, digits: int = 2) -> str:
        """A length in words: px, and mm where there is a scale (whose source `source` tells)."""
        if length_px is None:
            return "none"
        if self.scale is None:
            return f"{length_px:.{max(1, digits - 1)}f} px"
        return f"{length_px * self.scale.mm_per_px:.{digits}f} mm ({length_px:.1f} px)"

    @property
    def source(self) -> str:
        """Where millimetres come from, or that there are none."""
        if self.scale is None:
            return "pixels: no scale is known for this frame"
        warning = f"; {self.scale.warning}" if self.scale.warning else ""
        return f"{self.scale.mm_per_px:.4f} mm per px from {self.scale.source}{warning}"

    def to_dict(self) -> dict[str, Any]:
        """What `vasomim measure --json` prints: px and %, the scale with its source, and the profile by points."""
        points = self.segment.centreline
        return {
            "name": self.name,
            "mld_px": round(self.mld_px, 3),
            "mld_at": [round(float(x), 2) for x in points[self.narrowest]],
            "mld_at_px": round(float(self.distance[self.narrowest]), 2),
            "reference_px": round(self.reference_px, 3),
            "reference": self.reference,
            "markers_px": [round(x, 2) for x in self.markers],
            "ds_percent": round(self.ds_percent, 2),
            "length_px": round(self.length_px, 2),
            "mean_px": round(self.mean_px, 3),
            "lesion_px": None if self.lesion_px is None else round(self.lesion_px, 2),
            "lesion_from_to_px": None if self.lesion is None else
            [round(float(self.distance[i]), 2) for i in self.lesion],
            "scale_mm_per_px": None if self.scale is None else self.scale.mm_per_px,
            "scale_source": None if self.scale is None else self.scale.source,
            "scale_warning": self.scale.warning or None if self.scale else None,
            "profile": {
                "distance_px": np.round(self.distance, 3).tolist(),
                "diameter_px": np.round(self.diameter, 3).tolist(),
                "reference_px": np.round(self.reference_diameter, 3).tolist(),
                "row": np.round(points[:, 0], 3).tolist(),
                "column": np.round(points[:, 1], 3).tolist(),
            },
        }  # fmt: skip


def measure(
    frame: NDArray[np.uint8],
    start: Point,
    end: Point,
    via: Sequence[Point] = (),
    *,
    reference: Reference = "interpolated",
    scale: Scale | None = None,
    probability: NDArray[np.float32] | None = None,
    name: str = "",
) -> Measure:
    """Measure a vessel between two points.

    The path is the trace's; diameters are from wall to wall, at sub-pixel accuracy, from the grey levels alone.

    Args:
        frame: uint8 (H, W), vessels dark, such as `Angiogram.grey(i)`.
        start: (row, column) in px, on the vessel or up to 3 px beside it.
        end: the same.
        via: points between, where another path than the cheapest is meant.
        reference: "interpolated", "computed" or "mean-local" (DICOM PS3.17 annex T.4).
        scale: mm per px with its source, from `scale_of(angiogram.calibration)` or `scale_from_catheter`.
        probability: vessel probability of a model, float (H, W) in [0, 1]: it helps to find the path, not the walls.
        name: what the measure is called.

    Returns:
        The measure.

    Raises:
        InputError: a point outside the frame, twice the same, or no vessel between them; or the frame is none.
        ConfigError: an unknown reference.
    """
    check_reference(reference)
    segment = find_segment(VesselCost(frame, probability), [start, *via, end])
    return Measure.of(segment, reference, scale, name)
