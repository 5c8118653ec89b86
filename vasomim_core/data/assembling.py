"""Put a data set together from folders of angiograms: frames, anatomy and checksums, over all cores, resumable.

Files are read and their anatomy is extracted by processes of one thread each; this process writes what they hand over,
in the natural order of the files. A file counts as done when its record stands in files.bin, which is written last: an
assembly that was killed goes on behind it, and what comes out is the same to the byte.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vasomim_core.config import Mode
from vasomim_core.data.alike import BEFORE, Recent, Thumbnail, thumbnail
from vasomim_core.data.assembled import (
    ANATOMY,
    ASSEMBLY,
    FACTS,
    FILE,
    FILES,
    FORMAT,
    FRAME,
    FRAMES,
    INDEX,
    REMARKS,
    bytes_of,
    checksum,
    fingerprint,
    is_assembled,
)
from vasomim_core.data.in_order import in_order
from vasomim_core.data.pretraining_frame import FRAME_SIZE, pretraining_frame
from vasomim_core.data.unlabelled import each_frame, open_unlabelled
from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.files import open_ordinary, write_json, write_text
from vasomim_core.locks import locked
from vasomim_core.reading import find_angiograms
from vasomim_core.reading.folders import Progress, all_failed

AT_ONCE = 64
"""Files after which all that was written is made sure of on the disk."""
PLACE = "{file}"
"""Stands for the name of a file in the remarks that are kept."""
CRASHED = f"{PLACE} ends the process that reads it: it is damaged, or larger than memory."


@dataclass(frozen=True)
class Frame:
    """A frame as it is written: grey levels (H, W), bits of the anatomy, `checksum`, `thumbnail`."""

    grey: NDArray[np.uint8]
    bits: NDArray[np.uint8]
    sha256: bytes
    small: Thumbnail


@dataclass
class FileRead:
    """What a process hands over of one file.

    Attributes:
        sha256: of its content; 0 = it cannot be read.
        frames: those that were taken.
        left_out: a sentence for the file, or each frame, that was not.
        notes: other sentences.
    """

    sha256: bytes = bytes(32)
    frames: list[Frame] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Assembly:
    """What came of it.

    Attributes:
        folder: the data set.
        facts: "frames"; "files" there are, and how many were "left_out" wholly; "folders" they lie in; "alike", frames
            that nearly equal one shortly before; "identical", frames that equal an earlier one to the pixel;
            "anatomy", how it was extracted; "sha256" of all frames; "index", that of index.bin.
        sources: frames by the folder of the data in which they lie, or below it.
        failed: a sentence for each file or frame that was left out.
        notes: other sentences on files.
    """

    folder: Path
    facts: dict[str, Any]
    sources: dict[str, int]
    failed: list[str]
    notes: list[str]


def assemble(
    data: Path,
    output: Path,
    mode: Mode = "robust",
    processes: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Assembly:
    """Assemble all angiograms under a path, or go on with it; see `assembled` for what comes out.

    Frames larger than 512 px are scaled down to it. A file that cannot be read is left out, and so is a mask.

    Args:
        data: a folder, which is searched through, or a file.
        output: the folder of the data set: new, empty, or one that was begun with the same files and mode.
        mode: how the anatomy is extracted.
        processes: that read and extract; None = one for each core.
        progress: called with the frames that are there, and those known of: a file counts as one until it is read.

    Raises:
        InputError: there are no angiograms, none can be read, the folder holds something else, or the files have
            changed since it was begun.
        LockedError: another process assembles there.
    """
    paths = find_angiograms(data)
    names = [path.relative_to(data if data.is_dir() else data.parent).as_posix() for path in paths]
    if not is_assembled(output) and output.exists() and (not output.is_dir() or _holds_files(output)):
        raise InputError(f"{output} holds something else; give a new or empty folder for the data set")
    output.mkdir(parents=True, exist_ok=True)
    plan = {"format": FORMAT, "anatomy": mode, "size": FRAME_SIZE, "files": len(paths), "list": _listing(paths, names)}
    with locked(output / ".lock"):
        if is_assembled(output):
            _check_as_begun(output, plan)
        else:
            write_json(output / ASSEMBLY, plan)
        if not (output / FACTS).is_file():
            folders = _numbers([name.rpartition("/")[0] for name in names])
            with _Writer(output) as writer:
                left = paths[writer.files :]
                results = in_order(partial(read_file, mode=mode), left, processes or cores())
                for folder, read in zip(folders[writer.files :], results, strict=True):
                    writer.add(read or FileRead(left_out=[CRASHED]), folder)
                    progress(writer.frames, writer.frames + len(paths) - writer.files)
            if not writer.frames:
                raise all_failed([InputError(sentence) for sentence in _said(output, paths)["left_out"]])
            _write_facts(output, plan)
    return _told(output, paths, names)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _holds_files(folder: Path) -> bool:
    """But for what a kill at the very beginning may leave."""
    return any(not path.name.startswith(".") for path in folder.iterdir())


def read_file(path: Path, mode: Mode) -> FileRead:
    """All that is taken of a file; work for one process. Whatever is wrong with it is said in the result."""
    read = FileRead()
    left_out: list[str] = []
    notes: list[str] = []
    try:
        with open_ordinary(path) as file:
            read.sha256 = hashlib.file_digest(file, "sha256").digest()
        found = open_unlabelled(path, keep=lambda pixels: lambda: pixels)
        for grey in each_frame(found, notes, left_out):
            grey, anatomy = pretraining_frame(grey, mode)
            bits = np.packbits(anatomy)
            read.frames.append(Frame(grey, bits, checksum(grey, bits), thumbnail(grey)))
    except VasoMIMError as error:
        left_out.append(str(error))
    except OSError as error:
        left_out.append(f"{path} cannot be read ({error.strerror}).")
    except MemoryError:
        left_out.append(f"{path} needs more memory than there is.")
    read.left_out, read.notes = ([_nameless(text, path) for text in texts] for texts in (left_out, notes))
    return read


def _nameless(text: str, path: Path) -> str:
    return text.replace(str(path), PLACE).replace(path.name, PLACE)


class _Writer:
    """Writes what was read; on entering, what an assembly that was killed left behind its last record is cut off.

    Attributes:
        files: how many are done.
        frames: how many they had.
    """

    def __init__(self, folder: Path):
        self._folder, self._stack = folder, ExitStack()
        self._records: list[NDArray[Any]] = []

    def __enter__(self) -> _Writer:
        files, index = (_records(self._folder / name, kind) for name, kind in ((FILES, FILE), (INDEX, FRAME)))
        self.files, self.frames = len(files), int(files["frames"].sum())
        pixels, bits = (int(part.sum()) for part in bytes_of(index[: self.frames]))
        ends = {
            FILES: self.files * FILE.itemsize,
            INDEX: self.frames * FRAME.itemsize,
            FRAMES: pixels,
            ANATOMY: bits,
        }
        remarks = [line for line in _lines(self._folder) if json.loads(line)["file"] < self.files]
        write_text(self._folder / REMARKS, "".join(remarks))
        self._open: dict[str, BinaryIO] = {}
        for name in (*ends, REMARKS):
            file = self._open[name] = self._stack.enter_context(open(self._folder / name, "ab"))
            if name in ends:
                if file.tell() < ends[name]:
                    self._stack.close()
                    raise InputError(f"{self._folder} is damaged ({name}); remove it, and assemble it anew")
                file.truncate(ends[name])
        self._recent = Recent(self._last(index[: self.frames]))
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self._keep()

    def _last(self, index: NDArray[Any]) -> Iterable[Thumbnail]:
        """The thumbnails of the frames that were written last."""
        end = int(bytes_of(index)[0].sum())
        last = index[-BEFORE:]
        start = end - int(bytes_of(last)[0].sum())
        for record in last:
            shape = int(record["height"]), int(record["width"])
            yield thumbnail(
                np.fromfile(self._folder / FRAMES, np.uint8, shape[0] * shape[1], offset=start).reshape(shape)
            )
            start += shape[0] * shape[1]

    def add(self, read: FileRead, folder: int) -> None:
        """Write a file's frames."""
        for frame in read.frames:
            self._open[FRAMES].write(frame.grey.tobytes())
            self._open[ANATOMY].write(frame.bits.tobytes())
            self._open[INDEX].write(self._record(frame).tobytes())
        for kind, sentences in (("left_out", read.left_out), ("note", read.notes)):
            for sentence in sentences:
                remark = json.dumps({"file": self.files, kind: sentence})
                self._open[REMARKS].write(remark.encode() + b"\n")
        record = np.zeros((), FILE)
        record["sha256"], record["folder"] = np.frombuffer(read.sha256, np.uint8), folder
        record["frames"] = len(read.frames)
        self._records.append(record)
        self.files += 1
        self.frames += len(read.frames)
        if len(self._records) >= AT_ONCE:
            self._keep()

    def _record(self, frame: Frame) -> NDArray[Any]:
        record = np.zeros((), FRAME)
        record["sha256"], record["file"] = np.frombuffer(frame.sha256, np.uint8), self.files
        record["height"], record["width"] = frame.grey.shape
        record["alike"] = self._recent.alike(frame.small)
        return record

    def _keep(self) -> None:
        """Make sure of all that was written, and then of the records of its files."""
        for name in (FRAMES, ANATOMY, INDEX, REMARKS, FILES):
            if name == FILES:
                self._open[FILES].write(b"".join(record.tobytes() for record in self._records))
            self._open[name].flush()
            os.fsync(self._open[name].fileno())
        self._records.clear()


def _records(path: Path, kind: np.dtype[Any]) -> NDArray[Any]:
    """All whole records in a file that may be missing."""
    return np.fromfile(path, kind) if path.is_file() else np.zeros(0, kind)


def _lines(folder: Path) -> Iterator[str]:
    """The whole lines of the remarks."""
    path = folder / REMARKS
    if path.is_file():
        yield from (line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n"))


def _check_as_begun(output: Path, plan: dict[str, Any]) -> None:
    try:
        with open_ordinary(output / ASSEMBLY) as file:
            begun = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{output / ASSEMBLY} cannot be read; remove the folder, and assemble it anew") from error
    if begun == plan:
        return
    if begun.get("anatomy") != plan["anatomy"]:
        raise InputError(
            f"{output} was begun with the anatomy {begun.get('anatomy')}, not {plan['anatomy']}; "
            "give that, or a new folder"
        )
    raise InputError(f"{output} was begun with other files, or they have changed since; assemble into a new folder")


def _listing(paths: list[Path], names: list[str]) -> str:
    """A digest by which the files of an assembly are known again, without their names."""
    digest = hashlib.sha256()
    for path, name in zip(paths, names, strict=True):
        try:
            found = path.stat()
            digest.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode(errors="surrogateescape"))
        except OSError:
            digest.update(f"{name}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _numbers(folders: list[str]) -> list[int]:
    """Each name as its number, in the order in which they first come."""
    known: dict[str, int] = {}
    return [known.setdefault(folder, len(known)) for folder in folders]


def _write_facts(output: Path, plan: dict[str, Any]) -> None:
    files, index = _records(output / FILES, FILE), _records(output / INDEX, FRAME)
    write_json(
        output / FACTS,
        {
            "frames": len(index),
            "files": len(files),
            "left_out": int((files["frames"] == 0).sum()),
            "folders": int(files["folder"].max()) + 1,
            "alike": int(index["alike"].sum()),
            "identical": len(index) - len(np.unique(index["sha256"], axis=0)),
            "anatomy": plan["anatomy"],
            "sha256": fingerprint(index),
            "index": hashlib.sha256(index.tobytes()).hexdigest(),
        },
    )


def _told(output: Path, paths: list[Path], names: list[str]) -> Assembly:
    """What a person is told, with the names of files, which the data set does not keep."""
    with open_ordinary(output / FACTS) as file:
        facts = json.load(file)
    sources: dict[str, int] = {}
    for name, count in zip(names, _records(output / FILES, FILE)["frames"].tolist(), strict=True):
        top = name.partition("/")[0] if "/" in name else "."
        sources[top] = sources.get(top, 0) + count
    said = _said(output, paths)
    return Assembly(output, facts, sources, said["left_out"], said["note"])


def _said(output: Path, paths: list[Path]) -> dict[str, list[str]]:
    """The sentences "left_out" and the "note"s, with the names of files."""
    said: dict[str, list[str]] = {"left_out": [], "note": []}
    for line in _lines(output):
        remark = json.loads(line)
        for kind in said.keys() & remark.keys():
            said[kind].append(remark[kind].replace(PLACE, str(paths[remark["file"]])))
    return said
