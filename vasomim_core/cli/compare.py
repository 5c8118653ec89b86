"""The command that compares pretraining methods."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm import tqdm

from vasomim_core.cli.common import Options, frames_bar
from vasomim_core.comparing.settings import FILE, Comparison, load_settings
from vasomim_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Compare(Options):
    """Compare pretraining methods on your frames: one protocol, one table, with its uncertainty.

    Stopped or killed, the same command goes on where it was; several machines may work in one folder.

    Attributes:
        out: folder for everything: runs, scores, `report.md`. `--out` alone goes on with what stands there.
        on: name of the machine to compare on, see `vasomim machines`; None = here, or where the comparison in --out is.
        dry_run: with --on: say what would be sent, and send nothing.
        settings: what is compared, and on what.
    """

    out: Path
    on: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    dry_run: bool = False
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
        from vasomim_core.remote.place import place_of

        if self.dry_run and self.on is None:
            raise ConfigError("--dry-run says what --on NAME would send; give it with that")
        place = place_of(self.out)
        if self.on is not None or (place is not None and place.state != "gone"):
            return self._elsewhere()
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

    def _elsewhere(self) -> dict[str, Any]:
        from vasomim_core.cli.elsewhere import Terminal
        from vasomim_core.remote.comparison import compare_elsewhere, list_comparison

        if self.dry_run and self.on is not None:
            with tempfile.TemporaryDirectory() as folder:
                listing, notes = list_comparison(self.settings, self.on, Path(folder))
            return {"would_send": vars(listing), "words": f"would send {listing}", "notes": notes}
        with Terminal() as watcher:
            compared = compare_elsewhere(self.out, self.settings, self.on, watcher)
        return {
            "report": str(compared.report),
            "rows": list(compared.rows),
            "stopped": compared.reason == "stopped",
            "failed": [f"{name}: {why}" for name, why in compared.failures.items()],
            "machine": compared.machine,
            "reason": compared.reason,
            "note": compared.message,
        }

    def summary(self, result: dict[str, Any]) -> str:
        """Where the report is, and what could not be done."""
        if "would_send" in result:
            return "\n".join([result["words"], *(f"note: {message}" for message in result["notes"])])
        lines = [*(f"failed: {sentence}" for sentence in result["failed"])]
        if result["stopped"]:
            lines.append("stopped; give the same command to go on")
        if result.get("reason") == "left":
            lines.append(f"it goes on on {result['machine']}; the same command finds it again")
        if result.get("reason") == "cancelled":
            lines.append(f"cancelled; nothing of it is on {result['machine']} any more")
        if result.get("note"):
            lines.append(f"note: {result['note']}")
        return "\n".join([*lines, result["report"]])
