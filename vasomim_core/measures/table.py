"""Measures as a table for spreadsheets: one line a measure, with the scale and its source in each."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from vasomim_core.files import write_text
from vasomim_core.measures.measuring import Measure

LENGTHS = ("mld", "reference", "mean", "length", "lesion")
COLUMNS = (
    "frame", "name", "ds_percent", *(f"{name}_px" for name in LENGTHS), "reference_kind",
    "scale_mm_per_px", "scale_source", "scale_warning", *(f"{name}_mm" for name in LENGTHS),
)  # fmt: skip


def as_csv(measures: Sequence[tuple[int, Measure]]) -> str:
    """A table with a header.

    Args:
        measures: (index of the frame from 0, measure) each.

    Returns:
        The text; mm are empty where there is no scale.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for frame, measure in measures:
        scale = measure.scale
        row: dict[str, object] = {"frame": frame, "name": measure.name, "ds_percent": f"{measure.ds_percent:.2f}"}
        row |= {"reference_kind": measure.reference}
        for name in LENGTHS:
            length = getattr(measure, f"{name}_px")
            row[f"{name}_px"] = "" if length is None else f"{length:.3f}"
            if scale is not None and length is not None:
                row[f"{name}_mm"] = f"{length * scale.mm_per_px:.3f}"
        if scale is not None:
            row |= {"scale_mm_per_px": f"{scale.mm_per_px:.6f}", "scale_source": scale.source}
            row |= {"scale_warning": scale.warning}
        writer.writerow(row)
    return text.getvalue()


def save_csv(path: Path, measures: Sequence[tuple[int, Measure]]) -> None:
    """Write the table, atomically."""
    write_text(path, as_csv(measures))
