"""Vesselness and the anatomy that it gives, seen while the sliders move."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox
from superqt import QLabeledDoubleRangeSlider

from napari_vasomim.background.sequencer import Sequencer
from napari_vasomim.background.threads import LatestRequest, submit
from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.notify import report_error, report_errors
from napari_vasomim.widgets.kit import Panel, Progress, button, choice, hint, row, slider
from vasomim_core.anatomy import extract_anatomy, frangi, sato
from vasomim_core.anatomy.extraction import Mode, Robust

SCALES = 4
DEFAULT_SIGMAS = (1.5, 6.0)


@dataclass(frozen=True)
class Settings:
    """What the sliders say.

    Attributes:
        filter: which vesselness is shown.
        sigmas: smallest and largest standard deviation in px.
        mode: how the anatomy is found: by one of the engine's modes, or by this filter's percentile alone.
        percentile: response from which a pixel is a vessel.
    """

    filter: Literal["sato", "frangi"] = "sato"
    sigmas: tuple[float, float] = DEFAULT_SIGMAS
    mode: Literal["robust", "as-released", "filter"] = "robust"
    percentile: float = 90.0


Found = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Vesselness (H, W), scaled to [0, 1], and anatomy (H, W)."""


def look(frame: NDArray[np.uint8], settings: Settings) -> Found:
    """Filter a frame with dark vessels."""
    key = frame.tobytes(), frame.shape
    response = _response(*key, settings.filter, settings.sigmas)
    if settings.mode == "filter":
        anatomy = response > max(0.0, float(np.percentile(response, settings.percentile)))
    else:
        anatomy = _anatomy(*key, settings.mode, settings.percentile if settings.mode == "robust" else None)
    return response / max(float(response.max()), 1e-12), anatomy


# Each slider moves one of the two: what it does not touch is not computed again, which halves the wait.
@lru_cache(maxsize=2)
def _response(pixels: bytes, size: tuple[int, int], filter_: str, sigmas: tuple[float, float]) -> NDArray[np.float32]:
    frame = np.frombuffer(pixels, np.uint8).reshape(size)
    return (sato if filter_ == "sato" else frangi)(frame, tuple(np.geomspace(*sigmas, SCALES)))


@lru_cache(maxsize=2)
def _anatomy(pixels: bytes, size: tuple[int, int], mode: Mode, percentile: float | None) -> NDArray[np.bool_]:
    settings = None if percentile is None else Robust(percentile=percentile)
    return extract_anatomy(np.frombuffer(pixels, np.uint8).reshape(size), mode, settings=settings)


class VesselnessPanel(Panel):
    """Sliders for the filter; response and anatomy on two layers."""

    title = "Vesselness"
    purpose = "See the vessels that a filter finds, without any label."
    explores = ("vesselness", "anatomy")

    def build(self) -> None:
        """Make the widgets."""
        form = self.section("Filter")
        self.filter = choice(
            ("Sato", "sato"),
            ("Frangi", "frangi"),
            tooltip="Sato answers along a whole vessel; Frangi suppresses blobs, and crossings with them",
        )
        self.sigmas = QLabeledDoubleRangeSlider(Qt.Orientation.Horizontal)
        self.sigmas.setRange(0.5, 12)  # type: ignore[arg-type]
        self.sigmas.setValue(DEFAULT_SIGMAS)
        self.sigmas.setDecimals(1)
        self.sigmas.setToolTip("Smallest and largest scale in px; a vessel of width w answers most at about w/3 to w/2")
        self.ridges = choice(
            ("dark (contrast agent)", False), ("bright (inverted)", True), tooltip="How vessels look in this image"
        )
        form.addRow("filter", self.filter)
        form.addRow("σ (px)", self.sigmas)
        form.addRow("vessels", self.ridges)

        form = self.section("Anatomy")
        self.mode = choice(
            ("robust", "robust"),
            ("as released", "as-released"),
            ("this filter's percentile", "filter"),
            tooltip="robust: evened background, main components. as released: the published script, to the pixel",
        )
        self.percentile = slider(50, 99.5, 90, 0.5, "Response, as a percentile of the frame, from which pixels count")
        form.addRow("mode", self.mode)
        form.addRow("percentile", self.percentile)

        self.live = QCheckBox("follow the sliders and the shown frame")
        self.live.setChecked(True)
        self.body.addWidget(self.live)
        self.now = button("This frame", self.show_frame, "Filter the frame that is shown", primary=True)
        self.all = button("Whole cine", self.show_cine, "Filter every frame of the cine")
        self.body.addLayout(row(self.now, self.all))
        self.progress = Progress(self.cancel)
        self.body.addWidget(self.progress)
        self.state = hint()
        self.body.addWidget(self.state)

        self._cine: Sequencer[int, Found] | None = None
        self._cine_of: Image | None = None
        self._preview = LatestRequest(self, self._show)
        moved = report_errors(self._moved)
        self.filter.currentIndexChanged.connect(moved)
        self.sigmas.valueChanged.connect(moved)
        self.mode.currentIndexChanged.connect(moved)
        self.percentile.valueChanged.connect(moved)
        self.live.toggled.connect(moved)
        self.ridges.activated.connect(report_errors(self._ridges_chosen))
        self.follow(self.session.frame_changed, self._moved)
        self.follow(self.session.pixels_changed, self._pixels_changed)
        self.follow(self.session.angiogram_changed, self._angiogram_changed)
        self._angiogram_changed()
        self._moved()

    def settings(self) -> Settings:
        """What the sliders say."""
        low, high = self.sigmas.value()
        return Settings(
            self.filter.currentData(), (float(low), float(high)), self.mode.currentData(), self.percentile.value()
        )

    def show_frame(self) -> None:
        """Filter the shown frame."""
        layer, index, settings = self.session.need_angiogram(), self.session.index, self.settings()
        pixels = layer.data

        def work() -> tuple[Image, Any, int, Found]:
            return layer, pixels, index, look(frames.grey(layer, index), settings)

        self._preview.ask(work)

    def show_cine(self) -> None:
        """Filter every frame, the shown one first; the settings are those of the click."""
        layer, first, settings = self.session.need_angiogram(), self.session.index, self.settings()
        count, pixels = frames.frame_count(layer), layer.data

        def ask(index: int) -> Future[Found]:
            return submit(lambda: look(frames.grey(layer, index), settings))

        def each(index: int, found: Found) -> None:
            if layer in self.viewer.layers:
                self._show((layer, pixels, index, found))
            else:
                self.cancel()

        def done() -> None:
            self.cancel()
            if settings != self.settings():
                self._moved()

        self._preview.forget()
        self._cine_of = layer
        indices = [(first + k) % count for k in range(count)]
        self._cine = Sequencer(self, indices, ask, each, done, self._failed, self._show_step)
        self._angiogram_changed()
        self._cine.start()

    def cancel(self) -> None:
        """Stop; what is done stays."""
        self._preview.forget()
        if self._cine is not None:
            self._cine.cancel()
        self._cine = None
        self.progress.hide()
        self._angiogram_changed()

    def _show_step(self, done: int, total: int) -> None:
        self.progress.show_step(done, total, "frame %v of %m")

    def _show(self, result: tuple[Image, Any, int, Found]) -> None:
        layer, pixels, index, (response, anatomy) = result
        if layer in self.viewer.layers and layer.data is pixels:
            style: dict[str, Any] = {"colormap": "inferno", "blending": "additive", "opacity": 0.6}
            results.put_frame(
                self.viewer, layer, "vesselness", index, response, "vesselness", contrast_limits=(0, 1), **style
            )
            results.put_frame(self.viewer, layer, "anatomy", index, anatomy, "anatomy")
            self.state.setText(f"{100 * anatomy.mean():.1f} % of this frame is vessel.")

    def _failed(self, error: Exception) -> None:
        self.cancel()
        report_error(error)

    def _moved(self, *_: Any) -> None:
        self.percentile.setEnabled(self.mode.currentData() != "as-released")
        if self.live.isChecked() and self.isVisible() and self.session.angiogram is not None and self._cine is None:
            self.show_frame()

    def _ridges_chosen(self, *_: Any) -> None:
        self.session.set_bright_vessels(bool(self.ridges.currentData()))

    def _pixels_changed(self, layer: Image) -> None:
        if self._cine is not None and self._cine_of is layer:
            self.cancel()

    def _angiogram_changed(self, *_: Any) -> None:
        layer = self.session.angiogram
        idle = self._cine is None
        self.now.setEnabled(layer is not None and idle)
        self.all.setEnabled(layer is not None and idle and frames.frame_count(layer) > 1)
        self.ridges.setEnabled(layer is not None)
        bright = layer is not None and layers.facts(layer).chosen.bright_vessels
        self.ridges.setCurrentIndex(int(bright))
        if layer is None:
            self.state.setText("No angiogram is open yet.")

    def showEvent(self, event: Any) -> None:
        """Look at once when the panel comes to the front."""
        super().showEvent(event)
        self._moved()
