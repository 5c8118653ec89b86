"""What a run learns from and is validated on: settled when it starts, and the same until its end.

Labels go on changing while a run is stopped. It goes on with the decoded frames in its cache, and says so; `data.json`
tells which those are, by name and hash. A run whose cache has gone can only go on where its data is still what it was.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vasomim_core.data.store import FrameStore
from vasomim_core.errors import InputError, RunError, VasoMIMError
from vasomim_core.files import open_ordinary, write_json
from vasomim_core.training.events import EventLog
from vasomim_core.training.runs import CACHE, DATA, STATE

Items = Mapping[str, Mapping[str, Any]]
"""Frames or files by name; those of its facts whose name ends in `sha256` say whether it is still the same."""


@dataclass(frozen=True)
class RunData:
    """The record of a run's data.

    Attributes:
        items: all frames or files that there were to choose from.
        caches: fingerprints of the stores in the run's cache, by folder name ("." = the cache itself); none where it
            reads an assembled data set.
        facts: what else the card of the model says of them.
        warnings: sentences that hold as long as the run does.
        classes: what a finetuning run tells apart, each with the fields of a `LabelClass`.
        labelled: values of those that its labels have.
    """

    items: Items
    caches: dict[str, str]
    facts: dict[str, Any]
    warnings: list[str]
    classes: list[dict[str, Any]] = field(default_factory=list)
    labelled: list[int] = field(default_factory=list)


def settle(
    run: Path, log: EventLog, look: Callable[[Items], Items], build: Callable[[Items], RunData], what: str
) -> None:
    """Make sure that cache and record of a run stand; only its first process does this.

    Args:
        run: the run folder.
        log: is told where the data has changed since the run began.
        look: the items as they are now, given those of the record (empty = none).
        build: fills the empty cache from these items.
        what: what the items are called: "labels", "files".

    Raises:
        RunError: the run has learned from data that is neither in its cache nor where it was.
        VasoMIMError: the data of a new run cannot be used.
    """
    record = read_run_data(run)
    begun = (run / STATE).exists() or (run / "segmentor").exists()
    if record is not None and _complete(run, record):
        try:
            change = difference(record.items, look(record.items))
        except (VasoMIMError, OSError) as error:
            change = f"cannot be read any more ({str(error).rstrip('.')})"
        if change:
            message = f"The {what} {change} since this run began; it goes on with those that it began with."
            log.write("warning", message=message)
    else:
        if begun and record is None:
            raise RunError(f"{run} does not say what it has learned from ({DATA}); start a new run")
        items = look(record.items if record else {})
        if begun and record is not None and (change := difference(record.items, items)):
            gone = f"the cache of {run} is damaged, and" if record.caches else f"{run} has no copy of its data:"
            raise RunError(
                f"{gone} the {what} {change} since the run began; put back what they were, or start a new run"
            )
        shutil.rmtree(run / CACHE, ignore_errors=True)
        built = build(items)
        if begun and record is not None and built.caches != record.caches:
            raise RunError(f"the cache of {run} is damaged, and its frames are read otherwise now; start a new run")
        record = built
        write_json(run / DATA, asdict(record))
    for message in record.warnings:
        log.write("warning", message=message)


def read_run_data(run: Path) -> RunData | None:
    """The record in a run folder; None where there is none, or one that cannot be used."""
    try:
        with open_ordinary(run / DATA) as file:
            record = RunData(**json.load(file))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    kinds = {"items": dict, "caches": dict, "facts": dict, "warnings": list, "classes": list, "labelled": list}
    fits = all(isinstance(getattr(record, name), kind) for name, kind in kinds.items())
    fits = fits and all(isinstance(item, dict) for item in record.items.values())
    fits = fits and all(isinstance(text, str) for text in (*record.caches.values(), *record.warnings))
    fits = fits and all(isinstance(one, dict) for one in record.classes)
    fits = fits and all(type(value) is int for value in record.labelled)
    return record if fits else None


def difference(before: Items, now: Items) -> str:
    """How items have changed, in words: "have changed (2 added, first: 7)"; empty = not at all."""
    kinds = {
        "added": sorted(now.keys() - before.keys()),
        "removed": sorted(before.keys() - now.keys()),
        "changed": sorted(
            name for name in before.keys() & now.keys() if _identity(before[name]) != _identity(now[name])
        ),
    }
    names = [name for found in kinds.values() for name in found]
    if not names:
        return ""
    counts = ", ".join(f"{len(found)} {kind}" for kind, found in kinds.items() if found)
    return f"have changed, {counts} (first: {names[0]}),"


def _identity(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name.endswith("sha256")}


def _complete(run: Path, record: RunData) -> bool:
    try:
        stores = {name: FrameStore(run / CACHE / name) for name in record.caches}
    except InputError:
        return False
    return bool(stores) and all(
        store.fingerprint == record.caches[name] and store.intact() for name, store in stores.items()
    )
