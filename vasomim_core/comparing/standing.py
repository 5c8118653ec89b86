"""How far a comparison has come, read from its folder alone. torch is not loaded here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vasomim_core.comparing.rows import rows_of
from vasomim_core.comparing.settings import FILE, load_settings

REPORT = "report.md"
TABLES = "tables"
PICTURES = "pictures"
SCORES = "scores"


@dataclass(frozen=True)
class Standing:
    """What of a comparison is there.

    Attributes:
        out: its folder.
        rows: title, scored runs, and runs that there will be, of each row.
        report: the path of its report; None while there is none.
        outdated: runs were scored after the report was written.
    """

    out: Path
    rows: tuple[tuple[str, int, int], ...]
    report: Path | None
    outdated: bool

    @property
    def finished(self) -> bool:
        """Whether every run of every row is scored, and the report says so."""
        return self.report is not None and not self.outdated and all(done >= wanted for _, done, wanted in self.rows)

    def words(self) -> str:
        """The same for people."""
        runs = sum(wanted for _, _, wanted in self.rows)
        if self.finished:
            return f"All {runs} runs of {len(self.rows)} rows are scored."
        missing = [f"{title} ({done} of {wanted})" for title, done, wanted in self.rows if done < wanted]
        said = [f"Not finished: {', '.join(missing)}."] if missing else []
        if self.report is None:
            said.append("There is no report yet.")
        elif self.outdated:
            said.append("The report is older than the last scores.")
        return " ".join([*said, f"`vasomim compare --out {self.out}` goes on and writes it."])


def standing(out: Path) -> Standing:
    """How far the comparison in a folder has come.

    Raises:
        ConfigError: there is none, or its settings cannot be read.
    """
    comparison = load_settings(out)
    report = out / REPORT
    written = report.stat().st_mtime if report.is_file() else None
    rows, newest = [], 0.0
    for row in rows_of(comparison.methods, comparison.ablation):
        seeds = 1 if row.kind == "filter" else comparison.seeds
        runs = [f"seed-{seed}" for seed in range(seeds)]
        scored = [p for p in (out / SCORES).glob(f"*/{row.name}/*/scores.csv") if p.parent.name in runs]
        newest = max([newest, *(path.stat().st_mtime for path in scored)])
        rows.append((row.title, len(scored), seeds * len(comparison.data)))
    return Standing(out, tuple(rows), None if written is None else report, written is not None and newest > written)


def comparisons_in(folder: Path) -> list[Path]:
    """The comparisons that lie in a folder, by name."""
    try:
        return sorted(path for path in folder.iterdir() if (path / FILE).is_file())
    except OSError:
        return []
