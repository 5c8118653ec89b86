"""What a file says of the size of its pixels, at the detector and in the patient."""

from __future__ import annotations

from dataclasses import dataclass

Spacing = tuple[float, float]


@dataclass(frozen=True)
class Calibration:
    """The statements as they stand in the file, (row, column) in mm; what of them is a scale, `measures.scale` says.

    Attributes:
        imager: at the detector, ImagerPixelSpacing (0018,1164).
        pixel: PixelSpacing (0028,0030), the detector's or the patient's.
        kind: PixelSpacingCalibrationType (0028,0A02): FIDUCIAL or GEOMETRY; None = another or none.
        in_beam: ObjectPixelSpacingInCenterOfBeam (0018,9404) of an enhanced file.
        magnification: EstimatedRadiographicMagnificationFactor (0018,1114).
        source_to_patient: DistanceSourceToPatient (0018,1111) in mm.
        source_to_detector: DistanceSourceToDetector (0018,1110) in mm.
    """

    imager: Spacing | None = None
    pixel: Spacing | None = None
    kind: str | None = None
    in_beam: Spacing | None = None
    magnification: float | None = None
    source_to_patient: float | None = None
    source_to_detector: float | None = None
