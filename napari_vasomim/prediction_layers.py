"""What a model said of an angiogram, on layers over it: the vessels, their probability, and where it is uncertain."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray

from napari_vasomim.attached import PerViewer
from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.prediction import Prediction
from napari_vasomim.session import Session
from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.config import Vessels
from vasomim_core.inference.requests import Segmentation

ROLES = ("prediction", "probability", "uncertainty")
ON_TOP: dict[str, Any] = {"blending": "additive", "contrast_limits": (0, 1)}


class PredictionLayers(PerViewer):
    """Keeps what a model said in the session of a viewer, and shows it; get it with `PredictionLayers.of`.

    Attributes:
        mirrored: average with the mirrored frame.
        outline: show the border of the vessels alone.
        uncertain: show where the model is uncertain.
        vessels: show every vessel, or main branches alone, where a model tells them apart.
        hidden: names of classes that are not shown.
    """

    def __init__(self, viewer: ViewerModel):
        self._session = Session.of(viewer)
        self.mirrored = False
        self.outline = False
        self.uncertain = False
        self.vessels: Vessels = "every"
        self.hidden: frozenset[str] = frozenset()

    def keep(self, layer: Image, index: int, answer: Segmentation, asked: str, mirrored: bool) -> None:
        """Take what a model said of a frame; frames of another model must not stay beside those of this one.

        Args:
            layer: the angiogram.
            index: of the frame.
            answer: what was said.
            asked: name or path by which the model was asked for.
            mirrored: whether the mirrored frame was to count, too.
        """
        prediction = self._session.predictions.get(layer)
        if prediction is None or not prediction.by(asked, mirrored, answer.version):
            size = (frames.frame_count(layer), *frames.frame_size(layer))
            prediction = Prediction(
                answer.model,
                size,
                mirrored,
                {"every": answer.threshold, "main": answer.rules.main_threshold},
                answer.rules,
                self.vessels,
                self.hidden,
                asked=asked,
                version=answer.version,
            )
            self._session.predictions[layer] = prediction
            results.clear_results(self._session.viewer, layer, ROLES)
            if (shown := layers.find(self._session.viewer, "prediction", layer)) is not None:
                shown.colormap = results.colormap("prediction", _told_apart(prediction))
        steadied = prediction.steadied
        prediction.keep(index, answer.probability, float(answer.uncertainty.mean()), answer.classes)
        prediction.seconds, prediction.device = answer.seconds, answer.device
        self.paint(layer, index)
        put = results.put_frame
        style: dict[str, Any] = {"visible": False, "colormap": "magma", **ON_TOP}
        put(self._session.viewer, layer, "probability", index, prediction.probability(index), "probability", **style)
        style = {"visible": self.uncertain, "colormap": "yellow", "opacity": 0.8, **ON_TOP}
        put(self._session.viewer, layer, "uncertainty", index, answer.uncertainty, "uncertainty", **style)
        if steadied:
            self._repaint(layer, prediction)
        self._session.predicted.emit(prediction)

    def paint(self, layer: Image, index: int) -> None:
        """Show the vessels of a frame at the threshold."""
        prediction = self._session.predictions[layer]
        self._put(layer, index, prediction)
        self.style(layer)

    def _put(self, layer: Image, index: int, prediction: Prediction) -> None:
        colours = results.colormap("prediction", _told_apart(prediction))
        drawn = prediction.class_mask(index)
        results.put_frame(self._session.viewer, layer, "prediction", index, drawn, "prediction", colormap=colours)

    def paint_all(self, layer: Image) -> None:
        """Show the vessels of all frames of a run at the threshold."""
        prediction, shown = self._session.predictions.get(layer), layers.find(self._session.viewer, "prediction", layer)
        if prediction is None or shown is None or shown.ndim == 2:
            return
        for index in prediction.frames:
            shown.data[index] = prediction.class_mask(index)
        shown.refresh()

    def choose(self, vessels: Vessels, hidden: frozenset[str]) -> None:
        """Show every vessel or main branches alone, without some classes, of all angiograms."""
        self.vessels, self.hidden = vessels, hidden
        for layer, prediction in list(self._session.predictions.items()):
            if (prediction.vessels, prediction.hidden) == (vessels, hidden):
                continue
            prediction.vessels, prediction.hidden = vessels, hidden
            self._repaint(layer, prediction)
            self._session.predicted.emit(prediction)

    def steady(self, layer: Image, planes: dict[int, NDArray[np.uint8]]) -> None:
        """Show what is said of a run when neighbouring frames have a say; {} = what is said of each frame by itself."""
        prediction = self._session.predictions[layer]
        prediction.steady(planes)
        self._repaint(layer, prediction)
        self._session.predicted.emit(prediction)

    def _repaint(self, layer: Image, prediction: Prediction) -> None:
        """Show vessels and probability of all frames, on layers that say whether they were steadied."""
        measured = layers.find(self._session.viewer, "probability", layer)
        for index in prediction.frames:
            self._put(layer, index, prediction)
            if measured is not None:
                measured.data[... if measured.ndim == 2 else index] = prediction.probability(index)
        if measured is not None:
            measured.refresh()
        for role in ("prediction", "probability"):
            results.call(
                layers.find(self._session.viewer, role, layer), f"{role}, steadied" if prediction.steadied else role
            )

    def style(self, layer: Image | None) -> None:
        """Show outline and uncertainty, or not."""
        if layer is None:
            return
        if (shown := layers.find(self._session.viewer, "prediction", layer)) is not None:
            shown.contour = 2 if self.outline else 0
        if (uncertainty := layers.find(self._session.viewer, "uncertainty", layer)) is not None:
            uncertainty.visible = self.uncertain


def _told_apart(prediction: Prediction) -> tuple[LabelClass, ...]:
    """The classes that need colours of their own: one alone has the colour of all predictions."""
    return prediction.classes if len(prediction.classes) > 1 else VESSEL
