"""A real window with an angiogram, its correction, and a mouse: stills and cines, scaled and translated."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vasomim.canvas import frames, layers
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.correcting.desk import CorrectingDesk
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.prediction import Prediction
from napari_vasomim.session import Session

from ...mouse import Mouse, activate
from .places import FRAME, PLACES


class Desk:
    """A shown window with an angiogram, its correction, and a mouse."""

    def __init__(self, viewer, pixels, **placed):
        self.viewer = viewer
        viewer.window._qt_window.resize(700, 500)
        activate(viewer)
        CorrectingDesk.of(viewer)
        self.angiogram = viewer.add_image(pixels, **placed)
        self.session = Session.of(viewer)
        self.layer = ensure_correction(viewer, self.angiogram)
        self.editor = editor_of(self.session, self.layer)
        self.tools = self.editor.tools
        frames.show_frame(viewer, self.layer, FRAME)
        viewer.layers.selection.active = self.layer
        viewer.reset_view()
        self.mouse = Mouse(viewer, self.layer)

    @property
    def drawn(self):
        """The vessels of the shown frame."""
        return self.editor.frame.mask.copy()

    @property
    def preview(self):
        found = layers.find(self.viewer, "preview", self.angiogram)
        return found if found is not None and found.visible else None

    @property
    def seen(self):
        return self.preview.data > 0

    def put(self, mask):
        undo.apply_values(self.layer, None if self.layer.ndim == 2 else FRAME, mask.astype(np.uint8))

    def predict(self, probability):
        prediction = Prediction("model", (frames.frame_count(self.angiogram), *probability.shape))
        for index in range(prediction.shape[0]):
            prediction.keep(index, probability, 0.0)
        self.session.predictions[self.angiogram] = prediction
        self.session.predicted.emit(prediction)


@pytest.fixture
def desks(make_napari_viewer, qtbot, still, cine):
    """One desk after the other in one window, as it is windows that take time."""

    def made(*places):
        viewer = make_napari_viewer(show=True)
        for place in places:
            viewer.layers.clear()
            desk = Desk(viewer, cine if "cine" in place else still, **PLACES[place])
            qtbot.wait(100)
            yield desk

    return made


@pytest.fixture
def desk(desks):
    return lambda place="still": next(desks(place))


@pytest.fixture
def branch(still_truth, cine_truth):
    """Three points along the vessels, well inside the frame."""
    from skimage.morphology import skeletonize

    line = np.argwhere(skeletonize(still_truth & cine_truth[FRAME]))
    line = line[(np.abs(line - 128) < 100).all(1)]
    start = line[len(line) // 2]
    away = np.hypot(*(line - start).T)
    return [tuple(map(int, line[np.abs(away - far).argmin()])) for far in (0, 25, 50)]
