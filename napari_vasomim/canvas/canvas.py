"""What is on the canvas of a viewer: one angiogram with what was made from it, at a frame of its own.

Runs lie over each other in napari, and one slider moves all of them. So the angiogram that is chosen shows alone, the
others wait hidden with their results, each comes back at the frame where it was left, and the slider has as many steps
as the chosen one has frames. Where something else is seen all the same, `hindrance` says what.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Layer
from napari.settings import get_settings
from psygnal import Signal

from napari_vasomim.attached import PerViewer
from napari_vasomim.canvas import frames, layers
from napari_vasomim.napari_compat import grid, keep_graphics_apart, play_or_pause, set_playback_rate

SOLID = ("opaque", "translucent", "translucent_no_depth")
"""How an image is laid over others that it hides them."""
FASTEST = 100.0
"""Frames per second at which a run is played at most, whatever its file says."""
SEEN_THROUGH = 0.75
"""Up to this opacity, what lies below an image is still seen."""


class Canvas(PerViewer):
    """The canvas of one viewer, from the first panel that is opened in it; get it with `Canvas.of`.

    Attributes:
        chosen: the angiogram that is shown alone; None while there is none.
    """

    brought = Signal(object)
    """Somebody made a layer of another angiogram (Image) visible: that one is wanted."""

    folder_opened = Signal(object)
    """A folder (Path) of more angiograms than can be open at once was opened: it is worked through."""

    def __init__(self, viewer: ViewerModel):
        self._viewer = weakref.ref(viewer)
        self.chosen: Image | None = None
        self._frames: weakref.WeakKeyDictionary[Image, int] = weakref.WeakKeyDictionary()
        self._away: frozenset[str] = frozenset()
        self._waiting: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._busy = False
        grid(viewer).events.enabled.connect(self._grid_changed)
        viewer.dims.events.range.connect(self._keep_range)
        viewer.dims.events.ndim.connect(self._keep_pace)
        viewer.dims.events.current_step.connect(self._moved)
        viewer.layers.events.inserted.connect(self._inserted)
        keep_graphics_apart(viewer)
        for layer in viewer.layers:
            layer.events.visible.connect(self._visible_changed)

    def choose(self, angiogram: Image | None) -> None:
        """Show an angiogram and its results, at its own frame, and hide the others with theirs."""
        viewer = self._viewer()
        if viewer is None:
            return
        with self._at_work():
            self.chosen = angiogram
            if angiogram is None:
                return
            for layer in viewer.layers if not self._side_by_side() else ():
                if self._owner(layer) not in (None, angiogram):
                    self._wait(layer)
            self._keep_range()
            frames.show_frame(viewer, angiogram, self._frames.get(angiogram, frames.current_index(viewer, angiogram)))
            angiogram.visible = True
            self._bring_back()
        self._moved()
        self._keep_pace()

    def put_away(self, roles: Iterable[str]) -> None:
        """Hide the results with these roles from now on, and bring back those that were hidden for theirs."""
        viewer, new = self._viewer(), frozenset(roles) - self._away
        self._away = frozenset(roles)
        if viewer is None:
            return
        with self._at_work():
            for layer in viewer.layers:
                if layers.role(layer) in new:
                    self._wait(layer)
            self._bring_back()

    def show(self, layer: Layer) -> None:
        """Make a result visible: now, or when it is its turn."""
        if self._has_turn(layer):
            layer.visible = True
        else:
            self._waiting.add(layer)

    def _owner(self, layer: Layer) -> Image | None:
        viewer = self._viewer()
        return layers.owner(viewer, layer) if viewer is not None else None

    def _has_turn(self, layer: Layer) -> bool:
        return self._owner(layer) in (None, self.chosen) and layers.role(layer) not in self._away

    def hide(self, layer: Layer) -> None:
        """Hide a result, also when it would be its turn."""
        self._waiting.discard(layer)
        layer.visible = False

    def position(self, angiogram: Image) -> int:
        """The frame at which an angiogram is shown, or will be when it is chosen."""
        viewer = self._viewer()
        here = frames.current_index(viewer, angiogram) if viewer is not None else 0
        return here if angiogram is self.chosen else self._frames.get(angiogram, here)

    def go_to(self, angiogram: Image, index: int) -> None:
        """Show a frame of an angiogram: now, or when it is chosen."""
        viewer = self._viewer()
        self._frames[angiogram] = index
        if viewer is not None and angiogram is self.chosen:
            frames.show_frame(viewer, angiogram, index)

    def play_or_pause(self) -> None:
        """Play the chosen run at its own speed, or stop it."""
        viewer, angiogram = self._viewer(), self.chosen
        if viewer is not None and angiogram is not None and frames.frame_count(angiogram) > 1:
            play_or_pause(viewer, viewer.dims.ndim - 3)

    def hindrance(self) -> str:
        """Why a frame of the chosen angiogram is not what is seen on the canvas, in one sentence; empty if it is."""
        viewer, angiogram = self._viewer(), self.chosen
        if viewer is None or angiogram is None:
            return ""
        dims, name = viewer.dims, angiogram.name
        if dims.ndisplay != 2 or tuple(dims.displayed) != (dims.ndim - 2, dims.ndim - 1):
            return "Single frames are not what is shown: go back to the 2-D view with the buttons below the layer list."
        if not angiogram.visible or angiogram.opacity == 0:
            return f"The angiogram {name!r} is hidden: show it with the eye beside its name, or choose another one."
        if not frames.is_in_range(viewer, angiogram):
            return f"The slider is beyond the frames of the angiogram {name!r}: move it back."
        above = list(viewer.layers)[viewer.layers.index(angiogram) + 1 :]
        for layer in above if not self._side_by_side() else ():
            if self._owner(layer) is not angiogram and _covers(layer):
                return (
                    f"The image {layer.name!r} lies over the angiogram {name!r}: hide it, lower its opacity, "
                    "or choose it as the angiogram."
                )
        return ""

    def _side_by_side(self) -> bool:
        """In napari's grid nothing lies over anything: there a person may compare runs."""
        viewer = self._viewer()
        return viewer is not None and bool(grid(viewer).enabled)

    def _grid_changed(self, event: Any = None) -> None:
        if not self._side_by_side():
            self.choose(self.chosen)

    def _bring_back(self) -> None:
        for layer in list(self._waiting):
            if self._has_turn(layer):
                self._waiting.discard(layer)
                layer.visible = True

    def _wait(self, layer: Layer) -> None:
        if layer.visible:
            self._waiting.add(layer)
            layer.visible = False

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """What changes in the block is our own doing."""
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    # What the viewer tells

    def _inserted(self, event: Any) -> None:
        """A result that comes when it is not its turn waits, too."""
        layer = event.value
        layer.events.visible.connect(self._visible_changed)
        if self._owner(layer) is not layer and self.chosen is not None and not self._has_turn(layer):
            with self._at_work():
                self._wait(layer)

    def _visible_changed(self, event: Any) -> None:
        """What a person makes visible is what that person wants to see; an image of others may lie over ours."""
        layer, viewer = event.source, self._viewer()
        if self._busy or viewer is None or not layer.visible or layer not in viewer.layers or self._side_by_side():
            return
        owner = self._owner(layer)
        ours = layer is not owner or layers.role(layer) == "angiogram"
        if owner is not None and owner is not self.chosen and owner in viewer.layers and ours:
            self.brought.emit(owner)

    def _moved(self, event: Any = None) -> None:
        viewer, angiogram = self._viewer(), self.chosen
        if not self._busy and viewer is not None and angiogram is not None and frames.is_in_range(viewer, angiogram):
            self._frames[angiogram] = frames.current_index(viewer, angiogram)

    def _keep_range(self, event: Any = None) -> None:
        """The slider ends where the chosen run ends; for napari it has the steps of the longest."""
        viewer, angiogram = self._viewer(), self.chosen
        if viewer is None or angiogram is None or angiogram not in viewer.layers or viewer.dims.ndim < 3:
            return
        axis, ranges = viewer.dims.ndim - 3, list(viewer.dims.range)
        own = frames.time_range(angiogram)
        if tuple(ranges[axis]) != own:
            ranges[axis] = type(ranges[axis])(*own)
            viewer.dims.range = tuple(ranges)

    def _keep_pace(self, event: Any = None) -> None:
        """Play a run at its own speed, where its file tells one, else at napari's; never at that of the one before."""
        viewer, angiogram = self._viewer(), self.chosen
        if viewer is not None and angiogram is not None and angiogram.ndim == 3:
            time_ms = layers.facts(angiogram).frame_time_ms
            rate = 1000 / time_ms if time_ms else get_settings().application.playback_fps
            set_playback_rate(viewer, viewer.dims.ndim - 3, min(max(1.0, round(rate, 1)), FASTEST))


def _covers(layer: Layer) -> bool:
    """Whether an image hides what lies below it."""
    return isinstance(layer, Image) and layer.visible and str(layer.blending) in SOLID and layer.opacity > SEEN_THROUGH
