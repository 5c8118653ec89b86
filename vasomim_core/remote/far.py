"""What runs on the other machine: one request on standard input, its answers on standard output.

    python -P -m vasomim_core.remote.far

A request is one line of JSON, which `connection.Connection` writes; nothing of it ever passes through a shell. Frames
and masks lie in a store, by the hash of their file, and those of a job are links to them:

| place | what it is |
|---|---|
| store/ab/ab12….bin | a file by its SHA-256 |
| jobs/ID/ | what one run reads, `settings.yaml`, `files.json`, `output.log`, and `process.json` or `slurm.json` |
| jobs/ID/run/ | its run folder |

Everything is for its owner's eyes alone. How a run is started, found again and ended is told by `by_process`, and by
`by_slurm` where this is the login node of a cluster. Each request is a process that has to start at once: this module
imports nothing that takes long.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from vasomim_core import __version__
from vasomim_core.remote import by_slurm
from vasomim_core.remote.by_process import Process
from vasomim_core.remote.by_slurm import Slurm
from vasomim_core.remote.started import Commands, Refused, Started, write

MARK = b"\x1evasomim "
"""Begins each line of an answer: what a login script prints is none."""
PACKAGES = ("torch", "timm", "monai", "numpy", "opencv-python-headless")
MADE = ".made-by-vasomim"
LOGS = ("run/events.jsonl", "run/segmentor/events.jsonl")
RESULTS = (
    "data.json",
    "model.safetensors",
    "segmentor/config.yaml",
    "segmentor/data.json",
    "segmentor/model.safetensors",
)
"""What is brought back of a run folder, in this order; its events come by themselves."""
COMPARED = re.compile(
    r"frames/facts\.json|plans/[\w-]+\.json|clustering/[\w-]+/[\w-]+\.json"
    r"|scores/[\w-]+/[\w-]+/seed-\d+/(?:\d+\.png|scores\.csv)"
    r"|(?:segmentor|pretraining/[\w-]+|finetuning/[\w-]+/[\w-]+/seed-\d+)"
    r"/(?:config\.yaml|events\.jsonl|data\.json|model\.safetensors)",
    re.ASCII,
)
"""What is brought back of the folder of a comparison."""
STATES = ("run/state.pt", "run/segmentor/state.pt", "run/segmentor/model.safetensors")
"""What resuming begins with."""
PAUSE, HEARTBEAT = 0.2, 5.0
"""Seconds between two looks at the events, and between two signs of life."""
NODE = 20
"""Seconds for which a look at a compute node waits for a free one."""
RESERVED = ("run", "process.json", "slurm.json", "job.sh", "files.json", "output.log")
"""Names in the folder of a job that no file of a parcel may have."""
_ID = re.compile(r"[0-9a-f]{16}")
_SHA = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")


def main() -> None:
    """Answer the request on standard input."""
    os.umask(0o077)
    source, sink = sys.stdin.buffer, sys.stdout.buffer

    def answer(value: dict[str, Any], content: bytes = b"") -> None:
        sink.write(MARK + json.dumps(value).encode() + b"\n" + content)
        sink.flush()

    try:
        request = json.loads(source.readline())
        DO[request.pop("do")](Place(**request.pop("place")), source, answer, **request)
    except BrokenPipeError:  # nobody listens any more
        os._exit(1)
    except Refused as error:
        answer({"refused": str(error)})
    except OSError as error:
        answer({"refused": f"{error.filename or 'a file'} there: {error.strerror or error}"})


class Place:
    """The folder for what is sent, and how runs are started there.

    Args:
        folder: a relative one begins in the home folder.
        gpus: of one run.
        sbatch: what a run asks of SLURM, as arguments of `sbatch`; None = there is no SLURM.
    """

    def __init__(self, folder: str, gpus: int = 1, sbatch: list[str] | None = None):
        given = Path(folder).expanduser()
        self.folder = given if given.is_absolute() else Path.home() / given
        self.gpus, self.sbatch = gpus, sbatch

    def started(self, job: Path) -> Started:
        """The run of a job, by whichever way it was started; of one that was not, the way of this place."""
        ways = self._ways(job)
        return next((way for way in ways if way.there), ways[0])

    def start(self, job: Path, begin: list[str], resume: list[str]) -> None:
        """Start the run of a job, which is not at work, by the way of this place: it may have been another before."""
        way, other = self._ways(job)
        way.start(Commands(begin, resume, self.gpus))
        other.forget()

    def _ways(self, job: Path) -> tuple[Started, Started]:
        process, slurm = Process(job), Slurm(job, self.sbatch or ())
        return (process, slurm) if self.sbatch is None else (slurm, process)

    def stored(self, sha: str) -> Path:
        """Where the file of a hash lies."""
        if not _SHA.fullmatch(sha):
            raise Refused("the request names no hash")
        return self.folder / "store" / sha[:2] / f"{sha}.bin"

    def job(self, id: str) -> Path:
        """The folder of a job."""
        if not _ID.fullmatch(id):
            raise Refused("the request names no job")
        return self.folder / "jobs" / id

    def jobs(self) -> list[Path]:
        """All that there are."""
        folder = self.folder / "jobs"
        return sorted(path for path in folder.iterdir() if _ID.fullmatch(path.name)) if folder.is_dir() else []

    def ready(self) -> None:
        """Make the folder, where it is not there, and remember that it was made."""
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            (self.folder / MADE).touch()

    def tidy(self) -> None:
        """Remove folders that have become empty; the whole one, where it was made here."""
        store = self.folder / "store"
        for folder in (*(store.iterdir() if store.is_dir() else ()), store, self.folder / "jobs"):
            with suppress(OSError):
                folder.rmdir()
        if self.folder.is_dir() and [path.name for path in self.folder.iterdir()] == [MADE]:
            (self.folder / MADE).unlink()
            self.folder.rmdir()


Answer = Callable[..., None]


def probe(place: Place, source: BinaryIO, answer: Answer, node: bool = False) -> None:
    """Say what this machine is; of a cluster what its partition is and, where that is asked for, one of its nodes."""
    parent = next(path for path in (place.folder, *place.folder.parents) if path.is_dir())
    jobs = place.jobs()
    queue = None if place.sbatch is None else by_slurm.cluster(place.sbatch)
    if queue is not None and node:
        queue |= _on_node(place)
    answer(
        {
            "version": __version__,
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in PACKAGES},
            "gpus": (gpus := _gpus() if queue is None else queue.pop("gpus")),
            "memory": _memory(bool(gpus)) if queue is None else 0,
            "queue": queue,
            "folder": str(place.folder),
            "free": shutil.disk_usage(parent).free,
            "writable": os.access(parent, os.W_OK),
            "running": sum(_alive(place, job) for job in jobs),
            "jobs": len(jobs),
            "stored": sum(path.stat().st_size for path in (place.folder / "store").rglob("*.bin")),
        }
    )


def missing(place: Place, source: BinaryIO, answer: Answer, hashes: list[str]) -> None:
    """Say which files are not there."""
    answer({"missing": [sha for sha in hashes if not place.stored(sha).is_file()]})


def put(place: Place, source: BinaryIO, answer: Answer) -> None:
    """Take files in: for each a line with its hash and size, then its bytes; an empty object ends them."""
    place.ready()
    count = 0
    while header := json.loads(source.readline() or b"{}"):
        content = source.read(header["size"])
        if hashlib.sha256(content).hexdigest() != header["sha256"]:
            raise Refused("a file did not arrive whole")
        write(place.stored(header["sha256"]), content)
        count += 1
    answer({"taken": count})


def begin(
    place: Place,
    source: BinaryIO,
    answer: Answer,
    id: str,
    files: dict[str, str],
    texts: dict[str, str],
    run: list[str],
    again: list[str],
) -> None:
    """Start a job, unless it was started already; or say what is missing for it.

    Args:
        place: where.
        source: of files; there are none.
        answer: takes the answer.
        id: of the job.
        files: their hashes, by name.
        texts: by name.
        run: arguments of `vasomim` to begin with.
        again: those to go on with, where SLURM starts it again.
    """
    job = place.job(id)
    if not place.started(job).there:
        absent = [sha for sha in files.values() if not place.stored(sha).is_file()]
        if absent:
            answer({"missing": absent})
            return
        place.ready()
        shutil.rmtree(job, ignore_errors=True)
        job.mkdir(parents=True)
        write(job / "files.json", json.dumps(sorted(files.values())).encode())
        for name, sha in files.items():
            target = _within(job, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(place.stored(sha), target)
            except OSError:  # some file systems have no links
                shutil.copyfile(place.stored(sha), target)
        for name, text in texts.items():
            write(_within(job, name), text.encode())
        place.start(job, run, again)
    answer({"begun": True})


def resume(place: Place, source: BinaryIO, answer: Answer, id: str, run: list[str], again: list[str]) -> None:
    """Go on with a job that has ended, unless it is at work; arguments as of `begin`."""
    job = _there(place, id)
    if not _alive(place, job):
        place.start(job, run, again)
    answer({"begun": True})


def follow(place: Place, source: BinaryIO, answer: Answer, id: str) -> None:
    """Tell the events of a job from the first on, as they come, and how SLURM has it, until its process has ended."""
    job = _there(place, id)
    run, queue = place.started(job), dict[str, str]()
    offsets, told = dict.fromkeys(LOGS, 0), time.monotonic()
    while True:
        standing = run.standing()  # before the events are read: what a dead process has said is complete
        if standing.queue != queue:
            queue = standing.queue
            answer({"queue": queue})
        for log in LOGS:
            lines = _whole_lines(job / log, offsets[log])
            offsets[log] += len(lines)
            if lines:
                answer({"log": log, "lines": lines.decode("utf-8", "replace").splitlines()})
                told = time.monotonic()
                if b'"event": "end"' in lines:
                    run.ending()
        if not standing.alive:
            break
        if time.monotonic() - told > HEARTBEAT:
            answer({})
            told = time.monotonic()
        time.sleep(PAUSE)
    resumable = any((job / state).exists() for state in STATES)
    answer({"ended": True, "resumable": resumable, "output": _tail(job / "output.log")})


def state(place: Place, source: BinaryIO, answer: Answer, id: str) -> None:
    """Say whether a job is there, at work, and finished."""
    from vasomim_core.training.runs import is_finished

    job = place.job(id)
    there = place.started(job).there
    answer({"there": there, "alive": _alive(place, job), "finished": is_finished(job / "run")})


def compared(place: Place, source: BinaryIO, answer: Answer, id: str) -> None:
    """Say which files of a comparison there are, each with its size and time, and how it stands."""
    job = _there(place, id)
    standing, run = place.started(job).standing(), job / "run"
    names = {path: path.relative_to(run).as_posix() for path in run.rglob("*")}
    files = {}
    for path, name in names.items():
        if COMPARED.fullmatch(name):
            with suppress(FileNotFoundError):
                known = path.stat()
                files[name] = (known.st_size, known.st_mtime_ns)
    output = _tail(job / "output.log")
    answer({"files": files, "job": str(job), "alive": standing.alive, "queue": standing.queue, "output": output})


def fetch(place: Place, source: BinaryIO, answer: Answer, id: str, names: list[str] | None = None) -> None:
    """Give results, all of a run or some of a comparison: for each a line with its name and size, then its bytes."""
    run = _there(place, id) / "run"
    for name in RESULTS if names is None else filter(COMPARED.fullmatch, names):
        with suppress(FileNotFoundError):
            content = (run / name).read_bytes()
            answer({"name": name, "size": len(content)}, content)
    answer({"all": True})


def stop(place: Place, source: BinaryIO, answer: Answer, id: str) -> None:
    """Ask a job to stop after its step and keep its model; one that has not begun to train ends at once."""
    run = place.started(_there(place, id))
    if run.standing().alive:
        run.stop()
    answer({"asked": True})


def remove(place: Place, source: BinaryIO, answer: Answer, id: str, keep: bool, hashes: list[str]) -> None:
    """End a job where it is at work, and remove all of it; its frames too, unless they are to be kept.

    The hashes are those of files that were sent for it before it began.
    """
    _remove(place, place.job(id), keep, hashes)
    place.tidy()
    answer({"removed": True})


def clean(place: Place, source: BinaryIO, answer: Answer) -> None:
    """Remove the jobs that are not at work, and all frames that no other needs."""
    gone = [job for job in place.jobs() if not _alive(place, job)]
    for job in gone:
        _remove(place, job, keep=True)
    needed = {sha for job in place.jobs() for sha in _hashes(job)}
    for path in (place.folder / "store").rglob("*.bin"):
        if path.stem not in needed:
            path.unlink(missing_ok=True)
    place.tidy()
    answer({"removed": len(gone), "running": len(place.jobs())})


DO: dict[str, Callable[..., None]] = {
    one.__name__: one
    for one in (probe, missing, put, begin, resume, follow, state, compared, fetch, stop, remove, clean)
}


def _alive(place: Place, job: Path) -> bool:
    run = place.started(job)
    return run.there and run.standing().alive


def _there(place: Place, id: str) -> Path:
    job = place.job(id)
    if not place.started(job).there:
        raise Refused("nothing of this run is there any more")
    return job


def _on_node(place: Place) -> dict[str, Any]:
    """What a compute node is, as "node" in the words of `probe`; or why that is not known, as "no_node"."""
    request = {"do": "probe", "place": {"folder": str(place.folder), "gpus": place.gpus, "sbatch": None}}
    why, written = by_slurm.on_node(place.sbatch or (), request, NODE)
    for line in written.splitlines():
        if line.startswith(MARK):
            said = json.loads(line.removeprefix(MARK))
            return {"node": said} if "refused" not in said else {"no_node": said["refused"]}
    return {"no_node": why or "it gave no answer"}


def _within(job: Path, name: str) -> Path:
    """A file of a job; nothing outside of it can be named."""
    parts = name.split("/")
    if not all(_PART.fullmatch(part) for part in parts) or parts[0] in RESERVED:
        raise Refused("the request names a file that is none of a job")
    return job.joinpath(*parts)


def _hashes(job: Path) -> list[str]:
    try:
        listed: list[str] = json.loads((job / "files.json").read_text())
    except (OSError, ValueError):
        return []
    return listed


def _remove(place: Place, job: Path, keep: bool, hashes: Iterable[str] = ()) -> None:
    if _alive(place, job):
        place.started(job).end()
    own = set() if keep else {*_hashes(job), *hashes}
    shutil.rmtree(job, ignore_errors=True)
    others = {sha for other in place.jobs() for sha in _hashes(other)} if own else set()
    for sha in own - others:
        place.stored(sha).unlink(missing_ok=True)


def _whole_lines(path: Path, offset: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            whole, newline, _ = file.read(1 << 24).rpartition(b"\n")
    except FileNotFoundError:
        return b""
    return whole + newline


def _tail(path: Path) -> list[str]:
    try:
        text = path.read_bytes()[-16_384:].decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-6:]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _gpus() -> list[str]:
    """The GPUs that torch can use; it is asked only where there is a driver, for loading it takes seconds."""
    if not (Path("/proc/driver/nvidia").exists() or Path("/dev/kfd").exists() or shutil.which("nvidia-smi")):
        return []
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _memory(gpu: bool) -> int:
    """Bytes of the first GPU; without one those of this computer that are free."""
    if not gpu:
        return int(psutil.virtual_memory().available)
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory)


if __name__ == "__main__":
    main()
