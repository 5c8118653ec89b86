"""What the masking panel shows, kept: a figure, an animation, all numbers, or the script that computes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_vasomim.masking.animation import MaskAnimation
from napari_vasomim.masking.answers import Asked
from napari_vasomim.masking.saving import ask_numbers, ask_path, save_figure, save_numbers
from napari_vasomim.masking.snippet import copy_snippet
from napari_vasomim.widgets.kit import SPACE, Progress, button, follow, row
from vasomim_core.masking import figures
from vasomim_core.masking.results import MaskingResult


class MaskExport(QWidget):
    """The buttons that keep what is shown.

    Args:
        result: gives all that was computed for what is shown; raises an `InputError` where that is not there.
        asked: gives what is shown; raises an `InputError` likewise.
    """

    def __init__(self, result: Callable[[], MaskingResult], asked: Callable[[], Asked]):
        super().__init__()
        self._result, self._asked = result, asked
        self._enabled = False
        self.film: MaskAnimation | None = None
        self.figure = button("Save figure…", self.ask_figure, "A PNG with all views, colour bars and the settings")
        self.animation = button("Save animation…", self.ask_animation, "A GIF of the masks over the schedule")
        self.numbers = button("Save numbers…", self.ask_numbers, "Every array as NPZ, or patches and epochs as CSV")
        self.python = button("Copy as Python", self.copy_python, "A script that computes the same arrays")
        self.progress = Progress(self.cancel_animation)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE)
        column.addLayout(row(self.figure, self.animation))
        column.addLayout(row(self.numbers, self.python))
        column.addWidget(self.progress)

    def enable(self, there: bool) -> None:
        """Let what is shown be kept, or not."""
        self._enabled = there
        for made in (self.figure, self.numbers, self.python):
            made.setEnabled(there)
        self.animation.setEnabled(there and not (self.film is not None and self.film.at_work))

    def ask_figure(self) -> None:
        """Ask where, then write the figure."""
        if path := ask_path(self, "Save figure", "masking.png"):
            self.save_figure(path)

    def save_figure(self, path: Path) -> None:
        """Write all views with their colour bars and settings as one PNG.

        Raises:
            InputError: no angiogram is open, or what is to be in it was not computed yet.
        """
        result = self._result()
        save_figure(self, path, lambda path: figures.save_figure(path, result))

    def ask_numbers(self) -> None:
        """Ask where, then write the numbers."""
        if path := ask_numbers(self, "masking.npz"):
            self.save_numbers(path)

    def save_numbers(self, path: Path) -> None:
        """Write all arrays with their settings as NPZ, or those of the patches and of the epochs as CSV.

        Raises:
            InputError: no angiogram is open, or what is to be in it was not computed yet.
        """
        save_numbers(self, path, {"": self._result()})

    def copy_python(self) -> None:
        """Put a script into the clipboard that computes the same arrays from the angiogram's file.

        Raises:
            InputError: no angiogram is open, or its vessels were not found yet.
        """
        copy_snippet(self, self._asked())

    def ask_animation(self) -> None:
        """Ask where, then write the animation."""
        if path := ask_path(self, "Save animation", "schedule.gif"):
            self.save_animation(path)

    def save_animation(self, path: Path) -> None:
        """Draw masks at evenly spaced epochs in the inference child, then write them as a GIF.

        Raises:
            InputError: no angiogram is open, or its vessels were not found yet.
        """
        asked = self._asked()
        self.cancel_animation()
        self.film = MaskAnimation(self, path, asked)
        follow(self, self.film.stepped, self._show_step)
        follow(self, self.film.ended, self._animation_ended)
        self.film.start()
        self.enable(self._enabled)

    def cancel_animation(self) -> None:
        """Stop, and write nothing."""
        if self.film is not None:
            self.film.cancel()

    def _show_step(self, done: int, total: int) -> None:
        self.progress.show_step(done, total, "step %v of %m")

    def _animation_ended(self) -> None:
        self.progress.hide()
        self.enable(self._enabled)
