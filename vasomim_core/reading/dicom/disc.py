"""The table of contents of a disc: a DICOMDIR says which of its files are images (PS3.10 chapter 8, PS3.3 annex F).

It also names patients. Of what it says, only paths of files and the kind of their records are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread

from vasomim_core.reading.dicom.data_set import data_set, is_dicom

NAME = "DICOMDIR"
IMAGE = "IMAGE"


@dataclass(frozen=True)
class Contents:
    """What a disc says that it holds.

    Attributes:
        others: files of it that hold no image, such as reports and presentation states.
        missing: images that it names and that are not there, as they are named.
    """

    others: frozenset[Path] = frozenset()
    missing: tuple[Path, ...] = ()


def is_table_of_contents(path: Path | str) -> bool:
    """Whether a file is the DICOMDIR of a disc."""
    return Path(path).name.upper() == NAME and is_dicom(Path(path))


def contents(folder: Path | str) -> Contents:
    """What the disc in this folder, or copied into it, says that it holds.

    Args:
        folder: in which the DICOMDIR lies.

    Returns:
        Nothing at all where there is no DICOMDIR, or none that can be read: its files speak for themselves.
    """
    folder = Path(folder)
    try:
        table = next((path for path in folder.iterdir() if is_table_of_contents(path)), None)
        records = list(_records(folder, table)) if table is not None else []
    except Exception:
        return Contents()
    others = frozenset(path for path, kind in records if kind != IMAGE)
    return Contents(others, tuple(path for path, kind in records if kind == IMAGE and not path.is_file()))


def _records(folder: Path, table: Path) -> Iterator[tuple[Path, str]]:
    """Path and kind of each file that the table names."""
    with data_set(table) as file:
        listed = dcmread(file, force=True, specific_tags=["DirectoryRecordSequence"])
    for record in listed.get("DirectoryRecordSequence") or ():
        named = record.get("ReferencedFileID")
        parts = [named] if isinstance(named, str) else list(named or ())
        if parts and all(_is_name(part) for part in parts):
            yield _as_it_lies(folder, parts), str(record.get("DirectoryRecordType", ""))


def _is_name(part: Any) -> bool:
    """Whether it can be the name of a file or folder on the disc; nothing outside of it is looked at."""
    return bool(part) and part not in (".", "..") and not set("/\\:\0") & set(part)


def _as_it_lies(folder: Path, parts: list[str]) -> Path:
    """Names on a disc are in capitals; many systems show them in small letters."""
    plain = folder.joinpath(*parts)
    small = folder.joinpath(*(part.lower() for part in parts))
    return small if small.is_file() and not plain.is_file() else plain
