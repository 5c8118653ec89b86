"""One frame out of a cine run against decoding the whole file, and the memory that reading takes.

Both sides of a ratio run side by side in this process; the whole file is decoded by pydicom in one call.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid
from timing import smallest

from vasomim_core.reading import read_angiogram

SIDE, WANTED = 512, 75
JPEG_LOSSLESS = gdcm.TransferSyntax.JPEGLosslessProcess14_1


def write_cine(path: Path, frames: int, compressed: bool) -> Path:
    """Write an 8-bit XA run of drifting noise, uncompressed or JPEG-lossless."""
    noise = np.random.default_rng(0).normal(128, 6, (SIDE, SIDE)).astype(np.uint8)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = XRayAngiographicImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.Rows = ds.Columns = SIDE
    ds.NumberOfFrames, ds.SamplesPerPixel, ds.PhotometricInterpretation = frames, 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.PixelData = b"".join(np.roll(noise, shift, 0).tobytes() for shift in range(frames))
    ds["PixelData"].VR = "OB"
    ds.save_as(path, enforce_file_format=True)
    if compressed:
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(JPEG_LOSSLESS))
        change.SetInput(reader.GetImage())
        change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.Write()
    return path


def medians(repeats: int, *works: Callable[[], object]) -> list[float]:
    """Median time of each in seconds, taken in turns so that a busy machine slows them alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, taken in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def peak_memory(path: Path) -> float:
    """Peak of traced memory in MiB while every frame of a file is read, one after the other."""
    tracemalloc.start()
    for _ in read_angiogram(path).frames:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def main() -> None:
    little = smallest(__doc__)
    frames, repeats, lengths = (WANTED + 1, 1, (2, 4)) if little else (150, 7, (30, 300))
    print(f"reading frame {WANTED} of a {frames}-frame cine, {SIDE}×{SIDE}, 8 bit (median of {repeats})")
    print("| file | whole (pydicom) | whole (ours) | open + one frame | one frame | ratio | ratio, opened |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for compressed in (False, True):
            name = "JPEG-lossless" if compressed else "uncompressed"
            path = write_cine(Path(folder, name), frames, compressed)
            opened = read_angiogram(path).frames
            whole, ours, first, again = medians(
                repeats,
                lambda path=path: pixel_array(path),
                lambda opened=opened: opened[:],
                lambda path=path: read_angiogram(path).frames[WANTED],
                lambda opened=opened: opened[WANTED],
            )
            print(
                f"| {name} | {whole * 1e3:.1f} ms | {ours * 1e3:.1f} ms | {first * 1e3:.2f} ms "
                f"| {again * 1e3:.2f} ms | {whole / first:.0f}× | {whole / again:.0f}× |"
            )
        print("\npeak memory while all frames are read in turn")
        print("| file | {} frames | {} frames |".format(*lengths))
        print("|---|---|---|")
        for compressed in (False, True):
            name = "JPEG-lossless" if compressed else "uncompressed"
            few, many = (peak_memory(write_cine(Path(folder, f"{n}"), n, compressed)) for n in lengths)
            print(f"| {name} | {few:.2f} MiB | {many:.2f} MiB |")


if __name__ == "__main__":
    main()
