"""PGM and its kin PBM and PPM (Netpbm, binary or plain): one frame of 1 to 16 bits."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from vasomim_core.errors import InputError
from vasomim_core.reading.angiogram import Angiogram
from vasomim_core.reading.format import Format
from vasomim_core.reading.stills import read_still

_BITS = {"1;I": 1, "L": 8, "I;16B": 16, "RGB": 24}
"""Of a pixel, by Pillow's name of how a binary file holds it; rows are whole bytes."""


def read(path: Path, alpha: bool) -> Angiogram:
    """Decode the picture; its largest value (maxval) becomes that of 8 or 16 bits.

    Raises:
        InputError: a binary file holds several pictures, of which Pillow would give the first.
    """
    angiogram = read_still(path, path, "PPM", alpha)
    if _holds_another(path):
        raise InputError(f"{path} holds several pictures: save each as a file of its own, or all as one TIFF.")
    return angiogram


def _holds_another(path: Path) -> bool:
    with Image.open(path, formats=("PPM",)) as image:
        codec, _, offset, how = image.tile[0]
        width, height = image.size
    if codec != "raw" or how not in _BITS:
        return False
    with open(path, "rb") as file:
        file.seek(offset + height * -(-width * _BITS[how] // 8))
        return file.read(64).lstrip()[:1] == b"P"


FORMAT = Format(
    "PGM",
    (".pgm", ".pbm", ".ppm", ".pnm"),
    lambda head: head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace(),
    read,
)
