"""A run on the other machine as `far` sees it, however it was started, and the command line that does so.

Like `far`, this and `by_process` and `by_slurm` import nothing that takes long.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

BEGUN = "run/config.yaml"
"""In the folder of a job, from the moment on from which its run is resumed and not begun."""
ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "PYTHONSAFEPATH": "1"}
OUTPUT = "output.log"


class Refused(Exception):
    """What cannot be done, in a sentence for the person at the other end."""


@dataclass(frozen=True)
class Commands:
    """What is run there, as arguments of `vasomim`.

    Attributes:
        begin: for a run that has not begun.
        resume: to go on with it.
        gpus: that it takes; several of them share a batch, 0 = none.
    """

    begin: list[str]
    resume: list[str]
    gpus: int = 1

    def line(self, arguments: Sequence[str]) -> list[str]:
        """The command line: one process, or one for each of several GPUs."""
        python = [sys.executable, "-P", "-m"]
        several = ["torch.distributed.run", "--standalone", f"--nproc-per-node={self.gpus}", "-m", "--"]
        return [*python, *(several if self.gpus > 1 else ()), "vasomim_core", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """What is added to the environment."""
        return ENVIRONMENT if self.gpus else {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Standing:
    """How a run stands.

    Attributes:
        alive: whether it is at work, or waits for that in a queue.
        queue: what SLURM says: "state", "reason", "node" and "start", as texts; empty without SLURM.
    """

    alive: bool
    queue: dict[str, str] = field(default_factory=dict)


class Started(Protocol):
    """A run that was started."""

    @property
    def there(self) -> bool:
        """Whether it was ever started."""

    def start(self, commands: Commands) -> None:
        """Start it, for the first time or to go on; it must not be at work.

        Raises:
            Refused: it cannot be started.
        """

    def standing(self) -> Standing:
        """How it stands; may be asked often.

        Raises:
            Refused: that is not known now.
        """

    def stop(self) -> None:
        """Ask it to stop after its step, saved; one that has not begun to train ends at once."""

    def end(self) -> None:
        """End it now, and wait for that."""

    def forget(self) -> None:
        """Be no run any more."""

    def ending(self) -> None:
        """Be told that it has said its last word."""


def write(path: Path, content: bytes) -> None:
    """Write a file that is wholly there or not at all (`vasomim_core.files` loads what draws and decodes)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_record(path: Path, record: Any) -> None:
    """Write what a run is found by."""
    write(path, json.dumps(record).encode())
