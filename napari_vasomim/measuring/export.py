"""Measures, handed on: the numbers as text, all measures of a run as CSV, one as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari.layers import Image

from napari_vasomim.canvas import frames
from napari_vasomim.measuring.entry import Entry
from vasomim_core.errors import InputError
from vasomim_core.labels.mask import pixel_sha256
from vasomim_core.measures.report import numbers, save_report
from vasomim_core.measures.table import save_csv


def as_text(entry: Entry) -> str:
    """What is read of a measure, a line each with a tab between, and where the scale comes from.

    Raises:
        InputError: it could not be measured again.
    """
    if entry.measure is None:
        raise InputError(f"{entry.name} has no numbers of its own here: {entry.note}")
    lines = [("Measure", entry.name), ("Frame", str(entry.index)), *numbers(entry.measure)]
    return "\n".join(f"{what}\t{value}" for what, value in [*lines, ("Scale", entry.measure.source)])


def write_table(path: Path, entries: Sequence[Entry]) -> int:
    """Write the measures of a run as CSV; returns how many were left out, as they could not be measured again.

    Raises:
        OSError: the file cannot be written.
    """
    there = [(entry.index, entry.measure) for entry in entries if entry.measure is not None]
    save_csv(path, there)
    return len(entries) - len(there)


def write_report(path: Path, layer: Image, entry: Entry) -> None:
    """Write one page on a measure, with the very frame on which was measured.

    Raises:
        InputError: it could not be measured again, or the frame is no longer the one on which was measured.
        OSError: the file cannot be written.
    """
    if entry.measure is None:
        raise InputError(f"There is no report on {entry.name}: {entry.note}")
    grey = frames.grey(layer, entry.index)
    if pixel_sha256(grey) != entry.grey_sha256:
        raise InputError(
            f"Frame {entry.index} of {layer.name} is not the one on which {entry.name} was measured: measure it again."
        )
    save_report(path, grey, entry.measure, entry.index)
