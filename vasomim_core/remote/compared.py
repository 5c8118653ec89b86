"""Files of a comparison on another machine, put where they belong here, with the names that things have here."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from vasomim_core.comparing.datasets import FACTS
from vasomim_core.comparing.work import Work
from vasomim_core.errors import RemoteError
from vasomim_core.files import atomic
from vasomim_core.remote.copying import own_data
from vasomim_core.remote.far import COMPARED
from vasomim_core.remote.parcel import RUN, local_words, there
from vasomim_core.remote.place import Place
from vasomim_core.training.runs import DATA


class Names:
    """What things are called here and there.

    Args:
        work: the comparison here.
        place: where it is.
    """

    def __init__(self, work: Work, place: Place):
        self.place, self.out, comparison = place, work.out, work.comparison
        neutral = there(comparison)
        self._sets = {path.name: one.name for path, one in zip(neutral.data, work.sets, strict=True)}
        pairs = zip((*neutral.data, *neutral.unlabelled), (*comparison.data, *comparison.unlabelled), strict=True)
        self._paths = {RUN: str(work.out.resolve()), **{path.as_posix(): str(own) for path, own in pairs}}

    def local(self, name: str) -> Path:
        """Where a file belongs.

        Raises:
            RemoteError: it is none of a comparison.
        """
        if not COMPARED.fullmatch(name):
            raise RemoteError(f"{self.place.machine} gave {name!r:.60}, which is no file of a comparison")
        return self.out.joinpath(*(self._sets.get(part, part) for part in name.split("/")))

    def words(self, text: str, job: str = "") -> str:
        """A text from there with the names and, for the folder of the job there, the paths that things have here."""
        text = local_words(text, self.place.names)
        for neutral, own in self._paths.items() if job else ():
            text = text.replace(f"{job}/{neutral}", own)
        for neutral, own in self._sets.items():
            text = text.replace(neutral, own)
        return text


def place_file(names: Names, name: str, content: bytes, job: str) -> None:
    """Put a file of a comparison into its folder here.

    Args:
        names: of things.
        name: of the file there.
        content: its bytes.
        job: the folder of the job there.

    Raises:
        RemoteError: it is none of a comparison, or damaged.
    """
    path = names.local(name)

    def told(value: Any) -> Any:
        if isinstance(value, dict):
            return {told(key): told(one) for key, one in value.items()}
        if isinstance(value, list):
            return [told(one) for one in value]
        return names.words(value, job) if isinstance(value, str) else value

    try:
        content = _changed(path, content, told, names)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, csv.Error, yaml.YAMLError) as error:
        raise RemoteError(f"{names.place.machine} gave a damaged file, {name!r:.60}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def _changed(path: Path, content: bytes, told: Callable[[Any], Any], names: Names) -> bytes:
    """The content of a file with own names in it; half of a character stands as in `files.write_json`."""
    if path.name == "events.jsonl":
        lines = content.decode().split("\n")[:-1]  # the last one may be half-written
        events = (_event(told(json.loads(line)), names) for line in lines)
        text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    elif path.name == DATA:
        text = _json(own_data(content, names.place.names))
    elif path.name == FACTS:
        facts = json.loads(content)
        text = _json({**facts, "left_out": [*names.place.left_out, *told(facts["left_out"])]})
    elif path.suffix == ".yaml":
        text = yaml.safe_dump(told(yaml.safe_load(content)), sort_keys=False, allow_unicode=True)
    elif path.suffix == ".csv":
        written = io.StringIO(newline="")
        csv.writer(written).writerows(told(row) for row in csv.reader(io.StringIO(content.decode(), newline="")))
        text = written.getvalue()
    else:
        return content
    return text.encode("utf-8", "backslashreplace")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _event(event: dict[str, Any], names: Names) -> dict[str, Any]:
    """An event as it is here, where its run has no process."""
    event.pop("pid", None)
    if event.get("device"):
        event["device"] = f"{event['device']} of {names.place.machine}"
    return event
