"""The whole loop in the real window, with mouse and keyboard: sample → segment → trace → accept → finetune → better."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from scipy.ndimage import binary_dilation, label
from skimage.morphology import skeletonize

from napari_vasomim.canvas import layers
from napari_vasomim.runs import jobs
from napari_vasomim.widgets.correct import CorrectPanel
from napari_vasomim.widgets.finetune import FinetunePanel
from napari_vasomim.widgets.label_set import LabelSetPanel
from napari_vasomim.widgets.segment import SegmentPanel
from napari_vasomim.widgets.workbench import Workbench
from vasomim_core.evaluation.metrics import dsc
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.synthetic import synthesize

from .mouse import Mouse, activate

pytestmark = pytest.mark.once  # each of its panels is tried with both bindings

SIZE = 256
TAUGHT = 20


def missing_branch(truth, found):
    """The two ends and the middle of the longest piece of centreline that was not found."""
    pieces, count = label(skeletonize(truth) & ~found, np.ones((3, 3)))
    longest = max(range(1, count + 1), key=lambda n: (pieces == n).sum())
    points = np.argwhere(pieces == longest)
    start = points[np.abs(points - points.mean(0)).sum(1).argmax()]
    order = np.abs(points - start).sum(1).argsort()
    return [tuple(points[order[k]]) for k in (0, len(order) // 2, -1)]


@pytest.fixture
def taught():
    """Frames with their vessels, as drawn by one who draws them wider: so there is something to learn within seconds.

    Of the first the packaged model misses a branch.
    """
    made = [synthesize(115 + k, size=SIZE) for k in range(TAUGHT)]
    return [(np.asarray(m.frame), binary_dilation(np.asarray(m.mask), iterations=2)) for m in made]


@pytest.mark.timeout(600)
def test_the_whole_loop(make_napari_viewer, qtbot, tmp_path, monkeypatch, taught, notifications):
    monkeypatch.setenv("VASOMIM_JOURNAL", str(tmp_path / "journal"))
    monkeypatch.setattr(jobs, "LOWEST", 0)  # a test may not have to wait for an idle machine
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1366, 768)
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    bench.session.model = "vasomim-demo"
    frame, truth = taught[0]
    angiogram = viewer.add_image(frame, name="left coronary")
    qtbot.wait(200)

    segment = bench.show_panel(SegmentPanel)
    qtbot.mouseClick(segment.now, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: layers.find(viewer, "prediction", angiogram) is not None, timeout=120_000)
    shown = layers.find(viewer, "prediction", angiogram)
    before = dsc(np.asarray(shown.data) > 0, truth)
    found = np.asarray(shown.data) > 0
    assert found.any()

    correct = bench.show_panel(CorrectPanel)
    qtbot.mouseClick(correct.begin, Qt.MouseButton.LeftButton)
    correction = correct.correction
    assert (np.asarray(correction.data) > 0).sum() == found.sum()
    qtbot.mouseClick(correct.tools["trace"], Qt.MouseButton.LeftButton)
    mouse = Mouse(viewer, correction)
    first, middle, last = missing_branch(truth, found)
    mouse.click(first)
    mouse.move(middle)
    preview = next(layer for layer in viewer.layers if layers.role(layer) == "preview")
    assert np.asarray(preview.data).any()  # seen before it is painted
    mouse.click(middle)
    mouse.click(last)
    drawn = np.asarray(correction.data) > 0
    near = np.argwhere(drawn & ~found) - middle
    assert np.hypot(*near.T).min() <= 3
    assert dsc(drawn, truth) > dsc(found, truth)
    mouse.click(last, Qt.MouseButton.RightButton)

    kept = bench.show_panel(LabelSetPanel)
    labels = LabelSet.create(tmp_path / "labels", "loop")
    for other, mask in taught[1:]:
        labels.add(other, mask, annotator="truth")
    bench.session.open_label_set(labels)
    viewer.layers.selection.active = correction
    qtbot.waitUntil(kept.keep.isEnabled)
    activate(viewer)
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_A)
    qtbot.waitUntil(lambda: labels.find(frame) is not None, timeout=20_000)
    record = labels.find(frame)
    assert (record.status, record.model, record.revision) == ("accepted", "vasomim-demo", 1)
    assert (labels.mask(record.id) == drawn).all()
    assert kept is bench.panels[LabelSetPanel]

    finetune = bench.show_panel(FinetunePanel)
    qtbot.waitUntil(finetune.start.isEnabled, timeout=20_000)
    finetune.settings.editor("training.epochs").set(2)
    finetune.settings.editor("training.batch_size").set(1)
    assert finetune.settings.value().training.epochs == 2
    qtbot.mouseClick(finetune.start, Qt.MouseButton.LeftButton)
    run = finetune.view.run
    qtbot.waitUntil(lambda: finetune.view.job.status().state == "finished", timeout=240_000)
    qtbot.waitUntil(finetune.view.use.isEnabled, timeout=5_000)
    qtbot.mouseClick(finetune.view.use, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bench.session.model == run.name, timeout=10_000)

    bench.show_panel(SegmentPanel)
    qtbot.mouseClick(segment.now, Qt.MouseButton.LeftButton)
    assert not segment.now.isEnabled()
    qtbot.waitUntil(segment.now.isEnabled, timeout=120_000)
    prediction = bench.session.predictions[angiogram]
    assert prediction.model == run.name
    assert dsc(prediction.mask(0), truth) > before
