"""How far two readers of a label set agree: DSC and clDice of their masks, frame by frame and summed up.

The first mask is that of the label when the second reading was accepted, and not what became of it since: until then
neither reader could have seen the other's. Of a reader who has read a frame several times, the newest blind reading
counts, or else the newest. Readings that were not blind are summed up by themselves.

Both metrics are those of `vasomim_core.evaluation.metrics`; they do not change when the readers change places.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vasomim_core.classes import vessel_of
from vasomim_core.errors import LabelError, VasoMIMError
from vasomim_core.evaluation.metrics import cldice, dsc
from vasomim_core.files import atomic
from vasomim_core.labels.reader import LabelReader
from vasomim_core.labels.readings import Reading, newest_of_each
from vasomim_core.labels.record import Record

NOBODY = "nobody named"
VESSEL = "vessel"
Began = Literal["both", "first", "second", "neither"]
"""Which of two readings began with the prediction of a model."""


@dataclass(frozen=True)
class Overlap:
    """How far two masks agree.

    Attributes:
        dsc: Dice similarity coefficient, 0 to 1; 1 if both masks are empty.
        cldice: Centreline Dice, 0 to 1; 1 if both masks are empty.
    """

    dsc: float
    cldice: float


@dataclass(frozen=True)
class FrameAgreement:
    """A frame that two have read.

    Attributes:
        id: of the frame.
        first: who made the label.
        second: who has read it again.
        reading: the second reading.
        began: which of the two began with the prediction of a model.
        vessel: of what counts as vessel.
        classes: of each class that either has drawn, by name, where the set has several.
        settled: somebody has settled the label since.
    """

    id: str
    first: str
    second: str
    reading: Reading
    began: Began
    vessel: Overlap
    classes: dict[str, Overlap] = field(default_factory=dict)
    settled: bool = False


@dataclass(frozen=True)
class Agreement:
    """Two readers over all frames that both have read.

    Attributes:
        readers: the two, by alphabet.
        blind: the second ones of these readings were blind.
        what: "vessel", or the name of a class.
        frames: how many; of a class, those in which either has drawn it.
        dsc: mean, 0 to 1.
        dsc_sd: sample standard deviation over frames; None of one frame.
        cldice: mean, 0 to 1.
        cldice_sd: sample standard deviation over frames; None of one frame.
        began: number of frames by which of the two readings began with a prediction.
    """

    readers: tuple[str, str]
    blind: bool
    what: str
    frames: int
    dsc: float
    dsc_sd: float | None
    cldice: float
    cldice_sd: float | None
    began: dict[str, int]

    @property
    def who(self) -> str:
        """The two, and whether they read blindly."""
        return " – ".join(self.readers) + ("" if self.blind else ", not blind")


def agreement_of(
    labels: LabelReader,
    progress: Callable[[int, int], None] | None = None,
    known: Iterable[FrameAgreement] = (),
) -> list[FrameAgreement]:
    """Compare all readings of a set with the labels that they were made beside; the worst DSC first.

    Args:
        labels: the set.
        progress: called after each frame with the number of frames done and their total.
        known: what was found before, with the same classes; what is among it is not computed again.

    Raises:
        LabelError: a record, a revision or a mask is damaged or missing; the sentence names the first.
        InputError: the file of a mask is missing or damaged.
    """
    rows: list[FrameAgreement] = []
    before = {row.reading: row for row in known}
    ids = [id for id in labels.read_again() if id in set(labels.ids())]
    for done, id in enumerate(ids, start=1):
        record, revisions = labels.record(id), {one.revision: one for one in labels.revisions(id)}
        for reading in newest_of_each(labels.readings(id), blind_first=True):
            if reading in before:
                rows.append(replace(before[reading], settled=is_settled(record, reading)))
                continue
            first = revisions.get(reading.beside)
            if first is None:
                raise LabelError(f"{labels.folder / 'history' / id} lacks revision {reading.beside}: copy it back.")
            rows.append(_frame(labels, record, first, reading))
        if progress is not None:
            progress(done, len(ids))
    return sorted(rows, key=lambda row: (row.vessel.dsc, row.id))


def _frame(labels: LabelReader, record: Record, first: Record, reading: Reading) -> FrameAgreement:
    classes = labels.classes
    a, b = labels.class_mask(record.id, first.revision), labels.reading_mask(record.id, reading.number)
    of_classes = {
        one.name: Overlap(dsc(a == one.value, b == one.value), cldice(a == one.value, b == one.value))
        for one in classes
        if len(classes) > 1 and ((a == one.value).any() or (b == one.value).any())
    }
    p, q = vessel_of(a, classes), vessel_of(b, classes)
    began: dict[tuple[bool, bool], Began] = {
        (True, True): "both",
        (True, False): "first",
        (False, True): "second",
        (False, False): "neither",
    }
    return FrameAgreement(
        record.id,
        first.annotator or NOBODY,
        reading.annotator,
        reading,
        began[first.model is not None, reading.model is not None],
        Overlap(dsc(p, q), cldice(p, q)),
        of_classes,
        is_settled(record, reading),
    )


def is_settled(record: Record, reading: Reading) -> bool:
    """Whether the label was settled after this reading."""
    return record.settled and record.revision > reading.beside


def sum_up(rows: Iterable[FrameAgreement]) -> list[Agreement]:
    """Mean and spread for each two readers, of vessel first and then of each class; every frame counts."""
    found: dict[tuple[tuple[str, str], bool, str], list[tuple[Overlap, Began]]] = defaultdict(list)
    for row in rows:
        one, other = sorted((row.first, row.second))
        for what, overlap in {VESSEL: row.vessel, **{f"class {n}": o for n, o in row.classes.items()}}.items():
            found[(one, other), row.reading.blind, what].append((overlap, row.began))
    order = sorted(found, key=lambda key: (key[0], not key[1], key[2] != VESSEL))
    return [_mean(*key, found[key]) for key in order]


def _mean(readers: tuple[str, str], blind: bool, what: str, found: list[tuple[Overlap, Began]]) -> Agreement:
    values = np.array([(overlap.dsc, overlap.cldice) for overlap, _ in found])
    means = values.mean(axis=0)
    spreads = values.std(axis=0, ddof=1) if len(values) > 1 else (None, None)
    began: dict[str, int] = defaultdict(int)
    for _, how in found:
        began[how] += 1
    return Agreement(
        readers,
        blind,
        what.removeprefix("class "),
        len(found),
        float(means[0]),
        None if spreads[0] is None else float(spreads[0]),
        float(means[1]),
        None if spreads[1] is None else float(spreads[1]),
        dict(began),
    )


def in_percent(mean: float, spread: float | None) -> str:
    """A mean with its spread, in percent: "91.2 ± 3.4"."""
    return f"{100 * mean:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def to_rows(rows: Sequence[FrameAgreement]) -> list[dict[str, Any]]:
    """Plain values, a row for each frame; DSC and clDice in percent, those of a class that neither drew empty."""
    names = list(dict.fromkeys(name for row in rows for name in row.classes))
    return [
        {
            "id": row.id,
            "first": row.first,
            "second": row.second,
            "blind": row.reading.blind,
            "began_with_prediction": row.began,
            "share": row.reading.share,
            "seed": row.reading.seed,
            "dsc": 100 * row.vessel.dsc,
            "cldice": 100 * row.vessel.cldice,
            **{
                f"{metric} {name}": 100 * getattr(row.classes[name], metric) if name in row.classes else None
                for name in names
                for metric in ("dsc", "cldice")
            },
            "settled": row.settled,
        }
        for row in rows
    ]


def write_csv(path: Path, rows: Sequence[FrameAgreement]) -> None:
    """Write a table with a row for each frame.

    Raises:
        LabelError: there is no frame.
        VasoMIMError: the file cannot be written.
    """
    values = to_rows(rows)
    if not values:
        raise LabelError("No frame was read by two readers yet: there is no table to write.")
    try:
        with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(values[0]))
            writer.writeheader()
            writer.writerows({name: _cell(value) for name, value in row.items()} for row in values)
    except OSError as error:
        raise VasoMIMError(f"{path} could not be written ({error.strerror or error}): choose another place.") from error


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    if isinstance(value, str) and value[:1] in "=+-@":  # a spreadsheet would compute it
        return f"'{value}"
    return value
