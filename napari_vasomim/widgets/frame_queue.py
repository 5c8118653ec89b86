"""The queue of frames in the panel Labels: where a person is in it, and what it is made of."""

from __future__ import annotations

from qtpy.QtWidgets import QFileDialog, QSpinBox

from napari_vasomim.canvas import frames
from napari_vasomim.keys import key_of
from napari_vasomim.labelling.navigator import QueueNavigator
from napari_vasomim.labelling.sources import FileSource
from napari_vasomim.labelling.watched_set import WatchedSet
from napari_vasomim.notify import report_errors
from napari_vasomim.widgets.frame_strip import FrameStrip
from napari_vasomim.widgets.kit import Panel, button, choice, hint, row

HERE, FOLDER, CHOOSE = range(3)


class QueuePosition:
    """A strip of the frames with what became of them, the place in words, and the buttons to go on.

    Args:
        panel: gets the widgets at the end of its column.
        walk: the way through the frames.
        watched: the label set that is open.
    """

    def __init__(self, panel: Panel, walk: QueueNavigator, watched: WatchedSet):
        self._walk, self._watched = walk, watched
        self.strip = FrameStrip(self._strip_clicked)
        self.words = hint()
        self.previous = button("◀ Previous", walk.previous, f"The frame before, in this order ({key_of('previous')})")
        self.next = button("Next ▶", walk.next, f"The next frame, in this order ({key_of('next')})")
        self.unlabelled = button("Unlabelled ▶▶", walk.next_unlabelled, "The next frame without a label")
        panel.body.addWidget(self.strip)
        panel.body.addWidget(self.words)
        panel.body.addLayout(row(self.previous, self.next, self.unlabelled))
        panel.follow(walk.changed, self._show)
        self._show()

    def _strip_clicked(self, cell: int) -> None:
        self._walk.go(self._walk.strip()[0][cell])

    def _show(self) -> None:
        queue, contents = self._walk.queue, self._watched.contents
        places, shown = self._walk.strip()
        records = [queue.record(place, contents) for place in places]
        cells = [None if record is None else record.status for record in records]
        many_files = len(queue.sources) > 1

        def words(cell: int) -> str:
            place, status = places[cell], cells[cell] or "no label yet"
            source = queue.sources[place.file]
            file = f" ({source.path.name})" if isinstance(source, FileSource) else ""
            return f"file {place.file + 1}{file}: {status}" if many_files else f"frame {place.frame + 1}: {status}"

        self.strip.set_cells(cells, shown, words)
        self.strip.setVisible(len(places) > 1)
        self.words.setText(self._in_words())
        for widget in (self.previous, self.next, self.unlabelled):
            widget.setEnabled(bool(queue.sources))

    def _in_words(self) -> str:
        walk, queue = self._walk, self._walk.queue
        if not queue.sources:
            return "Open an angiogram, or choose a folder to work through."
        if walk.done and self._watched.blind is not None:
            return f"All {walk.accepted} frames of the second reading are read. End it below to see how you agree."
        if walk.done:
            then = "Teach a model with them in Finetune, or" if walk.accepted else "Go back to one of them, or"
            return f"All done: {walk.summary()}. {then} choose another folder below."
        if walk.message:
            return walk.message
        place = walk.place
        if place is None:
            return "The angiogram on show is not of this folder; Next leads back to it."
        count, files = queue.count(place.file), len(queue.sources)
        words = f"Frame {place.frame + 1} of {count}"
        if files > 1:
            words = f"{words}, file {place.file + 1} of {files}" if count > 1 else f"File {place.file + 1} of {files}"
        record = queue.record(place, self._watched.contents)
        words += f" · {record.status}" if record is not None else ""
        if queue.order == "uncertain":
            bits = queue.uncertainty.get(place)
            words += f" · {bits:.3f} bits" if bits is not None else ""
            if not queue.segmented:
                words += ". No frame is segmented yet, so they come in file order."
            elif files > 1 or queue.segmented < len(queue.of_file(place.file)):
                words += f". {queue.segmented} segmented; the others come last."
        if queue.problems:
            words += f". {len(queue.problems)} file{'s' * (len(queue.problems) > 1)} cannot be read and are left out."
        return words


class QueueChoice:
    """From where the frames come, in which order, and how many of a cine.

    Args:
        panel: gets the widgets at the end of its column.
        walk: the way through the frames.
    """

    def __init__(self, panel: Panel, walk: QueueNavigator):
        self._panel, self._walk = panel, walk
        self.source = choice(
            ("the open angiogram", HERE),
            ("a folder…", CHOOSE),
            tooltip="Work through the frames of the open angiogram, or through all angiograms of a folder. "
            "Its files are opened one by one, and closed again when what is drawn on them is kept",
        )
        self.order = choice(
            ("file order", "file"),
            ("most uncertain first", "uncertain"),
            tooltip="Most uncertain first: frames on which the model is least sure teach it most. "
            "Segment them first; those not segmented come last",
        )
        self.every = QSpinBox()
        self.every.setRange(1, 100)
        self.every.setMaximumWidth(104)
        self.every.setPrefix("1 in ")
        self.every.setSpecialValueText("all")
        self.every.setToolTip(
            "Neighbours in a cine are near copies; to take one frame in five costs little and saves most"
        )
        form = panel.section("Frames to annotate")
        form.addRow("from", self.source)
        order = row(self.order)
        order.addWidget(self.every)
        form.addRow("order", order)
        self.source.activated.connect(report_errors(self._source_chosen))
        self.order.activated.connect(report_errors(self._order_chosen))
        self.every.valueChanged.connect(report_errors(walk.set_every))
        panel.follow(walk.changed, self._show)
        self._show()

    def choose_folder(self) -> None:
        """Ask which folder to work through."""
        folder = QFileDialog.getExistingDirectory(self._panel, "Work through the angiograms of a folder")
        if folder:
            self._walk.work_through(folder)
        self._show_source()

    def _source_chosen(self, *_: int) -> None:
        what = self.source.currentData()
        if what == CHOOSE:
            self.choose_folder()
        elif what == HERE and self._walk.folder is not None:
            self._walk.work_here()

    def _order_chosen(self, *_: int) -> None:
        self._walk.set_order(self.order.currentData())

    def _show(self) -> None:
        self._show_source()
        sources, angiogram = self._walk.queue.sources, self._panel.session.angiogram
        for widget in (self.order, self.every):
            widget.setEnabled(bool(sources))
        cine = len(sources) > 1 or (angiogram is not None and frames.frame_count(angiogram) > 1)
        self.every.setVisible(cine)

    def _show_source(self) -> None:
        """Name the folder in the choice of the source."""
        folder = self._walk.folder
        place = self.source.findData(FOLDER)
        if place >= 0:
            self.source.removeItem(place)
        if folder is not None:
            self.source.insertItem(1, self._walk.called, FOLDER)
        self.source.setCurrentIndex(self.source.findData(HERE if folder is None else FOLDER))
