"""Two masking schedules side by side on the shown frame: masks, masking ratios, and the share of vessels masked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray
from qtpy.QtWidgets import QDialog, QDoubleSpinBox, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_vasomim.masking.answers import Asked, MaskAnswers
from napari_vasomim.masking.layers import LEGEND
from napari_vasomim.masking.saving import ask_numbers, ask_path, save_figure, save_numbers
from napari_vasomim.notify import report_error, report_errors
from napari_vasomim.plain import Marked, make_plain, plain_label
from napari_vasomim.session import Session
from napari_vasomim.widgets.kit import SPACE, button, choice, follow, header, hint, row
from napari_vasomim.widgets.pictures import ColourBar, Picture
from napari_vasomim.widgets.schedule_form import SAMPLERS
from napari_vasomim.widgets.vessel_curves import VesselCurves
from vasomim_core.errors import InputError
from vasomim_core.inference.requests import MaskingOverEpochs, MaskPreview, Reconstruct
from vasomim_core.masking.figures import in_words, on_pixels, picture, save_comparison
from vasomim_core.masking.results import MaskingResult, OverEpochs
from vasomim_core.masking.schedule import MaskingSchedule, Sampler

RATIO_COLOURS = "viridis"
TITLES = {"mask": "mask", "ratio": "masking ratio", "drawn": "masked patches drawn"}


class CompareWindow(QDialog):
    """The panel's schedule, A, beside another one, B, which differs in sampler, γ or β; all else is the same.

    Args:
        session: what the panels share.
        parent: the panel.
        answers: those to A, which the panel asks for.
        first: A as it is when the window opens.
    """

    def __init__(self, session: Session, parent: QWidget, answers: MaskAnswers, first: MaskingSchedule):
        super().__init__(parent)
        self.setWindowTitle("Two masking schedules")
        self._of_a, self._of_b = answers, MaskAnswers(session, self)
        self._asked: Asked | None = None
        self.sampler = choice(*SAMPLERS, tooltip="How B draws its guided patches")
        other: Sampler = "anatomy" if first.sampler == "uniform" else "uniform"
        self.sampler.setCurrentIndex(self.sampler.findData(other))
        self.mask_ratio = _share(0.1, 0.95, first.mask_ratio, "Share of the patches that B masks")
        self.beta_start = _share(0, 1, first.beta_start, "Share of B's masked patches chosen by anatomy, first")
        self.beta_end = _share(0, 1, first.beta_end, "The same at the last epoch")
        self.words = hint()
        settings = QHBoxLayout()
        for name, widget in (
            ("<b>B</b>&nbsp; sampler", self.sampler),
            ("γ", self.mask_ratio),
            ("β from", self.beta_start),
            ("to", self.beta_end),
        ):
            settings.addWidget(plain_label(name))
            settings.addWidget(widget, 1)

        grid = QGridLayout()
        grid.setSpacing(SPACE)
        self.pictures: dict[tuple[str, str], Picture] = {}
        titles: dict[tuple[str, str], QLabel] = {}
        places = [("mask", 0, 0), ("ratio", 0, 2), ("drawn", 2, 2)]
        for shown, line, column in places:
            for right, which in enumerate("AB"):
                titles[shown, which] = _title(f"{which}: {TITLES[shown]}")
                self.pictures[shown, which] = Picture()
                grid.addWidget(titles[shown, which], line, column + right)
                grid.addWidget(self.pictures[shown, which], line + 1, column + right)
        grid.addWidget(ColourBar(RATIO_COLOURS), 1, 4)
        self.curves = VesselCurves()
        grid.addWidget(_title("Share of the vessels that is masked, over the epochs"), 2, 0, 1, 2)
        grid.addWidget(self.curves, 3, 0, 1, 4)
        self._drawn = [kept["drawn", which] for which in "AB" for kept in (titles, self.pictures)]
        for column in range(4):
            grid.setColumnStretch(column, 1)
        self._grid = grid
        grid.setRowStretch(1, 1)
        grid.setRowStretch(3, 1)

        self.figure = button("Save figure…", self.ask_figure, "A PNG of all that is here")
        self.numbers = button("Save numbers…", self.ask_numbers, "All arrays of A and B as NPZ, or tables as CSV")
        for press in (self.figure, self.numbers):
            press.setAutoDefault(False)  # Enter in a number is not meant for them
        keep = QHBoxLayout()
        self.state = Marked(LEGEND)
        keep.addWidget(self.state, 1)
        keep.addLayout(row(self.figure, self.numbers))
        column_ = QVBoxLayout(self)
        column_.addWidget(self.words)
        column_.addLayout(settings)
        column_.addLayout(grid, 1)
        column_.addLayout(keep)
        make_plain(self)

        changed = report_errors(self._changed)
        self.sampler.currentIndexChanged.connect(changed)
        for spin in (self.mask_ratio, self.beta_start, self.beta_end):
            spin.valueChanged.connect(changed)
        follow(self, self._of_a.answered, self._draw)
        follow(self, self._of_b.answered, self._draw)
        follow(self, self._of_b.failed, report_error)
        self._show_model(False)
        self.resize(1040, 660)  # fits a screen of 1366×768, too

    def ask(self, a: Asked) -> None:
        """Show this as A; what the settings of B leave open is taken over from it."""
        self._asked = a
        self.words.setText(f"A, as set in the panel: {in_words(a.schedule)}. B differs in what is set here alone.")
        self._show_model(bool(a.model))
        if self.isVisible():
            self._of_b.ask(self._b(a))
        self._draw()

    def results(self) -> dict[str, MaskingResult]:
        """A and B, by the suffix of their names in a file.

        Raises:
            InputError: something was not computed yet.
        """
        a = None if self._asked is None else self._of_a.result(self._asked)
        b = None if self._asked is None else self._of_b.result(self._b(self._asked))
        if a is None or b is None:
            raise InputError("The masks are still being drawn; save them when they are shown.")
        return {"_a": a, "_b": b}

    def ask_figure(self) -> None:
        """Ask where, then write the figure."""
        if path := ask_path(self, "Save figure", "masking-a-b.png"):
            self.save_figure(path)

    def save_figure(self, path: Path) -> None:
        """Write both side by side with their settings as one PNG.

        Raises:
            InputError: something was not computed yet.
        """
        a, b = self.results().values()
        save_figure(self, path, lambda path: save_comparison(path, a, b))

    def ask_numbers(self) -> None:
        """Ask where, then write the numbers."""
        if path := ask_numbers(self, "masking-a-b.npz"):
            save_numbers(self, path, self.results())

    def _b(self, a: Asked) -> Asked:
        schedule = replace(
            a.schedule,
            sampler=self.sampler.currentData(),
            mask_ratio=round(self.mask_ratio.value(), 6),
            beta_start=round(self.beta_start.value(), 6),
            beta_end=round(self.beta_end.value(), 6),
        )
        return replace(a, schedule=schedule)

    def _changed(self, *_: Any) -> None:
        if self._asked is not None:
            self.ask(self._asked)

    def _draw(self, *_: Any) -> None:
        """Show what is known of A and B by now; what is not known yet stays blank."""
        if self._asked is None or not self.isVisible():
            return
        vessels, size = self._asked.vessels, self._asked.vessels.size
        known: dict[str, OverEpochs] = {}
        for which, answers, asked in (("A", self._of_a, self._asked), ("B", self._of_b, self._b(self._asked))):
            mask, over = answers.get(MaskPreview, asked), answers.get(MaskingOverEpochs, asked)
            made = answers.get(Reconstruct, asked)
            self.pictures["mask", which].put(None if mask is None else picture(vessels.frame, mask))
            if over is not None:
                known[which] = over
                colours = ensure_colormap(RATIO_COLOURS).map(over.masking_ratio.ravel())[:, :3]
                colours = (colours * 255).astype(np.uint8).reshape(*over.masking_ratio.shape, 3)
            self.pictures["ratio", which].put(None if over is None else on_pixels(colours, size))
            if asked.model:
                self.pictures["drawn", which].put(None if made is None else _in_shape(made.filled, size))
        self.curves.show_curves(known, self._asked.epoch)

    def _show_model(self, there: bool) -> None:
        if there is not self._drawn[0].isHidden():
            return
        for widget in self._drawn:
            widget.setVisible(there)
        self._grid.addWidget(self.curves, 3, 0, 1, 2 if there else 4)

    def showEvent(self, event: Any) -> None:
        """Draw what came in while it was closed."""
        super().showEvent(event)
        self._changed()


def _title(text: str) -> QLabel:
    """The heading of a picture; it leaves the width to the pictures."""
    made = header(text)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return made


def _share(low: float, high: float, value: float, tooltip: str) -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setRange(low, high)
    spin.setSingleStep(0.05)
    spin.setValue(value)
    spin.setKeyboardTracking(False)
    spin.setToolTip(tooltip)
    return spin


def _in_shape(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Grey levels (S, S) in the shape of the frame, uint8 (H, W, 3)."""
    grey = np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
