"""Text on the canvas: C-arm angles, frame, time and rate, window, scale with its source. It names nobody."""

from __future__ import annotations

import weakref
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QSettings

from napari_vasomim._reader import angulation
from napari_vasomim.attached import PerViewer
from napari_vasomim.canvas import frames, grey_window, layers
from napari_vasomim.measuring.desk import MeasuringDesk
from napari_vasomim.napari_compat import text_overlay
from napari_vasomim.notify import report_errors
from napari_vasomim.session import Session
from napari_vasomim.viewing.windowing import Windowing, has_window
from vasomim_core.measures.scale import Scale, scale_of

SETTING = "text on the canvas"
SIZE = 9


def words(layer: Image, index: int) -> list[str]:
    """What is known of a frame, in lines: its angles; which frame, when, and how fast its run is."""
    known = layers.facts(layer)
    lines = [" ".join(angulation(known.angles))] if known.angles is not None else []
    count, time_ms = frames.frame_count(layer), known.frame_time_ms
    if count > 1:
        timed = [f"{index * time_ms / 1000:.2f} s", f"{1000 / time_ms:.3g} frames/s"] if time_ms else []
        lines.append(" · ".join([f"frame {index + 1}/{count}", *timed]))
    return lines


class ScreenText(PerViewer):
    """The text on the canvas of one viewer; get it with `ScreenText.of`."""

    def __init__(self, viewer: ViewerModel):
        self._viewer = weakref.ref(viewer)
        self._session = session = Session.of(viewer)
        self._settings = QSettings("vasomim", "napari-vasomim")
        self._desk: weakref.ref[MeasuringDesk] | None = None
        self._update = report_errors(self._draw)
        # Not the session's signal, which waits until the slider rests: the number moves with the picture.
        viewer.dims.events.current_step.connect(self._update)
        session.angiogram_changed.connect(self._update)
        session.frame_changed.connect(self._update)
        Windowing.of(viewer).changed.connect(self._update)
        self._update()

    @property
    def is_on(self) -> bool:
        """Whether there is text; remembered for the next window."""
        return str(self._settings.value(SETTING, "on")) == "on"

    @is_on.setter
    def is_on(self, on: bool) -> None:
        self._settings.setValue(SETTING, "on" if on else "off")
        self._update()

    def _draw(self, *_: Any) -> None:
        viewer, layer = self._viewer(), self._session.angiogram
        if viewer is None:
            return
        overlay = text_overlay(viewer)
        if layer is None or not self.is_on:
            overlay.visible = False
            return
        lines = words(layer, self._session.index)
        if has_window(layer):
            centre, width = grey_window.shown(layer)
            lines.append(f"window {width:.0f} · level {centre:.0f}")
        if (scale := self._scale(viewer, layer)) is not None:
            lines.append(f"{scale.mm_per_px:.4f} mm/px ({scale.source})")
        overlay.position, overlay.font_size = "top_left", SIZE
        overlay.text = "\n".join(lines)
        overlay.visible = True

    def _scale(self, viewer: ViewerModel, layer: Image) -> Scale | None:
        """That of the measures, once there are any; a desk for them is not made for the text."""
        desk = MeasuringDesk.known(viewer)
        if desk is None:
            return scale_of(layers.facts(layer).calibration)
        if self._desk is None or self._desk() is not desk:
            self._desk = weakref.ref(desk)
            desk.measures.changed.connect(self._update)
        return desk.measures.scale(layer)
