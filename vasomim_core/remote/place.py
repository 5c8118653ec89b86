"""Where a run is that another machine computes: `remote.json` in its folder here.

It names a machine of the user's own list and a job there, and no host and no command: a folder may come from anybody.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from vasomim_core.config import from_dict, to_dict
from vasomim_core.errors import ConfigError, RunError
from vasomim_core.files import open_ordinary, write_json
from vasomim_core.training.runs import ELSEWHERE

LONGEST = 1 << 26  # bytes


@dataclass(frozen=True)
class Place:
    """Where a run is.

    Attributes:
        machine: its name in the list of machines.
        job: 16 hexadecimal digits by which it is found there.
        state: "sending" = it has not been started yet; "there" = it was, and lies there; "gone" = nothing is there
            any more.
        names: by the neutral name of a frame there, its own.
        left_out: of a comparison, a sentence for each file or frame that could not be read and was not sent.
    """

    machine: str
    job: str = field(default_factory=lambda: secrets.token_hex(8))
    state: Literal["sending", "there", "gone"] = "sending"
    names: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def write(self, run: Path) -> None:
        """Write it down."""
        write_json(run / ELSEWHERE, to_dict(self))

    def now(self, state: Literal["there", "gone"], run: Path) -> Place:
        """The same in another state, written down."""
        changed = replace(self, state=state)
        changed.write(run)
        return changed


def place_of(run: Path) -> Place | None:
    """Where the run of a folder is; None = here.

    Raises:
        RunError: what says so is damaged.
    """
    path = run / ELSEWHERE
    damaged = RunError(f"{path} does not say where the run is; copy it from a backup, or start a new run")
    try:
        with open_ordinary(path) as file:
            place = from_dict(Place, json.loads(file.read(LONGEST)))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, RecursionError, AttributeError, ConfigError) as error:
        raise damaged from error
    named = all(isinstance(name, str) for pair in place.names.items() for name in pair)
    if not named or not re.fullmatch(r"[0-9a-f]{16}", place.job):
        raise damaged
    return place
