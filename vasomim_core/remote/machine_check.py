"""What another machine is, and in what it differs from this one: asked before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from vasomim_core import __version__
from vasomim_core.errors import RemoteError
from vasomim_core.remote.connection import Connection
from vasomim_core.schema import from_dict

ROOM = 1 << 30
"""Bytes that a run needs there, beside what is sent."""


@dataclass(frozen=True)
class Queue:
    """What a cluster says of the partition in which runs are computed.

    Attributes:
        partition: its name; empty = there is none of this name.
        limit: longest time of a job, as SLURM writes it.
        state: "up" where jobs begin.
        nodes: how many.
        refusal: why SLURM does not take such a run; empty = it does.
        expects: when SLURM would let it begin.
        node: what a compute node says of itself, where it was asked.
        no_node: why none has answered.
    """

    partition: str
    limit: str = ""
    state: str = ""
    nodes: int = 0
    refusal: str = ""
    expects: str = ""
    node: dict[str, Any] = field(default_factory=dict)
    no_node: str = ""


@dataclass(frozen=True)
class Found:
    """What a machine says of itself.

    Attributes:
        version: of VasoMIM there.
        python: its version.
        packages: versions of what computes; "" = not installed.
        gpus: names of those that torch can use, of a cluster what its partition has; empty = none.
        memory: bytes of the first of them; without one those that are free for a process. 0 = not known, of a cluster.
        folder: for what is sent, as a whole path.
        free: bytes on its disk.
        writable: whether the folder, or what it will be made in, may be written to.
        running: runs that are at work there.
        jobs: runs of which something is there.
        stored: bytes of frames and masks there.
        queue: of a SLURM cluster; None = there is none.
        asks: GPUs that a run is to take there, by the machine's description.
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
    queue: Queue | None = None
    asks: int = 1


def look(connection: Connection, node: bool = False) -> Found:
    """Ask a machine what it is.

    Args:
        connection: to it.
        node: of a cluster, look at a compute node, too, where one is free.

    Raises:
        Lost: it cannot be reached.
        RemoteError: it can be, and has no VasoMIM that answers.
        ConfigError: its answer is none.
    """
    found = from_dict(Found, connection.ask("probe", node=node))
    return replace(found, asks=connection.machine.gpus)


def words(name: str, found: Found) -> list[str]:
    """What a machine is, whether it can be used, and in what it differs from this computer; a sentence each."""
    gpus = ", ".join(found.gpus) or "no GPU"
    runs = f"{found.jobs} runs ({found.running} at work)"
    return [
        f"{name}: VasoMIM {found.version} on Python {found.python}, {gpus}",
        *_cluster(found.queue),
        f"{found.folder}: {found.free / 1e9:.0f} GB free, {runs}, {found.stored / 1e6:.1f} MB of frames",
        *(f"it cannot be used: {sentence}" for sentence in obstacles(name, found)),
        *(f"note: {sentence}" for sentence in differences(name, found)),
    ]


def _cluster(queue: Queue | None) -> list[str]:
    """What is to be said of a cluster's partition, and of one of its nodes."""
    if queue is None or not queue.limit:
        return []
    soon = f", a run would begin at {queue.expects.replace('T', ' ')}" if queue.expects else ""
    partition = f"partition {queue.partition} ({queue.nodes} nodes, {queue.state})"
    lines = [f"{partition}: at most {queue.limit} a run{soon}"]
    if node := queue.node:
        gpus = ", ".join(node.get("gpus", [])) or "no GPU that torch can use"
        lines.append(f"a node of it: VasoMIM {node.get('version')} on Python {node.get('python')}, {gpus}")
    else:
        lines.append(f"none of its nodes was looked at ({queue.no_node})")
    return lines


def obstacles(name: str, found: Found, device: str = "auto", size: int = 0) -> list[str]:
    """Why a run cannot be computed there; a sentence each.

    Args:
        name: of the machine.
        found: what it says of itself.
        device: that the run asks for.
        size: bytes that will be sent.
    """
    needed, queue, cuda = size + ROOM, found.queue, device.startswith("cuda")
    too_few = queue is None and device != "cpu" and found.asks > max(1, len(found.gpus))
    lacks = [package for package, there in found.packages.items() if not there]
    reasons = {
        f"{name} has VasoMIM {found.version} and this computer {__version__}: install the same there": (
            found.version != __version__
        ),
        f"{name} has no {', '.join(lacks)}: install VasoMIM there with all that it needs": bool(lacks),
        f"{name} has no GPU that torch can use, and the run asks for {device}: choose --device auto": (
            cuda and not found.gpus
        ),
        f"runs on {name} are described without a GPU, and this one asks for {device}: choose --device auto": (
            cuda and not found.asks
        ),
        f"{name} has {len(found.gpus)} GPUs that torch can use, and runs there take {found.asks}: describe it with "
        "fewer (--gpus)": too_few,
        f"{name} has no such partition (`sinfo` lists them): describe it with another (--partition)": (
            queue is not None and not queue.limit
        ),
        f"runs on {name} ask for a GPU, and the partition {queue and queue.partition} has none: describe it with "
        "another, or with --gpus 0": queue is not None and bool(queue.limit and found.asks) and not found.gpus,
        f"SLURM on {name} does not take such a run: {queue and queue.refusal}": bool(queue and queue.refusal),
        f"{found.folder} on {name} may not be written to: choose another folder": not found.writable,
        f"{name} has {found.free / 1e9:.1f} GB free and the run needs {needed / 1e9:.1f}: choose another folder": (
            found.free < needed
        ),
    }
    return [sentence for sentence, holds in reasons.items() if holds]


def differences(name: str, found: Found) -> list[str]:
    """What a person should know of a machine on which a run can be computed all the same; a sentence each."""
    sentences = []
    if not found.gpus or not found.asks:
        has = "has no GPU that torch can use" if not found.gpus else "is described without a GPU"
        sentences.append(f"{name} {has}: runs are computed on its processor, which takes long")
    if found.queue is not None and found.queue.state not in ("up", ""):
        sentences.append(f"the partition {found.queue.partition} of {name} is {found.queue.state}: runs wait for it")
    if found.running and found.queue is None:
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
