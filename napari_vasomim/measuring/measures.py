"""The measures of the angiograms of one window: which there are, which one is looked at, and their scale."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass

from napari.layers import Image
from psygnal import Signal

from napari_vasomim.canvas import layers
from napari_vasomim.measuring.entry import Entry
from napari_vasomim.measuring.finding import Finder
from napari_vasomim.measuring.keeping import Keeping
from napari_vasomim.notify import report_errors
from napari_vasomim.session import Session
from vasomim_core.errors import InputError
from vasomim_core.measures.scale import Scale, scale_of


@dataclass(frozen=True)
class Step:
    """What undoing one change brings back.

    Attributes:
        entries: by id, as they were; None = there was none.
        scale: of the angiogram, as it was.
    """

    entries: dict[str, Entry | None]
    scale: Scale | None


class Measures:
    """All measures of a viewer's angiograms. Each change is kept at once and can be undone.

    Args:
        session: of the viewer.

    Attributes:
        keeping: writes them down.
    """

    changed = Signal(object)
    """The measures of an angiogram (Image), their scale, or which of them is looked at."""
    adjusted = Signal()
    """The measure that is looked at, while a marker is dragged."""

    def __init__(self, session: Session):
        self._session = session
        self._entries: weakref.WeakKeyDictionary[Image, dict[str, Entry]] = weakref.WeakKeyDictionary()
        self._scales: weakref.WeakKeyDictionary[Image, Scale | None] = weakref.WeakKeyDictionary()
        self._steps: weakref.WeakKeyDictionary[Image, list[Step]] = weakref.WeakKeyDictionary()
        self._chosen: weakref.WeakKeyDictionary[Image, str] = weakref.WeakKeyDictionary()
        self._kept_scales: weakref.WeakKeyDictionary[Image, tuple[str, Scale]] = weakref.WeakKeyDictionary()
        self._before: Entry | None = None
        self.keeping = Keeping()
        self._finder = Finder(self._found, self._looked)
        self._looked_at: weakref.WeakSet[Image] = weakref.WeakSet()
        session.angiogram_changed.connect(report_errors(self._angiogram_changed))
        session.pixels_changed.connect(report_errors(self._pixels_changed))
        session.viewer.layers.events.removed.connect(report_errors(self._removed))
        self._angiogram_changed(session.angiogram)

    # What there is

    def of(self, layer: Image | None) -> list[Entry]:
        """The measures of an angiogram, in the order of their frames."""
        known = self._entries.get(layer, {}) if layer is not None else {}
        return sorted(known.values(), key=lambda entry: entry.index)

    def get(self, layer: Image, id: str) -> Entry | None:
        """A measure of an angiogram; None if it has gone."""
        return self._entries.get(layer, {}).get(id)

    @property
    def current(self) -> Entry | None:
        """The measure that is looked at: the chosen one, or else the newest one, of the frame that is shown."""
        layer, index = self._session.angiogram, self._session.index
        here = [entry for entry in self._entries.get(layer, {}).values() if entry.index == index] if layer else []
        chosen = self._chosen.get(layer) if layer is not None else None
        return next((entry for entry in here if entry.id == chosen), here[-1] if here else None)

    def scale(self, layer: Image) -> Scale | None:
        """The scale of an angiogram: what a person has said, or else what its file says; None = pixels."""
        return self._scales[layer] if layer in self._scales else self.scale_of_file(layer)

    def scale_of_file(self, layer: Image) -> Scale | None:
        """What the file of an angiogram says of millimetres."""
        return scale_of(layers.facts(layer).calibration)

    def can_undo(self, layer: Image | None) -> bool:
        """Whether a change of an angiogram's measures can be undone."""
        return bool(layer is not None and self._steps.get(layer))

    def new_name(self, layer: Image) -> str:
        """A name that no measure of an angiogram has."""
        taken = {entry.name for entry in self.of(layer)}
        return next(name for number in range(1, len(taken) + 2) if (name := f"Measure {number}") not in taken)

    # What a person does

    def choose(self, layer: Image, id: str) -> None:
        """Look at a measure: its frame is shown."""
        entry = self.get(layer, id)
        if entry is not None:
            self._chosen[layer] = id
            self._session.canvas.go_to(layer, entry.index)
            self.changed.emit(layer)

    def put(self, layer: Image, entry: Entry) -> None:
        """Take a new measure, or a changed one in place of the one with its id; it is looked at."""
        self._chosen[layer] = entry.id
        self._change(layer, {entry.id: entry})

    def remove(self, layer: Image, id: str) -> None:
        """Take a measure away."""
        if self.get(layer, id) is not None:
            self._change(layer, {id: None})

    def set_scale(self, layer: Image, scale: Scale | None) -> None:
        """Give an angiogram another scale, and with it all of its measures; None = pixels."""
        before = Step(dict(self._entries.get(layer, {})), self.scale(layer))
        self._scales[layer] = scale
        self._done(layer, {id: entry.scaled(scale) for id, entry in self._entries.get(layer, {}).items()}, before)

    def adjust(self, layer: Image, entry: Entry) -> None:
        """Show a measure otherwise while something is dragged; `settle` makes a change of it."""
        known = self.get(layer, entry.id)
        if known is not None:
            self._before = self._before if self._before is not None and self._before.id == entry.id else known
            self._entries[layer][entry.id] = entry
            self.adjusted.emit()

    def settle(self, layer: Image) -> None:
        """What was dragged has been let go."""
        before, self._before = self._before, None
        if before is not None and (now := self.get(layer, before.id)) is not None:
            self._entries[layer][before.id] = before
            self._change(layer, {before.id: now})

    def let_be(self, layer: Image) -> None:
        """What was dragged is to stay where it was."""
        before, self._before = self._before, None
        if before is not None and self.get(layer, before.id) is not None:
            self._entries[layer][before.id] = before
            self.adjusted.emit()

    def undo(self, layer: Image) -> None:
        """Take the last change of an angiogram's measures back; the frame of the one that it changes is shown.

        Raises:
            InputError: there is none.
        """
        if not self._steps.get(layer):
            raise InputError("There is nothing to undo: no measure of this angiogram was changed.")
        step = self._steps[layer].pop()
        if step.scale != self.scale(layer):
            self._scales[layer] = step.scale
        touched = [entry or self.get(layer, id) for id, entry in step.entries.items()]
        if len(touched) == 1 and touched[0] is not None:
            self._chosen[layer] = touched[0].id
            self._session.canvas.go_to(layer, touched[0].index)
        self._apply(layer, step.entries)

    def _change(self, layer: Image, after: Mapping[str, Entry | None]) -> None:
        known = self._entries.get(layer, {})
        self._done(layer, after, Step({id: known.get(id) for id in after}, self.scale(layer)))

    def _done(self, layer: Image, after: Mapping[str, Entry | None], before: Step) -> None:
        self._steps.setdefault(layer, []).append(before)
        self._apply(layer, after)

    def _apply(self, layer: Image, after: Mapping[str, Entry | None]) -> None:
        known, scale = self._entries.setdefault(layer, {}), self.scale(layer)
        for id, entry in after.items():
            if entry is not None:
                known[id] = entry.scaled(scale)
                self.keeping.write(entry.frame_sha256, id, known[id].kept)
            elif (gone := known.pop(id, None)) is not None:
                self.keeping.write(gone.frame_sha256, id, None)
        self.changed.emit(layer)

    # What was kept

    def _angiogram_changed(self, layer: Image | None) -> None:
        if layer is not None and layer not in self._looked_at:
            self._looked_at.add(layer)
            self._finder.look(layer)

    def _pixels_changed(self, layer: Image) -> None:
        """What was measured in the old pixels is gone; what was kept of the new ones comes back."""
        for known in (self._entries, self._steps, self._chosen, self._scales):
            known.pop(layer, None)
        self._before = None
        if layer in self._looked_at:
            self._finder.look(layer)
        self.changed.emit(layer)

    def _removed(self, event: object) -> None:
        layer = getattr(event, "value", None)
        if isinstance(layer, Image):
            self._finder.forget(layer)
            self._looked_at.discard(layer)

    def _found(self, layer: Image, found: list[Entry]) -> None:
        """Of frames with the same pixels, the one on which was measured has the measure, or else the first."""
        if layer not in self._session.viewer.layers:
            return
        known = self._entries.setdefault(layer, {})
        for entry in found:
            if entry.id not in known or (entry.index == entry.kept.frame != known[entry.id].index):
                known[entry.id] = entry
            kept = known[entry.id].kept
            if kept.scale is not None and kept.made >= self._kept_scales.get(layer, ("", None))[0]:
                self._kept_scales[layer] = kept.made, kept.scale
            known[entry.id] = known[entry.id].scaled(self.scale(layer))
        self.changed.emit(layer)

    def _looked(self, layer: Image) -> None:
        """All frames were looked through: the scale that a person had given to the newest measure is taken again.

        What the file tells goes before what another file had told.
        """
        _, scale = self._kept_scales.pop(layer, ("", None))
        if scale is None or layer in self._scales:
            return
        if not scale.source.startswith(FROM_FILE) or self.scale_of_file(layer) is None:
            self._scales[layer] = scale
            known = self._entries.setdefault(layer, {})
            known.update({id: entry.scaled(scale) for id, entry in known.items()})
            self.changed.emit(layer)


FROM_FILE = "file: "
"""How the source of a scale begins that a file has told."""
