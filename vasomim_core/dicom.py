"""X-ray angiograms in DICOM files: the header facts an angiogram needs, and one decoded frame at a time.

Only the tags listed here are ever read. The rest of the header, which names people, places and dates, is
skipped on disk, and no message of this module repeats a header value that could name anyone.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, get_frame, parse_basic_offsets, parse_fragments
from pydicom.pixels import get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import (
    HTJ2K,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
    RLELossless,
)

from vasomim_core.errors import CodecError, InputError, VasoMIMError

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
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
]
_ACQUISITION_TAGS = [
    "ImagerPixelSpacing",
    "FrameTime",
    "FrameTimeVector",
    "CineRate",
    "PositionerPrimaryAngle",
    "PositionerSecondaryAngle",
]
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_START_OF_SCAN = 0xDA
_PIXEL_DATA = {0x7FE00010: "PixelData", 0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData"}


@dataclass(frozen=True)
class DicomImage:
    """What is known of the image in a DICOM file; its frames stay on disk until `frame` is called.

    Attributes:
        path: The file.
        shape: (frames, rows, columns).
        dtype: Type of the array that `frame` returns for grey data; float32 where the values are rescaled.
        spacing: Imager pixel spacing (row, column) in mm **at the detector**, not in the patient.
        frame_time_ms: Time between two frames in ms.
        angles: (primary, secondary) C-arm angle in degrees, positive towards LAO and CRA.
        window: (centre, width) for the values as `frame` returns them.
        inverted: The file is MONOCHROME1 and `frame` inverts it.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    spacing: tuple[float, float] | None
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
        with open(self.path, "rb") as file:
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
            rows, columns, bits = _codestream_size(code)
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
        with open(path, "rb") as file:
            header = dcmread(file, force=True, stop_before_pixels=True, specific_tags=_PIXEL_TAGS + _ACQUISITION_TAGS)
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
        header = dcmread(path, force=True, stop_before_pixels=True, specific_tags=["PatientID"])
        patient = str(header.get("PatientID") or "").strip(" \0")
    except Exception:
        return None
    return hmac.new(key, patient.encode(), hashlib.sha256).hexdigest()[:16] if patient else None


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM: `DICM` at byte 128, or the suffix .dcm."""
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM" or path.suffix.lower() == ".dcm"
    except OSError:
        return False


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
    head = file.read(8 if syntax.is_implicit_VR else 12)
    group, element = (int.from_bytes(head[i : i + 2], order) for i in (0, 2))
    return _PIXEL_DATA.get(group << 16 | element), int.from_bytes(head[-4:], order)


def _describe(path: Path, file: BinaryIO, header: Dataset, syntax: UID, keyword: str, length: int) -> DicomImage:
    """Turn a parsed header into a `DicomImage`; `file` stands at the first byte of the pixel data."""
    start, size = file.tell(), os.fstat(file.fileno()).st_size
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
        offsets = _frame_offsets(path, file, size, shape[0], options.get("extended_offsets"))
        options.pop("extended_offsets", None)
        if offsets:
            options["extended_offsets"] = offsets
    else:
        samples = 2 if photometric == "YBR_FULL_422" else options["samples_per_pixel"]
        depth = {"PixelData": allocated // 8, "FloatPixelData": 4, "DoubleFloatPixelData": 8}[keyword]
        if min(length, size - start) < shape[0] * shape[1] * shape[2] * samples * depth:
            raise InputError(
                f"{path} is truncated: it ends before its {shape[0]} frames do, so copy or export it again."
            )

    stored, shift = options.get("bits_stored", allocated), 0
    high = header.get("HighBit")
    if high is not None and stored - 1 < high < allocated and (not syntax.is_encapsulated or syntax == RLELossless):
        options["bits_stored"], shift = high + 1, high + 1 - stored
    signed = options.get("pixel_representation") == 1
    stored_range = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)

    inverted = photometric == "MONOCHROME1"
    slope, intercept = _rescale(header)
    window = _window(header)
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
        spacing=_pair(header, "ImagerPixelSpacing", positive=True),
        frame_time_ms=_frame_time(header),
        angles=_angles(header),
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
    if syntax == DeflatedExplicitVRLittleEndian:
        raise CodecError(f"{path} is a deflated DICOM file: inflate it first, for example with dcmconv of DCMTK.")
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


def _frame_offsets(
    path: Path, file: BinaryIO, size: int, frames: int, extended: tuple[bytes, bytes] | None
) -> tuple[list[int], list[int]] | None:
    """Find where each encapsulated frame lies, and that the last of them is whole.

    Returns:
        Offsets and lengths in bytes in the manner of an extended offset table; None where pydicom finds the
        frames by itself (a complete basic offset table, or several fragments to a frame and no table).
    """
    truncated = InputError(f"{path} is truncated: it ends before its {frames} frames do, so copy or export it again.")
    basic = parse_basic_offsets(file)
    base = file.tell()
    if extended:
        offsets, lengths = (np.frombuffer(table, "<u8").tolist() for table in extended)
        if len(offsets) == len(lengths) == frames:
            if any(base + o + 8 + n > size for o, n in zip(offsets, lengths, strict=True)):
                raise truncated
            return offsets, lengths
    complete = len(basic) == frames
    if complete:
        file.seek(base + basic[-1])
    count, positions = parse_fragments(file)
    if not count:
        raise truncated
    file.seek(positions[-1] + 4)
    end = positions[-1] + 8 + int.from_bytes(file.read(4), "little")
    if end > size or (not complete and count < frames):
        raise truncated
    if complete or count != frames:
        return None
    lengths = [b - a - 8 for a, b in zip(positions, [*positions[1:], end], strict=True)]
    return [p - base for p in positions], lengths


def _codestream_size(code: bytes) -> tuple[int, int, int]:
    """Return (rows, columns, bits) out of the header of a JPEG, JPEG-LS or JPEG 2000 codestream.

    Raises:
        ValueError, struct.error: no such header.
    """
    if (start := code.find(b"\xff\x4f\xff\x51", 0, 512)) >= 0:
        # JPEG 2000: the SIZ segment (ISO 15444-1, A.5.1) comes first, after the boxes of a JP2 file if any.
        x1, y1, x0, y0 = struct.unpack_from(">4I", code, start + 8)
        return y1 - y0, x1 - x0, (code[start + 42] & 0x7F) + 1
    # JPEG (ISO 10918-1, B.1.1) and JPEG-LS: a chain of segments up to the scan; one of them gives the size.
    size, place = None, 2
    while True:
        mark, marker, length = struct.unpack_from(">BBH", code, place)
        if mark == marker == 0xFF:
            place += 1  # a fill byte
            continue
        if mark != 0xFF or length < 2:
            raise ValueError("the chain of segments is broken")
        if marker in _START_OF_FRAME:
            bits, rows, columns = struct.unpack_from(">BHH", code, place + 4)
            size = rows, columns, bits
        elif marker == _START_OF_SCAN and size:
            return size
        place += 2 + length


def _numbers(header: Dataset, keyword: str) -> list[float]:
    """The finite numbers of an optional element; an absent, empty or malformed one counts as absent."""
    try:
        value = header.get(keyword)
        numbers = [float(v) for v in (value if np.iterable(value) and not isinstance(value, str) else [value])]
    except (TypeError, ValueError, OverflowError):
        return []
    return numbers if np.isfinite(numbers).all() else []


def _pair(header: Dataset, keyword: str, positive: bool = False) -> tuple[float, float] | None:
    numbers = _numbers(header, keyword)
    if len(numbers) != 2 or (positive and min(numbers) <= 0):
        return None
    return numbers[0], numbers[1]


def _angles(header: Dataset) -> tuple[float, float] | None:
    primary, secondary = (_numbers(header, f"Positioner{axis}Angle") for axis in ("Primary", "Secondary"))
    return (primary[0], secondary[0]) if primary and secondary else None


def _frame_time(header: Dataset) -> float | None:
    """Time between frames in ms: FrameTime, else the median step of FrameTimeVector, else 1000 / CineRate."""
    if (time := _numbers(header, "FrameTime")) and time[0] > 0:
        return time[0]
    # The first entry of the vector belongs to the first frame and is zero (PS3.3 C.7.6.5).
    if (steps := _numbers(header, "FrameTimeVector")[1:]) and (median := float(np.median(steps))) > 0:
        return median
    if (rate := _numbers(header, "CineRate")) and rate[0] > 0:
        return 1000 / rate[0]
    return None


def _window(header: Dataset) -> tuple[float, float] | None:
    """The first window of the header; a width below 1 is none (PS3.3 C.11.2.1.2)."""
    centre, width = _numbers(header, "WindowCenter"), _numbers(header, "WindowWidth")
    return (centre[0], width[0]) if centre and width and width[0] >= 1 else None


def _rescale(header: Dataset) -> tuple[float, float]:
    """Modality rescale (slope, intercept); a slope of zero would erase the image and is ignored."""
    slope, intercept = _numbers(header, "RescaleSlope"), _numbers(header, "RescaleIntercept")
    return (slope[0] if slope and slope[0] else 1.0, intercept[0] if intercept else 0.0)
