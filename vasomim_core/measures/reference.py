"""What a vessel would be as wide as without its lesion: the three reference diameters of DICOM PS3.17 annex T.4."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

from vasomim_core.errors import ConfigError

Floats = NDArray[np.floating]
Reference = Literal["interpolated", "computed", "mean-local"]

MARKERS = 0.05, 0.95
"""Where the two markers stand unless somebody puts them elsewhere: shares of the segment, as in PS3.17 T.4."""
AT_A_MARKER = 2.5
"""px of vessel on either side of a marker over which the diameter there is averaged."""
APART = 2 * AT_A_MARKER
"""px between two markers at least: nearer, they read the same piece of vessel, and no line is told by it."""


def check_reference(kind: str) -> None:
    """Make sure that this is one of the three.

    Raises:
        ConfigError: it is not.
    """
    if kind not in get_args(Reference):
        raise ConfigError(f"the reference {kind!r} is unknown: choose {', '.join(get_args(Reference))}")


def reference_line(distance: Floats, diameter: Floats, kind: Reference, markers: tuple[float, float]) -> Floats:
    """The reference diameter at each point of a segment.

    interpolated: a line through the diameters at the two markers. computed: a line fitted to the diameters between the
    markers that are outside the lesion, as iteratively reweighted least squares see it: what is narrower than the line
    loses its say (Tukey's biweight, on that side at half the distance). mean-local: the mean of the diameters at the
    two markers, everywhere.

    Args:
        distance: px along the segment, (n,), rising.
        diameter: (n,), in any unit; so is the result.
        kind: which of the three.
        markers: two places in px along the segment, `APART` or more apart.

    Returns:
        float (n,).
    """
    first, last = sorted(markers)
    ends = [float(diameter[_near(distance, place)].mean()) for place in (first, last)]
    if kind == "mean-local":
        return np.full(len(distance), sum(ends) / 2)
    if kind == "interpolated":
        slope = (ends[1] - ends[0]) / max(last - first, 1e-9)
        return np.maximum(ends[0] + slope * (distance - first), min(ends) / 2)
    between = (distance >= first) & (distance <= last)
    x, y = distance[between], diameter[between]
    slope = float(theilslopes(y[::4], x[::4]).slope)  # a lesion of up to a quarter of the segment does not turn it
    rest = y - slope * x
    weight = (rest >= np.quantile(rest, 0.25)).astype(float)
    for _ in range(30):
        slope, level = np.polyfit(x, y, 1, w=np.sqrt(weight + 1e-9))
        rest = y - level - slope * x
        spread = max(1.4826 * float(np.median(np.abs(rest[weight > 0.1]))), 0.02 * float(np.median(y)))
        z = rest / np.where(rest < 0, 2.5, 5) / spread
        weight = np.where(np.abs(z) < 1, (1 - z**2) ** 2, 0)
    # Never wider than what is seen: where a vessel swells, a line may rise out of it.
    return np.clip(level + slope * distance, float(np.median(y)) / 4, float(y.max()))


def _near(distance: Floats, place: float) -> NDArray[np.bool_]:
    near = np.abs(distance - place) <= AT_A_MARKER
    near[np.abs(distance - place).argmin()] = True
    return near
