"""PGM and its kin PBM and PPM (Netpbm, binary or plain): one frame of 1 to 16 bits."""

from __future__ import annotations

from pathlib import Path

from vasomim_core.angiogram.format import Format
from vasomim_core.angiogram.frames import Angiogram
from vasomim_core.angiogram.stills import read_still


def read(path: Path, alpha: bool) -> Angiogram:
    """Decode the picture; its largest value (maxval) becomes that of 8 or 16 bits."""
    return read_still(path, path, "PPM", alpha)


FORMAT = Format(
    "PGM",
    (".pgm", ".pbm", ".ppm", ".pnm"),
    lambda head: head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace(),
    read,
)
