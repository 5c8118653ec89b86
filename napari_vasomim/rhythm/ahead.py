"""Frames ahead are segmented while the person works: the next few of the queue, or all of it when that is asked for.

One frame at a time, behind all that the person asks of the engine. It begins once the person has segmented a frame: no
model runs that nobody has used. What was found is dropped when the model, how it is asked, the queue or the pixels
change; of files that are not open yet, the next few frames alone are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_vasomim.attached import PerViewer
from napari_vasomim.background import engine
from napari_vasomim.background.futures import deliver
from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.canvas import layers
from napari_vasomim.labelling.contents import Contents
from napari_vasomim.labelling.desk import LabellingDesk
from napari_vasomim.labelling.queue import AnnotationQueue, Place
from napari_vasomim.labelling.sources import FileSource
from napari_vasomim.notify import report_error, report_errors
from napari_vasomim.prediction_layers import PredictionLayers
from napari_vasomim.session import Session
from vasomim_core.errors import VasoMIMError
from vasomim_core.files import stamp
from vasomim_core.inference.requests import Segment, Segmentation
from vasomim_core.reading import GreyLevels

AHEAD = 3
"""Frames that are to be ready."""


@dataclass(frozen=True, eq=False)
class _Frame:
    """A frame to be segmented, as it was read.

    Attributes:
        place: in the queue.
        grey: uint8 (H, W).
        chosen: how a person wants it to be seen.
        stamp: of its file; None of an open angiogram.
        near: it is one of the next few.
    """

    place: Place
    grey: NDArray[np.uint8]
    chosen: GreyLevels
    stamp: Any
    near: bool


@dataclass(frozen=True)
class _Look:
    """What is to be done next, seen in a thread: a frame to segment, or none; how many of the next few are ready."""

    frame: _Frame | None
    ready: int
    near: int
    unreadable: tuple[Place, ...]


class Ahead(PerViewer):
    """Segments frames ahead in one viewer; get it with `Ahead.of`.

    Attributes:
        on: the next few frames are wanted.
        whole: the whole queue is being segmented.
        done: files of it that are through, and of how many.
        ready: how many of the next frames are ready, and how many there are, at most `AHEAD`.
        trouble: why it has stopped, in one sentence; empty if it has not.
    """

    changed = Signal()
    """Another of these attributes."""

    def __init__(self, viewer: ViewerModel):
        self._session = Session.of(viewer)
        desk = LabellingDesk.of(viewer)
        self._walk, self._watched = desk.navigator, desk.watched
        self._layers = PredictionLayers.of(viewer)
        self.on = True
        self.whole, self.done, self.ready, self.trouble = False, (0, 0), (0, 0), ""
        self._used = False
        self._queue = self._walk.queue
        self._kept: dict[Place, tuple[_Frame, Segmentation]] = {}
        self._unreadable: set[Place] = set()
        self._measured: set[Place] = set()
        self._round = 0  # answers of an earlier one are dropped
        self._work: dict[Place, Future[Segmentation]] = {}
        self._owner = QObject()
        self._looking = LatestRequest(self._owner, self._looked, self._failed)
        self._session.predicted.connect(report_errors(self._predicted))
        for signal in (self._session.model_changed, self._session.settings_changed, self._session.pixels_changed):
            signal.connect(report_errors(lambda *_: self.drop()))
        self._walk.changed.connect(report_errors(self._queue_changed))
        self._watched.changed.connect(report_errors(self.go_on))

    @property
    def used(self) -> bool:
        """Whether the person has segmented a frame in this window, or the whole queue."""
        return self._used

    def words(self) -> str:
        """How far it is, in one quiet line."""
        ready, near = self.ready
        if self.trouble:
            return self.trouble
        if not self.on:
            return ""
        if not self._used:
            return "Once a frame is segmented, the next ones are segmented while you work."
        if not near:
            return "No frame without a label is ahead."
        if ready < near:
            return f"{ready} of the next {near} frames {'is' if ready == 1 else 'are'} ready."
        return "The next frame is ready." if near == 1 else f"The next {near} frames are ready."

    # What the person asks for

    def segment_whole(self) -> None:
        """Segment the whole queue, so that the most uncertain frame of all can come first.

        Raises:
            InputError: the queue is empty.
        """
        if not self._walk.queue.sources:
            self._session.need_angiogram()
        self.whole, self._used, self.trouble = True, True, ""
        self.done = 0, len(self._walk.queue.sources)
        self.changed.emit()
        self.go_on()

    def stop_whole(self) -> None:
        """Leave it at the frames that are segmented by now."""
        self.whole = False
        self.changed.emit()

    def need(self, place: Place) -> None:
        """The person looks at this frame: have its prediction shown, before anything else."""
        layer = self._walk.layer_of(place.file)
        if layer is None or not self._used:
            return
        kept = self._kept.pop(place, None)
        if kept is not None:
            self._keep(layer, *kept)
        known = self._session.predictions.get(layer)
        if (known is None or place.frame not in known) and place not in self._work:
            source, queue = self._walk.queue.sources[place.file], self._walk.queue
            ask = LatestRequest(self._owner, partial(self._ask, queue, self._round, engine.shared().call), self._failed)
            ask.ask(lambda: _read(source, place, near=True))
        self.go_on()

    def drop(self) -> None:
        """Forget what was found ahead: another model, or other pixels. What is not open is segmented anew."""
        self._round += 1
        for future in self._work.values():
            future.cancel()
        for place in self._measured:
            self._queue.uncertainty.pop(place, None)
        self._work.clear()
        self._kept.clear()
        self._measured.clear()
        self._unreadable.clear()
        self.whole, self.ready, self.trouble = False, (0, 0), ""
        self.changed.emit()
        self.go_on()

    # One frame after the other

    def go_on(self) -> None:
        """Look for the next frame to segment, unless one is being segmented."""
        if not self._used or self.trouble or self._work or self._looking.busy or not self._watched.has_viewer:
            return
        if not self.on and not self.whole:
            return
        queue, place, contents = self._walk.queue, self._walk.place, self._watched.contents
        known, near, whole = set(self._kept) | self._walk.segmented() | self._unreadable, self.on, self.whole
        self._looking.ask(lambda: (queue, _look(queue, place, contents, known, near, whole)))

    def _looked(self, result: tuple[AnnotationQueue, _Look]) -> None:
        queue, found = result
        if queue is not self._walk.queue:
            self.go_on()
            return
        self._unreadable.update(found.unreadable)
        self.ready = found.ready, found.near
        if found.frame is not None:
            self.done = (found.frame.place.file, len(queue.sources)) if not found.frame.near else self.done
            self._ask(queue, self._round, engine.shared().behind, found.frame)
        else:
            self.whole = False
        self.changed.emit()

    def _ask(
        self,
        queue: AnnotationQueue,
        begun: int,
        call: Callable[[Segment], Future[Segmentation]],
        frame: _Frame,
    ) -> None:
        if begun != self._round or queue is not self._walk.queue or frame.place in self._work:
            return
        model, mirrored = self._session.model, self._layers.mirrored
        future = call(Segment(frame.grey, model, mirrored))
        self._work[frame.place] = future
        deliver(future, self._owner, report_errors(partial(self._answered, begun, frame)), self._failed)

    def _answered(self, begun: int, frame: _Frame, answer: Segmentation) -> None:
        if begun != self._round or not self._watched.has_viewer:
            return
        place, layer = frame.place, self._walk.layer_of(frame.place.file)
        self._work.pop(place, None)
        self._measured.add(place)
        self._queue.uncertainty[place] = float(answer.uncertainty.mean())
        if layer is not None:
            self._keep(layer, frame, answer)
        elif frame.near:
            self._kept[place] = frame, answer
            while len(self._kept) > AHEAD:
                self._kept.pop(next(iter(self._kept)))
        self._walk.changed.emit()
        self.go_on()

    def _keep(self, layer: Image, frame: _Frame, answer: Segmentation) -> None:
        """Give what was found to its angiogram: if that is still what was read, and has no frames of another model."""
        facts, index = layers.facts(layer), frame.place.frame
        known, model, mirrored = self._session.predictions.get(layer), self._session.model, self._layers.mirrored
        as_read = facts.chosen == frame.chosen and (frame.stamp is None or facts.stamp == frame.stamp)
        if as_read and (known is None or (index not in known and known.by(model, mirrored, answer.version))):
            self._layers.keep(layer, index, answer, model, mirrored)

    def _failed(self, error: Exception) -> None:
        """Nothing ahead is worth a message in the person's way, but what was asked for is."""
        asked, self.whole = self.whole, False
        self._work.clear()
        self.trouble = f"Frames ahead are not segmented. {error if isinstance(error, VasoMIMError) else ''}".strip()
        if asked or not isinstance(error, VasoMIMError):
            report_error(error)
        self.changed.emit()

    # What the window tells

    def _predicted(self, prediction: Any) -> None:
        if not self._work:  # the person has asked
            self._used, self.trouble = True, ""
        self.go_on()

    def _queue_changed(self) -> None:
        if self._walk.queue is not self._queue:
            self._queue = self._walk.queue
            self.drop()
        else:
            self.go_on()


def _read(source: Any, place: Place, near: bool) -> _Frame:
    """Read a frame, in a thread.

    Raises:
        InputError: it cannot be read.
    """
    path: Path | None = source.path if isinstance(source, FileSource) else None
    before, chosen = stamp(path) if path is not None else None, source.chosen
    return _Frame(place, source.grey(place.frame), chosen, before, near)


def _look(
    queue: AnnotationQueue, place: Place | None, contents: Contents, known: set[Place], nearest: bool, whole: bool
) -> _Look:
    """Find the next frame to segment, in a thread."""
    begin = place if queue.order == "file" else None
    upcoming = queue.upcoming(begin, contents, AHEAD + 1) if nearest else []
    near = [other for other in upcoming if other != place][:AHEAD]
    ready = sum(other in known for other in near)
    unreadable: list[Place] = []

    def wanted() -> Iterator[tuple[Place, bool]]:
        yield from ((other, True) for other in near if other not in known)
        for file in range(len(queue.sources)) if whole else ():
            unknown = (other for other in queue.of_file(file) if other not in queue.uncertainty)
            yield from ((other, False) for other in unknown if other not in known)

    for other, is_near in wanted():
        try:
            return _Look(_read(queue.sources[other.file], other, is_near), ready, len(near), tuple(unreadable))
        except VasoMIMError:
            unreadable.append(other)
    return _Look(None, ready, len(near), tuple(unreadable))
