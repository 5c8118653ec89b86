"""Labelled frames that must not be learned from: those that are named like the files of a folder, and their groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vasomim_core.errors import LabelError
from vasomim_core.labels.arcade import nfc
from vasomim_core.labels.labelled import LabelledFrame
from vasomim_core.reading import stem


def without_those_in(folder: Path | None, frames: Sequence[LabelledFrame]) -> list[LabelledFrame]:
    """The frames that are not named like a file of a folder, and of no group of one that is.

    Args:
        folder: searched through; None = all frames are kept.
        frames: labelled frames.

    Raises:
        LabelError: it is no folder, or no frame is named like one of its files.
    """
    if folder is None:
        return list(frames)
    out = _stems(folder)
    groups = {frame.group for frame in frames if frame.name in out}
    kept = [frame for frame in frames if frame.group not in groups]
    if len(kept) == len(frames):
        raise LabelError(
            f"none of the {len(frames)} labelled frames is named like a file of {folder}: give the folder whose names "
            "are theirs."
        )
    return kept


def _stems(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise LabelError(f"{folder} is not a folder: give one whose file names are those of frames to leave out.")
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {nfc(path.relative_to(folder).with_name(stem(path)).as_posix()) for path in files}
