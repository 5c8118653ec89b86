"""The command that assembles a data set to pretrain on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from vasomim_core.cli.common import Options, frames_bar
from vasomim_core.config import Mode
from vasomim_core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Assemble(Options):
    """Assemble folders of angiograms into one data set to pretrain on: frames, anatomy, checksums.

    It is done once, over all cores, for any number of runs (`vasomim pretrain --data DATASET`). Stopped or killed, the
    same command goes on where it was. A file that cannot be read is left out and named, and the exit code is 3.

    Attributes:
        data: folder (searched through) or file of angiograms.
        output: folder for the data set; new, or one that was begun with the same files.
        anatomy: how anatomy is extracted from vesselness.
        processes: that read files and extract anatomy; None = one for each core.
        check: read the finished data set again and compare it with its checksums.
    """

    data: Annotated[Path, tyro.conf.Positional]
    output: Path
    anatomy: Mode = "robust"
    processes: int | None = None
    check: bool = False

    def run(self) -> dict[str, Any]:
        """Do what is missing."""
        from vasomim_core.data.assembling import assemble

        with frames_bar() as progress:
            made = assemble(self.data, self.output, self.anatomy, self.processes, progress)
        if self.check:
            self.compare()
        told = {name: getattr(made, name) for name in ("facts", "sources", "failed", "notes")}
        return {"folder": str(made.folder), **told, "checked": self.check}

    def compare(self) -> None:
        """Raises `InputError` where a frame no longer fits its checksum."""
        from vasomim_core.data.assembled import AssembledFrames

        frames = AssembledFrames(self.output)
        damaged = []
        with frames_bar() as progress:
            for done, index in enumerate(frames.damaged(), 1):
                damaged += [index] if index is not None else []
                progress(done, len(frames))
        if damaged:
            raise InputError(
                f"{self.output} is damaged: {len(damaged)} of {len(frames)} frames are not what was written (the first "
                f"is frame {damaged[0]}); assemble it anew"
            )

    def summary(self, result: dict[str, Any]) -> str:
        """How much there is, and what was left out."""
        facts = result["facts"]
        lines = [
            f"{facts['frames']} frames of {facts['files'] - facts['left_out']} files in {result['folder']}",
            *(f"  {source}: {count}" for source, count in result["sources"].items()),
            f"{facts['alike']} nearly equal one shortly before, {facts['identical']} equal an earlier one to the pixel",
        ]
        if result["checked"]:
            lines.append("all frames fit their checksums")
        lines += [f"note: {note}" for note in result["notes"]]
        if failed := result["failed"]:
            lines.append(f"{len(failed)} left out:")
            lines += [f"  {sentence}" for sentence in failed]
        return "\n".join(lines)
