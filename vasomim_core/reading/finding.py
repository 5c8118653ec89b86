"""Which files under a path are angiograms."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vasomim_core.errors import InputError
from vasomim_core.reading.dicom import is_dicom
from vasomim_core.reading.dicom.disc import NAME, contents, is_table_of_contents
from vasomim_core.reading.formats import KINDS, SUFFIXES

LABEL_SET_INDEX = "labelset.json"
"""By this file a folder is a label set; its angiograms are in `frames/`."""
MASKS_ALPHA = "masks-alpha"
"""The folder beside `images/` whose masks are alpha channels."""
MASK_FOLDERS = ("masks", MASKS_ALPHA)
"""Beside `images/`, these hold no angiograms."""


def find_angiograms(path: Path | str, suffix: str | None = None) -> list[Path]:
    """List the angiograms of a folder and the folders in it, or the one file given.

    - Hidden files and folders are skipped, and so is any file that has none of the suffixes in `SUFFIXES` and is not
      DICOM by its content.
    - Of a label set only `frames/` is looked through, and of a folder with `images/` beside masks not the masks.
    - Linked folders are followed, each real folder once; links back to where one came from are not.
    - A DICOMDIR means the disc, or folder, that it lies in; files that it does not list as images are left out.

    Args:
        path: A file or folder.
        suffix: Take only files with this suffix (".png"), whatever its case; None takes all kinds.

    Returns:
        The paths in natural order: 2.png before 10.png.

    Raises:
        InputError: the path is missing, or nothing readable was found.
    """
    path = Path(path)
    if is_table_of_contents(path):
        path = path.parent
    if path.is_file():
        if not _is_readable(path):
            raise InputError(f"{path} is of an unknown kind: {KINDS} files can be read.")
        return [path]
    if not path.is_dir():
        what = "is a pipe or a device: give a file" if path.exists() else "does not exist: check the path"
        raise InputError(f"{path} {what}.")
    others = contents(path).others
    found = sorted((file for file in _files(path) if file not in others and _is_readable(file)), key=_natural)
    if suffix is not None:
        wanted = "." + suffix.removeprefix(".").lower()
        found = [file for file in found if file.suffix.lower() == wanted]
        if not found:
            raise InputError(f"{path} holds no angiogram with the suffix {wanted}: choose one that files there have.")
    if not found:
        raise InputError(f"{path} holds no angiogram: put {KINDS} files there.")
    return found


def stem(path: Path) -> str:
    """The name of a file without its suffix, where it has a known one: DICOM exports are named by numbers with dots."""
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _files(top: Path) -> Iterator[Path]:
    """All files under a folder that may be angiograms. Real folders come first, so that a link to one adds nothing."""
    seen: set[Path] = set()
    waiting = [top]
    while waiting:
        start = waiting.pop(0)
        real = start.resolve()
        if any(real == folder or real in folder.parents for folder in seen):
            continue
        for name, folders, names in os.walk(start):
            folder = Path(name)
            if folder.resolve() in seen:
                folders.clear()
                continue
            seen.add(folder.resolve())
            folders[:] = sorted(_of_frames(folders, names))
            waiting += [folder / sub for sub in folders if (folder / sub).is_symlink()]
            if LABEL_SET_INDEX not in names:
                yield from (folder / file for file in names if not file.startswith("."))


def _of_frames(folders: list[str], names: list[str]) -> list[str]:
    """Of the folders beside each other, those that may hold frames: no masks, and nothing that is hidden."""
    if LABEL_SET_INDEX in names:
        return [folder for folder in folders if folder == "frames"]
    masks = MASK_FOLDERS if "images" in folders else ()
    return [folder for folder in folders if not folder.startswith(".") and folder not in masks]


def _is_readable(path: Path) -> bool:
    if path.suffix.lower() in SUFFIXES:
        return True
    return path.name.upper() != NAME and is_dicom(path)  # a DICOMDIR is DICOM, too, but no image


def _natural(path: Path) -> tuple[list[list[Any]], str]:
    """Sort key: numbers inside names by value. Splitting alternates text and number, so that keys compare."""
    parts = [re.split(r"(\d+)", part.casefold()) for part in path.parts]
    return [[int(x) if i % 2 else x for i, x in enumerate(part)] for part in parts], str(path)
