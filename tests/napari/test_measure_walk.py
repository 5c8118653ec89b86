"""From a file to a page in a few clicks, in the real window: open run, fullest frame, segment, measure, report."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QPushButton
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize

from napari_vasomim.canvas import layers
from napari_vasomim.widgets.measure import MeasurePanel
from napari_vasomim.widgets.segment import SegmentPanel
from napari_vasomim.widgets.workbench import Workbench
from tests.core.reading.files import write_dicom

from .mouse import Mouse, click, settle

pytestmark = pytest.mark.once  # the panel itself is tried with both bindings, in test_measure

MOST = 8


def ends(truth):
    """Two points of the widest vessel, some way apart."""
    line = np.argwhere(skeletonize(truth))
    wide = distance_transform_edt(truth)[tuple(line.T)]
    inside = (np.abs(line - 128) < 90).all(axis=1)
    start = line[np.where(inside, wide, 0).argmax()]
    away = np.abs(np.hypot(*(line - start).T) - 30)
    return tuple(start), tuple(line[np.where(inside & (wide > wide.max() / 3), away, np.inf).argmin()])


@pytest.mark.timeout(300)
def test_from_a_run_to_a_page(make_napari_viewer, qtbot, tmp_path, cine, cine_truth, monkeypatch):
    header = {"PixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL"}
    path = write_dicom(tmp_path / "run.dcm", cine, **header)
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1366, 768)
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    bench.session.model = "vasomim-demo"
    page, done = tmp_path / "page.pdf", []

    viewer.open(str(path), plugin="napari-vasomim")
    done.append("drop the file")
    angiogram = bench.session.angiogram
    qtbot.waitUntil(lambda: layers.facts(angiogram).fullest_frame is not None, timeout=20_000)
    fullest = layers.facts(angiogram).fullest_frame
    qtbot.waitUntil(lambda: bench.session.index == fullest > 0)

    click(qtbot, bench.panel(SegmentPanel).now)
    done.append("This frame")
    qtbot.waitUntil(lambda: angiogram in bench.session.predictions, timeout=120_000)

    tab = next(button for button in bench.findChildren(QPushButton) if button.text() == MeasurePanel.title)
    click(qtbot, tab)
    done.append("the tab")
    panel = bench.panels[MeasurePanel]
    qtbot.waitUntil(panel.start.isVisible)
    click(qtbot, panel.start)
    done.append("Measure")
    settle()
    mouse = Mouse(viewer, angiogram)
    for point in ends(cine_truth[fullest]):
        mouse.click((fullest, *point))
        done.append("the vessel")
    qtbot.waitUntil(lambda: panel.measures.current is not None, timeout=20_000)

    def answered(*_):
        done.append("the dialog")
        return str(page), "PDF (*.pdf)"

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answered)
    click(qtbot, panel.report)
    done.append("Report")
    qtbot.waitUntil(page.exists, timeout=30_000)

    assert len(done) <= MOST, done
    entry = panel.measures.current
    assert entry.index == fullest
    assert entry.measure.scale.mm_per_px == pytest.approx(0.2)
    assert "FIDUCIAL" in panel.source.text()
    assert page.read_bytes().startswith(b"%PDF")
