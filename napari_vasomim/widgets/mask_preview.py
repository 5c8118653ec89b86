"""What guided masking hides: the distribution f, one sampled mask, the masking ratio, and a model's reconstruction."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QSizePolicy, QSpinBox
from superqt.utils import signals_blocked

from napari_vasomim.masking.answers import Asked, MaskAnswers
from napari_vasomim.masking.layers import DISPLAYS, FROM_MODEL, LEGEND, MaskLayers
from napari_vasomim.masking.vessels import ShownVessels, Vessels
from napari_vasomim.notify import report_error, report_errors
from napari_vasomim.plain import Marked
from napari_vasomim.widgets.kit import Panel, button, choice, hint, row, whole_slider
from napari_vasomim.widgets.mask_compare import CompareWindow
from napari_vasomim.widgets.mask_export import MaskExport
from napari_vasomim.widgets.model_choice import ModelChoice
from napari_vasomim.widgets.schedule_form import ScheduleForm
from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.inference.requests import MaskPreview, Reconstruct
from vasomim_core.masking.results import Mask, MaskingResult, OverEpochs, Reconstruction
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models import catalogue


class MaskPreviewPanel(Panel):
    """The weak-to-strong schedule on the shown frame."""

    title = "Masking"
    purpose = "See which patches pretraining would mask, epoch by epoch."
    explores = ("anatomy", *(role for roles in DISPLAYS.values() for role in roles))

    def build(self) -> None:
        """Make the widgets."""
        self.schedule = ScheduleForm()
        self.section("Schedule").addRow(self.schedule)

        form = self.section("Look")
        self.display = choice(
            *((text, roles) for text, roles in DISPLAYS.items()), tooltip="What lies over the angiogram"
        )
        last = self.schedule.epochs.value() - 1
        self.epoch = whole_slider(0, last, last, "The epoch whose mask is drawn")
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip("The same seed draws the same mask")
        self.again = button("New sample", lambda: self.seed.setValue(self.seed.value() + 1), "Draw another mask")
        self.model = ModelChoice(
            ("autoencoder",),
            "a {kind}; choose a pretrained autoencoder",
            "A model that `Pretrain` made; it draws what is masked",
            none="none",
        )
        form.addRow("show", self.display)
        form.addRow("epoch", self.epoch)
        form.addRow("seed", row(self.seed, self.again))
        form.addRow("model", self.model)
        self.legend = Marked(LEGEND)
        self.legend.setWordWrap(True)
        self.legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.body.addWidget(self.legend)
        self.state = hint()
        self.body.addWidget(self.state)
        beside = "Beside it another schedule, or what AMT or HPM would mask"
        self.compare = button("Compare with other masks…", self.show_comparison, beside)
        self.body.addWidget(self.compare)
        self.export = MaskExport(self.result, self._need_asked)
        self.body.addWidget(self.export)

        self.vessels = ShownVessels(self.session, self, self._found)
        self.answers = MaskAnswers(self.session, self)
        self.comparison: CompareWindow | None = None
        self._layers = MaskLayers(self.viewer, self.display.currentData())
        self._model = ""
        self.schedule.changed.connect(report_errors(self._schedule_changed))
        for signal in (self.epoch.valueChanged, self.seed.valueChanged):
            signal.connect(report_errors(self._changed))
        self.model.chosen.connect(report_errors(self._model_chosen))
        self.display.currentIndexChanged.connect(report_errors(self._display_changed))
        self.follow(self.answers.starting, self._engine_starts)
        self.follow(self.answers.answered, self._answered)
        self.follow(self.answers.failed, self._failed)
        self.follow(self.session.frame_changed, self._changed)
        self.follow(self.session.angiogram_changed, self._angiogram_changed)
        self.follow(self.session.pixels_changed, self.vessels.forget)
        self.follow(self.session.models_changed, self._fill_models)
        self.model.fill("")
        self._show_legend()
        self._angiogram_changed()

    def settings(self) -> MaskingSchedule:
        """What the panel says of the schedule."""
        return self.schedule.schedule(self.seed.value())

    def asked(self) -> Asked | None:
        """All that the panel says now; None while the vessels of the shown frame are not known."""
        vessels = self.vessels.get(self.schedule.anatomy.currentData())
        return None if vessels is None else self._about(vessels)

    def _about(self, vessels: Vessels) -> Asked:
        return Asked(vessels, self.settings(), self.epoch.value(), self._model)

    # What changes, and what is shown then

    def _changed(self, *_: Any) -> None:
        comparing = self.comparison is not None and self.comparison.isVisible()
        if self.session.angiogram is None or not (self.isVisible() or comparing):
            return
        asked = self.asked()
        if asked is not None:
            self._ask(asked)
        else:
            self.vessels.find(self.schedule.anatomy.currentData())

    def _found(self, vessels: Vessels) -> None:
        self._layers.put_anatomy(vessels)
        self._ask(self._about(vessels))

    def _ask(self, asked: Asked) -> None:
        self.answers.ask(asked)
        if self.comparison is not None:
            self.comparison.ask(asked)

    def _engine_starts(self) -> None:
        self.state.setText("Starting the engine…")

    def _answered(self, asked: Asked, answer: Mask | OverEpochs | Reconstruction) -> None:
        self._layers.put(asked, answer)
        if asked == self.asked() and (mask := self.answers.get(MaskPreview, asked)) is not None:
            self.state.setText(_in_words(mask, self.answers.get(Reconstruct, asked) if asked.model else None))

    def _failed(self, error: Exception) -> None:
        self.state.setText(str(error) if isinstance(error, VasoMIMError) else "")
        report_error(error)

    def _display_changed(self, *_: Any) -> None:
        layer, seen = self.session.angiogram, self.display.currentData()
        if layer is None:
            return
        self._layers.see(seen, layer)
        self._show_legend()
        if set(seen) & set(FROM_MODEL) and not self._model:
            self.model.use(catalogue.ENCODER)

    def _schedule_changed(self) -> None:
        last = self.epoch.value() == self.epoch.maximum()
        with signals_blocked(self.epoch):
            self.epoch.setRange(0, self.schedule.epochs.value() - 1)
            if last:
                self.epoch.setValue(self.epoch.maximum())
        self._changed()

    def _angiogram_changed(self, *_: Any) -> None:
        there = self.session.angiogram is not None
        for widget in (self.again, self.compare):
            widget.setEnabled(there)
        self.export.enable(there)
        if self.session.angiogram is not None:
            self._layers.see(self.display.currentData(), self.session.angiogram)  # it may have been left otherwise
        else:
            self.vessels.forget()
            self.answers.forget()
            if self.comparison is not None:
                self.comparison.close()
            self.state.setText("No angiogram is open: drop a file onto the window, or use File ▸ Open Sample.")
        self._changed()

    def showEvent(self, event: Any) -> None:
        """Draw at once when the panel comes to the front."""
        super().showEvent(event)
        self._changed()

    def _fill_models(self) -> None:
        self.model.fill(self._model)

    def _model_chosen(self, name: str) -> None:
        if name != self._model:
            self.schedule.take_sizes(name)
            self._model = name
        if name and not set(self.display.currentData()) & set(FROM_MODEL):
            self.display.setCurrentIndex(list(DISPLAYS).index("reconstruction I′"))
        self._changed()

    def _show_legend(self) -> None:
        self.legend.setVisible("mask" in self.display.currentData())

    # Comparing and keeping

    def show_comparison(self) -> None:
        """Open a window with these settings beside others.

        Raises:
            InputError: no angiogram is open.
        """
        self.session.need_angiogram()
        if self.comparison is None:
            self.comparison = CompareWindow(self.session, self, self.answers, self.settings())
        self.comparison.show()
        self.comparison.raise_()
        if (asked := self.asked()) is not None:
            self.comparison.ask(asked)

    def result(self) -> MaskingResult:
        """All that the engine has answered to what the panel says now.

        Raises:
            InputError: no angiogram is open, or something was not computed yet.
        """
        self.session.need_angiogram()
        asked = self.asked()
        result = None if asked is None else self.answers.result(asked)
        if result is None:
            raise InputError("The masks are still being drawn; save them when they are shown.")
        return result

    def _need_asked(self) -> Asked:
        self.session.need_angiogram()
        asked = self.asked()
        if asked is None:
            raise InputError("The vessels of this frame are still being found; try again in a second.")
        return asked


def _in_words(mask: Mask, made: Reconstruction | None) -> str:
    """What is seen, and how well a model draws it."""
    side, patches, masked, guided = len(mask.image), mask.f.size, int(mask.masked.sum()), int(mask.guided.sum())
    words = (
        f"β = {mask.beta:.2f}: {masked} of {patches} patches are masked, {guided} for their vessels, "
        f"{masked - guided} by chance. The whole frame is seen at {side} × {side} px, resized as a training crop is."
    )
    if made is None:
        return words
    cons = "" if made.l_cons is None else f", L_cons {made.l_cons:.3f}"
    return f"{words} The model's L_rec is {made.l_rec:.3f}{cons}."
