"""Which files are of one patient, without saying which patient."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from pydicom import dcmread

from vasomim_core.errors import InputError
from vasomim_core.reading.dicom.data_set import data_set, is_dicom


def patient_group(path: Path | str, key: bytes) -> str | None:
    """Return a pseudonym by which files of one patient can be grouped, and from which nobody can be named.

    Args:
        path: Any file; only DICOM files have a patient.
        key: Secret random bytes, kept with the label set. Another key gives unrelated groups.

    Returns:
        The first 16 hexadecimal digits of HMAC-SHA256 (RFC 2104) of the PatientID; None if the file is no
        DICOM file or its PatientID is absent or empty.

    Raises:
        InputError: the key is empty (an unkeyed hash of a patient's number is undone by trying all numbers).
    """
    if not key:
        raise InputError("The key for patient groups is empty: give random bytes, such as secrets.token_bytes(32).")
    if not is_dicom(Path(path)):
        return None
    try:
        with data_set(Path(path)) as file:
            header = dcmread(file, force=True, stop_before_pixels=True, specific_tags=["PatientID"])
        patient = str(header.get("PatientID") or "").strip(" \0")
    except Exception:
        return None
    return hmac.new(key, patient.encode(), hashlib.sha256).hexdigest()[:16] if patient else None
