"""What is known about the label of one frame: JSON that people and other programs may edit."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from vasomim_core.errors import LabelError
from vasomim_core.files import write_json

OUTSIDE = "unknown (changed outside the label set)"
"""The annotator of a mask that some other program wrote over the one in `masks/`."""
LONGEST = 1 << 20
"""Bytes of a record, an index or a list of classes; what is longer is neither written nor read."""
MOST_REVISIONS = 999_999_999

Status = Literal["accepted", "skipped", "flagged"]
STATUSES: tuple[Status, ...] = get_args(Status)

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known about the label of one frame. It names no patient as long as `group` and `source` do not.

    Half of a character, as other programs may cut one off, is replaced by �: no file could hold it.

    Attributes:
        id: Name of the frame's files: letters, digits, `.`, `_`, `-`.
        status: accepted (to learn from), skipped (looked at and left out), flagged (to be looked at again).
        group: Frames that must stay together in a split, such as a patient's; None if unknown.
        frame_sha256: `pixel_sha256` of the frame.
        frame_index: 0-based index of the frame in the run it was taken from; None if unknown.
        source: Where the frame comes from, in words of the caller; None if unknown.
        annotator: Who drew or approved the mask; empty if unknown.
        model: The model that proposed the mask; None if a person drew it from nothing.
        created: Time of the first revision, ISO 8601 in UTC.
        modified: Time of the last change.
        note: Free text.
        revision: Number of the current mask, from 1 to `MOST_REVISIONS`.
        mask_sha256: Of the current mask, see `vasomim_core.labels.mask.mask_sha256`.
        settled: The annotator has seen the readings of several and settled what the label is. Written where it is so.
    """

    id: str
    status: Status
    group: str | None
    frame_sha256: str
    frame_index: int | None
    source: str | None
    annotator: str
    model: str | None
    created: str
    modified: str
    note: str
    revision: int
    mask_sha256: str
    settled: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and not value.isascii():
                object.__setattr__(self, field.name, whole_characters(value))


def read_record(path: Path, id: str) -> Record:
    """Read a record.

    Args:
        path: where it lies, a plain file.
        id: of its frame.

    Raises:
        LabelError: it cannot be read, is not of this format, or is that of another frame.
    """
    values = read_json(path)
    try:
        record = Record(**values)
    except TypeError as error:
        raise LabelError(f"{path} has missing or unknown fields: copy it back from history/ or a backup.") from error
    kinds = {name: kind for name, kind in get_type_hints(Record).items() if name not in ("status", "settled")}
    fits = all(isinstance(value := getattr(record, name), kind) and value is not True and value is not False
               for name, kind in kinds.items())  # fmt: skip
    if fits and record.id != id and is_id(record.id):
        raise LabelError(
            f"{path} is a copy of the record {record.id!r}: if a program that syncs folders made it, compare the two "
            "and delete it."
        )
    fits = fits and isinstance(record.settled, bool)
    if not fits or record.status not in STATUSES or record.id != id or not 1 <= record.revision <= MOST_REVISIONS:
        raise LabelError(f"{path} has a field that does not fit: copy it back from history/ or a backup.")
    return record


def write_record(path: Path, record: Record) -> None:
    """Write a record, atomically.

    Raises:
        LabelError: its texts are longer than a record may be.
        OSError: the file cannot be written.
    """
    values = asdict(record)
    if not record.settled:
        del values["settled"]  # programs of before know no such field
    if len(json.dumps(values, indent=2)) + 1 > LONGEST:  # the file ends with a newline
        raise LabelError(
            f"The note and other texts of {record.id!r} are longer than {LONGEST >> 20} MiB: shorten them."
        )
    write_json(path, values)


def is_id(name: str) -> bool:
    """Whether a name can be that of a frame's files."""
    return _ID.fullmatch(name) is not None


def checked_id(id: str) -> str:
    """The id.

    Raises:
        LabelError: it cannot name files.
    """
    if not is_id(id):
        raise LabelError(f"The id {id!r} cannot name files: use up to 100 letters, digits, '.', '_' and '-'.")
    return id


def check_status(status: str) -> None:
    """Make sure that a status is one of `STATUSES`.

    Raises:
        LabelError: it is not.
    """
    if status not in STATUSES:
        raise LabelError(f"The status {status!r} is unknown: choose {', '.join(STATUSES)}.")


def now() -> str:
    """This moment as records write it: ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_json(path: Path, longest: int = LONGEST) -> Any:
    """What a file of JSON holds, of up to so many bytes.

    Raises:
        LabelError: it cannot be read, is too long, or is not JSON.
    """
    try:
        with path.open("rb") as file:
            text = file.read(longest + 1)
        if len(text) > longest:
            raise LabelError(f"{path} is larger than {longest >> 20} MiB: copy it back from history/ or a backup.")
        return json.loads(text.decode())
    except OSError as error:
        raise LabelError(f"{path} cannot be read ({error.strerror}): check the folder.") from error
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path} is not valid JSON: copy it back from history/ or a backup.") from error


def whole_characters(text: str) -> str:
    """The text without halves of characters (lone surrogates)."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
