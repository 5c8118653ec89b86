"""What runs on the other machine: one request on standard input, its answers on standard output.

    python -P -m vasomim_core.remote.far

A request is one line of JSON, which `connection.Connection` writes; nothing of it ever passes through a shell. Frames
and masks lie in a store, by the hash of their file, and those of a job are links to them:

| place | what it is |
|---|---|
| store/ab/ab12….bin | a file by its SHA-256 |
| jobs/ID/ | what one run reads, `settings.yaml`, `process.json`, `files.json`, `output.log` |
| jobs/ID/run/ | its run folder |

Everything is for its owner's eyes alone. A run's process has a session of its own: it needs no connection. Each request
is a process that has to start at once: this module imports nothing that takes long.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from vasomim_core import __version__
from vasomim_core.locks import Holder

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
STATES = ("run/state.pt", "run/segmentor/state.pt", "run/segmentor/model.safetensors")
"""What resuming begins with."""
PAUSE, HEARTBEAT, GRACE = 0.2, 5.0, 5.0
"""Seconds between two looks at the events, between two signs of life, and from SIGTERM to SIGKILL."""
_ID = re.compile(r"[0-9a-f]{16}")
_SHA = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")


class Refused(Exception):
    """What cannot be done, in a sentence for the person at the other end."""


def main() -> None:
    """Answer the request on standard input."""
    os.umask(0o077)
    source, sink = sys.stdin.buffer, sys.stdout.buffer

    def answer(value: dict[str, Any], content: bytes = b"") -> None:
        sink.write(MARK + json.dumps(value).encode() + b"\n" + content)
        sink.flush()

    try:
        request = json.loads(source.readline())
        DO[request.pop("do")](Place(request.pop("folder")), source, answer, **request)
    except BrokenPipeError:  # nobody listens any more
        os._exit(1)
    except Refused as error:
        answer({"refused": str(error)})
    except OSError as error:
        answer({"refused": f"{error.filename or 'a file'} there: {error.strerror or error}"})


class Place:
    """The folder for what is sent."""

    def __init__(self, folder: str):
        given = Path(folder).expanduser()
        self.folder = given if given.is_absolute() else Path.home() / given

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


def probe(place: Place, source: BinaryIO, answer: Answer) -> None:
    """Say what this machine is."""
    parent = next(path for path in (place.folder, *place.folder.parents) if path.is_dir())
    jobs = place.jobs()
    answer(
        {
            "version": __version__,
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in PACKAGES},
            "gpus": (gpus := _gpus()),
            "memory": _memory(bool(gpus)),
            "folder": str(place.folder),
            "free": shutil.disk_usage(parent).free,
            "writable": os.access(parent, os.W_OK),
            "running": sum(_alive(job) for job in jobs),
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
        _write(place.stored(header["sha256"]), content)
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
) -> None:
    """Start a job, unless it was started already; or say what is missing for it."""
    job = place.job(id)
    if not (job / "process.json").is_file():
        absent = [sha for sha in files.values() if not place.stored(sha).is_file()]
        if absent:
            answer({"missing": absent})
            return
        place.ready()
        shutil.rmtree(job, ignore_errors=True)
        job.mkdir(parents=True)
        _write(job / "files.json", json.dumps(sorted(files.values())).encode())
        for name, sha in files.items():
            target = _within(job, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(place.stored(sha), target)
            except OSError:  # some file systems have no links
                shutil.copyfile(place.stored(sha), target)
        for name, text in texts.items():
            _write(_within(job, name), text.encode())
        _start(job, run)
    answer({"begun": True})


def resume(place: Place, source: BinaryIO, answer: Answer, id: str, run: list[str]) -> None:
    """Go on with a job that has ended, unless it is at work."""
    job = _there(place, id)
    if not _alive(job):
        _start(job, run)
    answer({"begun": True})


def follow(place: Place, source: BinaryIO, answer: Answer, id: str) -> None:
    """Tell the events of a job from the first on, as they come, until its process has ended."""
    job = _there(place, id)
    offsets, told = dict.fromkeys(LOGS, 0), time.monotonic()
    while True:
        alive = _alive(job)  # before the events are read: what a dead process has said is complete
        for log in LOGS:
            lines = _whole_lines(job / log, offsets[log])
            offsets[log] += len(lines)
            if lines:
                answer({"log": log, "lines": lines.decode("utf-8", "replace").splitlines()})
                told = time.monotonic()
        if not alive:
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
    there = (job / "process.json").is_file()
    answer({"there": there, "alive": _alive(job), "finished": is_finished(job / "run")})


def fetch(place: Place, source: BinaryIO, answer: Answer, id: str) -> None:
    """Give the results that there are: for each a line with its name and size, then its bytes."""
    run = _there(place, id) / "run"
    for name in RESULTS:
        with suppress(FileNotFoundError):
            content = (run / name).read_bytes()
            answer({"name": name, "size": len(content)}, content)
    answer({"all": True})


def stop(place: Place, source: BinaryIO, answer: Answer, id: str) -> None:
    """Ask a job to stop after its step and keep its model; one that has not begun to train ends at once."""
    job = _there(place, id)
    if _alive(job):
        events = job / LOGS[0]
        if events.exists():  # also heard by a process that does not hear signals
            with open(events, "a", encoding="utf-8") as file:
                file.write(json.dumps({"event": "stop", "time": round(time.time(), 3)}) + "\n")
        with suppress(psutil.Error):
            psutil.Process(_holder(job).pid).terminate()
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
    gone = [job for job in place.jobs() if not _alive(job)]
    for job in gone:
        _remove(place, job, keep=True)
    needed = {sha for job in place.jobs() for sha in _hashes(job)}
    for path in (place.folder / "store").rglob("*.bin"):
        if path.stem not in needed:
            path.unlink(missing_ok=True)
    place.tidy()
    answer({"removed": len(gone), "running": len(place.jobs())})


DO: dict[str, Callable[..., None]] = {
    one.__name__: one for one in (probe, missing, put, begin, resume, follow, state, fetch, stop, remove, clean)
}


def _start(job: Path, arguments: list[str]) -> None:
    """Start the command line in a session of its own, its output in a file."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    with open(job / "output.log", "wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "vasomim_core", *arguments],
            cwd=job,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = psutil.Process(child.pid).create_time()
    holder = Holder(child.pid, platform.node(), started, f"{datetime.now(UTC):%F %T} UTC")
    _write(job / "process.json", json.dumps(asdict(holder)).encode())


def _write(path: Path, content: bytes) -> None:
    """Write a file that is wholly there or not at all (`vasomim_core.files` loads what draws and decodes)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _holder(job: Path) -> Holder:
    holder = Holder(**json.loads((job / "process.json").read_text()))
    if holder.host != platform.node():
        raise Refused(
            f"the run was started on {holder.host} and this is {platform.node()}: give the host by its own name"
        )
    return holder


def _alive(job: Path) -> bool:
    try:
        return not _holder(job).gone
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return False


def _there(place: Place, id: str) -> Path:
    job = place.job(id)
    if not (job / "process.json").is_file():
        raise Refused("nothing of this run is there any more")
    return job


def _within(job: Path, name: str) -> Path:
    """A file of a job; nothing outside of it can be named."""
    parts = name.split("/")
    if not all(_PART.fullmatch(part) for part in parts) or parts[0] in ("run", "process.json", "files.json"):
        raise Refused("the request names a file that is none of a job")
    return job.joinpath(*parts)


def _hashes(job: Path) -> list[str]:
    try:
        listed: list[str] = json.loads((job / "files.json").read_text())
    except (OSError, ValueError):
        return []
    return listed


def _remove(place: Place, job: Path, keep: bool, hashes: Iterable[str] = ()) -> None:
    if _alive(job):
        _end(psutil.Process(_holder(job).pid))
    own = set() if keep else {*_hashes(job), *hashes}
    shutil.rmtree(job, ignore_errors=True)
    others = {sha for other in place.jobs() for sha in _hashes(other)} if own else set()
    for sha in own - others:
        place.stored(sha).unlink(missing_ok=True)


def _end(process: psutil.Process) -> None:
    tree: Iterable[psutil.Process] = [process]
    with suppress(psutil.Error):
        tree = [process, *process.children(recursive=True)]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for member in tree:
            with suppress(psutil.Error):
                end(member)
        _, tree = psutil.wait_procs(tree, timeout=GRACE)


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
