"""What an earlier session left unfinished, offered back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QFrame, QVBoxLayout

from napari_vasomim.canvas import frames, layers
from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.correcting.editing import journal
from napari_vasomim.correcting.unfinished import Entry, discard, restore, unfinished
from napari_vasomim.notify import counted, inform
from napari_vasomim.plain import confirmed
from napari_vasomim.session import Session
from napari_vasomim.widgets.kit import button, follow, hint, row
from vasomim_core.errors import InputError


class Offer(QFrame):
    """Offers back the latest unfinished work; hidden where there is none.

    Args:
        session: of the viewer into which it is restored.
        restored: is told of the correction layer that is back.
    """

    def __init__(self, session: Session, restored: Callable[[Labels], object]):
        super().__init__()
        self._session, self._restored = session, restored
        self._entry: Entry | None = None
        self.setFrameShape(QFrame.Shape.StyledPanel)
        layout = QVBoxLayout(self)
        self.text = hint()
        layout.addWidget(self.text)
        self.restore = button("Restore", self._restore, "Opens the angiogram again and puts the strokes on it", True)
        self.discard = button("Discard", self._discard, "Removes these strokes")
        self.later = button("Later", self.hide, "Asks again at the next start")
        layout.addLayout(row(self.restore, self.discard, self.later))
        follow(self, session.drawn, self._offer_what_was_deleted)
        self.hide()
        self.look()

    def _offer_what_was_deleted(self, layer: Labels | None) -> None:
        if layer is None:
            self.look()

    def look(self) -> None:
        """Show the latest unfinished work, if there is any."""
        found = unfinished(journal().folder)
        self._entry = found[0] if found else None
        self.setVisible(bool(found))
        if self._entry is not None:
            entry = self._entry
            older = len(found) - 1
            more = f" {older} older one{'s wait' if older > 1 else ' waits'} too." if older else ""
            what = f"{counted(entry.strokes, 'stroke')} on {counted(len(entry.frames), 'frame')}"
            self.text.setText(
                f"Unfinished work on {entry.about.get('angiogram', 'an angiogram')} from {entry.when:%d %b, %H:%M}: "
                f"{what} {'was' if entry.strokes == 1 else 'were'} not accepted.{more}"
            )

    def _restore(self) -> None:
        entry, session = self._entry, self._session
        if entry is None:
            return
        about = entry.about
        source = self._source(about)
        if source is None:
            raise InputError(
                f"The angiogram {about.get('angiogram')!r} is not open; open it, then press Restore again."
            )
        session.angiogram = source
        old = layers.labels_of(session.viewer, "correction", source)
        data = restore(entry)
        if old is not None and np.asarray(old.data).any():
            raise InputError("This angiogram has a correction already; accept or delete that layer, then restore.")
        if old is not None:
            session.viewer.layers.remove(old)
        layer = ensure_correction(session.viewer, source, data, entry)
        if entry.frames:
            session.canvas.go_to(source, entry.frames[-1])
        inform(f"{counted(entry.strokes, 'stroke')} back on {source.name}.")
        self._restored(layer)
        self.look()

    def _source(self, about: dict[str, Any]) -> Any:
        """The angiogram of the entry: one that is open and fits, else read from its file again."""
        viewer = self._session.viewer
        path = about.get("path")

        def fits(layer: Any) -> bool:
            return (list(frames.frame_size(layer)), frames.frame_count(layer)) == (about["frame"], about["frames"])

        def known(layer: Any) -> bool:
            """By its file, for a layer may be renamed; by its name where there is no file."""
            source = layers.facts(layer).path
            return str(source) == path if path and source else layer.name == about["angiogram"]

        for layer in layers.angiograms(viewer):
            if known(layer) and fits(layer):
                return layer
        if path and Path(path).exists():
            for layer in viewer.open(path, plugin="napari-vasomim"):
                if layers.is_angiogram(layer) and fits(layer):
                    return layer
        return None

    def _discard(self) -> None:
        entry = self._entry
        if entry is None:
            return
        if confirmed(self, "Discard", f"Discard {counted(entry.strokes, 'stroke')} for good?"):
            discard(entry)
            self.look()
