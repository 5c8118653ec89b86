"""The command that compares pretraining methods."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm import tqdm

from vasomim_core.cli.common import Options, frames_bar
from vasomim_core.comparing.settings import FILE, Comparison, load_settings


@dataclass(frozen=True, kw_only=True)
class Compare(Options):
    """Compare pretraining methods on your frames: one protocol, one table, with its uncertainty.

    Stopped or killed, the same command goes on where it was; several machines may work in one folder.

    Attributes:
        out: folder for everything: runs, scores, `report.md`. `--out` alone goes on with what stands there.
        settings: what is compared, and on what.
    """

    out: Path
    settings: Annotated[Comparison, tyro.conf.arg(name="")] = field(default_factory=Comparison)

    @classmethod
    def default(cls, arguments: list[str]) -> Compare | None:
        """The settings of the comparison in `--out` as the defaults of all options; None where none was begun."""
        scan = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        scan.add_argument("--out", type=Path)
        out = scan.parse_known_args(arguments)[0].out
        if out is None or not (out / FILE).is_file():
            return None
        return cls(out=out, settings=load_settings(out))

    def run(self) -> dict[str, Any]:
        """Do what is missing, and write the report."""
        from vasomim_core.comparing.report import write_report
        from vasomim_core.comparing.work import Work

        with frames_bar() as progress:
            work = Work(self.out, self.settings, lambda name: tqdm.write(name, file=sys.stderr), progress)
            outcome = work.run()
        return {
            "report": str(write_report(work, outcome)),
            "rows": [row.name for row in work.rows],
            "stopped": outcome.stopped,
            "failed": [f"{name}: {why}" for name, why in outcome.failures.items()],
        }

    def summary(self, result: dict[str, Any]) -> str:
        """Where the report is, and what could not be done."""
        lines = [*(f"failed: {sentence}" for sentence in result["failed"])]
        if result["stopped"]:
            lines.append("stopped; give the same command to go on")
        return "\n".join([*lines, result["report"]])
