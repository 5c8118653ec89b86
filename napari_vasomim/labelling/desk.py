"""All that one viewer needs to label frames, put together."""

from __future__ import annotations

from napari.components import ViewerModel

from napari_vasomim.attached import PerViewer
from napari_vasomim.labelling.groups import Groups
from napari_vasomim.labelling.label_writer import LabelWriter
from napari_vasomim.labelling.navigator import QueueNavigator
from napari_vasomim.labelling.revisions import Revisions
from napari_vasomim.labelling.saved_masks import SavedMasks
from napari_vasomim.labelling.second_reading import SecondReading
from napari_vasomim.labelling.settling import Settling
from napari_vasomim.labelling.shown_label import ShownLabel
from napari_vasomim.labelling.watched_set import WatchedSet
from napari_vasomim.session import Session
from napari_vasomim.shortcuts import Shortcuts


class LabellingDesk(PerViewer):
    """The desk of whoever labels in a viewer; get it with `LabellingDesk.of`.

    It answers the keys for accepting and skipping, and for the way through the frames, from then on.

    Attributes:
        watched: the label set that is open.
        shown: what it knows of the shown frame.
        kept: which of the drawn masks it has.
        saving: writes labels into it.
        revisions: brings its masks back.
        navigator: the way through the frames.
        second: a pass through the labels of others, which are not seen.
        settling: where two readings differ, and what becomes of that.
    """

    def __init__(self, viewer: ViewerModel):
        session = Session.of(viewer)
        self.watched = WatchedSet(session)
        groups = Groups(self.watched)
        self.shown = ShownLabel(self.watched, groups)
        self.kept = SavedMasks(session)
        self.saving = LabelWriter(self.watched, groups, self.kept)
        self.revisions = Revisions(self.shown, self.kept)
        self.navigator = QueueNavigator(self.watched, self.saving, self.kept)
        self.second = SecondReading(self.watched, self.navigator, self.kept)
        self.settling = Settling(self.watched, self.navigator, self.saving)
        keys = Shortcuts.of(viewer)
        keys.answer("take first", lambda: self.settling.take("first"))
        keys.answer("take second", lambda: self.settling.take("second"))
        keys.answer("skip", self.saving.skip)
        keys.answer("next", self.navigator.next)
        keys.answer("previous", self.navigator.previous)
