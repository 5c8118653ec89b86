"""What a DICOM header says about how an image was taken and is to be shown."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.valuerep import DT

from vasomim_core.reading.calibration import Calibration

Window = tuple[float, float]

TAGS = [
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "ImagerPixelSpacing",
    "PixelSpacing",
    "PixelSpacingCalibrationType",
    "EstimatedRadiographicMagnificationFactor",
    "DistanceSourceToPatient",
    "DistanceSourceToDetector",
    "FrameTime",
    "FrameTimeVector",
    "CineRate",
    "PositionerPrimaryAngle",
    "PositionerSecondaryAngle",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
"""The elements that are read here. Functional groups hold times of day: nothing but their differences leaves here."""

# In which functional group an enhanced file has what a classic one has at the top (PS3.3 C.7.6.16.2 and C.8.19.6).
_GROUPS = {
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "WindowCenter": "FrameVOILUTSequence",
    "WindowWidth": "FrameVOILUTSequence",
    "ImagerPixelSpacing": "FramePixelDataPropertiesSequence",
    "ObjectPixelSpacingInCenterOfBeam": "ProjectionPixelCalibrationSequence",
    "PositionerPrimaryAngle": "PositionerPositionSequence",
    "PositionerSecondaryAngle": "PositionerPositionSequence",
    "FrameAcquisitionDateTime": "FrameContentSequence",
    "FrameReferenceDateTime": "FrameContentSequence",
}


def spacing(header: Dataset) -> tuple[float, float] | None:
    """Imager pixel spacing (row, column) in mm at the detector."""
    return _pair(header, "ImagerPixelSpacing")


def calibration(header: Dataset) -> Calibration | None:
    """All that is said of the size of pixels; None where nothing is."""

    def one(keyword: str) -> float | None:
        numbers = _numbers(header, keyword)
        return numbers[0] if numbers and numbers[0] > 0 else None

    kind = str(header.get("PixelSpacingCalibrationType") or "").strip()
    found = Calibration(
        imager=_pair(header, "ImagerPixelSpacing"),
        pixel=_pair(header, "PixelSpacing"),
        kind=kind if kind in ("FIDUCIAL", "GEOMETRY") else None,
        in_beam=_pair(header, "ObjectPixelSpacingInCenterOfBeam"),
        magnification=one("EstimatedRadiographicMagnificationFactor"),
        source_to_patient=one("DistanceSourceToPatient"),
        source_to_detector=one("DistanceSourceToDetector"),
    )
    return found if found != Calibration() else None


def _pair(header: Dataset, keyword: str) -> tuple[float, float] | None:
    """(row, column) in mm, both above 0."""
    numbers = _numbers(header, keyword)
    return (numbers[0], numbers[1]) if len(numbers) == 2 and min(numbers) > 0 else None


def angles(header: Dataset) -> tuple[float, float] | None:
    """(primary, secondary) C-arm angle in degrees; of the first frame, where the arm turns."""
    primary, secondary = (_numbers(header, f"Positioner{axis}Angle") for axis in ("Primary", "Secondary"))
    return (primary[0], secondary[0]) if primary and secondary else None


def frame_time(header: Dataset) -> float | None:
    """Time between frames in ms: FrameTime, else the median step of FrameTimeVector, else 1000 / CineRate.

    An enhanced file tells when each frame was taken instead; its median step is taken then.
    """
    if (time := _numbers(header, "FrameTime")) and time[0] > 0:
        return time[0]
    # The first entry of the vector belongs to the first frame and is zero (PS3.3 C.7.6.5).
    if (steps := _numbers(header, "FrameTimeVector")[1:]) and (median := float(np.median(steps))) > 0:
        return median
    if (rate := _numbers(header, "CineRate")) and rate[0] > 0:
        return 1000 / rate[0]
    for keyword in ("FrameAcquisitionDateTime", "FrameReferenceDateTime"):
        try:
            times = [DT(value.decode("ascii").strip(" \0")) for value in _grouped(header, keyword, raw=True)]
            steps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
        except (AttributeError, TypeError, ValueError, OverflowError):
            continue
        if steps and (median := float(np.median(steps))) > 0:
            return 1000 * median
    return None


def window(header: Dataset) -> Window | None:
    """The first window of the header (of its first frame); a width below 1 is none (PS3.3 C.11.2.1.2)."""
    centre, width = _numbers(header, "WindowCenter"), _numbers(header, "WindowWidth")
    return (centre[0], width[0]) if centre and width and width[0] >= 1 else None


def rescale(header: Dataset) -> tuple[float, float]:
    """Modality rescale (slope, intercept); a slope of zero would erase the image and is ignored.

    Raises:
        ValueError: the frames are rescaled differently.
    """
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        if keyword not in header and len({str(value) for value in _grouped(header, keyword)}) > 1:
            raise ValueError("the frames are rescaled differently")
    slope, intercept = _numbers(header, "RescaleSlope"), _numbers(header, "RescaleIntercept")
    return (slope[0] if slope and slope[0] else 1.0, intercept[0] if intercept else 0.0)


def _numbers(header: Dataset, keyword: str) -> list[float]:
    """The finite numbers of an optional element; an absent, empty or malformed one counts as absent."""
    value = header.get(keyword)
    if value is None and keyword in _GROUPS:
        value = next(iter(_grouped(header, keyword)), None)
    try:
        numbers = [float(v) for v in (value if np.iterable(value) and not isinstance(value, str) else [value])]
    except (TypeError, ValueError, OverflowError):
        return []
    return numbers if np.isfinite(numbers).all() else []


def _grouped(header: Dataset, keyword: str, raw: bool = False) -> list[Any]:
    """The values of an element in the functional groups: one that all frames share, or one for each frame.

    `raw` gives bytes: pydicom's warning of a malformed value would repeat it, and a time may not be told.
    """
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        try:
            items = [item for group in header.get(groups) or [] for item in group.get(_GROUPS[keyword]) or []]
            values = [item.get_item(keyword).value if raw else item.get(keyword) for item in items if keyword in item]
        except Exception:
            continue  # pydicom parses items when they are asked for, and raises anything on a broken one
        if any(value is not None for value in values):
            return [value for value in values if value is not None]
    return []
