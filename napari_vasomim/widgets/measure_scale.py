"""Where millimetres come from: the file, a catheter that is traced, a number by hand, or nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QWidget

from napari_vasomim.measuring.measures import FROM_FILE, Measures
from napari_vasomim.session import Session
from napari_vasomim.widgets.kit import SPACE, button, follow, hint
from vasomim_core.errors import ConfigError
from vasomim_core.measures.scale import FRENCH_SIZES, POSSIBLE, Scale, beside_the_file, scale_by_hand

CHECKED = "QPushButton:checked { background: palette(highlight); color: palette(highlighted-text); }"


def where_from(scale: Scale) -> str:
    """The source of a scale in a word or two, for a heading."""
    if scale.source.startswith(FROM_FILE):
        return "file"
    return "catheter" if scale.source.startswith("catheter") else "by hand"


class ScaleChoice(QWidget):
    """The scale of the chosen angiogram, and the ways to another one.

    Args:
        session: of the viewer.
        measures: whose millimetres they are.
        trace_catheter: begins to trace a catheter of a size in French.
    """

    def __init__(self, session: Session, measures: Measures, trace_catheter: Callable[[float], Any]):
        super().__init__()
        self._session, self._measures, self._trace_catheter = session, measures, trace_catheter
        self.now = hint()
        self.file = button("From the file", self._take_file, "What the DICOM file says of the size of its pixels")
        self.pixels = button("Pixels", self._take_pixels, "No millimetres; %DS needs none")
        self.size = _number(FRENCH_SIZES[0], FRENCH_SIZES[1], 0.5, 1, " F", "size?")
        self.size.setToolTip("Size of the catheter in French (⅓ mm outside), as it stands on its package")
        self.trace = button(
            "Trace a catheter",
            self._trace,
            "Then click two places on a straight, free piece of it: its width in px is its size in mm",
        )
        self.trace.setCheckable(True)
        self.trace.setStyleSheet(CHECKED)
        self.hand = _number(POSSIBLE[0], POSSIBLE[1], 0.005, 4, "", "by hand")
        self.hand.setToolTip("mm per px in the patient, where it is known from elsewhere")
        self.take = button("Take as mm per px", self._take_hand, "Use the number beside as the scale of this angiogram")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(SPACE)
        grid.addWidget(self.now, 0, 0, 1, 2)
        for place, (left, right) in enumerate(
            ((self.file, self.pixels), (self.size, self.trace), (self.hand, self.take)), 1
        ):
            grid.addWidget(left, place, 0)
            grid.addWidget(right, place, 1)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        follow(self, measures.changed, self._show)
        follow(self, session.angiogram_changed, self._show)
        self._show()

    def _take_file(self) -> None:
        layer = self._session.need_angiogram()
        self._measures.set_scale(layer, self._measures.scale_of_file(layer))

    def _take_pixels(self) -> None:
        self._measures.set_scale(self._session.need_angiogram(), None)

    def _take_hand(self) -> None:
        layer = self._session.need_angiogram()
        if self.hand.value() < POSSIBLE[0]:
            raise ConfigError("Which scale? Give the mm per px beside.")
        scale = scale_by_hand(self.hand.value())
        self._measures.set_scale(layer, beside_the_file(scale, self._measures.scale_of_file(layer)))

    def _trace(self) -> None:
        if self.size.value() < FRENCH_SIZES[0]:
            self.trace.setChecked(False)
            raise ConfigError("Which catheter? Give its size in French beside, as it stands on its package.")
        self._trace_catheter(self.size.value())

    def _show(self, *_: Any) -> None:
        layer = self._session.angiogram
        scale = self._measures.scale(layer) if layer is not None else None
        of_file = self._measures.scale_of_file(layer) if layer is not None else None
        if scale is None:
            words = "pixels: the file says no scale" if of_file is None else "pixels, though the file says a scale"
        else:
            warning = f"; {scale.warning}" if scale.warning else ""
            words = f"{scale.mm_per_px:.4f} mm per px from {scale.source}{warning}"
        self.now.setText(words if layer is not None else "–")
        self.file.setEnabled(of_file is not None and of_file != scale)
        self.pixels.setEnabled(scale is not None)
        for widget in (self.size, self.trace, self.hand, self.take):
            widget.setEnabled(layer is not None)


def _number(least: float, most: float, step: float, decimals: int, unit: str, nothing: str) -> QDoubleSpinBox:
    """A field of a number that nobody has given yet."""
    made = QDoubleSpinBox()
    made.setDecimals(decimals)
    made.setRange(least - step, most)  # the lowest stands for "not given"
    made.setSingleStep(step)
    made.setSuffix(unit)
    made.setSpecialValueText(nothing)
    made.setValue(least - step)
    return made
