"""Angiograms in files for the tests of reading, and what a person reads of one that is refused."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import compress
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    XRayAngiographicImageStorage,
    generate_uid,
)

from vasomim_core.errors import InputError
from vasomim_core.reading import read_angiogram

NAMING = {
    "PatientName": "Doeling^Janette",
    "PatientID": "ID-4711-XY",
    "PatientBirthDate": "19500102",
    "StudyDate": "20240203",
    "AcquisitionDateTime": "20240203101112",
    "InstitutionName": "Saint Elsewhere",
    "OperatorsName": "Nurse^Ratched",
    "ReferringPhysicianName": "House^Gregory",
    "StationName": "CATHLAB7",
    "AccessionNumber": "ACC998877",
}


GDCM_SYNTAXES = {
    "jpeg-lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "jpeg-2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "jpeg-ls": gdcm.TransferSyntax.JPEGLSLossless,
}


def cine(frames: int = 5, dtype: str = "uint8", bits: int = 8, shape: tuple[int, int] = (31, 17)) -> np.ndarray:
    low, high = (-(1 << bits - 1), 1 << bits - 1) if dtype.startswith("int") else (0, 1 << bits)
    return np.random.default_rng(0).integers(low, high, (frames, *shape)).astype(dtype)


def write_dicom(path: Path, frames: np.ndarray, syntax: str = ExplicitVRLittleEndian, **header: Any) -> Path:
    """Write grey frames (t, y, x) or colour frames (t, y, x, 3), with a header that names people."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = XRayAngiographicImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    colour = frames.ndim == 4
    ds.Rows, ds.Columns = frames.shape[1:3]
    ds.NumberOfFrames = len(frames)
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = 8 * frames.itemsize
    ds.PixelRepresentation = int(frames.dtype.kind == "i")
    for keyword, value in (NAMING | header).items():
        setattr(ds, keyword, value)
    if "HighBit" not in header:
        ds.HighBit = ds.BitsStored - 1
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data = frames.astype(frames.dtype.newbyteorder(order)).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OB" if frames.itemsize == 1 else "OW"
    if syntax == RLELossless:
        compress(ds, RLELossless, encoding_plugin="pydicom")
    ds.save_as(path, enforce_file_format=True)
    return path


def compress_with_gdcm(path: Path, syntax: int) -> Path:
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return path


def sentence(path: Path, kind: type[InputError] = InputError) -> str:
    """The one sentence that a person reads when `path` is opened and its frames are decoded."""
    with pytest.raises(kind) as caught:
        read_angiogram(path).frames[:]
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert text.endswith(".")
    shown = "".join(traceback.format_exception(caught.value))
    assert not [value for value in NAMING.values() if value in shown]
    return text


def write_stack(path: Path, stack: np.ndarray, how: str) -> None:
    if how == "npy":
        with path.open("wb") as file:
            np.save(file, stack)
    elif how == "npy-fortran":
        with path.open("wb") as file:
            np.save(file, np.asfortranarray(stack))
    elif how == "pages":
        with tifffile.TiffWriter(path) as writer:
            for frame in stack:
                writer.write(frame, metadata=None, contiguous=False)
    elif how.startswith("tiff_"):
        first, *rest = map(Image.fromarray, stack)
        first.save(path, format="TIFF", save_all=True, append_images=rest, compression=how)
    else:
        options = {
            "plain": {},
            "big-endian": {"byteorder": ">"},
            "imagej": {"imagej": True},
            "bigtiff": {"bigtiff": True},
            "zlib": {"compression": "zlib"},
            "tiled": {"tile": (16, 16)},
        }[how]
        tifffile.imwrite(path, stack, **options)  # fmt: skip


STACKS = [
    "npy",
    "npy-fortran",
    "pages",
    "plain",
    "big-endian",
    "imagej",
    "bigtiff",
    "zlib",
    "tiled",
    "tiff_lzw",
]
