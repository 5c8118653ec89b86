"""What guided masking hides: the distribution f, one sampled mask, the masking ratio, and a model's reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog, QSpinBox

from napari_vasomim.background import beside
from napari_vasomim.mask_animation import MaskAnimation
from napari_vasomim.mask_answers import Asked, MaskAnswers, ShownVessels, Vessels
from napari_vasomim.mask_figure import save_figure
from napari_vasomim.mask_layers import FROM_MODEL, VIEWS, MaskLayers
from napari_vasomim.notify import inform, tell, told
from napari_vasomim.widgets.kit import Panel, Progress, button, choice, hint, row, slider, whole_slider
from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.masking_schedule import MaskingSchedule
from vasomim_core.models import catalogue

EPOCHS = 800
"""Of the schedule that the form begins with."""


class MaskPreviewPanel(Panel):
    """The weak-to-strong schedule on the shown frame."""

    title = "Masking"
    purpose = "See which patches pretraining would mask, epoch by epoch."
    explores = ("anatomy", *(role for roles in VIEWS.values() for role in roles))

    def build(self) -> None:
        """Make the widgets."""
        default = MaskingSchedule(epochs=EPOCHS)
        form = self.section("Schedule")
        self.patch_size = choice(*((f"{n} px", n) for n in (8, 16, 32)), tooltip="Side of a patch")
        self.patch_size.setCurrentIndex(1)
        self.mask_ratio = slider(0.1, 0.95, default.mask_ratio, 0.05, "Share of the patches that is masked")
        self.beta_start = slider(0, 1, default.beta_start, 0.05, "Share of the masked patches chosen by anatomy, first")
        self.beta_end = slider(0, 1, default.beta_end, 0.05, "The same at the last epoch; in between it rises evenly")
        self.epochs = QSpinBox()
        self.epochs.setRange(1, 10_000)
        self.epochs.setValue(default.epochs)
        self.sampler = choice(
            ("proportional to f", "anatomy"),
            ("largest f (top-k)", "top-k"),
            ("uniform (MAE)", "uniform"),
            tooltip="How the guided patches are drawn",
        )
        self.anatomy = choice(("robust", "robust"), ("as released", "as-released"), tooltip="How vessels are found")
        form.addRow("patch", self.patch_size)
        form.addRow("mask ratio γ", self.mask_ratio)
        form.addRow("β at the start", self.beta_start)
        form.addRow("β at the end", self.beta_end)
        form.addRow("epochs E", self.epochs)
        form.addRow("sampler", self.sampler)
        form.addRow("anatomy", self.anatomy)

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
        self.state = hint()
        self.body.addWidget(self.state)
        self.figure = button("Save figure…", self.ask_figure, "A PNG with all views, colour bars and the settings")
        self.animation = button("Save animation…", self.ask_animation, "A GIF of the masks over the schedule")
        self.body.addLayout(row(self.figure, self.animation))
        self.progress = Progress(self._cancel_animation)
        self.body.addWidget(self.progress)

        self.vessels = ShownVessels(self.session, self, self._found)
        self.answers = MaskAnswers(self.session, self)
        self.film: MaskAnimation | None = None
        self._layers = MaskLayers(self.viewer, self.view.currentData())
        self.epochs.valueChanged.connect(told(self._epochs_changed))
        changed = told(self._changed)
        for signal in (
            self.patch_size.currentIndexChanged,
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
        self._angiogram_changed()

    def settings(self) -> MaskingSchedule:
        """What the panel says of the schedule."""
        return MaskingSchedule(
            patch_size=self.patch_size.currentData(),
            mask_ratio=round(self.mask_ratio.value(), 6),
            sampler=self.sampler.currentData(),
            beta_start=round(self.beta_start.value(), 6),
            beta_end=round(self.beta_end.value(), 6),
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
        if self.session.angiogram is None or not self.isVisible():
            return
        asked = self.asked()
        if asked is not None:
            self.answers.ask(asked)
        else:
            self.vessels.find(self.anatomy.currentData())

    def _found(self, vessels: Vessels) -> None:
        self._layers.put_anatomy(vessels)
        self.answers.ask(self._about(vessels))

    def _engine_starts(self) -> None:
        self.state.setText("Starting the engine…")

    def _answered(self, method: str, asked: Asked, answer: dict[str, Any]) -> None:
        self._layers.put(method, asked, answer)
        if method == "mask_preview":
            masked, guided = int(answer["masked"].sum()), int(answer["guided"].sum())
            self.state.setText(
                f"β = {answer['beta']:.2f}: {masked} of {answer['masked'].size} patches are masked, "
                f"{guided} for their vessels (orange), {masked - guided} by chance (blue)."
            )

    def _failed(self, error: Exception) -> None:
        self.state.setText(str(error) if isinstance(error, VasoMIMError) else "")
        tell(error)

    def _view_changed(self, *_: Any) -> None:
        layer, seen = self.session.angiogram, self.view.currentData()
        if layer is None:
            return
        self._layers.see(seen, layer)
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
        for widget in (self.again, self.figure):
            widget.setEnabled(there)
        self._enable_animation()
        if not there:
            self.vessels.forget()
            self.answers.forget()
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
        self._model_row = self.model.currentIndex()
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

    # Keeping

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
        self.session.need_angiogram()
        asked = self.asked()
        mask = share = drawn = None
        if asked is not None:
            mask, share, drawn = (
                self.answers.get(method, asked) for method in ("mask_preview", "masking_heat_map", "reconstruct")
            )
        if asked is None or mask is None or share is None or (asked.model and drawn is None):
            raise InputError("The masks are still being drawn; save the figure when they are shown.")
        written = drawn if asked.model else None
        beside(
            self,
            lambda: save_figure(path, asked, mask, share["share"], written),
            lambda _: inform(f"The figure is in {path.name}."),
        )

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
        self.session.need_angiogram()
        asked = self.asked()
        if asked is None:
            raise InputError("The masks are still being drawn; save the animation when they are shown.")
        self._cancel_animation()
        self.film = MaskAnimation(self, path, asked.vessels, asked.schedule)
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
