"""Every stroke safe on disk, to be offered back after a crash.

While a labels layer is followed, each finished step (painted by hand or tool, undone, redone) is appended to a file of
its own before the next one can start. It is handed to the system at once, so killing napari loses at most the stroke in
progress; the disk is flushed within half a second, in a thread, so a power cut loses at most that much more.

A journal beyond 20 MB is written anew from what it holds. The folder belongs to the person alone: `about` may hold the
path of an angiogram.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs
from napari.layers import Labels

from napari_vasomim.correcting.journal_file import JournalFile, remove
from napari_vasomim.correcting.undo import Step, steps
from napari_vasomim.correcting.unfinished import Entry
from napari_vasomim.napari_compat import unwrap
from napari_vasomim.notify import warn

_FLUSH_AFTER = 0.3  # seconds


class Journal:
    """Follows labels layers; what earlier ones left is in `unfinished`.

    Args:
        folder: where journals lie; by default that in the environment variable VASOMIM_JOURNAL, else the place that
            the system has for the state of this person's programs.
    """

    limit = 20 << 20  # bytes

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or _default_folder()
        self._files: weakref.WeakKeyDictionary[Labels, JournalFile] = weakref.WeakKeyDictionary()
        self._dirty: set[JournalFile] = set()
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
        layer = unwrap(layer)
        made = steps(layer).made
        self.leave(layer)
        file = JournalFile.of(layer, self.folder, about)
        if continues:
            file.strokes, file.pixels, file.frames = continues.strokes, continues.pixels, set(continues.frames)
        followed = weakref.ref(layer)
        file.slot = made.connect(lambda step: self._step(followed(), step))
        file.end = weakref.finalize(layer, file.close)
        self._files[layer] = file
        if self._write(file, file.begin) and continues:
            remove(continues.path)

    def catch_up(self, layer: Labels) -> None:
        """Write down what was changed without a step, by code that writes into the layer's array."""
        self._step(unwrap(layer), Step(None))

    def describe(self, layer: Labels, about: dict[str, Any], with_next_step: bool = False) -> None:
        """Write down, beside the strokes, what is needed now to offer them back.

        Args:
            layer: that is followed; else nothing happens.
            about: as for `follow`.
            with_next_step: not before the next step, and then both at once: neither is true without the other.
        """
        file = self._files.get(unwrap(layer))
        if file is not None:
            file.head["about"] = about
            if with_next_step:
                file.renew()
            else:
                self._write(file, file.begin)

    def leave(self, layer: Labels) -> None:
        """Follow no longer, and keep what was drawn to be offered."""
        file = self._stop(layer)
        if file and not file.strokes:
            remove(file.path)

    def done(self, layer: Labels) -> None:
        """Follow no longer, and forget what was drawn: it was accepted, or the person does not want it."""
        file = self._stop(layer)
        if file:
            remove(file.path)

    def _stop(self, layer: Labels) -> JournalFile | None:
        layer = unwrap(layer)
        if layer in self._files:
            steps(layer).settle()
        file = self._files.pop(layer, None)
        if file:
            steps(layer).made.disconnect(file.slot, missing_ok=True)
            file.flush()
            file.end()
        return file

    def _step(self, layer: Labels | None, step: Step) -> None:
        file = self._files.get(layer) if layer is not None else None
        if layer is None or file is None:
            return
        if layer.data.shape != file.labels.shape or layer.data.dtype != file.labels.dtype:
            self.leave(layer)
            if layer.ndim in (2, 3):
                self.follow(layer, file.head["about"])  # another label altogether: a journal of its own
        elif not self._write(file, lambda: file.step(layer, step.boxes)):
            file.behind = True
        elif file.size > max(self.limit, 2 * file.size_at_begin):
            self._write(file, file.begin)

    def _write(self, file: JournalFile, write: Callable[[], None]) -> bool:
        try:
            write()
        except OSError as error:
            if not self._warned:
                self._warned = True
                warn(
                    f"Strokes cannot be written to the journal in {self.folder} ({error.strerror or error}): "
                    "painting goes on, but a crash would lose it; make room there and accept your work often."
                )
            return False
        with self._lock:
            self._dirty.add(file)
            if self._flusher is None:
                self._flusher = threading.Timer(_FLUSH_AFTER, self._flush)
                self._flusher.daemon = True
                self._flusher.start()
        return True

    def _flush(self) -> None:
        with self._lock:
            dirty, self._dirty, self._flusher = self._dirty, set(), None
        for file in dirty:
            file.flush()


def _default_folder() -> Path:
    given = os.environ.get("VASOMIM_JOURNAL")
    return Path(given) if given else platformdirs.user_state_path("vasomim", appauthor=False) / "journal"
