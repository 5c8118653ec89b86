"""Keys for looking: play and step through a run, go on to the next one, see the angiogram alone while one is held."""

from __future__ import annotations

from functools import partial

from napari.components import ViewerModel
from napari.layers import Layer

from napari_vasomim.attached import PerViewer
from napari_vasomim.canvas import frames, layers
from napari_vasomim.session import Session
from napari_vasomim.shortcuts import Shortcuts


class Looking(PerViewer):
    """Answers the keys for looking in one viewer, from `Looking.of` on."""

    def __init__(self, viewer: ViewerModel):
        self._session = Session.of(viewer)
        self._clear: dict[Layer, float] = {}
        keys = Shortcuts.of(viewer)
        keys.answer("play", self._session.canvas.play_or_pause)
        keys.answer("frame on", partial(self.step, 1))
        keys.answer("frame back", partial(self.step, -1))
        keys.answer("next run", self._session.next_angiogram)
        keys.answer("hide", self.hide)

    def step(self, by: int) -> None:
        """Go to a frame before or after; at the ends nothing happens.

        Raises:
            InputError: no angiogram is open.
        """
        layer = self._session.need_angiogram()
        index = self._session.index + by
        if 0 <= index < frames.frame_count(layer):
            self._session.canvas.go_to(layer, index)

    def hide(self, hidden: bool) -> None:
        """See the angiogram without what was made from it, or all as before.

        By their opacity: a correction that is made invisible would lose its tool.
        """
        viewer, angiogram = self._session.viewer, self._session.angiogram
        if hidden and not self._clear:
            over = [layer for layer in viewer.layers if layers.owner(viewer, layer) is angiogram]
            self._clear = {layer: layer.opacity for layer in over if layer is not angiogram and layer.visible}
            for layer in self._clear:
                layer.opacity = 0
        elif not hidden:
            before, self._clear = self._clear, {}
            for layer, opacity in before.items():
                layer.opacity = opacity
