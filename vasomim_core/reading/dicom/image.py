"""The image in a DICOM file: its description out of the header, and one decoded frame at a time.

Only the tags listed here and in `facts` are ever used. The rest of the header, which names people, places and dates,
is skipped on disk, and no message of this module repeats a header value that could name anyone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import (
    HTJ2K,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
    RLELossless,
)

from vasomim_core.errors import CodecError, InputError, VasoMIMError
from vasomim_core.reading.calibration import Calibration
from vasomim_core.reading.dicom import facts
from vasomim_core.reading.dicom.codestream import codestream_size, frame_offsets
from vasomim_core.reading.dicom.data_set import data_set

_PIXEL_TAGS = [
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
]
_NEEDED = ("Rows", "Columns", "BitsAllocated")
_PIXEL_DATA = {0x7FE00010: "PixelData", 0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData"}


@dataclass(frozen=True)
class DicomImage:
    """What is known of the image in a DICOM file; its frames stay on disk until `frame` is called.

    Attributes:
        path: The file.
        shape: (frames, rows, columns).
        dtype: Type of the array that `frame` returns for grey data; float32 where the values are rescaled.
        spacing: Imager pixel spacing (row, column) in mm **at the detector**, not in the patient.
        calibration: All that is said of the size of pixels.
        frame_time_ms: Time between two frames in ms.
        angles: (primary, secondary) C-arm angle in degrees, positive towards LAO and CRA.
        window: (centre, width) for the values as `frame` returns them.
        inverted: The file is MONOCHROME1 and `frame` inverts it.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    spacing: tuple[float, float] | None
    calibration: Calibration | None
    frame_time_ms: float | None
    angles: tuple[float, float] | None
    window: tuple[float, float] | None
    inverted: bool
    _start: int = field(repr=False)
    _syntax: UID = field(repr=False)
    _options: dict[str, Any] = field(repr=False)
    _stored_range: tuple[int, int] = field(repr=False)
    _shift: int = field(repr=False)
    _rescale: tuple[float, float] = field(repr=False)

    def frame(self, index: int) -> NDArray[Any]:
        """Decode frame `index` (0-based) alone: (rows, columns), or (rows, columns, 3) for colour."""
        decoder = get_decoder(self._syntax)
        with data_set(self.path) as file:
            file.seek(self._start)
            if self._syntax.is_encapsulated:
                code = self._codestream(file, index)
                only = self._options | {"number_of_frames": 1, "extended_offsets": None}
                stored, _ = decoder.as_array(encapsulate([code]), index=0, **only)
            else:
                stored, _ = decoder.as_array(file, index=index, **self._options)
        if self._shift:
            stored = stored >> self._shift
        if self.inverted:
            # MONOCHROME1: the lowest stored value is white. Subtracting in the stored type cannot overflow.
            low, high = self._stored_range
            stored = (low + high) - stored
        slope, intercept = self._rescale
        return stored if (slope, intercept) == (1, 0) else slope * stored.astype(np.float32) + intercept

    def _codestream(self, file: BinaryIO, index: int) -> bytes:
        """Read one encapsulated frame; refuse one whose own header contradicts the file's.

        A decoder in C would write such a frame over the end of its buffer and take the process down with it.
        """
        frames, offsets = self._options["number_of_frames"], self._options.get("extended_offsets")
        code = get_frame(file, index, number_of_frames=frames, extended_offsets=offsets)
        if self._syntax != RLELossless:
            rows, columns, bits = codestream_size(code)
            if (rows, columns) != self.shape[1:] or bits > self._options["bits_allocated"]:
                raise ValueError("the codestream is of another size than its file announces")
        return code


def read_dicom(path: Path) -> DicomImage:
    """Read the image description of a DICOM file, without decoding a frame.

    Args:
        path: A single- or multi-frame file, grey (MONOCHROME1, MONOCHROME2) or colour (RGB, YBR),
            uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000. A file without the 128-byte preamble is read too.

    Raises:
        CodecError: the transfer syntax cannot be decoded here.
        InputError: not a DICOM file, no pixel data, truncated, or an unusable image description.
    """
    try:
        with data_set(path) as file:
            header = dcmread(file, force=True, stop_before_pixels=True, specific_tags=_PIXEL_TAGS + facts.TAGS)
            syntax = _transfer_syntax(header)
            _check_codec(path, syntax, header.get("BitsStored"))
            keyword, length = _pixel_element(file, syntax)
            if keyword is None:
                raise InputError(
                    f"{path} holds no image (it may be a structured report or a directory): "
                    "choose a DICOM file with pixel data."
                )
            return _describe(path, file, header, syntax, keyword, length)
    except (VasoMIMError, MemoryError):
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the file and its permissions.") from None
    except Exception:
        # `from None`: what a parser says of a header may repeat the header.
        raise InputError(f"{path} is damaged or not a DICOM file: export or copy it again.") from None


def _transfer_syntax(header: Dataset) -> UID:
    """The declared transfer syntax; for a file without meta information, what pydicom found by looking."""
    declared = header.file_meta.get("TransferSyntaxUID")
    if declared:
        return UID(declared)
    implicit, little_endian = header.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian


def _pixel_element(file: BinaryIO, syntax: UID) -> tuple[str | None, int]:
    """Step over the pixel data element's own header; return its keyword and its length in bytes."""
    order: Literal["little", "big"] = "little" if syntax.is_little_endian else "big"
    head = file.read(8)
    group, element = (int.from_bytes(head[i : i + 2], order) for i in (0, 2))
    # Some files are not written as they declare. Like the parser, take two capitals for a VR; as part of a length
    # they would be an odd one.
    if head[4:6].isalpha() and head[4:6].isupper():
        head = file.read(4)
    return _PIXEL_DATA.get(group << 16 | element), int.from_bytes(head[-4:], order)


def _describe(path: Path, file: BinaryIO, header: Dataset, syntax: UID, keyword: str, length: int) -> DicomImage:
    """Turn a parsed header into a `DicomImage`; `file` stands at the first byte of the pixel data."""
    missing = [name for name in _NEEDED if header.get(name) is None]
    if missing:
        raise InputError(f"{path} does not say what its pixels are ({missing[0]} is missing): export it again.")
    start = file.tell()
    size = file.seek(0, os.SEEK_END)
    options = as_pixel_options(header) | {"pixel_keyword": keyword, "allow_excess_frames": False}
    options.setdefault("samples_per_pixel", 1)
    options.setdefault("photometric_interpretation", "MONOCHROME2")
    if not syntax.is_implicit_VR and not syntax.is_little_endian and keyword == "PixelData":
        file.seek(start - 8)
        options["pixel_vr"] = file.read(2).decode("ascii")
    photometric = options["photometric_interpretation"]
    if not photometric.startswith(("MONOCHROME", "RGB", "YBR")):
        raise InputError(f"{path} stores its pixels as {photometric}: convert it to MONOCHROME2 or RGB.")
    shape = (options["number_of_frames"], options["rows"], options["columns"])
    if min(shape) < 1:
        raise InputError(f"{path} has an image of size {shape[1]}×{shape[2]}: export it again.")
    allocated = options["bits_allocated"]
    if keyword == "PixelData" and allocated not in (8, 16, 32):
        raise InputError(f"{path} has {allocated} bits per pixel: only 8, 16 and 32 allocated bits can be read.")

    if syntax.is_encapsulated:
        file.seek(start)
        offsets = frame_offsets(path, file, size, shape[0], options.get("extended_offsets"))
        options.pop("extended_offsets", None)
        if offsets:
            options["extended_offsets"] = offsets
    else:
        samples = 2 if photometric == "YBR_FULL_422" else options["samples_per_pixel"]
        depth = {"PixelData": allocated // 8, "FloatPixelData": 4, "DoubleFloatPixelData": 8}[keyword]
        one = shape[1] * shape[2] * samples * depth
        if size - start < min(length, shape[0] * one):
            raise InputError(
                f"{path} is truncated: it ends before its {shape[0]} frames do, so copy or export it again."
            )
        if length < shape[0] * one:
            raise InputError(
                f"{path} announces {shape[0]} frames of {shape[1]}×{shape[2]} and holds pixels for {length // one}: "
                "export it again."
            )

    stored, shift = options.get("bits_stored", allocated), 0
    high = header.get("HighBit")
    if high is not None and stored - 1 < high < allocated and (not syntax.is_encapsulated or syntax == RLELossless):
        options["bits_stored"], shift = high + 1, high + 1 - stored
    signed = options.get("pixel_representation") == 1
    stored_range = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)

    inverted = photometric == "MONOCHROME1"
    try:
        slope, intercept = facts.rescale(header)
    except ValueError:
        raise InputError(f"{path} rescales each frame differently: export it as a classic multi-frame file.") from None
    window = facts.window(header)
    if window and inverted:
        # Inverting maps y to K − y; the window function (PS3.3 C.11.2.1.2.1) is symmetric about centre − 0.5.
        window = (slope * sum(stored_range) + 2 * intercept - window[0] + 1, window[1])
    if keyword != "PixelData" or (slope, intercept) != (1, 0):
        dtype = np.dtype(np.float32)
    else:
        dtype = np.dtype(f"{'i' if signed else 'u'}{allocated // 8}")
    return DicomImage(
        path=path,
        shape=shape,
        dtype=dtype,
        spacing=facts.spacing(header),
        calibration=facts.calibration(header),
        frame_time_ms=facts.frame_time(header),
        angles=facts.angles(header),
        window=window,
        inverted=inverted,
        _start=start,
        _syntax=syntax,
        _options=options,
        _stored_range=stored_range,
        _shift=shift,
        _rescale=(slope, intercept),
    )


def _check_codec(path: Path, syntax: UID, bits_stored: int | None) -> None:
    """Raise a CodecError if nothing installed decodes a transfer syntax; it says which package would."""
    what = f"{path} is compressed as {syntax.name} ({syntax})"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise CodecError(
            f"{what}, which no package can decode here: export it uncompressed or as JPEG-lossless, "
            "which the package python-gdcm reads."
        ) from None
    if not syntax.is_encapsulated:
        return
    if not decoder.is_available:
        package = (
            "pylibjpeg-openjpeg (with pylibjpeg)"
            if syntax in (HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)
            else "python-gdcm"
        )
        raise CodecError(f"{what}: install the package {package} to read it.")
    if syntax == JPEGExtended12Bit and bits_stored != 8 and "pylibjpeg" not in decoder.available_plugins:
        raise CodecError(
            f"{what} with 12 bits, which python-gdcm cannot decode: convert it with dcmdjpeg of DCMTK, "
            "or install the package pylibjpeg-libjpeg."
        )
