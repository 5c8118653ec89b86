"""Segment frames by a model; the threshold then moves over the stored probability."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QFileDialog, QMessageBox

from napari_vasomim.background import engine
from napari_vasomim.background.futures import deliver
from napari_vasomim.canvas import layers
from napari_vasomim.notify import counted, tell, told
from napari_vasomim.plain import message_box
from napari_vasomim.prediction import Prediction
from napari_vasomim.widgets.kit import Panel, Progress, button, choice, hint, row, slider
from vasomim_core.errors import VasoMIMError
from vasomim_core.labels.mask import LEAST_VESSEL
from vasomim_core.models import catalogue

FILE = "use a file…"


@dataclass(eq=False)
class Task:
    """Frames to segment; model and mirroring are those of the click, whatever is chosen meanwhile.

    Attributes:
        layer: the angiogram.
        model: name or path.
        mirrored: average with the mirrored frame.
        waiting: frames still to do.
        total: number of frames.
        call: the engine's answer that is waited for.
    """

    layer: Image
    model: str
    mirrored: bool
    waiting: list[int]
    total: int
    call: Future[dict[str, Any]] | None = None


class SegmentPanel(Panel):
    """Model, frame or cine, threshold; vessels, probability and uncertainty on layers of their own."""

    title = "Segment"
    purpose = "Let a model find the vessels."

    def build(self) -> None:
        """Make the widgets."""
        form = self.section("Model")
        self.model = choice(tooltip="The models in the package and those that your runs have made")
        form.addRow("model", self.model)
        self.about = hint()
        self.body.addWidget(self.about)
        self.mirrored = QCheckBox("average with its mirror image (2 × time)")
        self.mirrored.setToolTip("Segments the frame and its mirror image: a little better, half as fast")
        self.body.addWidget(self.mirrored)
        self.now = button("This frame", self.segment_frame, "Segment the frame that is shown", primary=True)
        self.all = button("Whole cine", self.segment_cine, "Segment every frame, the shown one first")
        self.body.addLayout(row(self.now, self.all))
        self.progress = Progress(self.cancel)
        self.body.addWidget(self.progress)
        self.state = hint()
        self.body.addWidget(self.state)

        form = self.section("Result")
        self.threshold = slider(0.02, 0.98, 0.5, 0.01, "Probability from which a pixel counts as vessel; moves at once")
        form.addRow("threshold", self.threshold)
        self.outline = QCheckBox("outline only")
        self.outline.setToolTip("Show the border of the vessels, so that the angiogram stays visible")
        self.uncertain = QCheckBox("show where the model is uncertain")
        self.uncertain.setToolTip("Binary entropy of the probability in bits: 0 = sure, 1 = undecided")
        self.body.addWidget(self.outline)
        self.body.addWidget(self.uncertain)
        self.meaning = hint("Yellow is uncertainty in bits: 0 = sure, 1 = undecided between vessel and none.")
        self.meaning.hide()
        self.body.addWidget(self.meaning)

        self._task: Task | None = None
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.timeout.connect(told(self._show_others))
        self._moved_for: Image | None = None
        self.model.activated.connect(told(self._model_chosen))
        self.threshold.valueChanged.connect(told(self._threshold_moved))
        self.outline.toggled.connect(told(self._style))
        self.uncertain.toggled.connect(told(self._style))
        self.uncertain.toggled.connect(self.meaning.setVisible)
        self.follow(self.session.angiogram_changed, self._angiogram_changed)
        self.follow(self.session.pixels_changed, self._pixels_changed)
        self.follow(self.session.frame_changed, self._describe)
        self.follow(self.session.model_changed, self._fill_models)
        self.follow(self.session.models_changed, self._fill_models)
        self._fill_models()
        self._angiogram_changed()

    # Segmenting

    def segment_frame(self) -> None:
        """Segment the shown frame."""
        self._start([self.session.need_shown()[1]])

    def segment_cine(self) -> None:
        """Segment every frame, the shown one first."""
        layer, first = self.session.need_shown()
        count = layers.frame_count(layer)
        self._start([(first + k) % count for k in range(count)])

    def cancel(self) -> None:
        """Stop; the frames that are done stay, and what the engine still works at is dropped."""
        if self._task is not None:
            if self._task.call is not None:
                self._task.call.cancel()
            self._finish("Cancelled; the frames that are done stay.")

    def _start(self, frames: list[int]) -> None:
        layer = self.session.need_angiogram()
        if self._task is not None or not self._may_replace(layer, frames):
            return
        self._task = Task(layer, self.session.model, self.mirrored.isChecked(), frames, len(frames))
        self.now.setEnabled(False)
        self.all.setEnabled(False)
        what = "Starting the model for" if engine.shared().state == "off" else "Segmenting"
        self.state.setText(f"{what} {layer.name}…")
        self._next(self._task)

    def _may_replace(self, layer: Image, frames: list[int]) -> bool:
        """Frames of another model must not stay beside those of this one; ask before any is lost."""
        prediction, model = self.session.predictions.get(layer), self.session.model
        try:
            version = catalogue.version_of(model)
        except VasoMIMError:
            return True  # the engine tells of it, and nothing is replaced
        if prediction is None or prediction.by(model, self.mirrored.isChecked(), version):
            return True
        lost = len(set(prediction.frames) - set(frames))
        if not lost:
            return True
        other = prediction.model + (" with mirror images" if prediction.mirrored else "")
        box = message_box(
            self,
            "Segmented by another model",
            f"{counted(lost, 'frame')} of {layer.name} segmented by {other} would be cleared: clear and go on?",
            "Whole cine segments all frames anew. What you drew stays either way.",
        )
        clear = box.addButton("Clear", QMessageBox.ButtonRole.AcceptRole)
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        box.exec_()
        return box.clickedButton() is clear

    def _next(self, task: Task) -> None:
        total = task.total if task.total > 1 else 0
        self.progress.show_step(task.total - len(task.waiting), total, "frame %v of %m")
        index = task.waiting.pop(0)

        def done(answer: dict[str, Any]) -> None:
            if task is not self._task:
                return
            try:
                if task.layer in self.viewer.layers:
                    self._keep(task, index, answer)
                if task.waiting and task.layer in self.viewer.layers:
                    self._next(task)
                else:
                    self._finish()
            except Exception as error:
                failed(error)

        def failed(error: Exception) -> None:
            if task is self._task:
                self._finish(str(error) if isinstance(error, VasoMIMError) else "")
                tell(error)

        try:
            frame = layers.frame_of(task.layer, index)
        except Exception as error:
            failed(error)
            return
        task.call = engine.shared().call("segment", frame=frame, model=task.model, mirrored=task.mirrored)
        deliver(task.call, self, done, failed)

    def _keep(self, task: Task, index: int, answer: dict[str, Any]) -> None:
        layer = task.layer
        prediction = self.session.predictions.get(layer)
        if prediction is None or not prediction.by(task.model, task.mirrored, answer["version"]):
            size = (layers.frame_count(layer), *layers.frame_size(layer))
            model = {"model": answer["model"], "asked": task.model, "version": answer["version"]}
            prediction = Prediction(shape=size, mirrored=task.mirrored, threshold=answer["threshold"], **model)
            self.session.predictions[layer] = prediction
            # Frames of another model must not stay beside those of this one.
            layers.clear_results(self.viewer, layer, ("prediction", "probability", "uncertainty"))
            self._show_threshold()
        prediction.keep(index, answer["probability"], float(answer["uncertainty"].mean()))
        self._paint(layer, prediction, index)
        layers.put_frame(
            self.viewer,
            layer,
            "probability",
            index,
            answer["probability"].astype(np.float32),
            "probability",
            visible=False,
            colormap="magma",
            blending="additive",
            contrast_limits=(0, 1),
        )
        layers.put_frame(
            self.viewer,
            layer,
            "uncertainty",
            index,
            answer["uncertainty"].astype(np.float32),
            "uncertainty",
            visible=self.uncertain.isChecked(),
            colormap="yellow",
            blending="additive",
            contrast_limits=(0, 1),
            opacity=0.8,
        )
        prediction.seconds, prediction.device = answer["seconds"], answer["device"]
        self.session.predicted.emit(prediction)

    def _pixels_changed(self, layer: Image) -> None:
        if self._task is not None and self._task.layer is layer:
            self.cancel()

    def _finish(self, sentence: str = "") -> None:
        self._task = None
        self.progress.hide()
        self._angiogram_changed()
        if sentence:
            self.state.setText(sentence)

    # The result

    def _paint(self, layer: Image, prediction: Prediction, index: int) -> None:
        shown = layers.put_frame(self.viewer, layer, "prediction", index, prediction.mask(index), "prediction")
        layers.tag(shown, "prediction", model=prediction.model)
        self._style()

    def _threshold_moved(self, value: float) -> None:
        layer = self.session.angiogram
        prediction = self.session.predictions.get(layer) if layer is not None else None
        if layer is None or prediction is None:
            return
        prediction.threshold = float(value)
        if self.session.index in prediction:
            self._paint(layer, prediction, self.session.index)
        self._moved_for = layer
        self._redraw.start(150)  # the frames that are not seen follow when the slider rests

    def _show_others(self) -> None:
        layer = self._moved_for
        prediction = self.session.predictions.get(layer) if layer is not None else None
        shown = layers.find(self.viewer, "prediction", layer) if layer is not None else None
        if prediction is None or shown is None or shown.ndim == 2:
            return
        for index in prediction.frames:
            shown.data[index] = prediction.mask(index)
        shown.refresh()  # another frame may be shown by now

    def _style(self, *_: Any) -> None:
        layer = self.session.angiogram
        shown = layers.find(self.viewer, "prediction", layer) if layer is not None else None
        if shown is not None:
            shown.contour = 2 if self.outline.isChecked() else 0
        uncertainty = layers.find(self.viewer, "uncertainty", layer) if layer is not None else None
        if uncertainty is not None:
            uncertainty.visible = self.uncertain.isChecked()

    # Model and state

    def _fill_models(self, *_: Any) -> None:
        self._cards = {
            name: card for name, card in catalogue.models().items() if card.kind in ("segmenter", "segmentor")
        }
        self.model.blockSignals(True)
        self.model.clear()
        for name in self._cards:
            self.model.addItem(name, name)
        active = self.session.model
        if active not in self._cards and Path(active).exists():
            self.model.addItem(spoken(active), active)
        self.model.addItem(FILE, FILE)
        row_ = self.model.findData(active)
        if row_ < 0:  # the active model is gone
            self.session.model = catalogue.DEFAULT_MODEL
            row_ = self.model.findData(catalogue.DEFAULT_MODEL)
        self.model.setCurrentIndex(row_)
        self.model.blockSignals(False)
        self._describe_model()

    def _model_chosen(self, *_: Any) -> None:
        name = self.model.currentData()
        if name == FILE:
            path, _ = QFileDialog.getOpenFileName(self, "A model file", "", "VasoMIM models (*.safetensors)")
            self.use_file(path)
        else:
            self.session.model = name
        self._describe_model()

    def use_file(self, path: str) -> None:
        """Make a model file the active model; an unusable one is told, and the model stays."""
        try:
            if path:
                card = catalogue.read_card(Path(path))
                if card.kind not in ("segmenter", "segmentor"):
                    raise catalogue.CheckpointError(
                        f"{Path(path).name} is a pretrained {card.kind}; finetune it before it can segment"
                    )
                self.session.model = path
        except Exception as error:
            tell(error)
        self._fill_models()

    def _describe_model(self) -> None:
        card = self._cards.get(self.session.model)
        lines = [card.description] if card is not None and card.description else []
        for where, scores in (card.scores if card is not None else {}).items():
            if isinstance(scores, dict) and "dsc" in scores:
                lines.append(f"DSC {scores['dsc']:.1f} on {where} ({scores.get('frames', '?')} frames)")
        self.about.setText("\n".join(lines))
        self.about.setVisible(bool(lines))
        self.mirrored.setVisible(card is None or not card.preprocessing.mirrored)  # the others always do

    def _angiogram_changed(self, *_: Any) -> None:
        layer = self.session.angiogram
        idle = self._task is None
        self.now.setEnabled(layer is not None and idle)
        self.all.setEnabled(layer is not None and idle and layers.frame_count(layer) > 1)
        self._show_threshold()
        self._style()
        self._describe()

    def _show_threshold(self) -> None:
        layer = self.session.angiogram
        prediction = self.session.predictions.get(layer) if layer is not None else None
        if prediction is not None:
            self.threshold.blockSignals(True)
            self.threshold.setValue(prediction.threshold)
            self.threshold.blockSignals(False)

    def _describe(self, *_: Any) -> None:
        if self._task is not None:
            return
        layer = self.session.angiogram
        prediction = self.session.predictions.get(layer) if layer is not None else None
        if layer is None:
            self.state.setText("No angiogram is open: drop a file onto the window, or use File ▸ Open Sample.")
        elif prediction is None:
            self.state.setText("Not segmented yet.")
        else:
            count, total = len(prediction.frames), layers.frame_count(layer)
            which = "This frame" if total == 1 else f"{count} of {total} frames"
            here = _about_the_shown(prediction, self.session.index, layer)
            how = f"by {prediction.model} on {prediction.device}, {prediction.seconds:.2f} s a frame"
            self.state.setText(f"{which} segmented {how}.{here}")


def _about_the_shown(prediction: Prediction, index: int, layer: Image) -> str:
    if index not in prediction:
        return " The shown frame is not."
    if prediction.mask(index).mean() >= LEAST_VESSEL or layers.facts(layer).get("bright_vessels"):
        return ""
    return " Little was found here: if vessels are bright in this image, tick “inverted” on top and segment it again."


def spoken(model: str) -> str:
    """What a model is called: its name, or that of its file; a run's model is called like the run."""
    path = Path(model)
    return path.parent.name if path.name == "model.safetensors" else path.stem
