"""Files in which bytes were changed, cut, doubled or moved: each is read, or refused in a sentence, and soon."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, XRayAngiographicImageStorage, generate_uid

from tests.torture.bench import Bench, frame_of, mask_of
from tests.torture.trial import LIMIT, Trial
from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.errors import VasoMIMError
from vasomim_core.labels.labelset import LabelSet

SHARE = 0.1
FILES = 20
"""Files that one process reads."""


def trials(bench: Bench) -> dict[str, Callable[[Trial], None]]:
    """By name: images, and what belongs to runs, models and label sets."""
    found: dict[str, Callable[[Trial], None]] = {}
    for path in _images(bench.folder / "whole"):
        found[path.suffix[1:] + "-" + path.stem] = lambda trial, path=path: fuzz(trial, path, _read_image)
    for name in ("model.safetensors", "config.yaml", "events.jsonl"):
        found[name] = lambda trial, name=name: fuzz(trial, bench.undisturbed / name, _read_of_run)
    found["label set"] = lambda trial: fuzz_label_set(trial, bench)
    return found


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """The bytes with one to four changes."""
    changed = bytearray(data)
    for _ in range(int(random.integers(1, 5))):
        size = max(1, len(changed))
        # Headers are where meaning is.
        at = int(size * random.random() ** int(random.integers(1, 5)))
        length = int(random.integers(1, 1 + min(size, 64)))
        kind = int(random.integers(7))
        if kind == 0 and changed:
            changed[min(at, size - 1)] ^= 1 << int(random.integers(8))
        elif kind == 1:
            del changed[at:]
        elif kind == 2:
            changed[at:at] = changed[at : at + length]
        elif kind == 3:
            changed[at : at + length] = random.bytes(length)
        elif kind == 4:
            changed[at : at + 4] = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff")[random.integers(3)]
        elif kind == 5:
            del changed[at : at + length]
        else:
            other = int(random.integers(size))
            changed[at : at + length] = changed[other : other + length]
    return bytes(changed)


def fuzz(trial: Trial, whole: Path, read: Callable[[Path], None]) -> None:
    """Read some mutated files."""
    data, trial.tried = whole.read_bytes(), FILES
    paths = []
    for number in range(FILES):
        paths.append(trial.folder / str(number) / whole.name)
        paths[-1].parent.mkdir()
        paths[-1].write_bytes(mutated(data, trial.random))
    trial.run(_each, read, paths, limit=FILES * LIMIT)


def fuzz_label_set(trial: Trial, bench: Bench) -> None:
    """Look at a label set of which one file is mutated."""
    whole, folder = bench.folder / "label set", trial.folder / "set"
    if not whole.exists():
        labels = LabelSet.create(whole, "torture", (*VESSEL, LabelClass(2, "other", vessel=False)))
        for number in range(3):
            labels.add(frame_of(number), mask_of(number, 0) * (1 + number % 2), group=f"g{number}")
    shutil.copytree(whole, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    path = files[int(trial.random.integers(len(files)))]
    path.write_bytes(mutated(path.read_bytes(), trial.random))
    trial.run(_read_label_set, folder)


def _each(read: Callable[[Path], None], paths: list[Path]) -> None:
    """Read one file after the other; the alarm ends the process where one takes too long."""
    for path in paths:
        signal.setitimer(signal.ITIMER_REAL, LIMIT)
        try:
            read(path)
        except VasoMIMError:
            continue
        except Exception:
            print(path)
            raise


def _read_image(path: Path) -> None:
    from vasomim_core.reading import patient_group, read_angiogram, to_uint8

    angiogram = read_angiogram(path)
    for frame in {0: angiogram.frames[0], 1: angiogram.frames[len(angiogram.frames) - 1]}.values():
        to_uint8(frame, angiogram.window)
    patient_group(path, b"torture")


def _read_of_run(path: Path) -> None:
    from vasomim_core.models.catalogue import read_card
    from vasomim_core.models.registry import load_model
    from vasomim_core.training.events import Follower, read_events
    from vasomim_core.training.runs import load_config

    if path.suffix == ".safetensors":
        read_card(path)
        load_model(path, "cpu")
    elif path.suffix == ".yaml":
        load_config(path)
    else:
        list(read_events(path.parent))
        Follower(path.parent).new_events()


def _read_label_set(folder: Path) -> None:
    from vasomim_core.labels.labelled import open_labels

    labels = LabelSet.open(folder)
    labels.records()
    labels.check()
    open_labels(folder)


@cache
def _images(folder: Path) -> tuple[Path, ...]:
    """A whole file of each kind."""
    folder.mkdir()
    random = np.random.default_rng(0)
    grey = random.integers(0, 255, (24, 32)).astype(np.uint8)
    deep = random.integers(0, 4095, (3, 24, 32)).astype(np.uint16)
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(deep[0]).save(folder / "deep.png")
    Image.fromarray(grey).convert("P").save(folder / "indexed.png")
    Image.fromarray(grey).save(folder / "grey.jpg")
    Image.fromarray(grey).save(folder / "one.tif", compression="tiff_lzw")
    tifffile.imwrite(folder / "pages.tif", deep, photometric="minisblack", compression="zlib")
    tifffile.imwrite(folder / "plain.tif", deep, photometric="minisblack")
    np.save(folder / "stack.npy", deep)
    for name, compressed in (("plain", False), ("rle", True)):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = XRayAngiographicImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid(entropy_srcs=[name])
        ds.PatientID, ds.WindowCenter, ds.WindowWidth, ds.PhotometricInterpretation = "7", 2000, 4000, "MONOCHROME2"
        ds.Rows, ds.Columns, ds.NumberOfFrames, ds.SamplesPerPixel = 24, 32, 3, 1
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelData = deep.tobytes()
        ds["PixelData"].VR = "OW"
        if compressed:
            ds.compress(RLELossless)
        ds.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    return tuple(sorted(folder.iterdir()))
