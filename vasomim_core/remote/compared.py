"""Files of a comparison on another machine, put where they belong here, with the names that things have here."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from vasomim_core.comparing.work import Work
from vasomim_core.errors import RemoteError
from vasomim_core.files import atomic
from vasomim_core.remote.copying import own_data
from vasomim_core.remote.far import COMPARED
from vasomim_core.remote.parcel import RUN, local_words, there
from vasomim_core.remote.place import Place


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
    """The content of a file with own names in it."""
    if path.name == "events.jsonl":
        lines = content.decode().split("\n")[:-1]  # the last one may be half-written
        return "".join(
            json.dumps(_event(told(json.loads(line)), names), ensure_ascii=False) + "\n" for line in lines
        ).encode()
    if path.name == "data.json":
        return json.dumps(own_data(content, names.place.names)).encode()
    if path.name == "facts.json":
        facts = json.loads(content)
        facts["left_out"] = [*names.place.left_out, *told(facts["left_out"])]
        return json.dumps(facts, ensure_ascii=False).encode()
    if path.suffix == ".yaml":
        return yaml.safe_dump(told(yaml.safe_load(content)), sort_keys=False, allow_unicode=True).encode()
    if path.suffix == ".csv":
        rows, text = csv.reader(io.StringIO(content.decode(), newline="")), io.StringIO(newline="")
        csv.writer(text).writerows(told(row) for row in rows)
        return text.getvalue().encode()
    return content


def _event(event: dict[str, Any], names: Names) -> dict[str, Any]:
    """An event as it is here, where its run has no process."""
    event.pop("pid", None)
    if event.get("device"):
        event["device"] = f"{event['device']} of {names.place.machine}"
    return event
