"""The classes in which one correction is drawn, kept true on its layer: colours, the chosen one, what others may touch.

They are those of the open label set. Where that comes to have others, because another set was opened or a class was
removed, what is drawn must neither vanish nor change its meaning: as long as a pixel is of a class that the set does
not have, the correction keeps the classes it was drawn in, and is not accepted (`strangers`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from psygnal import Signal

from napari_vasomim.canvas import results
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.palette import Palette
from napari_vasomim.notify import inform
from napari_vasomim.session import Session
from vasomim_core.classes import VESSEL, LabelClass, of_value
from vasomim_core.errors import LabelError

Classes = tuple[LabelClass, ...]


def strangers(used: Iterable[int], before: Classes, now: Classes, same_set: bool) -> dict[int, str]:
    """The values that do not mean in other classes what they meant, with the names that they had.

    Within one set the value is what a class is known by, for it may be renamed; from one set to another it is value and
    name. One class alone is the vessel, whatever it is called.
    """
    if len(before) == len(now) == 1:
        return {}
    named = Palette(before, before[0]).name
    found = {}
    for value in used:
        old, new = of_value(before, value), of_value(now, value)
        if old is None or new is None or not (same_set or old.name.casefold() == new.name.casefold()):
            found[value] = named(value)
    return found


class DrawnClasses:
    """The classes of one correction layer.

    Args:
        session: which set is open, and which class is chosen.
        layer: the correction, uint8 (H, W) or (T, H, W).
        begun_in: the classes in which it was drawn in an earlier session; None = those of the open set.

    Attributes:
        strangers: values on the layer that are of no class of the open set, with the names that they had.
    """

    changed = Signal()
    """Other classes, or other strangers."""
    chosen = Signal()
    """Another class is drawn in."""

    def __init__(self, session: Session, layer: Labels, begun_in: Classes | None = None):
        self._session, self._layer = session, layer
        self._classes = session.classes if begun_in is None else begun_in
        self._folder = self._open_folder() if begun_in is None else None
        self.strangers: dict[int, str] = {}
        self._shown: Classes | None = None
        self._colormap: Any = None
        self.look()
        session.classes_changed.connect(self.look)
        session.class_chosen.connect(self._chosen)
        layer.events.selected_label.connect(self._selected)
        layer.events.colormap.connect(self._recoloured)
        layer.events.preserve_labels.connect(self._protection_changed)

    def close(self) -> None:
        """Let go of session and layer."""
        self._session.classes_changed.disconnect(self.look)
        self._session.class_chosen.disconnect(self._chosen)
        self._layer.events.selected_label.disconnect(self._selected)
        self._layer.events.colormap.disconnect(self._recoloured)
        self._layer.events.preserve_labels.disconnect(self._protection_changed)

    @property
    def palette(self) -> Palette:
        """What is drawn in now; the smallest class where none of these was chosen."""
        return Palette(self._classes, of_value(self._classes, self._session.class_value) or self._classes[0])

    def choose(self, number: int) -> None:
        """Draw in the class of this place, from 0; beyond the last one nothing happens."""
        if number < len(self._classes):
            self._session.choose_class(self._classes[number].value)

    def need_known(self) -> None:
        """Refuse to go on with pixels of a class that the open label set does not have.

        Raises:
            LabelError: there are some.
        """
        if self.strangers:
            raise LabelError(f"{self.problem} Say in the panel Correct what becomes of it.")

    @property
    def problem(self) -> str:
        """A sentence about the strangers; empty if there are none."""
        labels = self._session.label_set
        if not self.strangers or labels is None:
            return ""
        named = ", ".join(f"{name} ({value})" for value, name in self.strangers.items())
        return f"On {self._layer.name} is drawn what the label set {labels.name} has no class for: {named}."

    def look(self) -> None:
        """Take over the classes of the open label set, unless a pixel would lose its meaning."""
        if self._session.label_set is None:
            self.strangers = {}  # it is drawn on as it is, and nothing can be accepted
        else:
            same = self._open_folder() == self._folder
            self.strangers = strangers(self._used(), self._classes, self._session.classes, same)
            if not self.strangers:
                self.adopt()
        self._show()
        self.changed.emit()

    def adopt(self) -> None:
        """Take over the classes of the open label set; the caller knows that all pixels are of one of them."""
        before, now, folder = self._classes, self._session.classes, self._open_folder()
        same = folder == self._folder
        self._classes, self._folder, self.strangers = now, folder, {}
        if strangers((one.value for one in before), before, now, same):
            undo.forget_steps(self._layer)  # one could bring back what would mean something else by now

    def fitted(self, becomes: Mapping[int, int]) -> tuple[NDArray[np.uint8], set[int]]:
        """The layer's values with other ones for the strangers.

        Args:
            becomes: for each stranger the value of a class of the open set, or 0.

        Returns:
            The values, as the layer has them, and the frames in which a stranger was.

        Raises:
            LabelError: nothing is said about one of them, or no class has such a value.
        """
        known = {0, *(one.value for one in self._session.classes)}
        if set(becomes) != set(self.strangers) or not known.issuperset(becomes.values()):
            raise LabelError("Say for each of these classes which one of the label set it becomes.")
        table = np.arange(256, dtype=np.uint8)
        table[list(becomes)] = list(becomes.values())
        data = np.asarray(self._layer.data)
        planes = data[None] if data.ndim == 2 else data
        return table[data], {i for i, plane in enumerate(planes) if np.isin(plane, list(becomes)).any()}

    def _open_folder(self) -> Path | None:
        return None if self._session.label_set is None else self._session.label_set.folder

    def _used(self) -> list[int]:
        """The values on the layer, frame by frame: a run is large."""
        data = np.asarray(self._layer.data)
        seen = np.zeros(256, bool)
        for plane in data[None] if data.ndim == 2 else data:
            seen |= np.bincount(plane.ravel(), minlength=256) > 0
        return [int(value) for value in np.flatnonzero(seen) if value]

    # What napari shows, and what its own controls may do

    def _show(self) -> None:
        layer, palette = self._layer, self.palette
        layer.selected_label = palette.chosen.value  # first: new colours tell of it, too
        if self._shown != self._classes:
            self._shown = self._classes
            self._colormap = results.colormap("correction", self._classes)
            self._colormap.selection, self._colormap.use_selection = palette.chosen.value, layer.show_selected_label
            layer.colormap = self._colormap
            layer.preserve_labels = palette.several  # brush, eraser, polygon and fill then leave other classes alone

    def _chosen(self) -> None:
        self._layer.selected_label = self.palette.chosen.value
        self.chosen.emit()

    def _selected(self, event: Any = None) -> None:
        """The spinner, picker and keys of napari choose among the classes, and never lead out of them."""
        value, palette = self._layer.selected_label, self.palette
        if value == palette.chosen.value:
            return
        if of_value(self._classes, value) is not None:
            self._session.choose_class(value)
            return
        self._layer.selected_label = palette.chosen.value
        inform(
            f"{value} is no class here, drawing goes on in {palette.chosen.name}: classes are made in the panel "
            "Labels, and E takes up the eraser."
        )

    def _recoloured(self, event: Any = None) -> None:
        if self._layer.colormap is not self._colormap and self._classes != VESSEL:
            self._layer.colormap = self._colormap
            inform("The colours are those of the classes; the panel Labels changes them.")

    def _protection_changed(self, event: Any = None) -> None:
        if self.palette.several and not self._layer.preserve_labels:
            inform("Brush, eraser and fill now take from other classes, too; B protects these again.")
