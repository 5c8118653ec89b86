"""Every stroke safe on disk, and offered back after a crash.

While a labels layer is followed, each finished step (painted by hand or tool, undone, redone) is appended to a file of
its own before the next one can start. `write` hands it to the system at once, so killing napari loses at most the
stroke in progress; the disk is flushed within half a second, in a thread, so a power cut loses at most that much more.

A journal is a plain file, `<time>-<pid>-<random>.journal`, all numbers little-endian:

| part | content |
|---|---|
| magic | the 18 bytes `VasoMIM journal 1` and a line feed |
| record, any number of times | kind (4 bytes), length (u32), CRC-32 of kind and content (u32), content |

| record | content |
|---|---|
| `HEAD`, the first | JSON: `about` and `layer` for offering the work back, the `process`, what was `drawn` before |
| `BASE`, the second | a change from an empty layer to what it was when the journal began |
| `STEP`, for each finished step | a change from what the records before give |

A change is the time (f64, seconds since 1970), then for each changed frame: index, top, left, height and width of the
box around the changed pixels, their count and the length of the rest (7 × u32), and zlib of: the mask of the changed
pixels in the box (row by row, 8 to the byte), then their new values, in the same order and the layer's dtype.

A record that is not wholly there ends the journal: everything before it comes back. A journal beyond 20 MB is written
anew from what it holds. The folder belongs to the person alone: `about` may hold the path of an angiogram.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import struct
import sys
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from napari.layers import Labels
from napari.utils.notifications import show_warning
from numpy.typing import NDArray

from napari_vasomim.correcting.strokes import Box, Step, bare, differing, steps
from vasomim_core.errors import InputError
from vasomim_core.files import atomic

_MAGIC = b"VasoMIM journal 1\n"
_RECORD = struct.Struct("<4sII")
_TIME = struct.Struct("<d")
_PATCH = struct.Struct("<7I")
_FLUSH_AFTER = 0.3  # seconds
_KEEP_DISCARDED = 14 * 86400.0  # seconds
_SUFFIX = ".journal"

# What this process follows at the moment, by whichever Journal.
_LIVE: set[Path] = set()


@dataclass(frozen=True)
class Entry:
    """Unfinished work that can be offered back.

    Attributes:
        path: the journal's file.
        when: time of the last stroke, in local time.
        strokes: finished steps, undo and redo among them.
        pixels: pixels these steps changed; one that was changed twice counts twice.
        frames: indices of the frames they changed, in order.
        about: what `follow` was given, and `name`, `shape`, `dtype`, `scale` and `translate` of the layer.
    """

    path: Path
    when: datetime
    strokes: int
    pixels: int
    frames: tuple[int, ...]
    about: dict[str, Any]


class Journal:
    """Follows labels layers, and knows what earlier sessions left unfinished.

    Args:
        folder: where journals lie; by default that in the environment variable VASOMIM_JOURNAL, else the place that
            the system has for the state of this person's programs.
    """

    limit = 20 << 20  # bytes

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or _default_folder()
        self._sessions: weakref.WeakKeyDictionary[Labels, _Session] = weakref.WeakKeyDictionary()
        self._dirty: set[_Session] = set()
        self._flusher: threading.Timer | None = None
        self._lock = threading.Lock()
        self._warned = False

    def follow(self, layer: Labels, about: dict[str, Any], continues: Entry | None = None) -> None:
        """Write down the layer as it is, and from now on every finished step.

        A layer that is followed already begins anew; what was drawn before stays to be offered.

        Args:
            layer: (y, x) or (t, y, x), of integers.
            about: what is needed to offer the work back, in terms of JSON.
            continues: the entry this layer was restored from; its journal goes when the new one is on disk, and its
                strokes count on.

        Raises:
            InputError: a layer of other dimensions.
        """
        layer = bare(layer)
        made = steps(layer).made
        self.leave(layer)
        session = _Session(self.folder / _name(), _facts(layer) | {"about": about}, np.array(layer.data))
        if continues:
            session.strokes, session.pixels = continues.strokes, continues.pixels
            session.frames = set(continues.frames)
        followed = weakref.ref(layer)
        session.slot = made.connect(lambda step: self._step(followed(), step))
        session.end = weakref.finalize(layer, session.close)
        self._sessions[layer] = session
        _LIVE.add(session.path)
        if self._write(session, session.begin) and continues:
            _remove(continues.path)

    def catch_up(self, layer: Labels) -> None:
        """Write down what was changed without a step, by code that writes into the layer's array."""
        self._step(bare(layer), Step(None))

    def leave(self, layer: Labels) -> None:
        """Follow no longer, and keep what was drawn to be offered."""
        session = self._stop(layer)
        if session and not session.strokes:
            _remove(session.path)

    def done(self, layer: Labels) -> None:
        """Follow no longer, and forget what was drawn: it was accepted, or the person does not want it."""
        session = self._stop(layer)
        if session:
            _remove(session.path)

    def unfinished(self) -> list[Entry]:
        """What sessions that are gone left unfinished, the latest first.

        Journals without any stroke are removed on the way, those that cannot be read are set aside with a sentence.
        """
        self._sweep()
        entries = []
        for path in _listed(self.folder, _SUFFIX):
            if path in _LIVE:
                continue
            try:
                with open(path, "rb") as file:
                    head = _head(file)
                    if _alive(head["process"]):
                        continue
                    entry = _entry(path, head, file)
            except FileNotFoundError:
                continue  # another process was quicker
            except OSError as error:
                show_warning(f"The journal {path} cannot be read ({error.strerror or error}); allow reading it.")
            except (ValueError, KeyError, TypeError, struct.error):
                aside = path.with_suffix(".unreadable")
                _move(path, aside)
                show_warning(f"A journal of unfinished work is damaged and cannot be offered; it was kept as {aside}.")
            else:
                if entry.strokes:
                    entries.append(entry)
                else:
                    _remove(path)
        return sorted(entries, key=lambda entry: entry.when, reverse=True)

    def restore(self, entry: Entry) -> NDArray[Any]:
        """The labels as they were after the last finished step.

        Returns:
            Of the shape and dtype of the layer that was drawn on.

        Raises:
            InputError: the journal is gone, or was damaged since.
        """
        try:
            with open(entry.path, "rb") as file:
                layer = _head(file)["layer"]
                labels = np.zeros(layer["shape"], np.dtype(layer["dtype"]))
                for change in _changes(file):
                    for patch in change.patches:
                        patch.onto(labels)
                return labels
        except (OSError, ValueError, KeyError, TypeError, IndexError, struct.error, zlib.error) as error:
            raise InputError(f"The journal {entry.path} cannot be read; its work cannot be restored.") from error

    def discard(self, entry: Entry) -> None:
        """Offer this work no more. The file is kept for two weeks, under another name, then removed."""
        aside = entry.path.with_suffix(".discarded")
        _move(entry.path, aside)

    def _stop(self, layer: Labels) -> _Session | None:
        layer = bare(layer)
        if layer in self._sessions:
            steps(layer).settle()
        session = self._sessions.pop(layer, None)
        if session:
            steps(layer).made.disconnect(session.slot, missing_ok=True)
            session.flush()
            session.end()
        return session

    def _step(self, layer: Labels | None, step: Step) -> None:
        session = self._sessions.get(layer) if layer is not None else None
        if layer is None or session is None:
            return
        if layer.data.shape != session.labels.shape or layer.data.dtype != session.labels.dtype:
            self.leave(layer)
            if layer.ndim in (2, 3):
                self.follow(layer, session.head["about"])  # another label altogether: a journal of its own
        elif not self._write(session, lambda: session.step(layer, step.boxes)):
            session.behind = True
        elif session.size > max(self.limit, 2 * session.size_at_begin):
            self._write(session, session.begin)

    def _write(self, session: _Session, write: Callable[[], None]) -> bool:
        try:
            write()
        except OSError as error:
            if not self._warned:
                self._warned = True
                show_warning(
                    f"Strokes cannot be written to the journal in {self.folder} ({error.strerror or error}): "
                    "painting goes on, but a crash would lose it; make room there and accept your work often."
                )
            return False
        with self._lock:
            self._dirty.add(session)
            if self._flusher is None:
                self._flusher = threading.Timer(_FLUSH_AFTER, self._flush)
                self._flusher.daemon = True
                self._flusher.start()
        return True

    def _flush(self) -> None:
        with self._lock:
            dirty, self._dirty, self._flusher = self._dirty, set(), None
        for session in dirty:
            session.flush()

    def _sweep(self) -> None:
        """Remove what is too old to be wanted: discarded or damaged journals, halves of files."""
        for path in _listed(self.folder, ""):
            aside = path.suffix in (".discarded", ".unreadable") or path.name.startswith(".")
            try:
                if aside and time.time() - path.stat().st_mtime > _KEEP_DISCARDED:
                    path.unlink()
            except OSError:
                continue  # another process was quicker, or the next start succeeds


class _Patch(NamedTuple):
    """The change of one frame."""

    box: Box
    pixels: int
    packed: bytes

    @classmethod
    def between(cls, old: NDArray[Any], new: NDArray[Any], box: Box) -> _Patch | None:
        """From the same box of two arrays (h, w); None if they are equal."""
        changed = old != new
        values = new[changed]
        if not values.size:
            return None
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        return cls(box, values.size, zlib.compress(np.packbits(changed).tobytes() + values.tobytes(), 1))

    def onto(self, labels: NDArray[Any]) -> None:
        """Make the change in labels (H, W) or (T, H, W)."""
        area = labels[self.box.where(labels.ndim)]
        content = zlib.decompress(self.packed)
        mask_bytes = -(-area.size // 8)
        bits = np.frombuffer(content, np.uint8, mask_bytes)
        changed = np.unpackbits(bits, count=area.size).view(bool).reshape(area.shape)
        area[changed] = np.frombuffer(content, labels.dtype.newbyteorder("<"), offset=mask_bytes)


class _Change(NamedTuple):
    kind: bytes
    when: float
    patches: list[_Patch]


@dataclass(eq=False)
class _Session:
    """One layer and the file that holds it.

    Attributes:
        path: the file.
        head: the content of its first record, apart from the counts.
        labels: what the file gives when read: (H, W) or (T, H, W).
        size: bytes of the file that are whole; the next record goes there, over what a full disk left of another.
        behind: a step could not be written, so the next one compares all frames.
        slot: what is connected to the layer's steps.
        end: closes the file, once; by itself when the layer is gone.
        file: open at `path`; None while it cannot be written.
    """

    path: Path
    head: dict[str, Any]
    labels: NDArray[Any]
    strokes: int = 0
    pixels: int = 0
    frames: set[int] = field(default_factory=set)
    size: int = 0
    size_at_begin: int = 0
    behind: bool = False
    slot: Any = None
    end: Callable[[], Any] = lambda: None
    file: io.FileIO | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """Write the file anew, from what it is to hold."""
        drawn = {"strokes": self.strokes, "pixels": self.pixels, "frames": sorted(self.frames)}
        head = json.dumps(self.head | {"drawn": drawn}, default=_plain).encode()
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic(self.path) as temporary:
            with open(temporary, "wb") as file:
                file.write(_MAGIC + _record(b"HEAD", head))
                file.write(_record(b"BASE", _packed(self._base())))
            self._close_file()  # Windows does not replace what is open
        self._reopen()
        self.size_at_begin = self.size

    def step(self, layer: Labels, boxes: list[Box] | None) -> None:
        """Append what changed within these boxes; everywhere for None."""
        known = boxes is not None and not self.behind
        patches = self._patches(layer, boxes if known and boxes else differing(self.labels, layer.data))
        if self.file is None:
            self._took(layer, patches)
            self.begin()
        elif patches:
            record = memoryview(_record(b"STEP", _packed(patches)))
            self.file.seek(self.size)
            rest = record
            while rest:
                rest = rest[self.file.write(rest) :]
            self.size += len(record)
            self._took(layer, patches)
        self.behind = False

    def flush(self) -> None:
        """Wait until the disk has everything."""
        with self.lock:
            if self.file is None:
                return
            descriptor = os.dup(self.file.fileno())  # so that waiting holds up neither the next stroke nor the end
        try:
            os.fsync(descriptor)
        except OSError:
            pass  # the system has it still, and the next write says what is wrong
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of the file; what it holds stays."""
        _LIVE.discard(self.path)
        self._close_file()

    def _patches(self, layer: Labels, boxes: Iterable[Box]) -> list[_Patch]:
        found = []
        for box in boxes:
            index = box.where(self.labels.ndim)
            patch = _Patch.between(self.labels[index], np.asarray(layer.data[index]), box)
            if patch:
                found.append(patch)
        return found

    def _took(self, layer: Labels, patches: list[_Patch]) -> None:
        for patch in patches:
            index = patch.box.where(self.labels.ndim)
            self.labels[index] = layer.data[index]
        self.strokes += bool(patches)
        self.pixels += sum(patch.pixels for patch in patches)
        self.frames.update(patch.box.frame for patch in patches)

    def _base(self) -> Iterator[_Patch]:
        empty = np.zeros(self.labels.shape[-2:], self.labels.dtype)
        still = self.labels.ndim == 2
        for index in range(1 if still else len(self.labels)):
            plane = self.labels if still else self.labels[index]
            for box in differing(empty, plane):
                area = box.where(2)
                patch = _Patch.between(empty[area], plane[area], box._replace(frame=index))
                if patch:
                    yield patch

    def _reopen(self) -> None:
        with self.lock:
            self.file = open(self.path, "r+b", buffering=0)  # noqa: SIM115 (open for as long as the layer is followed)
            self.size = self.file.seek(0, os.SEEK_END)

    def _close_file(self) -> None:
        with self.lock:
            if self.file:
                self.file.close()
            self.file = None


def _record(kind: bytes, content: bytes) -> bytes:
    return _RECORD.pack(kind, len(content), zlib.crc32(content, zlib.crc32(kind))) + content


def _packed(patches: Iterable[_Patch]) -> bytes:
    parts = [_TIME.pack(time.time())]
    for (frame, top, bottom, left, right), count, packed in patches:
        parts += _PATCH.pack(frame, top, left, bottom - top, right - left, count, len(packed)), packed
    return b"".join(parts)


def _next(file: io.BufferedReader) -> tuple[bytes, bytes] | None:
    """The next record's kind and content; None at the end, or where the file is not whole."""
    start = file.read(_RECORD.size)
    if len(start) < _RECORD.size:
        return None
    kind, length, check = _RECORD.unpack(start)
    if length > os.fstat(file.fileno()).st_size:
        return None
    content = file.read(length)
    return (kind, content) if len(content) == length and zlib.crc32(content, zlib.crc32(kind)) == check else None


def _head(file: io.BufferedReader) -> dict[str, Any]:
    """The first record.

    Raises:
        ValueError: there is none.
    """
    record = _next(file) if file.read(len(_MAGIC)) == _MAGIC else None
    if record is None or record[0] != b"HEAD":
        raise ValueError("not a journal")
    head: dict[str, Any] = json.loads(record[1])
    return head


def _changes(file: io.BufferedReader) -> Iterator[_Change]:
    """What follows the first record, as far as it is whole.

    Raises:
        ValueError: not even the second record is.
    """
    first = True
    while record := _next(file):
        kind, content = record
        if first and kind != b"BASE":
            break
        first = False
        when = _TIME.unpack_from(content)[0]
        patches, at = [], _TIME.size
        while at < len(content):
            frame, top, left, height, width, count, length = _PATCH.unpack_from(content, at)
            at += _PATCH.size + length
            packed = content[at - length : at]
            patches.append(_Patch(Box(frame, top, top + height, left, left + width), count, packed))
        yield _Change(kind, when, patches)
    if first:
        raise ValueError("a journal without a beginning")


def _entry(path: Path, head: dict[str, Any], file: io.BufferedReader) -> Entry:
    drawn = head["drawn"]
    strokes, pixels, frames, when = drawn["strokes"], drawn["pixels"], set(drawn["frames"]), 0.0
    for change in _changes(file):
        when = change.when
        if change.kind == b"STEP":
            strokes += 1
            pixels += sum(patch.pixels for patch in change.patches)
            frames.update(patch.box.frame for patch in change.patches)
    about = head["layer"] | head["about"]
    return Entry(path, datetime.fromtimestamp(when).astimezone(), strokes, pixels, tuple(sorted(frames)), about)


def _facts(layer: Labels) -> dict[str, Any]:
    process = psutil.Process()
    return {
        "layer": {
            "name": layer.name,
            "shape": list(layer.data.shape),
            "dtype": np.dtype(layer.data.dtype).name,
            "scale": list(layer.scale),
            "translate": list(layer.translate),
        },
        "process": {"pid": process.pid, "created": process.create_time()},
    }


def _alive(process: dict[str, Any]) -> bool:
    """Whether another process that draws is still there; of this one's, `_LIVE` knows more."""
    if process["pid"] == os.getpid():
        return False
    try:
        found = psutil.Process(process["pid"])
        # The system's clock may be set while it runs; a number is not given again so soon.
        same = abs(found.create_time() - process["created"]) < 60
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _default_folder() -> Path:
    if "VASOMIM_JOURNAL" in os.environ:
        return Path(os.environ["VASOMIM_JOURNAL"])
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state"))
    return base / "vasomim" / "journal"


def _name() -> str:
    return f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"


def _plain(value: Any) -> Any:
    """For JSON: numbers and arrays of numpy as Python's own, anything else as text."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


def _listed(folder: Path, suffix: str) -> list[Path]:
    try:
        return sorted(
            path for path in folder.iterdir() if not suffix or (path.suffix == suffix and path.name[0] != ".")
        )
    except OSError:
        return []  # nothing was ever written there


def _move(path: Path, aside: Path) -> None:
    with suppress(OSError):  # it is gone, or the folder is read-only: then it is offered again
        os.replace(path, aside)
        os.utime(aside)


def _remove(path: Path) -> None:
    with suppress(OSError):  # the folder is read-only: then it is offered again
        path.unlink(missing_ok=True)
