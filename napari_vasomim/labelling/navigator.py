"""The way through the frames to annotate: where a person is in the queue, and where to go next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.canvas import layers
from napari_vasomim.labelling.contents import Contents, count_words
from napari_vasomim.labelling.files import OpenFiles, read_file
from napari_vasomim.labelling.label_writer import LabelWriter, Saved
from napari_vasomim.labelling.queue import AnnotationQueue, Order, Place
from napari_vasomim.labelling.saved_masks import SavedMasks
from napari_vasomim.labelling.sources import FileSource, LayerSource, remembering_reader
from napari_vasomim.labelling.watched_set import WatchedSet
from napari_vasomim.notify import report_error, report_errors
from vasomim_core.errors import VasoMIMError
from vasomim_core.reading import find_angiograms

AT_ONCE = 8
"""Frames that are read before the window is told."""


class QueueNavigator:
    """Where a person is in the queue of one viewer, and the way on.

    Args:
        watched: the label set that is open.
        saving: what it accepts, skips or flags makes the walk go on.
        kept: tells whether a file that is left can be closed.

    Attributes:
        queue: the frames in order.
        folder: whose files are worked through; None for the angiogram that is open.
        called: what the folder is called for people.
        message: what there is to say about the queue; empty if nothing.
        done: the whole queue is labelled.
    """

    changed = Signal()
    """Another place, queue, or message."""
    leaving = Signal()
    """Another frame of the queue is about to be shown."""
    arrived = Signal(object)
    """A frame of the queue (`Place`) is shown, because somebody went on to it."""

    def __init__(self, watched: WatchedSet, saving: LabelWriter, kept: SavedMasks):
        self.session = watched.session
        self.queue = AnnotationQueue([])
        self.folder: Path | None = None
        self.called, self._labelled = "", False
        self.message = ""
        self.done = False
        self._watched, self._kept = watched, kept
        self._files = OpenFiles(self.session)
        self._read = remembering_reader()
        self._file = 0
        self._said_at: Place | None = None
        self._owner = QObject()
        self._finding = LatestRequest(self._owner, self._found, self._failed)
        self._seeking = LatestRequest(self._owner, self._sought, self._failed)
        self._fetching = LatestRequest(self._owner, self._fetched, self._failed)
        self._learning = LatestRequest(self._owner, self._learned)
        self.session.angiogram_changed.connect(report_errors(lambda _: self._angiogram_changed()))
        self.session.frame_changed.connect(report_errors(self._frame_changed))
        self.session.predicted.connect(report_errors(lambda _: self._gather()))
        self.session.label_set_changed.connect(report_errors(lambda _: self._set_changed()))
        self.session.canvas.folder_opened.connect(report_errors(self.work_through))
        watched.changed.connect(report_errors(self.changed.emit))
        saving.saved.connect(report_errors(self._saved))
        self._angiogram_changed()

    # What is worked through

    def work_through(self, folder: Path | str) -> None:
        """Work through the angiograms of a folder and the folders in it."""
        self._say("Looking for angiograms…")
        self._finding.ask(lambda: (Path(folder), find_angiograms(folder)))

    def work_on(self, files: list[FileSource], folder: Path, called: str, labelled: bool = False) -> None:
        """Work through these files of a folder, in this order; the queue has this name.

        Args:
            files: in this order.
            folder: that they are of.
            called: name of the queue, for people.
            labelled: they have labels; then nothing leads on but `go`, `next` and `previous`. Else the first frame
                without a label is shown.
        """
        self._start(dict.fromkeys(files), folder, called)
        self._labelled = labelled
        if not labelled:
            self.next_unlabelled(from_start=True)

    def work_here(self) -> None:
        """Work on the angiogram that is open."""
        layer = self.session.angiogram
        self._start({} if layer is None else {LayerSource(layer): layer})

    def _found(self, result: tuple[Path, list[Path]]) -> None:
        folder, files = result
        self.work_on([FileSource(file, self._read) for file in files], folder, f"folder “{folder.name}”")

    def _start(self, sources: dict[Any, Image | None], folder: Path | None = None, called: str = "") -> None:
        """Begin a queue of sources, each with its angiogram if that is open."""
        self.folder, self.called, self._labelled = folder, called, False
        self._files.forget()
        for file, layer in enumerate(sources.values()):
            if layer is not None:
                self._files.put(file, layer)
        self.queue = AnnotationQueue(list(sources), self.queue.every, self.queue.order)
        self._file, self.done = 0, False
        self._say()
        self._gather()
        self._learn()

    def set_order(self, order: Order) -> None:
        """In file order, or the most uncertain first."""
        self.queue.order = order
        self.done = False
        self._say()

    def set_every(self, every: int) -> None:
        """Take every n-th frame of a cine."""
        self.queue.every = every
        self.done = False
        self._say()
        self._learn()

    def layer_of(self, file: int) -> Image | None:
        """The angiogram of a file of the queue, if it is open."""
        layer = self._files.get(file)
        return layer if layer is not None and layer in self.session.viewer.layers else None

    def segmented(self) -> set[Place]:
        """The places whose prediction is there, in the files that are open."""
        known = ((file, self.session.predictions.get(layer)) for file, layer in self._files.items())
        return {Place(file, frame) for file, found in known if found is not None for frame in found.frames}

    @property
    def place(self) -> Place | None:
        """The place that is shown; None while nothing of the queue is."""
        layer = self.session.angiogram
        if layer is None or self._files.get(self._file) is not layer:
            return None
        return Place(self._file, self.session.index)

    def strip(self) -> tuple[list[Place], int]:
        """The places of the file at work, or one for each file if these are stills; and which of them is shown."""
        if not self.queue.sources:
            return [], -1
        places = self.queue.of_file(self._file)
        if len(self.queue.sources) > 1 and len(places) < 2:
            return [Place(file, 0) for file in range(len(self.queue.sources))], self._file
        shown = self.place
        return places, places.index(shown) if shown in places else -1

    # Going on

    def next(self) -> None:
        """Go to the next frame."""
        place = self.place
        self._turn(self.queue.after(place) if place else self._back(), "the last")

    def previous(self) -> None:
        """Go to the frame before."""
        place = self.place
        self._turn(self.queue.before(place) if place else self._back(), "the first")

    def _back(self) -> Place | None:
        """The place that was left for an angiogram outside the queue."""
        return Place(self._file, 0) if self.queue.sources else None

    def _turn(self, place: Place | None, which: str) -> None:
        if not self.queue.sources:
            self.session.need_angiogram()
        elif place is None:
            self._say(f"This is {which} frame of the queue.")
        else:
            self.go(place)

    def next_unlabelled(self, from_start: bool = False) -> None:
        """Go to the next frame that has no label yet; where there is none, say so."""
        if not self.queue.sources:
            self.session.need_angiogram()
            return
        queue, contents = self.queue, self._watched.contents
        here, labels = self.place, self.session.label_set
        place = None if from_start else here

        def work() -> tuple[AnnotationQueue, Place | None, Contents]:
            # A set that was opened a moment ago may not have been looked at yet.
            known = contents if contents.records or labels is None else self._watched.seen(Contents.read(labels))
            return queue, queue.next_unlabelled(place, known), known

        self._say("Looking for the next one…")
        self._seeking.ask(work)

    def _sought(self, result: tuple[AnnotationQueue, Place | None, Contents]) -> None:
        queue, place, contents = result
        if queue is not self.queue:
            return
        here = self.place
        if place is not None:
            self.go(place)
        elif here is not None and self.queue.record(here, contents) is None:
            self._say("This is the only frame of the queue that has no label yet.")
        else:
            self.done = bool(any(queue.by_status(contents).values()))
            self._say("" if self.done else self._nothing())
            if here is None and self.done:
                self.go(Place(0, 0))
                self.done = True
                self.changed.emit()

    def _nothing(self) -> str:
        problem = next(iter(self.queue.problems.values()), "")
        return f"No frame of the queue can be read. {problem}"

    def summary(self) -> str:
        """What became of the queue: "40 accepted · 2 skipped"."""
        return count_words(self.queue.by_status(self._watched.contents))

    @property
    def accepted(self) -> int:
        """Number of accepted frames of the queue."""
        return self.queue.by_status(self._watched.contents)["accepted"]

    def go(self, place: Place) -> None:
        """Show a frame of the queue; opens its file if need be."""
        source = self.queue.sources[place.file]
        known = self._files.find(place.file, source.path) if isinstance(source, FileSource) else None
        layer = known or self._files.get(place.file)
        self.done = False
        if layer is not None and layer in self.session.viewer.layers:
            self.leaving.emit()
            self._arrive(place, layer)
            return
        if not isinstance(source, FileSource):
            self._say("The angiogram was closed; open another one, or work through a folder.")
            return
        self._say("Opening the next file…")
        queue = self.queue
        self._fetching.ask(lambda: (queue, place, read_file(source)))

    def _fetched(self, result: tuple[AnnotationQueue, Place, Any]) -> None:
        queue, place, read = result
        if queue is self.queue:
            self.leaving.emit()
            frame_index = queue.sources[place.file].frame_index
            self._arrive(place, self._files.add(place.file, read, frame_index))

    def _failed(self, error: Exception) -> None:
        report_error(error)
        self._say(str(error) if isinstance(error, VasoMIMError) else "")

    def _arrive(self, place: Place, layer: Image) -> None:
        left = self._files.get(self._file) if place.file != self._file else None
        self._file = place.file
        self._files.show(layer)
        self.session.canvas.go_to(layer, place.frame)
        self._say(self._leave(left) if left is not None and left is not layer else "")
        self._learn()
        self.arrived.emit(place)

    def _leave(self, layer: Image) -> str:
        """Close a file that was worked on; one with work on it that no label set has stays open, hidden."""
        if self.folder is None or layer not in self.session.viewer.layers:
            return ""
        if not self._kept.missing(layer):
            if self._files.may_close(layer):
                self._files.close(layer)
            return ""
        return "The file before stays open, hidden: what is drawn there was not accepted."

    # What the window tells

    def _angiogram_changed(self) -> None:
        layer = self.session.angiogram
        if self.folder is None and (layer is not self._files.get(0) or (layer is None) == bool(self.queue.sources)):
            self.work_here()
            return
        place = self.place
        if place is not None and layer is not None:
            source, chosen = self.queue.sources[place.file], layers.facts(layer).chosen
            if source.chosen != chosen:
                source.chosen = chosen
                self.queue.forget(place.file)
                self._learn()
        self.changed.emit()

    def _frame_changed(self) -> None:
        if self.place != self._said_at and not self._seeking.busy:
            self.done, self.message = False, ""
        self.changed.emit()

    def _set_changed(self) -> None:
        self.done = False
        self.changed.emit()

    def _gather(self) -> None:
        """Take over what models have said about the frames of the queue."""
        for file, layer in self._files.items():
            prediction = self.session.predictions.get(layer)
            if prediction is not None:
                self.queue.uncertainty.update(
                    {Place(file, frame): bits for frame, bits in list(prediction.uncertainty.items())}
                )
        self.changed.emit()

    def _saved(self, saved: Saved) -> None:
        place = self.place
        if place is not None and saved.layer is self.session.angiogram and saved.index == place.frame:
            self.queue.learn(place)
            if not self._labelled:
                self.next_unlabelled(from_start=self.queue.order == "uncertain")

    def _learn(self) -> None:
        """Find out in the background which frames of the file the label set has."""
        queue, file = self.queue, self._file
        if queue.sources:
            self._learning.ask(lambda: (queue, file, self._some(queue, file)))

    def _some(self, queue: AnnotationQueue, file: int) -> bool:
        unknown = [place for place in queue.of_file(file) if not queue.is_learned(place)]
        for place in unknown[:AT_ONCE]:
            queue.learn(place)
        return len(unknown) > AT_ONCE

    def _learned(self, result: tuple[AnnotationQueue, int, bool]) -> None:
        queue, file, more = result
        if queue is self.queue and file == self._file:
            self.changed.emit()
            if more:
                self._learn()

    def _say(self, message: str = "") -> None:
        self.message, self._said_at = message, self.place
        self.changed.emit()
