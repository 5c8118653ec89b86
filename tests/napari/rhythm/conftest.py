"""A label set, a folder of stills, and an engine without a child process, whose answers a test can hold back."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest

from napari_vasomim.background import engine
from napari_vasomim.labelling.desk import LabellingDesk
from napari_vasomim.prediction_layers import PredictionLayers
from napari_vasomim.rhythm.ahead import Ahead
from napari_vasomim.rhythm.drafts import Drafts
from napari_vasomim.session import Session
from vasomim_core.files import write_png
from vasomim_core.inference.requests import Segmentation
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.models.class_mask import ClassRules

SIDE = 48


def frame_of(number):
    """A dark bar at a height of its own."""
    made = np.full((SIDE, SIDE), 180, np.uint8)
    made[4 + 4 * number : 8 + 4 * number, 5:40] = 60
    made[0, 0] = number
    return made


def answer_of(request):
    """What is dark is a vessel; the further down, the less sure."""
    frame, row = request.frame, int(np.argmin(request.frame[:, 20]))
    probability = np.where(frame < 100, 0.9, 0.05).astype(np.float32)
    uncertainty = np.full(frame.shape, row / 100, np.float32)
    return Segmentation(probability, probability[None], ClassRules(), uncertainty, 0.1, "cpu", request.model, 0, 0.5)


class Engine:
    """Answers at once, unless `held`."""

    state = "idle"

    def __init__(self):
        self.asked, self.held, self.waiting = [], False, []

    def call(self, request):
        return self._answer(request, "call")

    def behind(self, request):
        return self._answer(request, "behind")

    def go_on(self):
        self.held = False
        waiting, self.waiting = self.waiting, []
        for future, request in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(answer_of(request))

    def _answer(self, request, how):
        future = Future()
        self.asked.append((how, int(request.frame[0, 0]), request.model))
        self.waiting.append((future, request))
        if not self.held:
            self.go_on()
        return future


class Desk:
    """All that the tests look at, of one viewer."""

    def __init__(self, model, qtbot, labels):
        self.model, self.qtbot = model, qtbot
        self.session = Session.of(model)
        self.session.model, self.session.annotator = "vasomim-demo", "reader 1"
        self.session.open_label_set(labels)
        self.labelling, self.ahead, self.drafts = LabellingDesk.of(model), Ahead.of(model), Drafts.of(model)
        self.walk = self.labelling.navigator

    def segment(self):
        """As the person does it, in the panel Segment."""
        layer, index = self.session.need_shown()
        shown = PredictionLayers.of(self.model)
        from napari_vasomim.canvas import frames
        from vasomim_core.inference.requests import Segment

        request = Segment(frames.grey(layer, index), self.session.model)
        shown.keep(layer, index, answer_of(request), self.session.model, False)

    def at(self, file, frame=0):
        self.qtbot.waitUntil(
            lambda: self.walk.place == (file, frame) and self.labelling.shown.is_current(), timeout=20_000
        )

    def are_ready(self, count=3):
        self.qtbot.waitUntil(lambda: self.ahead.ready == (count, count), timeout=20_000)


@pytest.fixture
def fake(monkeypatch):
    made = Engine()
    monkeypatch.setattr(engine, "shared", lambda: made)
    return made


@pytest.fixture
def labels(tmp_path):
    return LabelSet.create(tmp_path / "set", "set")


@pytest.fixture
def stills(tmp_path):
    for number in range(7):
        write_png(tmp_path / "stills" / f"{number}.png", frame_of(number))
    return tmp_path / "stills"


@pytest.fixture
def desk(model, qtbot, fake, labels, stills):
    """The first of seven stills is shown."""
    made = Desk(model, qtbot, labels)
    made.walk.work_through(stills)
    made.at(0)
    return made
