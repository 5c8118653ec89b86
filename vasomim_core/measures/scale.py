"""Millimetres per pixel, and where they come from: from the file, from a catheter, or from a person; never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vasomim_core.correction.cost import VesselCost
from vasomim_core.correction.points import Point
from vasomim_core.errors import ConfigError
from vasomim_core.measures.segment import find_segment
from vasomim_core.reading.calibration import Calibration

FRENCH = 1 / 3
"""mm of outer diameter: 5F 1.67, 6F 2.00, 7F 2.33, 8F 2.67."""
FRENCH_SIZES = 3.0, 12.0
EVEN = 0.05
"""Share of its mean width by which a traced catheter may vary (standard deviation) without a warning."""
APART = 0.1
"""Share by which two sources of a scale may differ without a warning."""
POSSIBLE = 0.005, 5.0
"""mm per px that can be those of an angiogram."""
SQUARE = 0.01
"""Share by which rows and columns may be apart: a diameter is measured in any direction."""


@dataclass(frozen=True)
class Scale:
    """A scale and its source, which stands beside every length in mm.

    Attributes:
        mm_per_px: in the patient, > 0.
        source: where it comes from, in words.
        warning: what is doubtful about it, in a sentence; empty if nothing is.
    """

    mm_per_px: float
    source: str
    warning: str = ""

    def __post_init__(self) -> None:
        least, most = POSSIBLE
        if not least <= self.mm_per_px <= most:
            raise ConfigError(
                f"a scale of {self.mm_per_px:g} mm per px cannot be one: give one from {least} to {most:g}"
            )
        if not self.source.strip():
            raise ConfigError("a scale needs its source: say where it comes from")


def scale_of(calibration: Calibration | None) -> Scale | None:
    """What a file says of millimetres in the patient, the most trusted first.

    1. PixelSpacing of a FIDUCIAL calibration; 2. that of a GEOMETRY one; 3. the object's pixel spacing in the beam's
    centre (enhanced XA); 4. ImagerPixelSpacing over the radiographic magnification, stated or as the ratio of the
    source's distances to detector and patient, which is true at the isocentre alone. PixelSpacing that equals
    ImagerPixelSpacing is the detector's, not corrected for magnification (PS3.3 10.7.1.3), and none of the patient's;
    so is one whose kind of calibration is not stated.

    Args:
        calibration: of an `Angiogram`; None = its file says nothing.

    Returns:
        The scale, or None: measure in pixels.
    """
    if calibration is None:
        return None
    c = calibration
    corrected = c.pixel is not None and not (c.imager is not None and np.allclose(c.pixel, c.imager, rtol=1e-4))
    if corrected and c.kind == "FIDUCIAL":
        return _square(c.pixel, "file: PixelSpacing, calibrated on an object of known size (FIDUCIAL)")
    if corrected and c.kind == "GEOMETRY":
        return _square(c.pixel, "file: PixelSpacing, corrected by geometry (GEOMETRY)", "true at one depth alone")
    if c.in_beam is not None:
        return _square(c.in_beam, "file: object pixel spacing in the centre of the beam", "true at one depth alone")
    if c.imager is None:
        return None
    magnification, how = c.magnification, "stated magnification"
    if magnification is None and c.source_to_detector and c.source_to_patient:
        magnification, how = c.source_to_detector / c.source_to_patient, "source distances"
    if magnification is None or not 1 <= magnification <= 4:
        return None
    spacing = (c.imager[0] / magnification, c.imager[1] / magnification)
    source = f"file: ImagerPixelSpacing over a magnification of {magnification:.3g} ({how})"
    return _square(spacing, source, "true at the isocentre alone")


def scale_from_catheter(cost: VesselCost, clicks: Sequence[Point], french: float) -> Scale:
    """The scale by a catheter in the frame, whose outer diameter is its size in French times ⅓ mm.

    Its width is measured like a vessel's. What is seen of a catheter depends on its make and on what fills it: the
    nominal size is off by +1 to −15 % of what is measured.

    Args:
        cost: of the frame.
        clicks: two points or more along the catheter.
        french: its size, 3 to 12.

    Raises:
        ConfigError: another size.
        InputError: no catheter between the points.
    """
    if not FRENCH_SIZES[0] <= french <= FRENCH_SIZES[1]:
        raise ConfigError(f"a catheter of {french:g} F is none for coronaries: give its size in French, from 3 to 12")
    width = find_segment(cost, clicks).diameter
    mean, spread = float(width.mean()), float(width.std())
    nominal = french * FRENCH
    source = f"catheter of {french:g}F ({nominal:.2f} mm outside), here {mean:.2f} ± {spread:.2f} px wide"
    warning = ""
    if spread > EVEN * mean:
        warning = f"the width of the catheter varies by {100 * spread / mean:.0f} %: trace a straight, free piece of it"
    return Scale(nominal / mean, source, warning)


def scale_by_hand(mm_per_px: float) -> Scale:
    """A scale that a person gives."""
    return Scale(mm_per_px, "a person, who gave it by hand")


def beside_the_file(chosen: Scale, of_file: Scale | None) -> Scale:
    """The scale that a person chose; with a warning where the file says something else by more than a tenth."""
    if of_file is None or abs(chosen.mm_per_px / of_file.mm_per_px - 1) <= APART:
        return chosen
    words = f"the file says {of_file.mm_per_px:.4f} mm per px ({of_file.source.removeprefix('file: ')})"
    return replace(chosen, warning="; ".join(filter(None, (chosen.warning, words))))


def _square(spacing: tuple[float, float] | None, source: str, warning: str = "") -> Scale | None:
    """A scale for all directions; None where rows and columns are of another size, or the number cannot be one."""
    if spacing is None or abs(spacing[0] / spacing[1] - 1) > SQUARE:
        return None
    mm = float(np.sqrt(spacing[0] * spacing[1]))
    return Scale(mm, source, warning) if POSSIBLE[0] <= mm <= POSSIBLE[1] else None
