"""What the commands share: their common options, and how far they are."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm import tqdm

from vasomim_core.reading.folders import Progress, Work, Worked, each_angiogram

REORDERING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of every command.

    Attributes:
        json: print the result as one JSON object.
        debug: show the traceback of an error.
    """

    json: bool = False
    debug: bool = False


def printable(text: str) -> str:
    """A text as a terminal may get it: what would move its cursor, hide or reorder words is escaped as in JSON.

    Names come from files of others. JSON still means what it meant.
    """
    return "".join(f"\\u{ord(sign):04x}" if _acts(sign) else sign for sign in text)


def _acts(sign: str) -> bool:
    return sign not in "\n\t" and (unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or sign in REORDERING)


Inputs = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(name="input")]


@dataclass(frozen=True, kw_only=True)
class Batch(Options):
    """Options of every command that works through angiograms.

    Attributes:
        inputs: angiograms, or folders that are searched through.
        output: folder for the results.
        suffix: of the files to take from folders, such as .png where previews lie beside them; None = all kinds.
        strict: end at the first file that cannot be read; else the rest is done, and the exit code is 3.
    """

    inputs: Inputs
    output: Path
    suffix: str | None = None
    strict: bool = False

    def each(self, work: Work) -> dict[str, Any]:
        """Do the work for every angiogram under the inputs; arguments and errors as those of `each_angiogram`."""
        with frames_bar() as progress:
            done = each_angiogram(
                self.inputs, self.output, work, suffix=self.suffix, strict=self.strict, progress=progress
            )
        return plain(done)

    def told(self, done: str, result: dict[str, Any]) -> str:
        """What was done, and under it what there is to say about single files."""
        lines = [done, *(f"note: {note}" for note in result["notes"])]
        if failed := result["failed"]:
            lines.append(f"{len(failed)} of {len(failed) + len(result['written'])} files could not be read:")
            lines += [f"  {sentence}" for sentence in failed]
        return "\n".join(lines)


def plain(done: Worked) -> dict[str, Any]:
    """What came of a folder as plain values for JSON."""
    return {**vars(done), "written": [str(path) for path in done.written]}


@contextmanager
def frames_bar() -> Iterator[Progress]:
    """A bar of frames on a terminal, which grows where more frames turn up than were known of."""
    with tqdm(unit="frame", disable=None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress
