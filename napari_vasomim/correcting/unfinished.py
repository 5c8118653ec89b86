"""What earlier sessions left unfinished: found in the folder of the journals, offered, restored or discarded."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_vasomim.correcting.journal_file import LIVE, remove
from napari_vasomim.correcting.journal_format import SUFFIX, read_changes, read_head
from napari_vasomim.notify import warn
from vasomim_core.errors import InputError

_KEEP_DISCARDED = 14 * 86400.0  # seconds


@dataclass(frozen=True)
class Entry:
    """Unfinished work that can be offered back.

    Attributes:
        path: the journal's file.
        when: time of the last stroke, in local time.
        strokes: finished steps, undo and redo among them.
        pixels: pixels these steps changed; one that was changed twice counts twice.
        frames: indices of the frames they changed, in order.
        about: what `follow` was given, and `name`, `shape`, `dtype`, `scale` and `translate` of the layer.
    """

    path: Path
    when: datetime
    strokes: int
    pixels: int
    frames: tuple[int, ...]
    about: dict[str, Any]


def unfinished(folder: Path) -> list[Entry]:
    """What sessions that are gone left unfinished in a journal's folder, the latest first.

    Journals without any stroke are removed on the way, those that cannot be read are set aside with a sentence.
    """
    _sweep(folder)
    entries = []
    for path in _listed(folder, SUFFIX):
        if path in LIVE:
            continue
        try:
            with open(path, "rb") as file:
                head = read_head(file)
                if _alive(head["process"]):
                    continue
                entry = _entry(path, head, file)
        except FileNotFoundError:
            continue  # another process was quicker
        except OSError as error:
            warn(f"The journal {path} cannot be read ({error.strerror or error}); allow reading it.")
        except (ValueError, KeyError, TypeError, struct.error):
            aside = path.with_suffix(".unreadable")
            _move(path, aside)
            warn(f"A journal of unfinished work is damaged and cannot be offered; it was kept as {aside}.")
        else:
            if entry.strokes:
                entries.append(entry)
            else:
                remove(path)
    return sorted(entries, key=lambda entry: entry.when, reverse=True)


def restore(entry: Entry) -> NDArray[Any]:
    """The labels as they were after the last finished step.

    Returns:
        Of the shape and dtype of the layer that was drawn on.

    Raises:
        InputError: the journal is gone, or was damaged since.
    """
    try:
        with open(entry.path, "rb") as file:
            layer = read_head(file)["layer"]
            labels = np.zeros(layer["shape"], np.dtype(layer["dtype"]))
            for change in read_changes(file):
                for patch in change.patches:
                    patch.onto(labels)
            return labels
    except (OSError, ValueError, KeyError, TypeError, IndexError, struct.error, zlib.error) as error:
        raise InputError(f"The journal {entry.path} cannot be read; its work cannot be restored.") from error


def discard(entry: Entry) -> None:
    """Offer this work no more. The file is kept for two weeks, under another name, then removed."""
    aside = entry.path.with_suffix(".discarded")
    _move(entry.path, aside)


def _sweep(folder: Path) -> None:
    """Remove what is too old to be wanted: discarded or damaged journals, halves of files."""
    for path in _listed(folder, ""):
        aside = path.suffix in (".discarded", ".unreadable") or path.name.startswith(".")
        try:
            if aside and time.time() - path.stat().st_mtime > _KEEP_DISCARDED:
                path.unlink()
        except OSError:
            continue  # another process was quicker, or the next start succeeds


def _entry(path: Path, head: dict[str, Any], file: io.BufferedReader) -> Entry:
    drawn = head["drawn"]
    strokes, pixels, frames, when = drawn["strokes"], drawn["pixels"], set(drawn["frames"]), 0.0
    for change in read_changes(file):
        when = change.when
        if change.kind == b"STEP":
            strokes += 1
            pixels += sum(patch.pixels for patch in change.patches)
            frames.update(patch.box.frame for patch in change.patches)
    about = head["layer"] | head["about"]
    return Entry(path, datetime.fromtimestamp(when).astimezone(), strokes, pixels, tuple(sorted(frames)), about)


def _alive(process: dict[str, Any]) -> bool:
    """Whether another process that draws is still there; of this one's, `LIVE` knows more."""
    if process["pid"] == os.getpid():
        return False
    try:
        found = psutil.Process(process["pid"])
        # The system's clock may be set while it runs; a number is not given again so soon.
        same = abs(found.create_time() - process["created"]) < 60
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _listed(folder: Path, suffix: str) -> list[Path]:
    try:
        return sorted(
            path for path in folder.iterdir() if not suffix or (path.suffix == suffix and path.name[0] != ".")
        )
    except OSError:
        return []  # nothing was ever written there


def _move(path: Path, aside: Path) -> None:
    with suppress(OSError):  # it is gone, or the folder is read-only: then it is offered again
        os.replace(path, aside)
        os.utime(aside)
