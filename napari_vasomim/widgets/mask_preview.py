"""What guided masking hides: the distribution f, one sampled mask, the masking ratio, and a model's reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QSpinBox

from napari_vasomim import engine, layers
from napari_vasomim.background import Newest, beside
from napari_vasomim.deliver import deliver
from napari_vasomim.mask_figure import Masking, kinds, on_pixels, picture, save_animation, save_figure
from napari_vasomim.notify import inform, tell, told
from napari_vasomim.widgets.kit import Panel, Progress, button, choice, hint, row, slider, whole_slider
from vasomim_core.anatomy import extract_anatomy
from vasomim_core.config import Mode
from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.figures import Panel as Picture
from vasomim_core.models import catalogue

HEAT_MAP_REST_MS = 300
ANIMATION_STEPS = 48
VIEWS: dict[str, tuple[str, ...]] = {
    "one sampled mask": ("mask",),
    "distribution f": ("distribution",),
    "masking ratio over all epochs": ("masking ratio",),
    "reconstruction I′": ("reconstruction",),
    "S(I): vessels seen in the frame": ("vessels in I",),
    "S(I′): vessels seen in the reconstruction": ("vessels in I′",),
    "difference of S(I′) and S(I)": ("difference",),
}
"""What can be looked at, and the roles of the layers that show it."""
FROM_MODEL = ("reconstruction", "vessels in I", "vessels in I′", "difference")
STYLES: dict[str, dict[str, Any]] = {
    "distribution": {"colormap": "inferno", "opacity": 0.75},
    "masking ratio": {"colormap": "viridis", "opacity": 0.75, "contrast_limits": (0, 1)},
    "reconstruction": {"colormap": "gray", "contrast_limits": (0, 255)},
    "vessels in I": {"colormap": "magma", "contrast_limits": (0, 1)},
    "vessels in I′": {"colormap": "magma", "contrast_limits": (0, 1)},
    "difference": {"colormap": "PiYG", "contrast_limits": (-1, 1)},
    "mask": {"opacity": 0.55},
}


@dataclass(frozen=True, eq=False)
class Found:
    """The vessels that the masks are drawn for.

    Attributes:
        key: frame, mode and polarity.
        layer: the angiogram.
        index: which frame of it.
        frame: uint8 (H, W).
        anatomy: bool (H, W).
    """

    key: tuple[int, Mode, bool]
    layer: Image
    index: int
    frame: NDArray[np.uint8]
    anatomy: NDArray[np.bool_]


@dataclass(frozen=True)
class Asked:
    """What an answer of the engine belongs to; the figure takes only answers that belong together.

    Attributes:
        found: the vessels.
        settings: of the schedule.
        epoch: of the mask.
        model: that draws, or "".
    """

    found: Found
    settings: Masking
    epoch: int
    model: str


class MaskPreviewPanel(Panel):
    """The weak-to-strong schedule on the shown frame."""

    title = "Masking"
    purpose = "See which patches pretraining would mask, epoch by epoch."

    def build(self) -> None:
        """Make the widgets."""
        default = Masking()
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

        self._vessels: Found | None = None
        self._drawn_for: Asked | None = None
        self._answers: dict[str, tuple[Asked, dict[str, Any]]] = {}
        self._film: object | None = None
        self._calls: dict[str, Future[dict[str, Any]]] = {}
        self._finding = Newest(self, self._found)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(HEAT_MAP_REST_MS)
        self._rest.timeout.connect(told(self._ask_heat_map))
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
        self.follow(self.session.frame_changed, self._changed)
        self.follow(self.session.angiogram_changed, self._angiogram_changed)
        self.follow(self.session.pixels_changed, self._pixels_changed)
        self.follow(self.session.models_changed, self._fill_models)
        self._fill_models()
        self._angiogram_changed()

    def settings(self) -> Masking:
        """What the panel says."""
        return Masking(
            patch_size=self.patch_size.currentData(),
            mask_ratio=round(self.mask_ratio.value(), 6),
            sampler=self.sampler.currentData(),
            beta_start=round(self.beta_start.value(), 6),
            beta_end=round(self.beta_end.value(), 6),
            epochs=self.epochs.value(),
            seed=self.seed.value(),
        )

    # Computing: anatomy in a thread, what needs torch in the inference child

    def _changed(self, *_: Any) -> None:
        layer = self.session.angiogram
        if layer is None or not self.isVisible():
            return
        key = self._key(layer)
        if self._is_current(self._vessels):
            self._draw()
            return

        def find() -> Found:
            frame = layers.frame_of(layer, key[0])
            return Found(key, layer, key[0], frame, extract_anatomy(frame, key[1]))

        self._finding.ask(find)

    def _key(self, layer: Image) -> tuple[int, Mode, bool]:
        bright = bool(layers.facts(layer).get("bright_vessels"))
        return self.session.index, self.anatomy.currentData(), bright

    def _is_current(self, found: Found | None) -> bool:
        layer = self.session.angiogram
        return found is not None and found.layer is layer and found.key == self._key(layer)

    def _found(self, found: Found) -> None:
        layer = found.layer
        late = self._is_current(self._vessels) or layers.frame_size(layer) != found.frame.shape
        if layer in self.viewer.layers and not late:
            self._vessels = found
            style: dict[str, Any] = {"opacity": 0.5, "visible": False}
            layers.put_frame(self.viewer, layer, "anatomy", found.index, found.anatomy, "anatomy", **style)
            self._draw()

    def _asked(self) -> Asked | None:
        if self._vessels is None:
            return None
        return Asked(self._vessels, self.settings(), self.epoch.value(), self.model.currentData() or "")

    def _draw(self) -> None:
        asked = self._asked()
        if asked is None or asked == self._drawn_for:
            return
        self._drawn_for = asked
        self._ask("mask_preview", asked, self._show_mask, epoch=asked.epoch, **vars(asked.settings))
        self._rest.start()
        if asked.model:
            first, last, epochs = asked.settings.beta_start, asked.settings.beta_end, asked.settings.epochs
            beta = first + (last - first) * asked.epoch / max(1, epochs - 1)
            more = {"frame": asked.found.frame, "model": asked.model, "beta": beta, "seed": asked.settings.seed}
            self._ask("reconstruct", asked, self._show_reconstruction, **more)

    def _ask_heat_map(self) -> None:
        asked = self._asked()
        if asked is not None and not self._has("masking_heat_map", asked):
            self._ask("masking_heat_map", asked, self._show_heat_map, **vars(asked.settings))

    def _ask(self, method: str, asked: Asked, show: Callable[[Asked, dict[str, Any]], None], **arguments: Any) -> None:
        """Call the inference child; an older call of the same kind that still waits is dropped."""
        if (old := self._calls.get(method)) is not None:
            old.cancel()
        if engine.shared().state == "off":
            self.state.setText("Starting the engine…")

        def done(answer: dict[str, Any]) -> None:
            layer = asked.found.layer
            if layer in self.viewer.layers and layers.frame_size(layer) == asked.found.frame.shape:
                self._answers[method] = asked, answer
                show(asked, answer)

        self._calls[method] = engine.shared().call(method, anatomy=asked.found.anatomy, **arguments)
        deliver(self._calls[method], self, told(done), self._failed)

    def _failed(self, error: Exception) -> None:
        self._drawn_for = None
        self.state.setText(str(error) if isinstance(error, VasoMIMError) else "")
        tell(error)

    def _show_mask(self, asked: Asked, answer: dict[str, Any]) -> None:
        patch_size, size = asked.settings.patch_size, asked.found.frame.shape
        self._put("mask", asked.found, on_pixels(kinds(answer["guided"], answer["masked"]), patch_size, size))
        self._put("distribution", asked.found, on_pixels(answer["f"], patch_size, size))
        masked, guided = int(answer["masked"].sum()), int(answer["guided"].sum())
        self.state.setText(
            f"β = {answer['beta']:.2f}: {masked} of {answer['masked'].size} patches are masked, "
            f"{guided} for their vessels (orange), {masked - guided} by chance (blue)."
        )

    def _show_heat_map(self, asked: Asked, answer: dict[str, Any]) -> None:
        share = on_pixels(answer["share"], asked.settings.patch_size, asked.found.frame.shape)
        self._put("masking ratio", asked.found, share)

    def _show_reconstruction(self, asked: Asked, answer: dict[str, Any]) -> None:
        height, width = asked.found.frame.shape

        def fitted(image: NDArray[np.float32]) -> NDArray[np.float32]:
            return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)

        self._put("reconstruction", asked.found, fitted(answer["drawn"]))
        if answer.get("view") is not None:
            seen, again = fitted(answer["view"]), fitted(answer["view_of_drawn"])
            self._put("vessels in I", asked.found, seen)
            self._put("vessels in I′", asked.found, again)
            self._put("difference", asked.found, again - seen)

    # Showing

    def _put(self, role: str, found: Found, frame: NDArray[Any]) -> None:
        frame = frame if frame.dtype == np.uint8 else frame.astype(np.float32)
        style = STYLES[role] | {"visible": role in self.view.currentData()}
        put = layers.put_frame(self.viewer, found.layer, role, found.index, frame, role, **style)
        if role == "distribution":
            put.contrast_limits = (0, max(float(frame.max()), 1e-9))

    def _view_changed(self, *_: Any) -> None:
        layer = self.session.angiogram
        if layer is None:
            return
        for roles in VIEWS.values():
            for role in roles:
                if (found := layers.find(self.viewer, role, layer)) is not None:
                    found.visible = role in self.view.currentData()
        if set(self.view.currentData()) & set(FROM_MODEL) and not self.model.currentData():
            self.state.setText("Choose a pretrained model below to see what it reconstructs.")

    def _epochs_changed(self, epochs: int) -> None:
        last = self.epoch.value() == self.epoch.maximum()
        self.epoch.setRange(0, max(0, epochs - 1))
        if last:
            self.epoch.setValue(self.epoch.maximum())

    def _angiogram_changed(self, *_: Any) -> None:
        there = self.session.angiogram is not None
        for widget in (self.again, self.figure):
            widget.setEnabled(there)
        self.animation.setEnabled(there and self._film is None)
        if not there:
            self._vessels = None
            self.state.setText("No angiogram is open: drop a file onto the window, or use File ▸ Open Sample.")
        self._changed()

    def _pixels_changed(self, layer: Image) -> None:
        if self._vessels is not None and self._vessels.layer is layer:
            self._vessels = None

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

    def showEvent(self, event: Any) -> None:
        """Draw at once when the panel comes to the front."""
        super().showEvent(event)
        self._changed()

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
        asked = self._asked()
        wanted = ("mask_preview", "masking_heat_map", *(("reconstruct",) if asked and asked.model else ()))
        if asked is None or not self._is_current(asked.found) or not all(self._has(m, asked) for m in wanted):
            raise InputError("The masks are still being drawn; save the figure when they are shown.")
        mask, share = self._answers["mask_preview"][1], self._answers["masking_heat_map"][1]["share"]
        found, settings = asked.found, asked.settings
        shown = on_pixels(kinds(mask["guided"], mask["masked"]), settings.patch_size, found.frame.shape)
        more = []
        if asked.model:
            drawn = self._answers["reconstruct"][1]
            more.append(Picture("reconstruction I′", drawn["drawn"], limits=(0, 255)))
            if drawn.get("view") is not None:
                seen, again = drawn["view"], drawn["view_of_drawn"]
                more += [
                    Picture("S(I)", seen, "magma", (0, 1), bar=True),
                    Picture("S(I′)", again, "magma", (0, 1), bar=True),
                    Picture("S(I′) − S(I)", again - seen, "PiYG", (-1, 1), bar=True),
                ]

        def write() -> None:
            f, beta = mask["f"], mask["beta"]
            with readable(path):
                save_figure(path, found.frame, found.anatomy, f, shown, share, settings, asked.epoch, beta, more)

        beside(self, write, lambda _: inform(f"The figure is in {path.name}."))

    def _has(self, method: str, asked: Asked) -> bool:
        """Whether the answer is there that belongs to what the panel says now."""
        answer = self._answers.get(method)
        if answer is None:
            return False
        if method == "masking_heat_map":  # of all epochs, and without a model
            return (answer[0].found, answer[0].settings) == (asked.found, asked.settings)
        if method == "mask_preview":
            return replace(answer[0], model="") == replace(asked, model="")
        return answer[0] == asked

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
        found, settings = self._vessels, self.settings()
        if found is None or not self._is_current(found):
            raise InputError("The masks are still being drawn; save the animation when they are shown.")
        steps = sorted({round(e) for e in np.linspace(0, settings.epochs - 1, ANIMATION_STEPS)})
        pictures: list[tuple[int, float, NDArray[np.uint8]]] = []
        self._film = film = object()  # the animation at work; a cancelled one is no longer this

        def draw() -> None:
            self.progress.show_step(len(pictures), len(steps), "step %v of %m")
            if len(pictures) == len(steps):
                beside(self, write, written, failed)
                return
            epoch = steps[len(pictures)]
            call = engine.shared().call("mask_preview", anatomy=found.anatomy, epoch=epoch, **vars(settings))
            self._calls["animation"] = call
            deliver(call, self, told(keep), failed)

        def keep(answer: dict[str, Any]) -> None:
            if self._film is film:
                shown = on_pixels(kinds(answer["guided"], answer["masked"]), settings.patch_size, found.frame.shape)
                pictures.append((steps[len(pictures)], answer["beta"], picture(found.frame, shown)))
                draw()

        def write() -> None:
            with readable(path):
                save_animation(path, pictures)

        def written(_: Any) -> None:
            self._end_animation(film)
            inform(f"The animation is in {path.name}.")

        def failed(error: Exception) -> None:
            if self._film is film:
                self._end_animation(film)
                tell(error)

        self.animation.setEnabled(False)
        draw()

    def _end_animation(self, film: object | None) -> None:
        if self._film is film:
            self._film = None
            self.progress.hide()
            self.animation.setEnabled(self.session.angiogram is not None)

    def _cancel_animation(self) -> None:
        if (call := self._calls.get("animation")) is not None:
            call.cancel()
        self._end_animation(self._film)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """A file that cannot be written becomes a sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path.name} cannot be written ({reason}); choose another folder.") from error
