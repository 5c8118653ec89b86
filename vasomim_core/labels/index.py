"""The index of a label set, `labelset.json`: its name, its classes, and the key under which patients are hashed.

A set of the default class alone (`VESSEL`) has version 1 and does not list it: programs that know no classes read and
write it as before. Any other has version 2, which they refuse. One that has second readings, or a label that was
settled, has version 3 and lists its classes: programs that know no readers would show one reader what the other drew.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.errors import LabelError
from vasomim_core.files import write_json
from vasomim_core.labels.class_list import classes_from, classes_to
from vasomim_core.labels.record import now, read_json, whole_characters
from vasomim_core.reading.finding import LABEL_SET_INDEX

FORMAT, NEWEST = "vasomim-labelset", 3
READERS = 3
INDEX = LABEL_SET_INDEX


@dataclass(frozen=True)
class Index:
    """What the index says.

    Attributes:
        name: of the set.
        created: when, ISO 8601 in UTC.
        key: hexadecimal; None = removed.
        classes: in the order of their values.
    """

    name: str
    created: str
    key: str | None
    classes: tuple[LabelClass, ...]


def read_index(path: Path) -> Index:
    """Read the index of a label set.

    Raises:
        LabelError: there is none, it is damaged, or a newer program wrote it.
    """
    values = _read(path)
    name, created, key = values.get("name"), values.get("created"), values.get("key")
    usable = key is None or (isinstance(key, str) and re.fullmatch("(?:[0-9a-f]{2}){16,}", key))
    if not isinstance(name, str) or not isinstance(created, str) or not usable:
        raise LabelError(f"{path} has no usable name, created or key: copy it back from a backup.")
    return Index(whole_characters(name), created, key, _classes(values, path))


def write_new_index(path: Path, name: str, classes: Iterable[LabelClass]) -> None:
    """Write the index of a new set, with a key of its own.

    Raises:
        OSError: the file cannot be written.
    """
    values = {"format": FORMAT, "version": 1, "name": name, "created": now(), "key": secrets.token_hex(32)}
    write_json(path, _with_classes(values, tuple(classes)))


def change_classes(path: Path, classes: Iterable[LabelClass]) -> None:
    """Put other classes into an index; the caller holds the lock of the set. What else it says stays.

    Raises:
        LabelError: there is none, it is damaged, or a newer program wrote it.
        OSError: the file cannot be written.
    """
    write_json(path, _with_classes(_read(path), tuple(classes)))


def become_for_readers(path: Path) -> None:
    """Make an index that of a set with readers (version 3), if it is not; the caller holds the lock of the set.

    Raises:
        LabelError: there is none, it is damaged, or a newer program wrote it.
        OSError: the file cannot be written.
    """
    values = _read(path)
    if values["version"] < READERS:
        write_json(path, {**values, "version": READERS, "classes": classes_to(_classes(values, path))})


def _with_classes(values: dict[str, Any], classes: tuple[LabelClass, ...]) -> dict[str, Any]:
    others = {name: value for name, value in values.items() if name != "classes"}
    if classes == VESSEL and values["version"] < READERS:
        return {**others, "version": 1}
    return {**others, "version": max(2, values["version"]), "classes": classes_to(classes)}


def _classes(values: dict[str, Any], path: Path) -> tuple[LabelClass, ...]:
    if values["version"] < 2 and "classes" not in values:
        return VESSEL
    if values["version"] < 2:
        raise LabelError(f"{path} lists classes and has version {values['version']}: copy it back from a backup.")
    return classes_from(values.get("classes"), path)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise LabelError(f"{path.parent} is no label set, {path.name} is missing in it: choose another folder.")
    values = read_json(path)
    if not isinstance(values, dict) or values.get("format") != FORMAT or type(values.get("version")) is not int:
        raise LabelError(f"{path} is not the index of a label set: copy it back from a backup.")
    if values["version"] > NEWEST:
        raise LabelError(f"{path} has format version {values['version']}, newer than {NEWEST}: update this program.")
    return values
