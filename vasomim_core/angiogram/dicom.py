"""DICOM: a frame or a run as an X-ray system stores it; see `vasomim_core.dicom`."""

from __future__ import annotations

from pathlib import Path

from vasomim_core.angiogram.format import Format
from vasomim_core.angiogram.frames import Angiogram, Frames
from vasomim_core.dicom import read_dicom


def read(path: Path, alpha: bool) -> Angiogram:
    """Read the header; there is no alpha in DICOM."""
    image = read_dicom(path)
    return Angiogram(
        frames=Frames(image.frame, image.shape, image.dtype, path, from_file=True),
        source=path,
        spacing=image.spacing,
        frame_time_ms=image.frame_time_ms,
        angles=image.angles,
        stated_window=image.window,
        inverted=image.inverted,
    )


FORMAT = Format("DICOM", (".dcm",), lambda head: head[128:] == b"DICM", read)
