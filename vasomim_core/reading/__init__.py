"""Any file a frame of an angiogram may come in, read as frames (t, y, x), one at a time.

    angiogram = read_angiogram("run.dcm")
    angiogram.frames[75]           # the 76th frame alone is read from the disk and decoded
    angiogram.grey(75)             # … as the engine sees it: uint8, vessels dark

Every frame is grey, and contrast-filled vessels are dark in it, however the file stores them. A format is one file
here (`png`, `jpeg`, `bmp`, `pnm`, `tiff`, `npy`, `dicom`), known to the others by its line in `formats` alone.
"""

from __future__ import annotations

from vasomim_core.reading.angiogram import MAX_PIXELS, Angiogram, Frames
from vasomim_core.reading.dicom import patient_group
from vasomim_core.reading.finding import find_angiograms, stem
from vasomim_core.reading.formats import KINDS, SUFFIXES, read_angiogram
from vasomim_core.reading.grey import to_grey, to_uint8
from vasomim_core.reading.levels import GreyLevels

__all__ = [
    "KINDS",
    "MAX_PIXELS",
    "SUFFIXES",
    "Angiogram",
    "Frames",
    "GreyLevels",
    "find_angiograms",
    "patient_group",
    "read_angiogram",
    "stem",
    "to_grey",
    "to_uint8",
]
