"""What a person says of a run, its name in lists and notes, kept in its folder; the folder itself keeps its name.

Other runs, processes and commands know a run by its folder, so that one is never renamed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from vasomim_core.errors import RunError
from vasomim_core.files import open_ordinary, write_json
from vasomim_core.training.runs import ABOUT

LONGEST_NAME = 80
LONGEST_NOTES = 4000
LONGEST_FILE = 1 << 16  # bytes


@dataclass(frozen=True)
class About:
    """What a person says of a run.

    Attributes:
        name: in lists; empty = that of its folder.
        notes: whatever is to be remembered.
    """

    name: str = ""
    notes: str = ""


def read_about(run: Path) -> About:
    """What a person has said of a run; nothing where nothing is there that can be read."""
    try:
        with open_ordinary(run / ABOUT) as file:
            values = json.loads(file.read(LONGEST_FILE))
        name, notes = values.get("name", ""), values.get("notes", "")
    except (OSError, ValueError, AttributeError, RecursionError):
        return About()
    if not isinstance(name, str) or not isinstance(notes, str):
        return About()
    return About(" ".join(name.split())[:LONGEST_NAME], notes[:LONGEST_NOTES])


def write_about(run: Path, about: About) -> None:
    """Keep what a person says of a run.

    Raises:
        RunError: it cannot be written.
    """
    try:
        write_json(run / ABOUT, asdict(about))
    except OSError as error:
        raise RunError(f"{run} cannot be written ({error.strerror}); its name and notes stay as they were") from error


def shown_name(run: Path) -> str:
    """What a run is called in lists."""
    return read_about(run).name or run.name
