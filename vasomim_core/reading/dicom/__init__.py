"""DICOM: a frame or a run as an X-ray system stores it; the header facts an angiogram needs, frames one at a time."""

from __future__ import annotations

from pathlib import Path

from vasomim_core.reading.angiogram import Angiogram, Frames
from vasomim_core.reading.dicom.data_set import is_dicom
from vasomim_core.reading.dicom.image import DicomImage, read_dicom
from vasomim_core.reading.dicom.patient import patient_group
from vasomim_core.reading.format import Format

__all__ = ["FORMAT", "DicomImage", "is_dicom", "patient_group", "read", "read_dicom"]


def read(path: Path, alpha: bool) -> Angiogram:
    """Read the header; there is no alpha in DICOM."""
    image = read_dicom(path)
    return Angiogram(
        frames=Frames(image.frame, image.shape, image.dtype, path, from_file=True),
        source=path,
        spacing=image.spacing,
        calibration=image.calibration,
        frame_time_ms=image.frame_time_ms,
        angles=image.angles,
        stated_window=image.window,
        inverted=image.inverted,
    )


FORMAT = Format("DICOM", (".dcm",), lambda head: head[128:] == b"DICM", read)
