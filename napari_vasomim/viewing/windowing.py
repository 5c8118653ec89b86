"""Window and level of the shown angiogram, for the eye: by dragging with the right button, and by presets.

What a person changes here are the contrast limits of the layer. What the engine works on stays as it is until that
person says *as shown*.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, Literal, TypeGuard

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from psygnal import Signal

from napari_vasomim.attached import PerViewer
from napari_vasomim.canvas import frames, grey_window, layers
from napari_vasomim.napari_compat import camera
from napari_vasomim.notify import report_errors
from napari_vasomim.session import Session
from vasomim_core.reading.grey import to_grey, window_limits

Preset = Literal["opened", "full", "usual", "vessels"]
Limits = tuple[float, float]

RIGHT = 2
CLICK_PX = 4
"""The pointer may move this far on the screen between press and release of a click, which other tools hear."""
DRAG_PX = 500
"""A drag of this length changes width or level by all grey levels of the frame."""
PERCENTILES: dict[Preset, Limits] = {"full": (0, 100), "usual": (1, 99), "vessels": (2, 90)}
"""Of the shown frame's pixels, those that become black and white. Vessels are dark: from 90 % on, lungs and what is
beside the heart go white. With 75 %, vessels over them are lost (seen on 5 frames of ARCADE's validation part)."""
POSITIVE, NEGATIVE = "gray", "gray_r"


class Windowing(PerViewer):
    """Window and level in one viewer; get it with `Windowing.of`."""

    changed = Signal(object)
    """An angiogram (Image layer) is seen by other contrast limits or as its negative."""

    def __init__(self, viewer: ViewerModel):
        self._viewer = weakref.ref(viewer)
        self._session = Session.of(viewer)
        self._opened: weakref.WeakKeyDictionary[Image, Limits] = weakref.WeakKeyDictionary()
        viewer.mouse_drag_callbacks.append(self._pressed)
        viewer.mouse_double_click_callbacks.append(self._double_clicked)
        viewer.layers.events.inserted.connect(lambda event: self._watch(event.value))
        for layer in viewer.layers:
            self._watch(layer)

    def apply(self, preset: Preset) -> None:
        """Show the angiogram by a preset: as it was opened, or by percentiles of the shown frame.

        Raises:
            InputError: none is open, or its frame cannot be read.
        """
        angiogram, index = self._session.need_angiogram(), self._session.index
        if preset == "opened":
            limits = self._as_opened(angiogram)
        else:
            pixels = to_grey(frames.pixels_of(angiogram, index))
            low, high = (float(level) for level in np.percentile(pixels, PERCENTILES[preset]))
            limits = low, max(high, low + least_width(pixels.dtype, float(np.ptp(pixels))))
        angiogram.contrast_limits = limits

    def set_negative(self, negative: bool) -> None:
        """Show black as white; what is worked on stays as it is.

        Raises:
            InputError: none is open.
        """
        self._session.need_angiogram().colormap = NEGATIVE if negative else POSITIVE

    def _as_opened(self, angiogram: Image) -> Limits:
        window = layers.facts(angiogram).window
        return window_limits(window) if window is not None and window[1] > 1 else self._opened[angiogram]

    def _watch(self, layer: Any) -> None:
        if layers.is_angiogram(layer):
            low, high = layer.contrast_limits
            self._opened[layer] = float(low), float(high)
            layer.events.contrast_limits.connect(self._looks_changed)
            layer.events.colormap.connect(self._looks_changed)

    def _looks_changed(self, event: Any) -> None:
        self.changed.emit(event.source)

    # The mouse

    def _pressed(self, viewer: Any, event: Any) -> Iterator[None]:
        """Through press, moves and release of the right button, by which napari would zoom."""
        angiogram = self._session.angiogram
        if event.button != RIGHT or event.modifiers or not has_window(angiogram) or not self._is_free(viewer):
            return
        looking = camera(viewer)
        pans, start = looking.mouse_pan, np.array(event.pos, float)
        drag = self._begin(angiogram)
        looking.mouse_pan = False
        try:
            yield
            moved = False
            while event.type == "mouse_move":
                way = np.array(event.pos, float) - start
                moved = moved or bool(np.abs(way).max() > CLICK_PX)
                if moved and drag is not None:
                    angiogram.contrast_limits = drag.limits(*way)
                    centre, width = grey_window.shown(angiogram)
                    viewer.status = f"window {width:.0f}, level {centre:.0f} (←→ width, ↑↓ level)"
                yield
        finally:
            looking.mouse_pan = pans

    @report_errors
    def _begin(self, angiogram: Image) -> Drag | None:
        pixels = to_grey(frames.pixels_of(angiogram, self._session.index))
        return Drag(angiogram.contrast_limits, float(pixels.min()), float(pixels.max()), pixels.dtype)

    @report_errors
    def _double_clicked(self, viewer: ViewerModel, event: Any) -> None:
        heard = getattr(viewer.layers.selection.active, "cursor", "") == "crosshair"  # by a tool that it ends
        if event.button == RIGHT and not heard and has_window(self._session.angiogram) and self._is_free(viewer):
            self.apply("opened")

    def _is_free(self, viewer: ViewerModel) -> bool:
        """Whether the right button is nobody else's: napari's brush, polygon and transform use it themselves."""
        mode = getattr(viewer.layers.selection.active, "mode", "pan_zoom")
        return viewer.dims.ndisplay == 2 and str(mode) == "pan_zoom"


def has_window(angiogram: Image | None) -> TypeGuard[Image]:
    """Whether an angiogram is seen through contrast limits; colour is not."""
    return angiogram is not None and not angiogram.rgb


def is_negative(angiogram: Image) -> bool:
    """Whether black is shown as white."""
    return bool(getattr(angiogram.colormap, "name", "") == NEGATIVE)


class Drag:
    """A drag from some contrast limits on, over the grey levels of a frame.

    Args:
        limits: where it begins.
        low: the frame's darkest grey level.
        high: its brightest.
        dtype: of its pixels.
    """

    def __init__(self, limits: Limits, low: float, high: float, dtype: Any):
        self._width, self._level = limits[1] - limits[0], (limits[0] + limits[1]) / 2
        self._low, self._high = low, high
        self._step = max(high - low, least_width(dtype, high - low)) / DRAG_PX
        self._least = least_width(dtype, high - low)

    def limits(self, right: float, down: float) -> Limits:
        """The limits after a way on the screen in px: to the right for more width, down for a higher level."""
        width = max(self._width + self._step * right, self._least)
        lowest, highest = min(self._low, self._level), max(self._high, self._level)
        level = min(max(self._level + self._step * down, lowest), highest)
        return level - width / 2, level + width / 2


def least_width(dtype: Any, span: float) -> float:
    """The least width of a window that still shows something, in grey levels."""
    return 1.0 if np.dtype(dtype).kind in "iu" else max(span / 1000, 1e-6)
