"""Two ways of masking side by side on the shown frame: masks, masking ratios, and the share of vessels masked."""

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
from napari_vasomim.masking.layers import LEGEND, THROWN_AWAY
from napari_vasomim.masking.saving import ask_numbers, ask_path, save_figure, save_numbers
from napari_vasomim.notify import report_error, report_errors
from napari_vasomim.plain import Marked, make_plain, plain_label
from napari_vasomim.session import Session
from napari_vasomim.widgets.kit import SPACE, button, choice, follow, header, hint, row
from napari_vasomim.widgets.model_choice import ModelChoice
from napari_vasomim.widgets.pictures import ColourBar, Picture
from napari_vasomim.widgets.schedule_form import SAMPLERS
from napari_vasomim.widgets.vessel_curves import VesselCurves
from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.inference.requests import MaskingOverEpochs, MaskPreview, Reconstruct
from vasomim_core.masking.figures import by_guide, in_words, on_pixels, picture, save_comparison
from vasomim_core.masking.results import MaskingResult, OverEpochs
from vasomim_core.masking.schedule import MaskingSchedule, Sampler
from vasomim_core.models.catalogue import known_card, model_name

RATIO_COLOURS, SCORE_COLOURS = "viridis", "inferno"
TITLES = {"mask": "mask", "ratio": "masking ratio", "drawn": "masked patches drawn"}


class CompareWindow(QDialog):
    """The panel's schedule, A, beside B: another one, which differs in sampler, γ or β, or the masks of AMT or HPM.

    All else is the same: frame, anatomy, epoch of how many, and seed.

    Args:
        session: what the panels share.
        parent: the panel.
        answers: those to A, which the panel asks for.
        first: A as it is when the window opens.
    """

    def __init__(self, session: Session, parent: QWidget, answers: MaskAnswers, first: MaskingSchedule):
        super().__init__(parent)
        self.setWindowTitle("Two ways of masking")
        self._of_a, self._of_b = answers, MaskAnswers(session, self)
        self._asked: Asked | None = None
        self.by = ModelChoice(
            ("encoder",),
            "no encoder that AMT or HPM has pretrained; choose one of these",
            "What masks in B: a schedule, or what an encoder of AMT attends to, or one of HPM takes for hard",
            none="a schedule",
            fits=lambda card: bool(card.guides),
        )
        self.by.fill("")
        self._sizes, self._by = first, ""
        self.sampler = choice(*SAMPLERS, tooltip="How B draws its guided patches")
        other: Sampler = "anatomy" if first.sampler == "uniform" else "uniform"
        self.sampler.setCurrentIndex(self.sampler.findData(other))
        self.mask_ratio = _share(0.1, 0.95, first.mask_ratio, "Share of the patches that B masks")
        self.beta_start = _share(0, 1, first.beta_start, "Share of B's masked patches chosen by anatomy, first")
        self.beta_end = _share(0, 1, first.beta_end, "The same at the last epoch")
        self.words = hint()
        settings = QHBoxLayout()
        settings.addWidget(plain_label("B masks by"))
        settings.addWidget(self.by, 1)
        self._of_schedule = QWidget()
        inner = QHBoxLayout(self._of_schedule)
        inner.setContentsMargins(0, 0, 0, 0)
        for name, widget in (
            ("sampler", self.sampler),
            ("γ", self.mask_ratio),
            ("β from", self.beta_start),
            ("to", self.beta_end),
        ):
            inner.addWidget(plain_label(name))
            inner.addWidget(widget, 1)
        settings.addWidget(self._of_schedule, 4)

        grid = QGridLayout()
        grid.setSpacing(SPACE)
        self.pictures: dict[tuple[str, str], Picture] = {}
        self.titles: dict[tuple[str, str], QLabel] = {}
        places = [("mask", 0, 0), ("ratio", 0, 2), ("drawn", 2, 2)]
        for shown, line, column in places:
            for right, which in enumerate("AB"):
                self.titles[shown, which] = _title(f"{which}: {TITLES[shown]}")
                self.pictures[shown, which] = Picture()
                grid.addWidget(self.titles[shown, which], line, column + right)
                grid.addWidget(self.pictures[shown, which], line + 1, column + right)
        grid.addWidget(ColourBar(RATIO_COLOURS), 1, 4)
        self.curves = VesselCurves()
        grid.addWidget(_title("Share of the vessels that is masked, over the epochs"), 2, 0, 1, 2)
        grid.addWidget(self.curves, 3, 0, 1, 4)
        self._drawn = [kept["drawn", which] for which in "AB" for kept in (self.titles, self.pictures)]
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

        self.by.chosen.connect(report_errors(self._guide_chosen))
        follow(self, session.models_changed, lambda *_: self.by.fill(self.by.current))
        changed = report_errors(self._changed)
        self.sampler.currentIndexChanged.connect(changed)
        for spin in (self.mask_ratio, self.beta_start, self.beta_end):
            spin.valueChanged.connect(changed)
        follow(self, self._of_a.answered, self._draw)
        follow(self, self._of_b.answered, self._draw)
        follow(self, self._of_b.failed, self._failed)
        self._show_third(False)
        self.resize(1040, 660)  # fits a screen of 1366×768, too

    def ask(self, a: Asked) -> None:
        """Show this as A; what the settings of B leave open is taken over from it."""
        self._asked = a
        b = self._b(a)
        others = f"{by_guide(b.schedule, model_name(b.guide), b.by)}; ratios are those of its own run, epochs are A's"
        self.words.setText(
            f"A, as set in the panel: {in_words(a.schedule)}. "
            + (f"B: {others}." if b.guide else "B differs in what is set here alone.")
        )
        self._show_third(bool(a.model or b.guide))
        if self.isVisible():
            self._of_b.ask(b)
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

    def _guide_chosen(self, name: str) -> None:
        card = known_card(name)
        self._by = "" if card is None else card.guides
        self._sizes = MaskingSchedule().for_model({} if card is None else card.options)
        self._of_schedule.setVisible(not name)  # its own run has said
        scores = {"A": "distribution f", "B": self._by}
        for which in "AB":
            self.titles["drawn", which].setText(f"{which}: {scores[which] if name else TITLES['drawn']}")
            self.pictures["drawn", which].put(None)
        self.state.setText(LEGEND + THROWN_AWAY if self._by == "attention" else LEGEND)
        if name:
            self.state.setText(self.state.text().replace("for its vessels", f"for its vessels (A), {self._by} (B)"))
        self._changed()

    def _failed(self, error: Exception) -> None:
        report_error(error)
        if self.by.current and isinstance(error, VasoMIMError):  # it would be said again at every change
            self.by.use("")

    def _b(self, a: Asked) -> Asked:
        if self.by.current:
            own = self._sizes
            schedule = replace(a.schedule, input_size=own.input_size, patch_size=own.patch_size, co_guidance=False)
            return replace(a, schedule=schedule, model="", guide=self.by.current, by=self._by)
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
            ratio = None if over is None else _coloured(over.masking_ratio, RATIO_COLOURS, size)
            self.pictures["ratio", which].put(ratio)
            if self.by.current:
                self.pictures["drawn", which].put(None if mask is None else _heat(mask.f, size))
            elif asked.model:
                self.pictures["drawn", which].put(None if made is None else _in_shape(made.filled, size))
        self.curves.show_curves(known, self._asked.epoch)

    def _show_third(self, there: bool) -> None:
        """Room for what a model draws, or for what chooses in B."""
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


def _heat(score: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """What chooses, from its least value over the frame to its largest."""
    low, high = float(score.min()), float(score.max())
    return _coloured((score - low) / max(high - low, 1e-12), SCORE_COLOURS, size)


def _coloured(grid: NDArray[np.float32], colours: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Values in [0, 1] on the patch grid as colours on the frame, uint8 (H, W, 3)."""
    rgb = ensure_colormap(colours).map(grid.ravel())[:, :3]
    return on_pixels((rgb * 255).astype(np.uint8).reshape(*grid.shape, 3), size)


def _in_shape(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Grey levels (S, S) in the shape of the frame, uint8 (H, W, 3)."""
    grey = np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
