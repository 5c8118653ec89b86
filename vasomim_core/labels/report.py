"""What a person should know about labelled frames before a run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vasomim_core.labels.labelled import LabelledFrame, require_frames
from vasomim_core.labels.mask import MOST_VESSEL
from vasomim_core.labels.sources import CuratedFolder, labelled_folder

MOST_NOTES = 20


@dataclass(frozen=True)
class LabelReport:
    """Labelled frames, summed up.

    Attributes:
        frames: Number of frames.
        groups: Number of groups.
        sizes: Number of frames by (H, W), the most common size first.
        empty: Names of frames without any vessel.
        inverted: Names of frames of which more than half is vessel.
        constant: Names of frames without contrast.
        vessel: Mean share of a frame that is vessel, in [0, 1].
        notes: What else there is to know about single files, one sentence each.
        classes: Number of frames that have each class, by name, in the order of the values.
    """

    frames: int
    groups: int
    sizes: dict[tuple[int, int], int]
    empty: tuple[str, ...]
    inverted: tuple[str, ...]
    constant: tuple[str, ...]
    vessel: float
    notes: tuple[str, ...] = ()
    classes: dict[str, int] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each finding that is probably a mistake, and up to 20 notes; empty = nothing is."""
        findings = (
            (self.empty, "have an empty mask: is there really no vessel?"),
            (self.inverted, "have a mask that covers more than half of the frame: is it inverted?"),
            (self.constant, "have no contrast at all: is the file right?"),
        )
        found = [
            f"{len(names)} of {self.frames} labelled frames (first: {names[0]}) {what}"
            for names, what in findings
            if names
        ]
        absent = [name for name, count in self.classes.items() if not count]
        if absent and len(self.classes) > 1:
            they = f"Class {absent[0]} is" if len(absent) == 1 else f"The classes {', '.join(absent)} are"
            found.append(f"{they} on none of {self.frames} labelled frames: a model cannot learn what it never sees.")
        more = len(self.notes) - MOST_NOTES
        return (*found, *self.notes[:MOST_NOTES], *([f"… and {more} more of this kind."] if more > 0 else []))


def check_labels(frames: Sequence[LabelledFrame]) -> LabelReport:
    """Sum up labelled frames of one folder; reads no file.

    Raises:
        LabelError: there are no frames.
    """
    require_frames(frames)
    return LabelReport(
        frames=len(frames),
        groups=len({f.group for f in frames}),
        sizes=dict(Counter(f.shape for f in frames).most_common()),
        empty=tuple(f.name for f in frames if f.vessel == 0),
        inverted=tuple(f.name for f in frames if f.vessel > MOST_VESSEL),
        constant=tuple(f.name for f in frames if f.constant),
        vessel=math.fsum(f.vessel for f in frames) / len(frames),
        notes=tuple(dict.fromkeys(note for f in frames for note in f.notes)),
        classes={one.name: sum(one.value in f.values for f in frames) for one in frames[0].classes},
    )


def passed_over(path: Path | str | None) -> list[str]:
    """What `open_labels` leaves out of a curated label set: a sentence for each damaged record and stray file."""
    folder = None if path is None else labelled_folder(path)
    return list(folder.notes()) if isinstance(folder, CuratedFolder) else []
