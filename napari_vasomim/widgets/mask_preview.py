"""What guided masking hides: the distribution f, one sampled mask, the masking ratio, and a model's reconstruction."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QCheckBox, QFileDialog, QSizePolicy, QSpinBox

from napari_vasomim.background.threads import beside
from napari_vasomim.masking.animation import MaskAnimation
from napari_vasomim.masking.answers import Asked, MaskAnswers
from napari_vasomim.masking.layers import FROM_MODEL, VIEWS, MaskLayers
from napari_vasomim.masking.snippet import copy_snippet
from napari_vasomim.masking.vessels import ShownVessels, Vessels
from napari_vasomim.notify import inform, tell, told
from napari_vasomim.plain import Marked
from napari_vasomim.widgets.kit import Panel, Progress, button, choice, hint, row, slider, whole_slider
from napari_vasomim.widgets.mask_compare import LEGEND, SAMPLERS, CompareWindow, ask_numbers, save_numbers
from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.inference.requests import MaskPreview, Reconstruct
from vasomim_core.masking.figures import save_figure
from vasomim_core.masking.results import Mask, MaskingResult, OverEpochs, Reconstruction
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models import catalogue


class MaskPreviewPanel(Panel):
    """The weak-to-strong schedule on the shown frame."""

    title = "Masking"
    purpose = "See which patches pretraining would mask, epoch by epoch."
    explores = ("anatomy", *(role for roles in VIEWS.values() for role in roles))

    def build(self) -> None:
        """Make the widgets."""
        default = MaskingSchedule()
        form = self.section("Schedule")
        self.input_size = QSpinBox()
        self.input_size.setRange(32, 1024)
        self.input_size.setSingleStep(32)
        self.input_size.setKeyboardTracking(False)  # "2" on the way to "256" is no size
        self.input_size.setToolTip(
            "Side in px of the square that the model sees: the whole frame is resized to it, as a training crop is. "
            "A model has its own; at another, its positions are resampled"
        )
        self.patch_size = choice(
            *((str(n), n) for n in (8, 16, 32)), tooltip="Side of a patch in px; a model has its own"
        )
        self.mask_ratio = slider(0.1, 0.95, default.mask_ratio, 0.05, "Share of the patches that is masked")
        self.beta_start = slider(0, 1, default.beta_start, 0.05, "Share of the masked patches chosen by anatomy, first")
        self.beta_end = slider(0, 1, default.beta_end, 0.05, "The same at the last epoch; in between it rises evenly")
        self.epochs = QSpinBox()
        self.epochs.setRange(1, 10_000)
        self.epochs.setValue(default.epochs)
        self.sampler = choice(*SAMPLERS, tooltip="How the guided patches are drawn")
        self.anatomy = choice(("robust", "robust"), ("as released", "as-released"), tooltip="How vessels are found")
        self.co_guidance = QCheckBox("co-guidance")
        self.co_guidance.setToolTip("Half of f comes from what the model's segmentor S sees; needs a model")
        form.addRow("input, patch px", row(self.input_size, self.patch_size))
        form.addRow("mask ratio γ", self.mask_ratio)
        form.addRow("β at the start", self.beta_start)
        form.addRow("β at the end", self.beta_end)
        form.addRow("epochs E", self.epochs)
        form.addRow("sampler", self.sampler)
        form.addRow("anatomy", self.anatomy)
        form.addRow("", self.co_guidance)

        form = self.section("Look")
        self.view = choice(*((text, roles) for text, roles in VIEWS.items()), tooltip="What lies over the angiogram")
        self.epoch = whole_slider(0, default.epochs - 1, default.epochs - 1, "The epoch whose mask is drawn")
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip("The same seed draws the same mask")
        self.again = button("New sample", lambda: self.seed.setValue(self.seed.value() + 1), "Draw another mask")
        self.model = choice(tooltip="A model that `Pretrain` made; it draws what is masked")
        form.addRow("show", self.view)
        form.addRow("epoch", self.epoch)
        form.addRow("seed", row(self.seed, self.again))
        form.addRow("model", self.model)
        self.legend = Marked(LEGEND)
        self.legend.setWordWrap(True)
        self.legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.body.addWidget(self.legend)
        self.state = hint()
        self.body.addWidget(self.state)
        self.compare = button("Compare with another schedule…", self.show_comparison, "Two settings side by side")
        self.figure = button("Save figure…", self.ask_figure, "A PNG with all views, colour bars and the settings")
        self.animation = button("Save animation…", self.ask_animation, "A GIF of the masks over the schedule")
        self.numbers = button("Save numbers…", self.ask_numbers, "Every array as NPZ, or patches and epochs as CSV")
        self.python = button("Copy as Python", self.copy_python, "A script that computes the same arrays")
        self.body.addWidget(self.compare)
        self.body.addLayout(row(self.figure, self.animation))
        self.body.addLayout(row(self.numbers, self.python))
        self.progress = Progress(self._cancel_animation)
        self.body.addWidget(self.progress)

        self.vessels = ShownVessels(self.session, self, self._found)
        self.answers = MaskAnswers(self.session, self)
        self.film: MaskAnimation | None = None
        self.comparison: CompareWindow | None = None
        self._layers = MaskLayers(self.viewer, self.view.currentData())
        self.epochs.valueChanged.connect(told(self._epochs_changed))
        changed = told(self._changed)
        for signal in (
            self.input_size.valueChanged,
            self.patch_size.currentIndexChanged,
            self.co_guidance.toggled,
            self.mask_ratio.valueChanged,
            self.beta_start.valueChanged,
            self.beta_end.valueChanged,
            self.epochs.valueChanged,
            self.sampler.currentIndexChanged,
            self.anatomy.currentIndexChanged,
            self.epoch.valueChanged,
            self.seed.valueChanged,
        ):
            signal.connect(changed)
        self.model.activated.connect(told(self._model_chosen))
        self.view.currentIndexChanged.connect(told(self._view_changed))
        self.follow(self.answers.starting, self._engine_starts)
        self.follow(self.answers.answered, self._answered)
        self.follow(self.answers.failed, self._failed)
        self.follow(self.session.frame_changed, self._changed)
        self.follow(self.session.angiogram_changed, self._angiogram_changed)
        self.follow(self.session.pixels_changed, self.vessels.forget)
        self.follow(self.session.models_changed, self._fill_models)
        self._fill_models()
        self._take_sizes()
        self._show_legend()
        self._angiogram_changed()

    def settings(self) -> MaskingSchedule:
        """What the panel says of the schedule."""
        return MaskingSchedule(
            input_size=self.input_size.value(),
            patch_size=self.patch_size.currentData(),
            mask_ratio=round(self.mask_ratio.value(), 6),
            sampler=self.sampler.currentData(),
            beta_start=round(self.beta_start.value(), 6),
            beta_end=round(self.beta_end.value(), 6),
            co_guidance=self.co_guidance.isChecked() and bool(self.model.currentData()),
            epochs=self.epochs.value(),
            seed=self.seed.value(),
        )

    def asked(self) -> Asked | None:
        """All that the panel says now; None while the vessels of the shown frame are not known."""
        vessels = self.vessels.get(self.anatomy.currentData())
        return None if vessels is None else self._about(vessels)

    def _about(self, vessels: Vessels) -> Asked:
        return Asked(vessels, self.settings(), self.epoch.value(), self.model.currentData() or "")

    # What changes, and what is shown then

    def _changed(self, *_: Any) -> None:
        comparing = self.comparison is not None and self.comparison.isVisible()
        if self.session.angiogram is None or not (self.isVisible() or comparing):
            return
        asked = self.asked()
        if asked is not None:
            self._ask(asked)
        else:
            self.vessels.find(self.anatomy.currentData())

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
        tell(error)

    def _view_changed(self, *_: Any) -> None:
        layer, seen = self.session.angiogram, self.view.currentData()
        if layer is None:
            return
        self._layers.see(seen, layer)
        self._show_legend()
        if set(seen) & set(FROM_MODEL) and not self.model.currentData():
            self.model.setCurrentIndex(self.model.findText(catalogue.ENCODER))
            self._model_chosen()

    def _epochs_changed(self, epochs: int) -> None:
        last = self.epoch.value() == self.epoch.maximum()
        self.epoch.setRange(0, max(0, epochs - 1))
        if last:
            self.epoch.setValue(self.epoch.maximum())

    def _angiogram_changed(self, *_: Any) -> None:
        there = self.session.angiogram is not None
        for widget in (self.again, self.compare, self.figure, self.numbers, self.python):
            widget.setEnabled(there)
        self._enable_animation()
        if self.session.angiogram is not None:
            self._layers.see(self.view.currentData(), self.session.angiogram)  # it may have been left at another view
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

    # The model that draws what is masked

    def _fill_models(self) -> None:
        chosen = self.model.currentData()
        self.model.clear()
        self.model.addItem("none", "")
        for name, card in catalogue.models().items():
            if card.kind == "autoencoder":
                self.model.addItem(name, name)
        if chosen and self.model.findData(chosen) < 0:
            self.model.addItem(Path(chosen).stem, chosen)
        self.model.addItem("use a file…", None)
        self._model_row = max(0, self.model.findData(chosen)) if chosen else 0
        self.model.setCurrentIndex(self._model_row)

    def _model_chosen(self, *_: Any) -> None:
        if self.model.currentData() is None:
            path, _filter = QFileDialog.getOpenFileName(
                self, "A pretrained model", "", "VasoMIM models (*.safetensors)"
            )
            self.use_model(path)
        if self.model.currentIndex() != self._model_row:
            self._model_row = self.model.currentIndex()
            self._take_sizes()
        if self.model.currentData() and not set(self.view.currentData()) & set(FROM_MODEL):
            self.view.setCurrentIndex(list(VIEWS).index("reconstruction I′"))
        self._changed()

    def use_model(self, path: str) -> None:
        """Take a pretrained model's file; one of another kind is told, and the model stays."""
        row_ = self._model_row
        try:
            if path:
                card = catalogue.read_card(Path(path))
                if card.kind != "autoencoder":
                    raise InputError(f"{Path(path).name} is a {card.kind}; choose a pretrained autoencoder")
                row_ = self.model.count() - 1
                self.model.insertItem(row_, Path(path).stem, path)
        except Exception as error:
            tell(error)
        self.model.setCurrentIndex(row_)

    def _take_sizes(self) -> None:
        """Take input and patch size over from the model, whose patch size is then fixed; 224 and 16 px without one."""
        model, schedule = self.model.currentData(), MaskingSchedule()
        if model:
            schedule = schedule.for_model(catalogue.read_card(catalogue.find_model(model)).options)
        for widget in (self.input_size, self.patch_size, self.co_guidance):
            widget.blockSignals(True)
        if self.patch_size.findData(schedule.patch_size) < 0:
            self.patch_size.addItem(str(schedule.patch_size), schedule.patch_size)
        self.patch_size.setCurrentIndex(self.patch_size.findData(schedule.patch_size))
        self.patch_size.setEnabled(not model)
        self.input_size.setSingleStep(math.lcm(32, schedule.patch_size))
        self.input_size.setValue(schedule.input_size)
        self.co_guidance.setEnabled(bool(model))
        for widget in (self.input_size, self.patch_size, self.co_guidance):
            widget.blockSignals(False)

    def _show_legend(self) -> None:
        self.legend.setVisible("mask" in self.view.currentData())

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

    def ask_figure(self) -> None:
        """Ask where, then write the figure."""
        path, _ = QFileDialog.getSaveFileName(self, "Save figure", "masking.png", "PNG (*.png)")
        if path:
            self.save_figure(Path(path).with_suffix(".png"))

    def save_figure(self, path: Path) -> None:
        """Write all views with their colour bars and settings as one PNG.

        Raises:
            InputError: no angiogram is open, or what is to be in it was not computed yet.
        """
        result = self.result()
        beside(self, lambda: save_figure(path, result), lambda _: inform(f"The figure is in {path.name}."))

    def ask_numbers(self) -> None:
        """Ask where, then write the numbers."""
        if path := ask_numbers(self, "masking.npz"):
            self.save_numbers(path)

    def save_numbers(self, path: Path) -> None:
        """Write all arrays with their settings as NPZ, or those of the patches and of the epochs as CSV.

        Raises:
            InputError: no angiogram is open, or what is to be in it was not computed yet.
        """
        save_numbers(self, path, {"": self.result()})

    def copy_python(self) -> None:
        """Put a script into the clipboard that computes the same arrays from the angiogram's file.

        Raises:
            InputError: no angiogram is open, or its vessels were not found yet.
        """
        copy_snippet(self, self._need_asked())

    def _need_asked(self) -> Asked:
        self.session.need_angiogram()
        asked = self.asked()
        if asked is None:
            raise InputError("The vessels of this frame are still being found; try again in a second.")
        return asked

    def ask_animation(self) -> None:
        """Ask where, then write the animation."""
        path, _ = QFileDialog.getSaveFileName(self, "Save animation", "schedule.gif", "GIF (*.gif)")
        if path:
            self.save_animation(Path(path).with_suffix(".gif"))

    def save_animation(self, path: Path) -> None:
        """Draw masks at evenly spaced epochs in the inference child, then write them as a GIF.

        Raises:
            InputError: no angiogram is open, or its vessels were not found yet.
        """
        asked = self._need_asked()
        self._cancel_animation()
        self.film = MaskAnimation(self, path, asked)
        self.follow(self.film.stepped, self._show_step)
        self.follow(self.film.ended, self._animation_ended)
        self.film.start()
        self._enable_animation()

    def _show_step(self, done: int, total: int) -> None:
        self.progress.show_step(done, total, "step %v of %m")

    def _animation_ended(self) -> None:
        self.progress.hide()
        self._enable_animation()

    def _cancel_animation(self) -> None:
        if self.film is not None:
            self.film.cancel()

    def _enable_animation(self) -> None:
        at_work = self.film is not None and self.film.at_work
        self.animation.setEnabled(self.session.angiogram is not None and not at_work)


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
