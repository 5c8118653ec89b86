"""The report of a comparison, `report.md` with `tables/` and `pictures/`, from what its folder holds."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vasomim_core.comparing.budget import Spent, spent
from vasomim_core.comparing.clustering import SAMPLES, VESSEL, read_clustering
from vasomim_core.comparing.datasets import FACTS, DataSet, frames_facts
from vasomim_core.comparing.pictures import save_contact_sheet, save_schedules
from vasomim_core.comparing.published import ABLATION, PUBLISHED, published_as
from vasomim_core.comparing.rows import TABLE, Row, tokens_seen
from vasomim_core.comparing.scoring import read_scores
from vasomim_core.comparing.standing import REPORT, TABLES
from vasomim_core.comparing.statistics import Difference, Values, mean_and_spread, paired_difference
from vasomim_core.comparing.work import Outcome, Work
from vasomim_core.files import atomic, write_text

Metric = Literal["dsc", "cldice"]
DASH = "–"
METRICS: tuple[Metric, ...] = ("dsc", "cldice")


@dataclass(frozen=True)
class Scored:
    """The scores of one row on one data set.

    Attributes:
        row: which.
        seeds: of its runs that are scored; (0,) of a row that knows none.
        dsc: in percent, (seeds, frames).
        cldice: the same.
        groups: a number for each frame.
    """

    row: Row
    seeds: tuple[int, ...]
    dsc: Values
    cldice: Values
    groups: tuple[int, ...]


def write_report(work: Work, outcome: Outcome) -> Path:
    """Write everything that is known so far; rows that are not done are named.

    Returns:
        The path of the Markdown file.
    """
    lines = [f"# Pretraining methods compared by {work.comparison.task} segmentation", "", *_protocol(work), ""]
    for one in work.sets:
        scored = [found for row in work.rows if (found := _scored(work, row, one)) is not None]
        lines += [f"## {one.name}", "", *_table(work, one, scored), ""]
        lines += _differences(work, one, scored)
        lines += _variants(work, one, scored)
        lines += _clusters(work, one)
        if picture := save_contact_sheet(work, one, [found.row for found in scored]):
            lines += [f"![{one.name}: frame, label, and what each row finds](pictures/{picture})", ""]
    if work.comparison.ablation and (picture := save_schedules(work)):
        lines += ["## What each schedule masks", "", f"![masking ratio](pictures/{picture})", ""]
    lines += [*_costs(work), "", *_deviations(work)]
    if outcome.failures:
        lines += ["", "## Not done", "", *(f"- {name}: {why}" for name, why in outcome.failures.items())]
    if outcome.stopped:
        lines += ["", "The comparison was stopped; the same command goes on with it."]
    write_text(work.out / REPORT, "\n".join(lines) + "\n")
    return work.out / REPORT


def _scored(work: Work, row: Row, one: DataSet) -> Scored | None:
    seeds = range(1 if row.kind == "filter" else work.comparison.seeds)
    folders = {seed: work.scored(row, one, seed) for seed in seeds}
    there = tuple(seed for seed, folder in folders.items() if (folder / "scores.csv").is_file())
    if not there:
        return None
    each = [read_scores(folders[seed]) for seed in there]
    dsc, cldice = (np.array([[getattr(s, name) for s in scores] for scores in each]) for name in ("dsc", "cldice"))
    return Scored(row, there, dsc, cldice, tuple(s.group for s in each[0]))


def _protocol(work: Work) -> list[str]:
    c = work.comparison
    labels = "all labels" if c.fraction == 1 else f"{100 * c.fraction:g} % of the labels, others for each seed"
    amount = f"{c.minutes:g} minutes" if c.minutes is not None else f"{c.epochs} epochs"
    lines = [
        f"Each method pretrains a ViT-{c.encoder} for {amount} on the same frames, in crops of {c.input_size} px and "
        f"batches of {c.batch_size}, and is then finetuned in the same way: {c.finetuning_epochs} epochs on "
        f"{labels}, at {2 * c.input_size} px, {c.seeds} seeds. "
        "The epoch is chosen on frames that are not reported on. Scores are means over the reported frames, at their "
        "own size and the threshold 0.5; ± is the standard deviation over seeds.",
    ]
    if (work.out / "frames" / FACTS).is_file():
        facts: Any = frames_facts(work.out)
        lines += ["", f"Pretrained on {facts['frames']} frames."]
        if facts["alike"]:
            lines[-1] += f" {facts['alike']} of them nearly equal one shortly before, as frames of one run do."
        if facts["reported"]:
            lines[-1] += f" {facts['reported']} more are frames that are reported on, and were left out."
        if facts["shared"]:
            lines[-1] += f" **{facts['shared']} frames to learn from are reported on, too**: the parts overlap."
        if facts["left_out"]:
            lines[-1] += (
                f" {len(facts['left_out'])} files or frames could not be read, the first: {facts['left_out'][0]}"
            )
    return lines


def _table(work: Work, one: DataSet, scored: Sequence[Scored]) -> list[str]:
    known = published_as(one.name) if work.comparison.task == "vessel" else None
    published = PUBLISHED.get(known or "", {})
    frames = len(scored[0].groups) if scored else 0
    lines = [f"{frames} frames are reported on.", ""]
    head = ["row", "DSC", "clDice", "seeds", *([f"published on {known}"] if published else [])]
    rows = []
    for found in scored:
        if found.row.name not in TABLE:
            continue
        cells = [found.row.title, _plus(found.dsc), _plus(found.cldice), str(len(found.dsc))]
        if published:
            score = published.get(found.row.name)
            cells.append(f"{score[0]:.2f} / {score[1]:.2f}" if score else DASH)
        rows.append(cells)
    missing = [row.title for row in work.rows if row.name in TABLE and all(s.row != row for s in scored)]
    _write_csv(work, one, scored, published)
    lines += _markdown(head, rows)
    if published:
        lines += [
            "",
            "What is published was scored on the data set's own test part, after more training and of all labels.",
        ]
    if missing:
        lines += ["", f"Not there yet: {', '.join(missing)}."]
    return lines


def _write_csv(work: Work, one: DataSet, scored: Sequence[Scored], published: dict[str, tuple[float, float]]) -> None:
    head = ("row", "dsc", "dsc_std", "cldice", "cldice_std", "seeds", "frames", "published_dsc", "published_cldice")
    rows = []
    for found in scored:
        (dsc, spread), (line, line_spread) = mean_and_spread(found.dsc), mean_and_spread(found.cldice)
        values = (dsc, spread, line, line_spread)
        known = published.get(found.row.name, ("", ""))
        numbers = ["" if value is None else f"{value:.4f}" for value in values]
        rows.append((found.row.name, *numbers, len(found.dsc), len(found.groups), *known))
    _csv(work.out / TABLES / f"{one.name}.csv", head, rows)


def _differences(work: Work, one: DataSet, scored: Sequence[Scored]) -> list[str]:
    """Each row against VasoMIM, or against the best where that is not there."""
    table = [found for found in scored if found.row.name in TABLE]
    if len(table) < 2:
        return []
    best = max(table, key=lambda found: found.dsc.mean())
    base = next((found for found in table if found.row.name == "vasomim"), best)
    rows, numbers = [], []
    for found in table:
        if found is base:
            continue
        values = [_difference(found, base, name) for name in METRICS]
        rows.append([found.row.title, *map(_interval, values), values[0].verdict if values[0] else DASH])
        low_to_high = (f"{n:.4f}" for v in values if v is not None for n in (v.mean, v.low, v.high))
        numbers.append((found.row.name, base.row.name, *low_to_high))
    head = ("row", "less", "dsc", "dsc_low", "dsc_high", "cldice", "cldice_low", "cldice_high")
    _csv(work.out / TABLES / f"{one.name}-differences.csv", head, numbers)
    return [
        f"Differences from {base.row.title} in points, with intervals of 95 % (bootstrap over frames, groups of frames "
        "drawn together, and over seeds). Where an interval holds 0, the two are not told apart by these frames.",
        "",
        *_markdown(["row", "DSC", "clDice", "in DSC"], rows),
        "",
    ]


def _variants(work: Work, one: DataSet, scored: Sequence[Scored]) -> list[str]:
    full = next((found for found in scored if found.row.name == "vasomim"), None)
    others = [found for found in scored if found.row.name not in TABLE]
    if full is None or not others:
        return []
    known = ABLATION.get(published_as(one.name) or "", {}) if work.comparison.task == "vessel" else {}
    rows = []
    for found in (*others, full):
        title = "both, β 0 → 0.5 (VasoMIM)" if found is full else found.row.title
        told = DASH if found is full else _interval(_difference(found, full, "dsc"))
        rows.append([title, _plus(found.dsc), _plus(found.cldice), told, _number(known.get(found.row.name))])
    head = ["VasoMIM's parts", "DSC", "clDice", "DSC less that of both", "published DSC"]
    return ["### Ablation", "", *_markdown(head, rows), ""]


def _clusters(work: Work, one: DataSet) -> list[str]:
    rows = []
    for row in work.rows:
        path = work.clustered(row, one)
        if row.kind == "pretrained" and path.is_file():
            c = read_clustering(path)
            pairs = (
                (100 * c.silhouette, 100 * c.silhouette_spread),
                (c.calinski_harabasz, c.calinski_harabasz_spread),
                (c.davies_bouldin, c.davies_bouldin_spread),
            )
            rows.append([row.title, *(f"{mean:.2f} ± {spread:.2f}" for mean, spread in pairs), str(c.tokens)])
    if not rows:
        return []
    head = ["row", "silhouette, 1e-2 ↑", "Caliński–Harabasz ↑", "Davies–Bouldin ↓", "tokens"]
    return [
        "### Vessel against background in the frozen encoders",
        "",
        f"Patch tokens after the last LayerNorm; a patch is vessel from {100 * VESSEL:.0f} % of its pixels on, "
        f"background without one; as many of either kind, {SAMPLES} samples, ± over samples.",
        "",
        *_markdown(head, rows),
        "",
    ]


def _costs(work: Work) -> list[str]:
    rows = []
    there = (work.out / "frames" / FACTS).is_file()  # they are not needed themselves
    frames: Any = frames_facts(work.out)["frames"] if there else 0
    for row in work.rows:
        if row.kind != "pretrained" or not (work.pretrained(row) / "events.jsonl").is_file():
            continue
        took = spent(work.pretrained(row))
        config = work.pretraining_of(row, work.pretrained(row), max(1, took.epochs))
        seen = tokens_seen(config) * took.epochs * frames
        rows.append([row.title, _minutes(took), str(took.epochs), f"{seen / 1e6:.2f}", f"{took.memory / 1e9:.2f}"])
    lines = ["## What pretraining took", ""]
    lines += _markdown(["row", "minutes", "epochs", "tokens seen, millions", "memory, GB"], rows)
    if (work.out / "segmentor" / "events.jsonl").is_file():
        lines += [
            "",
            f"The segmentor S, once for all rows that ask it: {_minutes(spent(work.out / 'segmentor'))} minutes.",
        ]
    return lines


def _deviations(work: Work) -> list[str]:
    c = work.comparison
    lines = [
        "## Where the rows leave their papers",
        "",
        f"- All: ViT-{c.encoder}, crops of {c.input_size} px and batches of {c.batch_size} instead of ViT-B, 224 px "
        "and batches of 1,024 or 2,048; peak learning rates as each paper scales them to the batch, or 5e-4; grey "
        "frames.",
    ]
    if c.encoder == "tiny":
        lines.append("- All with a decoder: 192 channels, and 2 blocks but for CrossMAE's 12.")
    return lines + [f"- {row.title}: {' '.join(row.deviations)}" for row in work.rows if row.deviations]


def _plus(values: Values) -> str:
    mean, spread = mean_and_spread(values)
    return f"{mean:.2f}" if spread is None else f"{mean:.2f} ± {spread:.2f}"


def _difference(found: Scored, base: Scored, name: Metric) -> Difference | None:
    """One row less another, by the seeds that both have; None = they have none in common yet."""
    a, b = getattr(found, name), getattr(base, name)
    if found.row.kind != "filter" and base.row.kind != "filter":  # a filter knows no seeds, and stands beside each
        both = [seed for seed in found.seeds if seed in base.seeds]
        if not both:
            return None
        a, b = (values[[one.seeds.index(seed) for seed in both]] for values, one in ((a, found), (b, base)))
    return paired_difference(a, b, base.groups)


def _interval(d: Difference | None) -> str:
    return DASH if d is None else f"{d.mean:+.2f} ({d.low:+.2f} … {d.high:+.2f})"


def _number(value: float | None) -> str:
    return DASH if value is None or math.isnan(value) else f"{value:.2f}"


def _minutes(took: Spent) -> str:
    return f"{took.minutes:.1f}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
