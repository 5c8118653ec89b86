"""What a run reads, brought to another machine: listed first, only what is not there yet, and then started."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vasomim_core.comparing.settings import Comparison
from vasomim_core.config import Config, to_dict
from vasomim_core.data.spool import spool
from vasomim_core.errors import RemoteError, RunError
from vasomim_core.remote.asked import Asked, Interrupted, Patience
from vasomim_core.remote.connection import Connection
from vasomim_core.remote.machine_check import Found, differences, look, require
from vasomim_core.remote.machines import machine_named
from vasomim_core.remote.parcel import RUN, SETTINGS, Parcel, Progress, pack
from vasomim_core.remote.place import Place
from vasomim_core.training.runs import job_name


@dataclass(frozen=True)
class Listing:
    """What goes to another machine, in words by `str`, said before it goes.

    Attributes:
        machine: its name.
        host: as `ssh` gets it.
        folder: there, as a whole path.
        frames: how many.
        masks: how many.
        models: how many files of models.
        size: bytes of all of them.
        new: how many of the files are not there yet.
        new_size: their bytes.
    """

    machine: str
    host: str
    folder: str
    frames: int
    masks: int
    models: int
    size: int
    new: int
    new_size: int

    @property
    def what(self) -> str:
        """How much of what."""
        counts = {"frames": self.frames, "masks": self.masks, "models": self.models}
        words = [f"{count} {name if count != 1 else name[:-1]}" for name, count in counts.items() if count]
        return f"{', '.join(words)} ({megabytes(self.size)})"

    @property
    def news(self) -> str:
        """How much of it is not there yet."""
        return f"{self.new} files ({megabytes(self.new_size)})"

    def __str__(self) -> str:
        return (
            f"to {self.machine} ({self.host}:{self.folder}): {self.what}, of these {self.news} not there yet; "
            "frames by number, without names; classes and settings"
        )


def megabytes(size: int) -> str:
    """Bytes in words."""
    return f"{size / 1e6:.2g} MB" if size < 10e6 else f"{size / 1e6:.0f} MB"


def list_parcel(
    config: Config, name: str, strict: bool = False, progress: Progress = lambda done, total: None
) -> tuple[Listing, list[str]]:
    """What would be sent for a run, and sentences on the machine and on the files; nothing is sent or written.

    Args:
        config: its settings.
        name: of the machine.
        strict: end at the first unlabelled file that cannot be read.
        progress: is told how many frames are read, of how many.

    Raises:
        VasoMIMError: as `running.train_elsewhere`, before it sends anything.
    """
    connection = Connection(name, machine_named(name))
    found = look(connection)
    require(name, found, config.training.device)
    with tempfile.TemporaryDirectory() as folder, spool(Path(folder)) as keep:
        parcel = pack(config, keep, strict, progress)
        listing = listed(connection, found, parcel)
    return listing, [*differences(name, found), *parcel.notes, *parcel.left_out]


def listed(connection: Connection, found: Found, parcel: Parcel) -> Listing:
    """What would be sent of a parcel.

    Raises:
        Lost, RemoteError: as `Connection.ask`; also where there is no room for it.
    """
    absent = connection.ask("missing", hashes=list(parcel.sizes))["missing"]
    new_size = sum(parcel.sizes[sha] for sha in absent if sha in parcel.sizes)
    require(connection.name, found, parcel.device, new_size)
    return Listing(
        machine=connection.name,
        host=connection.machine.host,
        folder=found.folder,
        frames=parcel.frames,
        masks=parcel.masks,
        models=parcel.models,
        size=parcel.size,
        new=len(absent),
        new_size=new_size,
    )


def send(
    connection: Connection,
    place: Place,
    parcel: Parcel,
    asked: Asked,
    said: Callable[[str], object],
    sent: Callable[[int, int], object],
) -> None:
    """Bring a parcel there and start its run, in as many attempts as it takes.

    Args:
        connection: to the machine.
        place: of the run.
        parcel: what it reads.
        asked: any request ends the attempts.
        said: is told where one fails.
        sent: is told how many bytes are sent, of how many.

    Raises:
        RunError: somebody asked to stop; what was sent is removed.
        RemoteError: the machine refuses something.
    """

    def given_up() -> bool:
        return asked.stop or asked.leave

    def payload(hashes: list[str]) -> Iterator[tuple[str, bytes]]:
        total, done = sum(parcel.sizes[sha] for sha in hashes), 0
        for sha in hashes:
            if given_up():
                raise Interrupted
            yield sha, parcel.content[sha]()
            done += parcel.sizes[sha]
            sent(done, total)

    def attempt() -> None:
        request: dict[str, Any] = {
            "id": place.job,
            "files": parcel.files,
            "texts": parcel.texts,
            **commands(parcel.settings),
        }
        while absent := connection.ask("begin", **request).get("missing"):
            connection.ask("put", payload([sha for sha in parcel.sizes if sha in set(absent)]))

    try:
        Patience(given_up, said).until_done(attempt)
    except RemoteError:
        with suppress(RemoteError):
            take_away(connection, place.job, list(parcel.sizes))
        raise
    except Interrupted:
        left = ""
        try:
            take_away(connection, place.job, list(parcel.sizes))
        except RemoteError:
            left = f", but for what was sent by then, which `vasomim machines --clean {place.machine}` removes"
        raise RunError(f"the run was stopped before it began; nothing of it is on {place.machine}{left}") from None


def commands(settings: Config | Comparison) -> dict[str, list[str]]:
    """What is run there to begin and to go on, as `far` takes it."""
    if isinstance(settings, Comparison):
        line = ["compare", "--out", RUN, "--json", *_options(settings)]
        return {"run": line, "again": line}
    job = job_name(settings)
    return {"run": [job, "--config", SETTINGS, "--run", RUN], "again": [job, "--resume", RUN]}


def _options(comparison: Comparison) -> Iterator[str]:
    for name, value in to_dict(comparison).items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            yield option
        elif isinstance(value, list) and value:
            yield from (option, *map(str, value))
        elif not isinstance(value, list) and value not in (None, False):
            yield f"{option}={value}"


def take_away(connection: Connection, job: str, hashes: list[str] | None = None) -> None:
    """End a run there where it is at work, and remove all of it; frames too, unless the machine is to keep them.

    Args:
        connection: to the machine.
        job: of the run there.
        hashes: of files that were sent for it before it began.

    Raises:
        Lost, RemoteError: as `Connection.ask`.
    """
    connection.ask("remove", id=job, keep=connection.machine.keep_frames, hashes=hashes or [])
