"""Where a frame comes from, for folders whose layout has no place for it: its group, and its index in its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vasomim_core.errors import LabelError
from vasomim_core.labels.record import read_json

ORIGINS = "frames.json"
"""Lies beside `images/` and `masks/`: by the name of a frame, what is known of where it comes from."""


LONGEST = 1 << 26
"""Bytes of a file that lists frames."""


@dataclass(frozen=True)
class Origin:
    """Where a frame comes from.

    Attributes:
        group: frames that must stay together in a split, as a name that may be shown; None if unknown.
        frame_index: 0-based index in its run; None if unknown.
    """

    group: str | None = None
    frame_index: int | None = None


UNKNOWN = Origin()


def origin_in(values: Mapping[str, Any]) -> Origin:
    """What some values say under `group` and `frame_index`; what fits neither is passed over."""
    group, index = values.get("group"), values.get("frame_index")
    return Origin(
        group if isinstance(group, str) and group else None, index if type(index) is int and index >= 0 else None
    )


def origin_to(origin: Origin) -> dict[str, Any]:
    """What is known, as plain values; `origin_in` takes them back."""
    return {name: value for name, value in vars(origin).items() if value is not None}


def origins_to(origins: Mapping[str, Origin]) -> dict[str, Any]:
    """Plain values of all of which something is known; `origins_from` takes them back."""
    return {name: origin_to(origin) for name, origin in origins.items() if origin != UNKNOWN}


def origins_from(listed: Any, path: Path) -> dict[str, Origin]:
    """By name, what is known of frames.

    Args:
        listed: what may say so.
        path: the file that it is from, for messages.

    Raises:
        LabelError: it does not say so.
    """
    if not isinstance(listed, dict) or not all(isinstance(values, dict) for values in listed.values()):
        raise LabelError(f"{path} does not list frames by name, each with its group: copy it again, or delete it.")
    return {name: origin_in(values) for name, values in listed.items()}


def read_origins(path: Path) -> dict[str, Origin]:
    """Those in a `frames.json`.

    Raises:
        LabelError: it cannot be read, or does not list frames.
    """
    return origins_from(read_json(path, LONGEST), path)
