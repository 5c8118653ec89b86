"""The workbench: every panel fits, opens without torch, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QCheckBox,
    QComboBox,
    QLabel,
    QPushButton,
    QScrollArea,
    QWidget,
)

from napari_vasomim.canvas import layers
from napari_vasomim.runs import jobs
from napari_vasomim.widgets.finetune import FinetunePanel
from napari_vasomim.widgets.kit import WIDTH
from napari_vasomim.widgets.label_set import LabelSetPanel
from napari_vasomim.widgets.mask_preview import MaskPreviewPanel
from napari_vasomim.widgets.segment import SegmentPanel
from napari_vasomim.widgets.vesselness import VesselnessPanel
from napari_vasomim.widgets.view import ViewPanel
from napari_vasomim.widgets.workbench import PANELS, Workbench
from vasomim_core.config import FinetuneConfig
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.training.events import EventLog
from vasomim_core.training.runs import save_config

NAMES = {
    VesselnessPanel: "Vesselness",
    SegmentPanel: "Segment",
    LabelSetPanel: "Label set",
}


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1366, 768)
    return viewer


@pytest.mark.once  # of processes and files, not of Qt
def test_without_torch_and_without_a_process_left(tmp_path):
    """In a process of its own: torch may be here already by another test."""
    script = """
import sys, time
import napari, numpy as np, psutil
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication
QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, sys.argv[1])
from napari_vasomim.app import close_window
from napari_vasomim.widgets.workbench import PANELS, Workbench
from napari_vasomim.widgets.segment import SegmentPanel
viewer = napari.Viewer(show=False)
bench = Workbench(viewer)
viewer.window.add_dock_widget(bench, area="right")
image = viewer.add_image(np.tile(np.arange(96, dtype=np.uint8), (96, 1)))
for kind in PANELS:
    bench.show_panel(kind)
panel = bench.panel(SegmentPanel)
panel.now.click()
start = time.monotonic()
while image not in panel.session.predictions and time.monotonic() - start < 100:
    QApplication.processEvents()
    time.sleep(0.01)
assert image in panel.session.predictions, panel.state.text()
assert psutil.Process().children()
close_window(viewer)
heavy = {"torch", "monai", "timm", "torchvision"} & set(sys.modules)
assert not heavy, heavy
print("children", *[child.pid for child in psutil.Process().children(recursive=True)])
"""
    ended = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr[-3000:]
    import psutil

    children = [int(pid) for pid in ended.stdout.split("children")[1].split()]
    assert not any(psutil.pid_exists(pid) for pid in children)


def test_the_dock_is_wholly_visible_at_1366_by_768(viewer, qtbot):
    bench = Workbench(viewer)
    dock = viewer.window.add_dock_widget(bench, name="VasoMIM workbench", area="right")
    window = viewer.window._qt_window
    qtbot.waitUntil(dock.isVisible)
    for button in choices(bench):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        QApplication.processEvents()
        assert (window.width(), window.height()) == (1366, 768), f"{button.text()} makes the window larger"
        for widget in (dock, bench, *choices(bench)):
            corner = widget.mapTo(window, QPoint(widget.width() - 1, widget.height() - 1))
            assert window.rect().contains(corner), button.text()
        qtbot.waitUntil(lambda: bench._stack.height() > 350)  # the docks share the height when the window settles


def choices(bench: Workbench) -> list[QPushButton]:
    """The buttons that bring the panels to the front."""
    return bench.findChildren(QPushButton, options=Qt.FindChildOption.FindDirectChildrenOnly)


def in_sight(widget: QWidget) -> bool:
    """Whether all of a widget is seen without scrolling."""
    return widget.visibleRegion().boundingRect() == widget.rect()


def test_who_and_which_patient_are_in_sight_where_labels_are_accepted(viewer, qtbot, cine, tmp_path):
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    viewer.add_image(cine)
    bench.session.open_label_set(LabelSet.create(tmp_path / "labels", "labels"))
    panel = bench.show_panel(LabelSetPanel)
    needed = (panel.annotator, panel.group, panel.keep, panel.skip, panel.flag, panel.note)
    qtbot.waitUntil(lambda: all(map(in_sight, needed)))


def test_the_buttons_of_a_run_are_in_sight(viewer, qtbot, tmp_path):
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    panel = bench.show_panel(FinetunePanel)
    run = tmp_path / "run"
    save_config(run / "config.yaml", FinetuneConfig(tmp_path, run))
    EventLog(run).write("end", reason="stopped", message="")
    panel.view.show_run(jobs.attach(run))
    scroll = panel.findChild(QScrollArea)
    needed = (panel.view.stop, panel.view.cancel, panel.view.resume, panel.view.use, panel.view.report)

    def seen():
        scroll.verticalScrollBar().setValue(panel.view.mapTo(scroll.widget(), QPoint(0, 0)).y())  # the run is looked at
        return all(map(in_sight, needed))

    qtbot.waitUntil(seen)


@pytest.mark.parametrize("kind", PANELS, ids=lambda kind: kind.__name__)
def test_every_panel_fits_its_width(qtbot, kind, still):
    model = ViewerModel()
    bench = Workbench(model)
    qtbot.addWidget(bench)
    bench.resize(WIDTH, 560)
    bench.show()
    panel = bench.show_panel(kind)
    for state in ("empty", "an image"):
        if state == "an image":
            model.add_image(still, name="an angiogram with a long name, as files from an archive have")
        QApplication.processEvents()
        assert bench.width() == WIDTH, state
        for scroll in panel.findChildren(QScrollArea):
            assert not scroll.horizontalScrollBar().isVisible()
            if scroll.isVisible():
                column = scroll.widget()
                assert column.width() <= scroll.viewport().width(), f"{state}: the column is wider than the panel"
        clipped = [text for widget in (bench, panel) for text in cut_off(widget)]
        assert not clipped, f"{state}: {clipped}"


def cut_off(parent: QWidget) -> list[str]:
    """The texts of visible widgets that need more room than they have, or reach beyond the panel."""
    found = []
    for widget in parent.findChildren((QAbstractButton, QLabel)):
        if not widget.isVisible() or not widget.text():
            continue
        if isinstance(widget, QLabel) and (widget.wordWrap() or (widget.pixmap() and not widget.pixmap().isNull())):
            if widget.height() < widget.heightForWidth(widget.width()):
                found.append(widget.text())
            continue
        if isinstance(widget, QPushButton | QCheckBox | QLabel) and widget.width() < widget.sizeHint().width():
            found.append(widget.text())
        if widget.mapTo(parent, QPoint(widget.width(), 0)).x() > parent.width():
            found.append(widget.text())
    for box in parent.findChildren(QComboBox):
        if box.isVisible() and box.mapTo(parent, QPoint(box.width(), 0)).x() > parent.width():
            found.append(box.currentText())
    return found


def test_a_panel_is_made_when_it_is_first_looked_at(qtbot):
    bench = Workbench(ViewerModel())
    qtbot.addWidget(bench)
    bench.show()
    assert list(bench.panels) == [SegmentPanel]
    button = choices(bench)[0]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert set(bench.panels) == {SegmentPanel, ViewPanel}
    assert bench.panels[ViewPanel].isVisible()
    assert not bench.panels[SegmentPanel].isVisible()
    first = bench.panels[ViewPanel]
    bench.show_panel(SegmentPanel)
    assert bench.show_panel(ViewPanel) is first


def test_one_choice_of_the_angiogram_for_all_panels(qtbot, still):
    model = ViewerModel()
    bench = Workbench(model)
    qtbot.addWidget(bench)
    for kind in PANELS:
        bench.show_panel(kind)
    image, other = model.add_image(still), model.add_image(still)
    assert all(panel.session is bench.session for panel in bench.panels.values())
    model.layers.selection.active = image
    assert bench.session.angiogram is image is not other


def test_the_key_for_accepting_works_before_its_panel_was_looked_at(qtbot, notifications):
    bench = Workbench(ViewerModel())
    qtbot.addWidget(bench)
    bench.session.request_accept()
    assert "label set" in notifications.pop().message
    assert LabelSetPanel not in bench.panels


@pytest.mark.parametrize("kind", PANELS, ids=lambda kind: kind.__name__)
def test_every_button_of_every_panel_without_an_image(qtbot, kind, notifications, monkeypatch):
    """A click never ends in a traceback; each that cannot do its work says so, or opens a dialog."""
    silence_dialogs(monkeypatch)
    bench = Workbench(ViewerModel())
    qtbot.addWidget(bench)
    bench.show()
    panel = bench.show_panel(kind)
    for button in panel.findChildren(QPushButton):
        if button.isVisible():
            button.click()  # a disabled one stays silent
        QApplication.processEvents()
        assert not any("unexpected" in note.message for note in notifications), button.text()


def silence_dialogs(monkeypatch):
    """Every dialog is cancelled."""
    from qtpy.QtWidgets import QDialog, QFileDialog, QInputDialog, QMessageBox

    for name in ("getOpenFileName", "getSaveFileName"):
        monkeypatch.setattr(QFileDialog, name, lambda *a, **k: ("", ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: "")
    monkeypatch.setattr(QInputDialog, "getText", lambda *a, **k: ("", False))
    monkeypatch.setattr(QInputDialog, "getItem", lambda *a, **k: ("", False))
    for name in ("question", "warning", "information", "critical"):
        monkeypatch.setattr(QMessageBox, name, lambda *a, **k: QMessageBox.StandardButton.Cancel)
    for kind in (QDialog, QMessageBox):
        for name in ("exec_", "exec"):
            if hasattr(kind, name):
                monkeypatch.setattr(kind, name, lambda *a, **k: 0)


def test_a_panel_alone_has_the_choice_of_the_angiogram(viewer, still):
    panels = [viewer.window.add_plugin_dock_widget("napari-vasomim", name)[1] for name in NAMES.values()]
    image = viewer.add_image(still, name="mine")
    for panel, kind in zip(panels, NAMES, strict=True):
        assert isinstance(panel, kind)
        assert panel.session.angiogram is image
        assert panel.findChildren(QComboBox)[0].currentText() == "mine"


def test_closing_the_dock_lets_the_panel_go_and_the_session_lives(viewer, qtbot, still):
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    bench.show_panel(VesselnessPanel)
    viewer.window.remove_dock_widget(bench)
    with qtbot.waitSignal(bench.destroyed):
        bench.deleteLater()
    image = viewer.add_image(still)
    viewer.add_image(np.stack([still, still]))
    viewer.dims.set_current_step(0, 1)
    qtbot.wait(100)
    again = Workbench(viewer)
    viewer.window.add_dock_widget(again, area="right")
    assert again.session.viewer is not None
    assert image in viewer.layers


def test_what_a_panel_explores_is_in_nobodys_way(viewer, qtbot, still):
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    angiogram = viewer.add_image(still)
    bench.show_panel(VesselnessPanel)
    qtbot.waitUntil(lambda: layers.find(viewer, "anatomy", angiogram) is not None)
    response, anatomy = (layers.find(viewer, role, angiogram) for role in ("vesselness", "anatomy"))
    response.visible = False  # as the person wants it
    bench.show_panel(SegmentPanel)
    assert not anatomy.visible
    assert angiogram.visible
    bench.show_panel(VesselnessPanel)
    assert anatomy.visible
    assert not response.visible
    bench.show_panel(SegmentPanel)
    viewer.layers.remove(anatomy)
    bench.show_panel(VesselnessPanel)


def test_a_mask_is_hidden_too_also_one_that_comes_late(viewer, qtbot, still):
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    angiogram = viewer.add_image(still)
    find = lambda: layers.find(viewer, "mask", angiogram)  # noqa: E731
    bench.show_panel(MaskPreviewPanel)
    qtbot.waitUntil(lambda: layers.find(viewer, "anatomy", angiogram) is not None)
    assert find() is None  # the engine has not answered yet
    bench.show_panel(SegmentPanel)
    qtbot.waitUntil(lambda: find() is not None, timeout=60_000)
    assert not find().visible
    bench.show_panel(MaskPreviewPanel)
    assert find().visible
    bench.show_panel(SegmentPanel)
    assert not find().visible
