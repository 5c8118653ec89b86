"""The kinds of files that can be read: a line in `FORMATS` for each, and the one place that tells them apart."""

from __future__ import annotations

from pathlib import Path

from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.files import is_special
from vasomim_core.reading import bmp, dicom, jpeg, npy, png, pnm, tiff
from vasomim_core.reading.angiogram import Angiogram
from vasomim_core.reading.format import HEAD, Format

# In the order in which they are asked. DICOM first: its preamble may make the same file a TIFF.
FORMATS: tuple[Format, ...] = (
    dicom.FORMAT,
    png.FORMAT,
    jpeg.FORMAT,
    tiff.FORMAT,
    npy.FORMAT,
    pnm.FORMAT,
    bmp.FORMAT,
)
SUFFIXES = frozenset(suffix for known in FORMATS for suffix in known.suffixes)
KINDS = ", ".join(known.name for known in FORMATS[1:]) + f" and {FORMATS[0].name}"


def read_angiogram(path: Path | str, alpha: bool = False) -> Angiogram:
    """Open a frame or a run; the kind of file is told by its content, not by its name.

    - PNG, JPEG, BMP, PGM (and PBM, PPM): one frame, decoded at once and turned as its Exif orientation says.
    - TIFF: each page is a frame, turned as its orientation says.
    - NPY: (y, x) or (t, y, x), memory-mapped; (y, x, 1) and (y, x, 2) are one frame.
    - DICOM: see `vasomim_core.reading.dicom.read_dicom`. Rescale slope and intercept are applied, giving float32.

    Colour becomes luminance, and values keep their type or become float32, as `grey.to_grey` describes.

    Args:
        path: The file.
        alpha: Read the alpha channel instead of the picture, as some programs save masks.

    Raises:
        CodecError: the compression needs a package that is not installed.
        InputError: missing, empty, no regular file, of an unknown kind, larger than `frames.MAX_PIXELS`, truncated or
            damaged; or without an alpha channel where `alpha` asks for it. What only decoding can find out is raised
            when a frame is taken out of `frames`.
    """
    path = Path(path)
    if is_special(path):
        raise InputError(f"{path} is a pipe or a device: give a file.")
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the path.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder: choose a file in it.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions.") from None
    if not head:
        raise InputError(f"{path} is empty: copy or export it again.")
    found = next((known for known in FORMATS if known.knows(head)), None)
    if found is None and path.suffix.lower() in dicom.FORMAT.suffixes:
        found = dicom.FORMAT  # without the 128 bytes that DICOM is known by
    if found is None:
        raise InputError(f"{path} is of an unknown kind: {KINDS} files can be read.")
    try:
        angiogram = found.read(path, alpha)
    except VasoMIMError:
        raise
    except MemoryError:
        raise InputError(f"{path} needs more memory than there is: close other programs, or crop it.") from None
    except Exception as error:
        # `from None`: a decoder's message may quote what it read.
        raise InputError(_undecodable(path, found, error)) from None
    if alpha and not angiogram.has_alpha:
        raise InputError(f"{path} has no alpha channel: take its colours.")
    return angiogram


def _undecodable(path: Path, found: Format, error: Exception) -> str:
    if "truncated" in str(error) or isinstance(error, EOFError):
        return f"{path} is truncated: it ends before its picture does, so copy or export it again."
    return (
        f"{path} cannot be decoded: it is damaged, or a kind of {found.name} that is not known here; "
        "copy it again, or export it as plain PNG or TIFF."
    )
