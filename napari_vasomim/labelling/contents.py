"""What a label set holds: its records by frame, read again only where they changed. No Qt, no viewer."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.errors import LabelError, VasoMIMError
from vasomim_core.labels.folder import READINGS
from vasomim_core.labels.labelset import INDEX, STATUSES, LabelSet, Record
from vasomim_core.labels.readers import same_reader
from vasomim_core.labels.readings import Reading


@dataclass(frozen=True)
class Contents:
    """What a label set held when it was last looked at.

    Attributes:
        records: all records, by id.
        damaged: a sentence for each record that cannot be read, and for each stray file.
        classes: what the values of its masks mean.
        readings: the second readings by id, oldest first.
        blind: whom the labels of others are kept from, in `seen_by`; empty = all is here.
        own: in `seen_by`, by id, the reader's newest reading of a frame, in whose place her record stands.
    """

    records: Mapping[str, Record] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    classes: tuple[LabelClass, ...] = VESSEL
    readings: Mapping[str, tuple[Reading, ...]] = field(default_factory=dict)
    blind: str = ""
    own: Mapping[str, Reading] = field(default_factory=dict)
    _stamps: Mapping[str, tuple[Any, Record]] = field(default_factory=dict, repr=False)
    _read_stamps: Mapping[str, tuple[Any, tuple[Reading, ...]]] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, labels: LabelSet, before: Contents | None = None) -> Contents:
        """Look at a label set; of one that was looked at before, only what changed since is read.

        Raises:
            LabelError: its folder is not there any more, a part of it is a link that leads out of it, or its index is
                damaged.
        """
        if not (labels.folder / INDEX).is_file():
            raise LabelError(
                f"{labels.folder} is not there any more: bring it back, or open another label set; "
                "what you drew is still in this window."
            )
        old = before._stamps if before is not None else {}
        stamps: dict[str, tuple[Any, Record]] = {}
        damaged = []
        for id in labels.ids():
            try:
                stat = labels.record_path(id).stat()
                stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                known = old.get(id)
                stamps[id] = known if known and known[0] == stamp else (stamp, labels.record(id))
            except (VasoMIMError, OSError) as error:
                damaged.append(str(error))
        damaged += labels.strays()
        old_readings = before._read_stamps if before is not None else {}
        read_stamps: dict[str, tuple[Any, tuple[Reading, ...]]] = {}
        for id in labels.read_again():
            try:
                names = tuple(sorted(os.listdir(labels.folder / READINGS / id)))  # a reading is never changed
                seen = old_readings.get(id)
                if seen is None or seen[0] != names:
                    seen = names, tuple(labels.readings(id))
                read_stamps[id] = seen
            except (VasoMIMError, OSError) as error:
                damaged.append(str(error))
        return cls(
            {id: record for id, (_, record) in stamps.items()},
            tuple(damaged),
            labels.classes,
            {id: readings for id, (_, readings) in read_stamps.items()},
            _stamps=stamps,
            _read_stamps=read_stamps,
        )

    def seen_by(self, reader: str) -> Contents:
        """What a reader may see who is to read a second time: her own labels, and her readings as if they were labels.

        Whatever finds a frame in it finds nothing of another's label, and takes a frame that she has not read for one
        without a label.
        """
        records: dict[str, Record] = {}
        mine: dict[str, Reading] = {}
        for id, record in self.records.items():
            if same_reader(record.annotator, reader):
                records[id] = record
                continue
            own = [one for one in self.readings.get(id, ()) if same_reader(one.annotator, reader)]
            if own:
                mine[id] = own[-1]
                records[id] = replace(
                    record,
                    status="accepted",
                    annotator=own[-1].annotator,
                    model=own[-1].model,
                    created=own[-1].created,
                    modified=own[-1].created,
                    note="",
                    mask_sha256=own[-1].mask_sha256,
                    settled=False,
                )
        return replace(self, records=records, readings={}, blind=reader, own=mine)

    @cached_property
    def _ids(self) -> dict[tuple[str, int | None], str]:
        return {(record.frame_sha256, record.frame_index): id for id, record in self.records.items()}

    def find(self, sha: str, frame_index: int | None) -> Record | None:
        """The record of a frame, by its `pixel_sha256` and its index in its run (None for a still)."""
        id = self._ids.get((sha, frame_index))
        return None if id is None else self.records[id]

    @property
    def by_status(self) -> dict[str, int]:
        """Number of frames of each status."""
        count = Counter(record.status for record in self.records.values())
        return {status: count[status] for status in STATUSES}

    @property
    def by_group(self) -> dict[str | None, dict[str, int]]:
        """Number of frames of each status for each group by name; None = no group, the last."""
        table: dict[str | None, Counter[str]] = {}
        for record in self.records.values():
            table.setdefault(record.group, Counter())[record.status] += 1
        names = sorted(table, key=lambda name: (name is None, name or ""))
        return {name: {status: table[name][status] for status in STATUSES} for name in names}


def count_words(by_status: Mapping[str, int]) -> str:
    """Counts as people say them: "12 accepted · 3 skipped"; "no labels yet" if there are none."""
    return " · ".join(f"{n} {status}" for status, n in by_status.items() if n) or "no labels yet"


def when(time: str) -> str:
    """A time of a record as the clock on the wall shows it."""
    try:
        return datetime.fromisoformat(time.replace("Z", "+00:00")).astimezone().strftime("%d %b %Y %H:%M")
    except (ValueError, OverflowError, OSError):  # a year that no clock here knows
        return time
