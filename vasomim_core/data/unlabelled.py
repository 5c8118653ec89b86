"""Unlabelled angiograms to learn from: which of a folder can be read, and why the others cannot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vasomim_core.errors import InputError
from vasomim_core.reading import find_angiograms, read_angiogram, stem
from vasomim_core.reading.folders import all_failed


@dataclass(frozen=True)
class Unlabelled:
    """The angiograms of a folder.

    Attributes:
        files: Each that can be opened, with its number of frames, in natural order.
        left_out: One sentence for each that cannot.
        notes: Sentences on what is probably not meant.
    """

    files: tuple[tuple[Path, int], ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def frames(self) -> int:
        """Number of frames in all files."""
        return sum(count for _, count in self.files)


def open_unlabelled(data: Path | str, strict: bool = False) -> Unlabelled:
    """Open every angiogram under a path; no frame of a run is decoded.

    Args:
        data: A folder or file, as for `find_angiograms`.
        strict: End at the first that cannot be opened.

    Raises:
        InputError: there are none, none can be opened, or with `strict` one cannot.
    """
    files: list[tuple[Path, int]] = []
    errors: list[InputError] = []
    for path in find_angiograms(data):
        try:
            files.append((path, len(read_angiogram(path).frames)))
        except InputError as error:
            if strict:
                raise
            errors.append(error)
    if not files:
        raise all_failed(errors)
    return Unlabelled(tuple(files), tuple(map(str, errors)), _same_names([path for path, _ in files]))


def _same_names(paths: list[Path]) -> tuple[str, ...]:
    count = Counter(path.with_name(stem(path)) for path in paths)
    twins = [path for path in paths if count[path.with_name(stem(path))] > 1]
    if not twins:
        return ()
    return (
        f"{len(twins)} files differ from another one in their suffix alone ({twins[0]} and {twins[1].name} are two): "
        "where one is a preview of the other, its frames count twice; move the previews away.",
    )
