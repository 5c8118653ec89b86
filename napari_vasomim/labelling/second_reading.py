"""A second reader's pass through the labels of others: the frames come, and nothing of what the first has drawn."""

from __future__ import annotations

from napari.layers import Labels
from psygnal import Signal

from napari_vasomim.canvas import layers
from napari_vasomim.labelling.navigator import QueueNavigator
from napari_vasomim.labelling.saved_masks import SavedMasks
from napari_vasomim.labelling.sources import FileSource, remembering_reader
from napari_vasomim.labelling.watched_set import Blind, WatchedSet
from napari_vasomim.notify import counted, report_errors
from vasomim_core.errors import LabelError
from vasomim_core.labels.readings import to_read_again

DRAWN = ("correction", "revision", "copy", "difference")
"""Roles of the layers on which the first reading may be seen."""


class SecondReading:
    """Begins and ends the second reading of a viewer; while it goes on, `WatchedSet.blind` is set.

    Args:
        watched: the label set that is open.
        walk: leads through the frames.
        kept: which of the drawn masks are in a set.
    """

    changed = Signal()
    """It has begun or ended, or there is more or less to read."""

    def __init__(self, watched: WatchedSet, walk: QueueNavigator, kept: SavedMasks):
        self._watched, self._walk, self._kept = watched, walk, kept
        self._session = watched.session
        for signal in (watched.opened, watched.changed, self._session.annotator_changed):
            signal.connect(report_errors(self.changed.emit))

    @property
    def on(self) -> bool:
        """Whether one goes on."""
        return self._watched.blind is not None

    def count(self, share: float = 1.0, seed: int = 0) -> tuple[int, int]:
        """How many labels of others there are to read, and how many of them the reader has read."""
        whole = self._watched.whole
        chosen, read = to_read_again(whole.records.values(), whole.readings, self._session.annotator, share, seed)
        return len(chosen), len(read)

    def begin(self, share: float = 1.0, seed: int = 0, drafts: bool = False) -> None:
        """Go through frames that others have labelled, without their labels.

        Angiograms on which something is drawn are closed first: it may be the first reading.

        Args:
            share: of their accepted labels, in (0, 1].
            seed: by which these are drawn.
            drafts: they come with the prediction of the model.

        Raises:
            LabelError: no label set is open, nobody is named, nothing is left to read, or something is drawn in this
                window that no label set has.
        """
        labels, reader, whole = self._watched.need_label_set(), self._session.annotator, self._watched.whole
        if not reader:
            raise LabelError("Say who reads, in the field “by” of the panel Labels, then begin.")
        chosen, read = to_read_again(whole.records.values(), whole.readings, reader, share, seed)
        if len(chosen) == len(read):
            of = f"All {len(chosen)} of them are read by {reader}." if chosen else f"All labels are by {reader}."
            raise LabelError(f"No label of another reader is left to read. {of}")
        self._close_drawn()
        self._watched.keep_from(Blind(reader, share, seed, frozenset(record.id for record in chosen), drafts))
        read_file = remembering_reader()
        files = [FileSource(labels.frame_path(one.id), read_file, one.frame_index) for one in chosen]
        self._walk.work_on(files, labels.folder, "labels of others")

    def end(self) -> None:
        """See all labels again."""
        self._watched.keep_from(None)
        self._walk.work_here()

    def _close_drawn(self) -> None:
        viewer = self._session.viewer
        drawn = [layer for layer in viewer.layers if isinstance(layer, Labels) and layers.role(layer) in DRAWN]
        found = (layers.owner(viewer, layer) for layer in drawn if layer.data.any())
        owners = {angiogram for angiogram in found if angiogram is not None}
        for angiogram in owners:
            copies = any(layers.role(layer) == "copy" and layers.owner(viewer, layer) is angiogram for layer in drawn)
            if copies or self._kept.missing(angiogram):
                raise LabelError(
                    f"What is drawn on {angiogram.name} is in no label set: accept it, or delete its layers, then "
                    "begin."
                )
        if owners:
            what = counted(len(owners), "angiogram")
            self._watched.said.emit(f"Closed {what} with drawn labels: the first reading could be seen there.")
        for angiogram in owners:
            layers.remove(viewer, *[part for part in viewer.layers if layers.owner(viewer, part) is angiogram])
