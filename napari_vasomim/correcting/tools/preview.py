"""What a click would do, seen before it: a layer on top of all, hidden while no tool is up."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from psygnal import Signal

from napari_vasomim.canvas import frames, layers
from vasomim_core.correction.mask_tools import Mask


class Preview:
    """A preview layer over an angiogram; made at first need and then kept, since napari takes long to make one.

    Args:
        viewer: where.
        source: the angiogram.
        keys: the layer on which the tool works, which is to stay the one that is selected.
        role: of the layer.
        name: of the layer.
    """

    taken_away = Signal()
    """A person deleted the layer."""

    def __init__(
        self, viewer: ViewerModel, source: Image, keys: Layer, role: str = "preview", name: str = "tool preview"
    ):
        self._role, self._name = role, name
        self._viewer, self._source, self._keys = viewer, source, keys
        self._layer: Labels | None = None
        self._viewer.layers.events.removed.connect(self._layer_removed)
        self._viewer.layers.selection.events.active.connect(self._keep_keys)

    def appear(self, colour: str | None) -> None:
        """Lie on top of all, empty, in a colour."""
        placed = self._place()
        if self._layer is None:
            empty = np.zeros(frames.frame_size(self._source), np.uint8)
            made = Labels(empty, name=self._name, opacity=0.75, **placed)
            layers.tag(made, self._role, self._source)
            layers.add(self._viewer, made)
            made.editable = False
            self._layer = made  # only now: before, its selection by napari would be answered while it goes on
            self._viewer.layers.selection.active = self._keys
        for name, value in placed.items():
            setattr(self._layer, name, value)
        self._viewer.layers.move(self._viewer.layers.index(self._layer), len(self._viewer.layers))
        self._layer.colormap = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: colour})
        self._layer.visible = True

    def draw(self, pixels: Mask | None) -> None:
        """Show pixels, bool (H, W), or nothing."""
        layer = self._layer
        if layer is None or layer not in self._viewer.layers or (pixels is None and not layer.data.any()):
            return
        layer.data[...] = 0 if pixels is None else pixels
        layer.refresh()

    def hide(self) -> None:
        """No tool is up."""
        if self._layer is not None:
            self.draw(None)
            self._layer.visible = False

    def close(self) -> None:
        """Take the layer out of the viewer and let go of it."""
        self._remove()
        self._viewer.layers.events.removed.disconnect(self._layer_removed)
        self._viewer.layers.selection.events.active.disconnect(self._keep_keys)

    def _place(self) -> dict[str, Any]:
        """Exactly on the angiogram; on a run as one frame that is seen at all times."""
        placed = frames.placed_like(self._source)
        if self._source.ndim == 3:
            placed = {name: value[-2:] for name, value in placed.items() if name in ("scale", "translate", "units")}
            placed["rotate"] = self._source.rotate[-2:, -2:]
            placed["shear"] = self._source.shear[-1:]
            placed["affine"] = self._source.affine.set_slice([1, 2])
        return placed

    def _remove(self) -> None:
        layer, self._layer = self._layer, None
        if layer is not None:
            layers.remove(self._viewer, layer)

    def _layer_removed(self, event: Any) -> None:
        if event.value is self._source:
            self._remove()
        elif event.value is self._layer:
            self._layer = None
            self.taken_away.emit()

    def _keep_keys(self, event: Any) -> None:
        if event.value is not None and event.value is self._layer:
            self._viewer.layers.selection.active = self._keys
