"""What the commands share: their two common options, and where results go."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from tqdm import tqdm

from vasomim_core.angiogram import Angiogram, find_angiograms, read_angiogram, stem
from vasomim_core.errors import ConfigError
from vasomim_core.files import atomic, write_png

REORDERING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of every command.

    Attributes:
        json: print the result as one JSON object.
        debug: show the traceback of an error.
    """

    json: bool = False
    debug: bool = False


def printable(text: str) -> str:
    """A text as a terminal may get it: what would move its cursor, hide or reorder words is escaped as in JSON.

    Names come from files of others. JSON still means what it meant.
    """
    return "".join(f"\\u{ord(sign):04x}" if _acts(sign) else sign for sign in text)


def _acts(sign: str) -> bool:
    return sign not in "\n\t" and (unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or sign in REORDERING)


def angiograms(inputs: Sequence[Path], output: Path) -> Iterator[tuple[Angiogram, Path]]:
    """Every angiogram under the inputs with the path of its result, without extension.

    Below the folder that holds all files of an input, folders are mirrored, so that equal names do not meet.

    Raises:
        InputError: an input that is missing or holds no angiogram.
        ConfigError: two inputs would have the same result, or a result would replace its input.
    """
    if not inputs:
        raise ConfigError("no input is given; name an angiogram, or a folder of them")
    jobs: dict[Path, Path] = {}
    for given in inputs:
        results = output.resolve()  # those of an earlier call are no input
        paths = [path for path in find_angiograms(given) if path == given or results not in path.resolve().parents]
        if not paths:
            raise ConfigError(f"{given} holds nothing but earlier results; give a folder of angiograms")
        top = os.path.commonpath([path.parent for path in paths])
        for path in paths:
            target = output / path.parent.relative_to(top) / stem(path)
            if target in jobs:
                raise ConfigError(
                    f"{jobs[target]} and {path} would both be written to {target}; give them separate --output folders"
                )
            if target.parent.resolve() == path.parent.resolve():
                raise ConfigError(f"the result of {path} would lie beside it in {target.parent}; give another --output")
            jobs[target] = path
    for target, path in tqdm(jobs.items(), unit="file", disable=None, leave=False):
        yield read_angiogram(path), target


def write_masks(target: Path, masks: Iterator[NDArray[np.bool_]], count: int) -> Path:
    """Write masks as 0/255: one as PNG, several as one multi-page TIFF, a page at a time.

    Args:
        target: path without extension.
        masks: bool (H, W) each.
        count: how many there are.
    """
    grey = (mask.astype(np.uint8) * 255 for mask in masks)
    if count > 1:
        return write_pages(target, grey)
    (page,) = grey
    path = target.with_name(target.name + ".png")
    write_png(path, page)
    return path


def write_pages(target: Path, pages: Iterator[NDArray[Any]]) -> Path:
    """Write 2-D pages to one TIFF (zlib), a page at a time, atomically.

    Args:
        target: path without extension.
        pages: (H, W) each, of one dtype.
    """
    path = target.with_name(target.name + ".tif")
    for _ in passing_pages(path, pages):
        pass
    return path


def passing_pages(path: Path, pages: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Hand pages on while they are written to one TIFF, which appears when the last has passed."""
    with atomic(path) as temporary, tifffile.TiffWriter(temporary) as tiff:
        for page in pages:
            tiff.write(page, compression="zlib", contiguous=False, photometric="minisblack", metadata=None)
            yield page
