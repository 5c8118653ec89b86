"""Where the files of a label set lie, what else lies there, and what is not touched: anything outside the folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vasomim_core.errors import LabelError
from vasomim_core.files import sweep
from vasomim_core.labels.index import INDEX
from vasomim_core.labels.record import checked_id, is_id

PARTS = ("frames", "masks", "records", "history")
READINGS = "readings"
"""The part that comes with the first second reading."""
SWEPT_AFTER = 600.0
"""Seconds after which a temporary file belongs to nobody: no write takes that long."""

_SUFFIX = {"frames": ".png", "masks": ".png", "records": ".json"}
_REVISION = re.compile(r"([1-9][0-9]{0,8})\.(json|png)")
_LITTER = ("Icon\r", "desktop.ini", "Thumbs.db")


class LabelFolder:
    """The places in a label set.

    Whoever uses one gets a path inside the folder: a link that leads out of it is refused, as is a named pipe or
    anything else that is no plain file. What is not named like a file of the set is passed over, and told by `strays`.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def index(self) -> Path:
        """Where the index lies."""
        return self.path / INDEX

    @property
    def lock(self) -> Path:
        """The file by which writers take turns."""
        return self.path / ".lock"

    def frame(self, id: str) -> Path:
        """Where the frame lies."""
        return self._file("frames", f"{checked_id(id)}.png")

    def mask(self, id: str) -> Path:
        """Where the current mask lies."""
        return self._file("masks", f"{checked_id(id)}.png")

    def record(self, id: str) -> Path:
        """Where the record lies."""
        return self._file("records", f"{checked_id(id)}.json")

    def revision(self, id: str, number: int, suffix: str) -> Path:
        """Where the mask (".png") or the record (".json") of a revision lies."""
        return self._file("history", checked_id(id), f"{number}{suffix}")

    def reading(self, id: str, number: int, suffix: str) -> Path:
        """Where the mask (".png") or what is known (".json") of a second reading lies."""
        return self._file(READINGS, checked_id(id), f"{number}{suffix}")

    def ids(self) -> list[str]:
        """Ids of all frames that have a record."""
        return [name.removesuffix(".json") for name in self._names("records") if self._fits("records", name)]

    def masks(self) -> list[str]:
        """Ids of all frames that have a mask."""
        return [name.removesuffix(".png") for name in self._names("masks") if self._fits("masks", name)]

    def histories(self) -> list[str]:
        """Ids of all frames that have a history."""
        return [name for name in self._names("history") if self._fits("history", name)]

    def read_again(self) -> list[str]:
        """Ids of all frames that have second readings."""
        return [name for name in self._names(READINGS) if self._fits(READINGS, name)]

    def numbers(self, id: str, suffix: str = ".json") -> list[int]:
        """Numbers of the revisions whose record (or mask) lies in the history, in order."""
        return self._numbers("history", id, suffix)

    def reading_numbers(self, id: str, suffix: str = ".json") -> list[int]:
        """Numbers of the second readings of which that is known (or whose mask lies there), in order."""
        return self._numbers(READINGS, id, suffix)

    def _numbers(self, part: str, id: str, suffix: str) -> list[int]:
        names = (_REVISION.fullmatch(name) for name in self._names(part, checked_id(id)))
        return sorted(int(found[1]) for found in names if found and found[2] == suffix[1:])

    def orphans(self) -> list[Path]:
        """The files in frames/ and masks/ that have no record."""
        known = set(self.ids())
        return [
            self.path / part / name
            for part in ("frames", "masks")
            for name in self._names(part)
            if self._fits(part, name) and name.removesuffix(_SUFFIX[part]) not in known
        ]

    def strays(self, litter: bool = False) -> list[str]:
        """A sentence for each file that is not named like one of the set.

        Args:
            litter: also for what file browsers leave in every folder.

        Raises:
            LabelError: a part of the set is a link that leads out of it.
        """
        return [
            self._stray(part, name)
            for part in (*PARTS, READINGS)
            for name in self._names(part)
            if not self._fits(part, name) and (litter or name not in _LITTER)
        ]

    def strays_of(self, id: str) -> list[str]:
        """A sentence for each file in the history or the readings of a frame that is not named like one of them."""
        found = ((part, name) for part in ("history", READINGS) for name in self._names(part, checked_id(id)))
        return [self._stray(f"{part}/{id}", name) for part, name in found if not _REVISION.fullmatch(name)]

    def require_own_parts(self) -> None:
        """Make sure that none of the folders of the set lies elsewhere.

        Raises:
            LabelError: one is a link that leads out of the set.
        """
        for part in (*PARTS, READINGS):
            self._inside(part)

    def sweep(self) -> None:
        """Remove the temporary files of writers that were killed; the caller holds the lock."""
        histories = [self.path / "history" / id for id in self.histories()]
        readings = [self.path / READINGS / id for id in self.read_again()]
        for folder in (self.path, *(self.path / part for part in (*PARTS, READINGS)), *histories, *readings):
            if not folder.is_symlink():
                sweep(folder, SWEPT_AFTER)

    def _stray(self, part: str, name: str) -> str:
        return (
            f"{self.path / part / printable(name)} is not named like a file of a label set and is passed over: if a "
            "program that syncs folders made this copy, compare the two and delete one."
        )

    def _names(self, *parts: str) -> list[str]:
        """What lies in a folder of the set, which may be missing, without what begins with a dot."""
        folder = self._inside(*parts)
        if not folder.is_dir():
            return []
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))

    def _fits(self, part: str, name: str) -> bool:
        if part in ("history", READINGS):
            return is_id(name) and (self.path / part / name).is_dir()
        return name.endswith(_SUFFIX[part]) and is_id(name.removesuffix(_SUFFIX[part]))

    def _file(self, *parts: str) -> Path:
        path = self._inside(*parts)
        if path.exists() and not path.is_file():
            raise LabelError(f"{path} is no plain file: take it away, and put the file of that name there.")
        return path

    def _inside(self, *parts: str) -> Path:
        path = self.path
        for part in parts:
            path /= part
            if path.is_symlink() and not _lies_in(path, self.path):
                raise LabelError(f"{path} is a link that leads out of the label set: put there what it leads to.")
        return path


def printable(name: str) -> str:
    """A file's name as it can be shown: what cannot be printed, or is no character, becomes �."""
    return "".join(c if c.isprintable() else "�" for c in name)


def _lies_in(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
