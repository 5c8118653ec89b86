"""All that one viewer needs to label frames, put together."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

from napari.components import ViewerModel

from napari_vasomim.labelling.groups import Groups
from napari_vasomim.labelling.kept import Kept
from napari_vasomim.labelling.revisions import Revisions
from napari_vasomim.labelling.saving import Saving
from napari_vasomim.labelling.shown import ShownFrame
from napari_vasomim.labelling.walk import Walk
from napari_vasomim.labelling.watched_set import WatchedSet
from napari_vasomim.session import Session


class Desk:
    """The desk of whoever labels in a viewer; get it with `Desk.of`. It hears the key for accepting from then on.

    Attributes:
        watched: the label set that is open.
        shown: what it knows of the shown frame.
        kept: which of the drawn masks it has.
        saving: writes labels into it.
        revisions: brings its masks back.
        walk: the way through the frames.
    """

    _all: ClassVar[weakref.WeakKeyDictionary[ViewerModel, Desk]] = weakref.WeakKeyDictionary()

    @classmethod
    def of(cls, viewer: Any) -> Desk:
        """The desk of a viewer, made at first need; proxies of a viewer share it."""
        session = Session.of(viewer)
        if session.viewer not in cls._all:
            cls._all[session.viewer] = cls(session)
        return cls._all[session.viewer]

    def __init__(self, session: Session):
        self.watched = WatchedSet(session)
        groups = Groups(self.watched)
        self.shown = ShownFrame(self.watched, groups)
        self.kept = Kept(session)
        self.saving = Saving(self.watched, groups, self.kept)
        self.revisions = Revisions(self.shown, self.kept)
        self.walk = Walk(self.watched, self.saving, self.kept)
