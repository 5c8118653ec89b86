"""Who labelled what, and whose accepted label nobody replaces unasked.

A reader is the `annotator` of a record: a short name that a person chose for herself.
"""

from __future__ import annotations

from dataclasses import dataclass

from vasomim_core.errors import LabelError
from vasomim_core.labels.record import OUTSIDE, Record


@dataclass(frozen=True)
class Replacing:
    """On whose behalf a label is written, and what she was asked about.

    Attributes:
        reader: who writes.
        agreed: revision of another reader's accepted label that she agreed to replace; 0 = of none.
    """

    reader: str
    agreed: int = 0


class OthersLabelError(LabelError):
    """A label that another reader accepted would be replaced, and nobody agreed to that.

    Attributes:
        record: what the set has of the frame.
    """

    def __init__(self, record: Record):
        super().__init__(
            f"{record.annotator} accepted the label of {record.id} (revision {record.revision}): say whether it is to "
            "be replaced, or keep the other mask beside it as a second reading."
        )
        self.record = record


def same_reader(one: str, other: str) -> bool:
    """Whether two names are of one reader; capitals and spaces around do not count."""
    return one.strip().casefold() == other.strip().casefold()


def is_anothers(record: Record, reader: str) -> bool:
    """Whether a label was accepted by a reader who is named and is not this one."""
    named = record.annotator.strip() not in ("", OUTSIDE)
    return record.status == "accepted" and named and not same_reader(record.annotator, reader)


def require_agreed(record: Record, replacing: Replacing | None) -> None:
    """Make sure that a label may be replaced; without a word on whose behalf, it may.

    Raises:
        OthersLabelError: another reader accepted it, by now.
    """
    if replacing is not None and record.revision != replacing.agreed and is_anothers(record, replacing.reader):
        raise OthersLabelError(record)
