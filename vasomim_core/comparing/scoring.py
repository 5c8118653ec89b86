"""What a row finds in the frames that are reported on: scores frame by frame, and a few masks to look at."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vasomim_core.anatomy import extract_anatomy
from vasomim_core.errors import InputError
from vasomim_core.evaluation.metrics import cldice, dsc
from vasomim_core.files import atomic, write_png
from vasomim_core.labels.labelled import LabelledFrame
from vasomim_core.models.registry import load_model

SHOWN = 5
"""Frames of each data set on the contact sheet."""
Segmenter = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]


@dataclass(frozen=True)
class FrameScore:
    """How well one frame was segmented.

    Attributes:
        frame: its name.
        group: a number for frames that belong together, of one patient or run.
        dsc: in percent.
        cldice: in percent.
    """

    frame: str
    group: int
    dsc: float
    cldice: float


def shown(count: int) -> list[int]:
    """The places of the frames on the contact sheet among so many: evenly spread."""
    return sorted({round(n) for n in np.linspace(0, count - 1, min(SHOWN, count)).tolist()})


def filter_alone(frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The row without learning: anatomy as the released code extracts it."""
    return extract_anatomy(frame, "as-released")


def by_model(path: Path, device: str) -> Segmenter:
    """What a model takes for vessel, at its own threshold."""
    model = load_model(path, device)
    return lambda frame: model.predict(frame) >= model.threshold


def write_scores(folder: Path, frames: Sequence[LabelledFrame], segment: Segmenter) -> None:
    """Write `scores.csv` of a row, last, and before it the masks that are shown, as `<place>.png`."""
    rows = []
    groups: dict[str, int] = {}  # numbered: the name of a group may be a person's
    for place, one in enumerate(frames):
        found, truth = segment(one.frame()), one.mask()
        group = groups.setdefault(one.group, len(groups))
        rows.append((one.name, group, f"{100 * dsc(found, truth):.4f}", f"{100 * cldice(found, truth):.4f}"))
        if place in shown(len(frames)):
            write_png(folder / f"{place}.png", found.astype(np.uint8) * np.uint8(255))
    with atomic(folder / "scores.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("frame", "group", "dsc", "cldice"))
        writer.writerows(rows)


def read_scores(folder: Path) -> list[FrameScore]:
    """The scores that a row has, frame by frame.

    Raises:
        InputError: they cannot be read.
    """
    try:
        with open(folder / "scores.csv", newline="", encoding="utf-8") as file:
            return [
                FrameScore(row["frame"], int(row["group"]), float(row["dsc"]), float(row["cldice"]))
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder}/scores.csv cannot be read: remove it, and compare again") from error
