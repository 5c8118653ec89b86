"""X-ray angiograms in DICOM files: the header facts an angiogram needs, and one decoded frame at a time."""

from __future__ import annotations

from vasomim_core.dicom.data_set import is_dicom
from vasomim_core.dicom.image import DicomImage, read_dicom
from vasomim_core.dicom.patient import patient_group

__all__ = ["DicomImage", "is_dicom", "patient_group", "read_dicom"]
