"""A list of classes as JSON: in the index of a label set, and in `classes.json` beside masks of others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from vasomim_core.classes import LabelClass, check_classes
from vasomim_core.errors import ConfigError, LabelError
from vasomim_core.files import write_json
from vasomim_core.labels.record import read_json

CLASSES = "classes.json"
"""Names the values of the masks in the folder beside it."""
FIELDS = [field.name for field in fields(LabelClass)]


def read_classes(path: Path) -> tuple[LabelClass, ...]:
    """The classes in a `classes.json`.

    Raises:
        LabelError: it cannot be read, or is not a list of classes.
    """
    return classes_from(read_json(path), path)


def write_classes(path: Path, classes: Iterable[LabelClass]) -> None:
    """Write a `classes.json`, atomically.

    Raises:
        ConfigError: the classes contradict each other.
        OSError: the file cannot be written.
    """
    write_json(path, classes_to(check_classes(classes)))


def classes_to(classes: Iterable[LabelClass]) -> list[dict[str, Any]]:
    """Plain values of classes, one dictionary each; `classes_from` takes them back."""
    return [asdict(one) for one in classes]


def classes_from(listed: Any, path: Path) -> tuple[LabelClass, ...]:
    """Classes from plain values, in the order of their values.

    Args:
        listed: what may be such a list.
        path: the file that it is from, for messages.

    Raises:
        LabelError: it is none, or its classes contradict each other.
    """
    whole = isinstance(listed, list) and all(isinstance(one, dict) and sorted(one) == sorted(FIELDS) for one in listed)
    if not whole:
        raise LabelError(f"{path} does not list its classes, each with {', '.join(FIELDS)}: copy it from a backup.")
    try:
        return check_classes(LabelClass(**one) for one in listed)
    except ConfigError as error:
        raise LabelError(f"{path} has classes that do not fit: {error}.") from error
