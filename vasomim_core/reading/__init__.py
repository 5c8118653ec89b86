"""Any file a frame of an angiogram may come in, read as frames (t, y, x), one at a time.

    angiogram = read_angiogram("run.dcm")
    angiogram.frames[75]           # the 76th frame alone is read from the disk and decoded

Every frame is grey, and contrast-filled vessels are dark in it, however the file stores them. A format is one file
here (`png`, `jpeg`, `bmp`, `pnm`, `tiff`, `npy`, `dicom`), known to the others by its line in `formats` alone.
"""

from __future__ import annotations

from vasomim_core.reading.angiogram import MAX_PIXELS, Angiogram, Frames
from vasomim_core.reading.dicom import patient_group
from vasomim_core.reading.finding import find_angiograms, stem
from vasomim_core.reading.formats import KINDS, SUFFIXES, read_angiogram
from vasomim_core.reading.grey import kept_frame, to_grey, to_uint8

__all__ = [
    "KINDS",
    "MAX_PIXELS",
    "SUFFIXES",
    "Angiogram",
    "Frames",
    "find_angiograms",
    "kept_frame",
    "patient_group",
    "read_angiogram",
    "stem",
    "to_grey",
    "to_uint8",
]
