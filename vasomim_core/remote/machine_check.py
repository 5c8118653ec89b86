"""What another machine is, and in what it differs from this one: asked before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from vasomim_core import __version__
from vasomim_core.errors import RemoteError
from vasomim_core.remote.connection import Connection
from vasomim_core.schema import from_dict

ROOM = 1 << 30
"""Bytes that a run needs there, beside what is sent."""


@dataclass(frozen=True)
class Found:
    """What a machine says of itself.

    Attributes:
        version: of VasoMIM there.
        python: its version.
        packages: versions of what computes; "" = not installed.
        gpus: names of those that torch can use; empty = none.
        memory: bytes of the first of them; without one those that are free for a process.
        folder: for what is sent, as a whole path.
        free: bytes on its disk.
        writable: whether the folder, or what it will be made in, may be written to.
        running: runs that are at work there.
        jobs: runs of which something is there.
        stored: bytes of frames and masks there.
    """

    version: str
    python: str
    folder: str
    free: int
    writable: bool
    packages: dict[str, str] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()
    memory: int = 0
    running: int = 0
    jobs: int = 0
    stored: int = 0


def look(connection: Connection) -> Found:
    """Ask a machine what it is.

    Raises:
        Lost: it cannot be reached.
        RemoteError: it can be, and has no VasoMIM that answers.
        ConfigError: its answer is none.
    """
    return from_dict(Found, connection.ask("probe"))


def words(name: str, found: Found) -> list[str]:
    """What a machine is, whether it can be used, and in what it differs from this computer; a sentence each."""
    gpus = ", ".join(found.gpus) or "no GPU"
    runs = f"{found.jobs} runs ({found.running} at work)"
    return [
        f"{name}: VasoMIM {found.version} on Python {found.python}, {gpus}",
        f"{found.folder}: {found.free / 1e9:.0f} GB free, {runs}, {found.stored / 1e6:.1f} MB of frames",
        *(f"it cannot be used: {sentence}" for sentence in obstacles(name, found)),
        *(f"note: {sentence}" for sentence in differences(name, found)),
    ]


def obstacles(name: str, found: Found, device: str = "auto", size: int = 0) -> list[str]:
    """Why a run cannot be computed there; a sentence each.

    Args:
        name: of the machine.
        found: what it says of itself.
        device: that the run asks for.
        size: bytes that will be sent.
    """
    needed = size + ROOM
    lacks = [package for package, there in found.packages.items() if not there]
    reasons = {
        f"{name} has VasoMIM {found.version} and this computer {__version__}: install the same there": (
            found.version != __version__
        ),
        f"{name} has no {', '.join(lacks)}: install VasoMIM there with all that it needs": bool(lacks),
        f"{name} has no GPU that torch can use, and the run asks for {device}: choose --device auto": (
            device.startswith("cuda") and not found.gpus
        ),
        f"{found.folder} on {name} may not be written to: choose another folder": not found.writable,
        f"{name} has {found.free / 1e9:.1f} GB free and the run needs {needed / 1e9:.1f}: choose another folder": (
            found.free < needed
        ),
    }
    return [sentence for sentence, holds in reasons.items() if holds]


def differences(name: str, found: Found) -> list[str]:
    """What a person should know of a machine on which a run can be computed all the same; a sentence each."""
    sentences = []
    if not found.gpus:
        sentences.append(f"{name} has no GPU that torch can use: runs are computed on its processor, which takes long")
    if found.running:
        others = "another run is" if found.running == 1 else f"{found.running} other runs are"
        sentences.append(f"{others} at work on {name}, and will share it")
    for package, there in found.packages.items():
        here = _version(package)
        if there and here and there.partition("+")[0] != here.partition("+")[0]:
            sentences.append(f"{name} has {package} {there} and this computer {here}: numbers may differ by a hair")
    return sentences


def require(name: str, found: Found, device: str = "auto", size: int = 0) -> None:
    """Make sure that a run can be computed there.

    Raises:
        RemoteError: it cannot; the sentence says why, and how many other reasons there are.
    """
    sentences = obstacles(name, found, device, size)
    if sentences:
        more = f" (the first of {len(sentences)} such problems)" if len(sentences) > 1 else ""
        raise RemoteError(sentences[0] + more)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
