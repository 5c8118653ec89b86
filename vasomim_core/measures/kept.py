"""A measure as it is kept, and the file of all measures of one frame: JSON, read back exactly.

    {"format": "vasomim measures", "version": 1, "frame_sha256": …, "measures": [{…}, …]}

What was clicked and chosen is kept with the numbers that came of it. Who reads it measures again, and is told where the
numbers differ: because of another version of this program, or of other grey levels.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from vasomim_core import __version__
from vasomim_core.correction.cost import VesselCost
from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.measures.measuring import Measure
from vasomim_core.measures.reference import APART, Reference
from vasomim_core.measures.scale import Scale
from vasomim_core.measures.segment import find_segment

FORMAT, VERSION = "vasomim measures", 1
NUMBERS = {
    "ds_percent": "%DS",
    "mld_px": "MLD",
    "reference_px": "reference",
    "lesion_px": "lesion",
    "mean_px": "mean",
    "length_px": "length",
}
"""What is kept of a measure's numbers, and what each is called."""
SAME = 0.02
"""px and % by which two numbers may differ and still be told as the same: two machines do not round alike."""
LONGEST_TEXT = 1000
MOST_CLICKS = 1000


@dataclass(frozen=True)
class KeptMeasure:
    """A measure as it stands in a file.

    Attributes:
        id: 16 hexadecimal digits, by which it is known when it is renamed or measured anew.
        frame: which frame of its run it was measured on, from 0; the file's fingerprint says which pixels.
        grey_sha256: fingerprint of the grey levels that it was measured on, see `labels.mask.pixel_sha256`.
        clicks: (row, column) in px: from, via …, to.
        reference: which of the three.
        markers: places of the two markers in px along the segment.
        scale: mm per px with its source; None = pixels.
        name: what a person calls it; no patient's name.
        model: which model's probability was needed to find the path; "" = the grey levels alone were enough.
        numbers: those of `NUMBERS` as they were measured; only the lesion's may be None.
        made: when, ISO 8601 in UTC.
        program: version of this program.
    """

    id: str
    frame: int
    grey_sha256: str
    clicks: tuple[tuple[float, float], ...]
    reference: Reference
    markers: tuple[float, float]
    scale: Scale | None
    name: str
    model: str
    numbers: dict[str, float | None]
    made: str
    program: str

    @classmethod
    def of(
        cls, measure: Measure, frame: int, grey_sha256: str, model: str = "", like: KeptMeasure | None = None
    ) -> KeptMeasure:
        """A measure as it is to be kept.

        Args:
            measure: what was measured.
            frame: which frame of its run, from 0.
            grey_sha256: fingerprint of the grey levels on which was measured.
            model: that was needed to find the path.
            like: what it is a change of, whose id it keeps; None = a new one.
        """
        return cls(
            secrets.token_hex(8) if like is None else like.id,
            frame,
            grey_sha256,
            measure.segment.clicks,
            measure.reference,
            measure.markers,
            measure.scale,
            measure.name,
            model,
            numbers_of(measure),
            f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            __version__,
        )

    def again(self, frame: NDArray[np.uint8], probability: NDArray[np.float32] | None = None) -> Measure:
        """Measure again what was clicked.

        Args:
            frame: uint8 (H, W), as it is seen now.
            probability: of the model that was needed, float (H, W) in [0, 1].

        Raises:
            InputError: no vessel leads along these clicks any more.
        """
        segment = find_segment(VesselCost(frame, probability), self.clicks)
        measure = Measure.of(segment, self.reference, self.scale, self.name)
        first, last = (min(place, measure.length_px) for place in self.markers)
        return measure.with_(markers=(first, last)) if last - first >= APART else measure

    def difference(self, measure: Measure, grey_sha256: str) -> str:
        """What is not as it was kept, in a sentence; "" where all numbers are the same.

        Args:
            measure: what `again` gave.
            grey_sha256: fingerprint of the grey levels on which it did.
        """
        now = numbers_of(measure)
        told = [
            f"{NUMBERS[name]} {_told(was)} → {_told(now[name])}"
            for name, was in self.numbers.items()
            if not _same(was, now[name])
        ]
        if not told:
            return ""
        why = f"version {self.program}"
        if grey_sha256 != self.grey_sha256:
            why += " on other grey levels (another window, or the negative)"
        return f"It was measured by {why}, and measures otherwise now: {', '.join(told)}."


def numbers_of(measure: Measure) -> dict[str, float | None]:
    """Those that are kept, in px and %, not rounded."""
    return {name: None if (value := getattr(measure, name)) is None else float(value) for name in NUMBERS}


def to_json(frame_sha256: str, kept: Sequence[KeptMeasure]) -> dict[str, Any]:
    """All measures of a frame as plain values; `from_json` takes them back exactly.

    Args:
        frame_sha256: the frame's `store.fingerprint`.
        kept: the measures.
    """
    listed = [asdict(one) for one in kept]
    return {"format": FORMAT, "version": VERSION, "frame_sha256": frame_sha256, "measures": listed}


def from_json(text: str, where: str) -> tuple[str, list[KeptMeasure]]:
    """What the text of a file of measures holds: the fingerprint of the frame, and its measures.

    Args:
        text: of the file.
        where: the file's name, for messages.

    Raises:
        InputError: it is no such file, a damaged one, or one of a later version.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid JSON: copy it from a backup, or remove it.") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{where} is no file of measures: remove it.")
    if found.get("version") != VERSION:
        raise InputError(
            f"{where} is of version {found.get('version')!r}, and this program reads version {VERSION}: "
            "open it with a later one."
        )
    try:
        sha, listed = found["frame_sha256"], found["measures"]
        _check(isinstance(listed, list) and _is_sha(sha))
        return sha, [_measure(one) for one in listed]
    except (KeyError, TypeError, ValueError, AttributeError, VasoMIMError) as error:
        raise InputError(f"{where} has a field that does not fit: copy it from a backup, or remove it.") from error


def _measure(one: dict[str, Any]) -> KeptMeasure:
    """A measure from plain values; another error than InputError where they do not fit."""
    _check(set(one) == {field.name for field in fields(KeptMeasure)})
    texts = [one[name] for name in ("id", "name", "model", "made", "program")]
    _check(all(isinstance(text, str) and len(text) <= LONGEST_TEXT for text in texts))
    _check(re.fullmatch(r"[0-9a-f]{16}", one["id"]) is not None and _is_sha(one["grey_sha256"]))
    _check(type(one["frame"]) is int and one["frame"] >= 0 and one["reference"] in get_args(Reference))
    _check(2 <= len(one["clicks"]) <= MOST_CLICKS and all(len(click) == 2 for click in one["clicks"]))
    clicks = tuple((_number(row), _number(column)) for row, column in one["clicks"])
    first, last = (_number(place) for place in one["markers"])
    _check(set(one["numbers"]) == set(NUMBERS))
    numbers = {
        name: None if name == "lesion_px" and one["numbers"][name] is None else _number(one["numbers"][name])
        for name in NUMBERS
    }
    scale = None if one["scale"] is None else Scale(**one["scale"])
    _check(scale is None or (isinstance(scale.source, str) and isinstance(scale.warning, str)))
    changed = {"clicks": clicks, "markers": (first, last), "numbers": numbers, "scale": scale}
    return KeptMeasure(**one | changed)


def _check(fits: bool) -> None:
    if not fits:
        raise ValueError


def _number(value: Any) -> float:
    _check(isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))
    return float(value)


def _is_sha(text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _same(was: float | None, now: float | None) -> bool:
    return was is now if was is None or now is None else abs(was - now) <= SAME


def _told(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
