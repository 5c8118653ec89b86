"""Finds the measures that were kept of an angiogram, frame by frame in a thread, by the pixels of each frame."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from napari.layers import Image
from qtpy.QtCore import QObject

from napari_vasomim.background.sequencer import Sequencer
from napari_vasomim.background.threads import submit
from napari_vasomim.canvas import frames, layers
from napari_vasomim.measuring.entry import Entry
from napari_vasomim.notify import report_error, warn
from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.labels.mask import pixel_sha256
from vasomim_core.measures.kept import KeptMeasure
from vasomim_core.measures.store import MeasureStore, fingerprint
from vasomim_core.reading import GreyLevels

Found = tuple[list[Entry], str]
"""Measures of one frame, and why others could not be read."""


class Finder:
    """Looks through the frames of angiograms, one angiogram after the other.

    Args:
        found: gets an angiogram and the measures of one of its frames.
        ended: gets the angiogram whose last frame was looked at.
    """

    def __init__(self, found: Callable[[Image, list[Entry]], object], ended: Callable[[Image], object]):
        self._owner = QObject()
        self._found, self._ended = found, ended
        self._walk: Sequencer[int, Found] | None = None
        self._waiting: list[Image] = []
        self._now: Image | None = None

    def look(self, layer: Image) -> None:
        """Look through an angiogram, from the start if that is under way."""
        if self._now is layer and self._walk is not None:
            self._walk.cancel()
            self._walk = self._now = None
        if layer not in self._waiting:
            self._waiting.append(layer)
        self._go_on()

    def forget(self, layer: Image) -> None:
        """The angiogram has gone."""
        if layer in self._waiting:
            self._waiting.remove(layer)
        if self._now is layer and self._walk is not None:
            self._walk.cancel()
            self._walk = self._now = None
            self._go_on()

    def _go_on(self) -> None:
        if self._walk is not None or not self._waiting:
            return
        layer = self._waiting.pop(0)
        store, levels = MeasureStore(), layers.facts(layer).levels
        told: set[str] = set()

        def ask(index: int) -> Future[Found]:
            return submit(lambda: _of_frame(layer, index, store, known, levels))

        def each(index: int, answer: Found) -> None:
            entries, problem = answer
            if problem and problem not in told:
                told.add(problem)
                warn(problem)
            if entries:
                self._found(layer, entries)

        def done() -> None:
            self._walk = self._now = None
            self._ended(layer)
            self._go_on()

        def failed(error: Exception) -> None:
            report_error(error)
            done()

        known = store.frames()
        every = range(frames.frame_count(layer)) if known else ()
        self._now, self._walk = layer, Sequencer(self._owner, every, ask, each, done, failed)
        self._walk.start()


def _of_frame(layer: Image, index: int, store: MeasureStore, known: set[str], levels: GreyLevels) -> Found:
    """The measures of a frame; runs in a thread."""
    try:
        pixels = frames.pixels_of(layer, index)
        sha = fingerprint(pixels)
        if sha not in known:
            return [], ""
        grey = levels.grey(pixels)
    except VasoMIMError:
        return [], ""  # a frame that cannot be read has no measures; whoever shows it says why
    try:
        listed = store.read(sha)
    except InputError as error:
        return [], str(error)
    grey_sha = pixel_sha256(grey)
    found = []
    for kept in listed:
        try:
            measure = kept.again(grey)
            found.append(Entry(index, sha, grey_sha, kept, measure, kept.difference(measure, grey_sha)))
        except InputError as error:
            found.append(Entry(index, sha, grey_sha, kept, None, _cannot(kept, error)))
    return found, ""


def _cannot(kept: KeptMeasure, error: InputError) -> str:
    model = f" The model {kept.model} had helped to find its path." if kept.model else ""
    return f"It cannot be measured again ({error}); these are the numbers that were kept.{model}"
