"""What the commands share: their common options, the way through many files, and where results go."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import tifffile
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from vasomim_core.data.unlabelled import all_failed
from vasomim_core.errors import ConfigError, InputError
from vasomim_core.files import atomic, write_png
from vasomim_core.reading import Angiogram, find_angiograms, read_angiogram, stem

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


Inputs = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(name="input")]


@dataclass(frozen=True, kw_only=True)
class Batch(Options):
    """Options of every command that works through angiograms.

    Attributes:
        inputs: angiograms, or folders that are searched through.
        output: folder for the results.
        suffix: of the files to take from folders, such as .png where previews lie beside them; None = all kinds.
        strict: end at the first file that cannot be read; else the rest is done, and the exit code is 3.
    """

    inputs: Inputs
    output: Path
    suffix: str | None = None
    strict: bool = False

    def each(self, work: Callable[[Angiogram, Path], Path]) -> dict[str, Any]:
        """Do the work for every angiogram under the inputs.

        Args:
            work: takes an angiogram and the path of its result, without extension; returns what it has written.

        Returns:
            `written` (paths), `frames` (how many), `failed` (a sentence for each file that could not be read) and
            `notes` (sentences on those that could).

        Raises:
            InputError: an input is missing or holds no angiogram; none can be read, or with `strict` one cannot.
            ConfigError: two inputs would have the same result, or a result would replace its input.
        """
        written: list[str] = []
        errors: list[InputError] = []
        notes: list[str] = []
        frames = 0
        jobs = _jobs(self.inputs, self.output, self.suffix)
        for target, path in tqdm(jobs.items(), unit="file", disable=None, leave=False):
            try:
                angiogram = read_angiogram(path)
                written.append(str(work(angiogram, target)))
            except InputError as error:
                if self.strict:
                    raise
                errors.append(error)
                continue
            frames += len(angiogram.frames)
            notes += angiogram.notes
        if not written:
            raise all_failed(errors)
        return {"written": written, "frames": frames, "failed": [str(error) for error in errors], "notes": notes}

    def told(self, done: str, result: dict[str, Any]) -> str:
        """What was done, and under it what there is to say about single files."""
        lines = [done, *(f"note: {note}" for note in result["notes"])]
        if failed := result["failed"]:
            lines.append(f"{len(failed)} of {len(failed) + len(result['written'])} files could not be read:")
            lines += [f"  {sentence}" for sentence in failed]
        return "\n".join(lines)


def _jobs(inputs: Sequence[Path], output: Path, suffix: str | None) -> dict[Path, Path]:
    """Every angiogram under the inputs by the path of its result, without extension.

    Below the folder that holds all files of an input, folders are mirrored, so that equal names do not meet.
    """
    if not inputs:
        raise ConfigError("no input is given; name an angiogram, or a folder of them")
    jobs: dict[Path, Path] = {}
    for given in inputs:
        results = output.resolve()  # those of an earlier call are no input
        found = find_angiograms(given, suffix)
        paths = [path for path in found if path == given or results not in path.resolve().parents]
        if not paths:
            raise ConfigError(f"{given} holds nothing but earlier results; give a folder of angiograms")
        top = os.path.commonpath([path.parent for path in paths])
        for path in paths:
            target = output / path.parent.relative_to(top) / stem(path)
            if target in jobs:
                way = "give them separate --output folders"
                if jobs[target].parent == path.parent:
                    way = f"if one is a preview, take the other kind alone (--suffix {path.suffix}), or {way}"
                raise ConfigError(f"{jobs[target]} and {path} would both be written to {target}; {way}")
            if target.parent.resolve() == path.parent.resolve():
                raise ConfigError(f"the result of {path} would lie beside it in {target.parent}; give another --output")
            jobs[target] = path
    return jobs


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
    for _ in passing_pages(path, pages, lambda page: page):
        pass
    return path


Item = TypeVar("Item")


def passing_pages(path: Path, items: Iterator[Item], page_of: Callable[[Item], NDArray[Any]]) -> Iterator[Item]:
    """Hand items on while a page of each is written to one TIFF, which appears when the last has passed."""
    with atomic(path) as temporary, tifffile.TiffWriter(temporary) as tiff:
        for item in items:
            page = page_of(item)
            tiff.write(page, compression="zlib", contiguous=False, photometric="minisblack", metadata=None)
            yield item
