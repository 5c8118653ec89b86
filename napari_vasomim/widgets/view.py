"""The panel for looking: which run is shown, by which window, and what stands on the canvas."""

from __future__ import annotations

from functools import partial

from qtpy.compat import isalive
from qtpy.QtWidgets import QCheckBox
from superqt.utils import signals_blocked

from napari_vasomim.viewing.screen_text import ScreenText
from napari_vasomim.viewing.windowing import Preset, Windowing, has_window, is_negative
from napari_vasomim.widgets.beside import Beside, dock_beside
from napari_vasomim.widgets.kit import Panel, button, hint, row
from napari_vasomim.widgets.open_runs import OpenRuns

PRESETS: tuple[tuple[Preset, str, str], ...] = (
    ("opened", "as opened", "As it was opened: the window of the file, or its first contrast limits"),
    ("full", "full", "From the darkest to the brightest pixel of this frame"),
    ("usual", "1–99 %", "Between these percentiles of this frame's pixels"),
    ("vessels", "vessels", "Narrower: lungs and what is beside the heart go white, vessels towards black"),
)


class ViewPanel(Panel):
    """What a person does at a viewer."""

    title = "View"
    purpose = "Choose a run, and see it well."

    def build(self) -> None:
        """Make the widgets."""
        self._second: Beside | None = None
        self.windowing, self.text = Windowing.of(self.viewer), ScreenText.of(self.viewer)
        self.section("Runs")
        self.runs = OpenRuns(self.session)
        self.none = hint("None is open: take Open… above, or drop files onto the window.")
        self.body.addWidget(self.runs)
        self.body.addWidget(self.none)
        self.section("Window and level")
        self.presets = {
            preset: button(text, partial(self.windowing.apply, preset), tooltip) for preset, text, tooltip in PRESETS
        }
        self.body.addLayout(row(*(self.presets[preset] for preset in ("full", "usual", "vessels"))))
        self.negative = QCheckBox("negative, for the eye")
        self.negative.setToolTip("Show black as white; segmentation, filters and labels see it as before")
        self.negative.clicked.connect(self._negative_clicked)
        self.body.addLayout(row(self.presets["opened"], self.negative))
        self.body.addWidget(
            hint(
                "On the canvas, drag with the right button: ←→ changes the width, ↑↓ the level. "
                "A double click with it goes back to how it was opened."
            )
        )
        self.section("Text on the canvas")
        self.shown = QCheckBox("angles, frame, time, window, scale")
        self.shown.setChecked(self.text.is_on)
        self.shown.clicked.connect(self._text_clicked)
        self.body.addWidget(self.shown)
        self.section("Two at once")
        self.beside = button(
            "Side by side",
            self._open_beside,
            "Another run, or another moment of this one, beside the canvas, at the same place and size",
        )
        self.body.addWidget(self.beside)
        self.follow(self.session.angiogram_changed, self._fill)
        self._fill()

    def _fill(self, *_: object) -> None:
        layer = self.session.angiogram
        self.none.setVisible(layer is None)
        self.beside.setEnabled(layer is not None)
        for widget in (*self.presets.values(), self.negative):
            widget.setEnabled(has_window(layer))
        with signals_blocked(self.negative):
            self.negative.setChecked(layer is not None and is_negative(layer))

    def _negative_clicked(self, on: bool) -> None:
        self.windowing.set_negative(on)

    def _open_beside(self) -> None:
        """One at a time; it is closed by its own button."""
        if self._second is None or not isalive(self._second):
            self._second = dock_beside(self.session, self)

    def _text_clicked(self, on: bool) -> None:
        self.text.is_on = on
