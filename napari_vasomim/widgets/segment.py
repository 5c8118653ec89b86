"""Segment frames by a model; the threshold then moves over the stored probability."""

from __future__ import annotations

from concurrent.futures import Future
from types import MappingProxyType
from typing import Any

from napari.layers import Image
from qtpy.QtWidgets import QCheckBox, QMessageBox
from superqt.utils import qdebounced, signals_blocked

from napari_vasomim.background import engine
from napari_vasomim.background.sequencer import Sequencer
from napari_vasomim.canvas import frames, layers
from napari_vasomim.keys import with_key
from napari_vasomim.notify import counted, report_error, report_errors
from napari_vasomim.plain import message_box
from napari_vasomim.prediction import Prediction
from napari_vasomim.prediction_layers import PredictionLayers
from napari_vasomim.widgets.kit import Panel, Progress, button, hint, row, slider
from napari_vasomim.widgets.model_choice import ModelChoice
from napari_vasomim.widgets.shown_classes import ClassToggles, ShownVessels, classes_of
from napari_vasomim.widgets.shown_export import ShownExport, ShownMasks
from napari_vasomim.widgets.steadying import Steadying
from vasomim_core.errors import InputError, VasoMIMError
from vasomim_core.inference.requests import Segment, Segmentation
from vasomim_core.labels.mask import LEAST_VESSEL
from vasomim_core.models import catalogue

REST_MS = 150
"""After the last move of the threshold, until the frames that are not seen follow."""


class SegmentPanel(Panel):
    """Model, frame or cine, threshold; vessels, probability and uncertainty on layers of their own."""

    title = "Segment"
    purpose = "Let a model find the vessels."
    keys = MappingProxyType({"segment": "segment_frame"})

    def build(self) -> None:
        """Make the widgets."""
        form = self.section("Model")
        self.model = ModelChoice(
            catalogue.SEGMENTING,
            "a pretrained {kind}; finetune it before it can segment",
            "The models in the package and those that your runs have made",
        )
        form.addRow("model", self.model)
        self.about = hint()
        self.body.addWidget(self.about)
        self.mirrored = QCheckBox("average with its mirror image (2 × time)")
        self.mirrored.setToolTip("Segments the frame and its mirror image: a little better, half as fast")
        self.body.addWidget(self.mirrored)
        self._shown = PredictionLayers.of(self.viewer)
        self.steady = Steadying(self.session, self._shown)
        self.body.addWidget(self.steady)
        self.now = button(
            with_key("This frame", "segment"), self.segment_frame, "Segment the frame that is shown", primary=True
        )
        self.all = button("Whole cine", self.segment_cine, "Segment every frame, the shown one first")
        self.body.addLayout(row(self.now, self.all))
        self.progress = Progress(self.cancel)
        self.body.addWidget(self.progress)
        self.state = hint()
        self.body.addWidget(self.state)

        form = self.section("Result")
        self.vessels = ShownVessels()
        form.addRow("show", self.vessels)
        self._form = form
        self.classes = ClassToggles()
        form.addRow(self.classes)
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
        self.export = ShownExport(self._shown_masks, lambda: self.session.index, self.outline.isChecked)
        self.body.addWidget(self.export)

        self._task: Sequencer[int, Segmentation] | None = None
        self._task_of: Image | None = None
        self.follow(self.steady.stepped, lambda done, total: self.progress.show_step(done, total, "steadied %v of %m"))
        self.follow(self.steady.changed, self._angiogram_changed)
        self._paint_all_soon = qdebounced(report_errors(self._shown.paint_all), timeout=REST_MS, parent=self)
        self.vessels.chosen.connect(report_errors(self._shown_chosen))
        self.classes.toggled.connect(report_errors(self._shown_chosen))
        self.model.chosen.connect(report_errors(self._model_chosen))
        self.threshold.valueChanged.connect(report_errors(self._threshold_moved))
        self.mirrored.setChecked(self._shown.mirrored)
        self.mirrored.toggled.connect(report_errors(self._mirrored_chosen))
        self.outline.toggled.connect(report_errors(self._style))
        self.uncertain.toggled.connect(report_errors(self._style))
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
        count = frames.frame_count(layer)
        self._start([(first + k) % count for k in range(count)])

    def cancel(self) -> None:
        """Stop; the frames that are done stay, and what the engine still works at is dropped."""
        self.steady.cancel()
        if self._task is not None:
            self._finish("Cancelled; the frames that are done stay.")

    def _start(self, indices: list[int]) -> None:
        layer = self.session.need_angiogram()
        if not self._idle or not self._may_replace(layer, indices):
            return
        model, mirrored = self.session.model, self._shown.mirrored  # of the click, whatever is chosen meanwhile

        def ask(index: int) -> Future[Segmentation]:
            return engine.shared().call(Segment(frames.grey(layer, index), model, mirrored))

        def keep(index: int, answer: Segmentation) -> None:
            if layer in self.viewer.layers:
                self._shown.keep(layer, index, answer, model, mirrored)
                self._offer_classes()
                self._show_threshold()
            if layer not in self.viewer.layers:
                self._finish()

        self._task_of = layer
        self._task = Sequencer(self, indices, ask, keep, self._segmented, self._failed, self._step)
        self.now.setEnabled(False)
        self.all.setEnabled(False)
        what = "Starting the model for" if engine.shared().state == "off" else "Segmenting"
        self.state.setText(f"{what} {layer.name}…")
        self._task.start()

    def _step(self, done: int, total: int) -> None:
        self.progress.show_step(done, total if total > 1 else 0, "frame %v of %m")

    def _failed(self, error: Exception) -> None:
        self._finish(str(error) if isinstance(error, VasoMIMError) else "")
        report_error(error)

    def _segmented(self) -> None:
        layer = self._task_of
        self._finish()
        if layer is not None:
            self.steady.settle(layer)

    @property
    def _idle(self) -> bool:
        return self._task is None and not self.steady.busy

    def _finish(self, sentence: str = "") -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = self._task_of = None
        self._angiogram_changed()
        if sentence:
            self.state.setText(sentence)

    def _pixels_changed(self, layer: Image) -> None:
        if self._task is not None and self._task_of is layer:
            self.cancel()

    def _may_replace(self, layer: Image, indices: list[int]) -> bool:
        """Frames of another model must not stay beside those of this one; ask before any is lost."""
        prediction, model = self.session.predictions.get(layer), self.session.model
        try:
            version = catalogue.version_of(model)
        except VasoMIMError:
            return True  # the engine tells of it, and nothing is replaced
        if prediction is None or prediction.by(model, self._shown.mirrored, version):
            return True
        lost = len(set(prediction.frames) - set(indices))
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

    # The result

    def _prediction(self) -> Prediction | None:
        layer = self.session.angiogram
        return self.session.predictions.get(layer) if layer is not None else None

    def _shown_masks(self) -> ShownMasks:
        layer, prediction = self.session.need_angiogram(), self._prediction()
        if prediction is None:
            raise InputError("Nothing is segmented yet: segment this frame, or the whole cine.")
        return ShownMasks(layer, prediction)

    def _threshold_moved(self, value: float) -> None:
        layer, prediction = self.session.angiogram, self._prediction()
        if layer is None or prediction is None:
            return
        prediction.threshold = float(value)
        if self.session.index in prediction:
            self._shown.paint(layer, self.session.index)
        self._paint_all_soon(layer)

    def _shown_chosen(self, *_: Any) -> None:
        self._shown.choose(self.vessels.currentData(), self.classes.hidden)
        self._angiogram_changed()

    def _offer_classes(self) -> None:
        """What of the prediction can be shown: nothing to choose where the model knows vessel alone."""
        prediction = self._prediction()
        two = prediction is not None and prediction.rules.main is not None
        self.vessels.setVisible(two)
        self._form.labelForField(self.vessels).setVisible(two)
        self.classes.fill(classes_of(prediction))
        self.classes.setVisible(bool(classes_of(prediction)))

    def _style(self, *_: Any) -> None:
        self._shown.outline, self._shown.uncertain = self.outline.isChecked(), self.uncertain.isChecked()
        self._shown.style(self.session.angiogram)

    def _show_threshold(self) -> None:
        if (prediction := self._prediction()) is not None:
            with signals_blocked(self.threshold):
                self.threshold.setValue(prediction.threshold)

    # Model and state

    def _fill_models(self, *_: Any) -> None:
        if not self.model.offers(self.session.model):  # it is gone
            self.session.model = catalogue.DEFAULT_MODEL
        self.model.fill(self.session.model)
        words, card = self.model.words(), self.model.card
        self.about.setText(words)
        self.about.setVisible(bool(words))
        self.mirrored.setVisible(card is None or not card.preprocessing.mirrored)  # the others always do

    def _mirrored_chosen(self, mirrored: bool) -> None:
        self._shown.mirrored = mirrored
        self.session.settings_changed.emit()

    def _model_chosen(self, name: str) -> None:
        self.session.model = name

    def _angiogram_changed(self, *_: Any) -> None:
        layer = self.session.angiogram
        idle = self._idle
        self.progress.setVisible(not idle)
        self.steady.setVisible(layer is not None and frames.frame_count(layer) > 1)
        self.now.setEnabled(layer is not None and idle)
        self.all.setEnabled(layer is not None and idle and frames.frame_count(layer) > 1)
        self._offer_classes()
        self._show_threshold()
        self._style()
        self._describe()

    def _describe(self, *_: Any) -> None:
        if not self._idle:
            return
        layer, prediction = self.session.angiogram, self._prediction()
        self.export.enable(prediction is not None)
        if layer is None:
            self.state.setText("No angiogram is open: drop a file onto the window, or use File ▸ Open Sample.")
        elif prediction is None:
            self.state.setText("Not segmented yet.")
        else:
            count, total = len(prediction.frames), frames.frame_count(layer)
            which = "This frame" if total == 1 else f"{count} of {total} frames"
            here = _about_the_shown(prediction, self.session.index, layer)
            how = f"by {prediction.said_by} on {prediction.device}, {prediction.seconds:.2f} s a frame"
            self.state.setText(f"{which} segmented {how}.{here}")


def _about_the_shown(prediction: Prediction, index: int, layer: Image) -> str:
    if index not in prediction:
        return " The shown frame is not."
    if prediction.mask(index).mean() >= LEAST_VESSEL or layers.facts(layer).chosen.bright_vessels:
        return ""
    return " Little was found here: if vessels are bright in this image, tick “inverted” on top and segment it again."
