"""Under which group the frames of an angiogram are kept: those of one patient or run never part."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace

from napari.layers import Image
from qtpy.QtCore import QObject

from napari_vasomim.background.threads import LatestRequest
from napari_vasomim.canvas import frames, layers
from napari_vasomim.labelling.contents import Contents
from napari_vasomim.labelling.sources import LayerSource, sha_of_frames
from napari_vasomim.labelling.watched_set import WatchedSet
from vasomim_core.errors import LabelError
from vasomim_core.labels.labelset import LabelSet, Record, pixel_sha256
from vasomim_core.reading import patient_group


class Groups:
    """The groups of the angiograms of one viewer.

    Args:
        watched: the label set that is open.
    """

    def __init__(self, watched: WatchedSet):
        self._watched = watched
        self._defaults: weakref.WeakKeyDictionary[Image, str] = weakref.WeakKeyDictionary()
        self._owner = QObject()
        self._moving = LatestRequest(self._owner, lambda tell_of_it: tell_of_it())
        watched.opened.connect(self._defaults.clear)  # a pseudonym is made with the key of its set

    def of(self, layer: Image, record: Record | None) -> str:
        """The group of an angiogram, one of whose frames has this record; empty for none. Takes its time.

        What the person wrote, else what the set has, else the patient's pseudonym, else a run's own.
        """
        written = layers.facts(layer).group
        if written is not None:
            return written
        if record is not None and record.group:
            return record.group
        if layer not in self._defaults:
            self._defaults[layer] = self._default(layer)
        return self._defaults[layer]

    def _default(self, layer: Image) -> str:
        path = layers.path_of(layer)
        labels = self._watched.session.label_set
        if labels is not None and path is not None:
            try:
                group = patient_group(path, labels.key)
            except LabelError:  # the key was taken out, as before giving the set away
                group = None
            if group:
                return group
        # Like an import: the frames of a run are near copies of each other.
        return pixel_sha256(frames.stored(layer, 0))[:16] if frames.frame_count(layer) > 1 else ""

    def set(self, layer: Image, group: str) -> None:
        """Keep all frames of an angiogram, also those that the set has already, under this group; "" for none."""
        layers.set_facts(layer, replace(layers.facts(layer), group=group))
        labels, contents = self._watched.session.label_set, self._watched.contents
        if labels is not None and contents.records:
            self._moving.ask(lambda: self._move(labels, contents, layer, group))

    def _move(self, labels: LabelSet, contents: Contents, layer: Image, group: str) -> Callable[[], None]:
        known = [contents.find(sha, index) for index, sha in sha_of_frames(LayerSource(layer))]
        others = [record for record in known if record is not None and (record.group or "") != group]
        for record in others:
            labels.set_group(record.id, group or None)

        def tell_of_it() -> None:
            if others:
                what = f"in the group {group}" if group else "without a group"
                self._watched.said.emit(
                    f"{len(others)} kept label{'s' * (len(others) > 1)} of this angiogram: now {what}."
                )
                self._watched.session.label_set_changed.emit(labels)

        return tell_of_it
