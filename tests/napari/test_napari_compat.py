"""What the plugin uses of napari's private parts is there, and used in one place alone."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_vasomim import napari_compat

PLUGIN = Path(napari_compat.__file__).parent
PRIVATE = re.compile(
    r"\b_qt_(window|viewer)|_scene_canvas|__wrapped__|Viewer\b.*_instances|_(undo|redo)_history|\bnapari\.([a-z_]+\.)*_"
)


def test_no_other_module_touches_them():
    found = {
        path.name: PRIVATE.findall(path.read_text())
        for path in PLUGIN.rglob("*.py")
        if path.name != "napari_compat.py" and PRIVATE.search(path.read_text())
    }
    assert not found


def test_the_parts_of_a_window_are_there(make_napari_viewer_proxy):
    proxy = make_napari_viewer_proxy()
    viewer = napari_compat.unwrap(proxy)
    assert viewer is not proxy
    assert napari_compat.unwrap(viewer) is viewer
    assert isinstance(napari_compat.main_window(viewer), QMainWindow)
    assert isinstance(napari_compat.canvas_widget(viewer), QWidget)
    assert napari_compat.grid(viewer).enabled is False
    assert napari_compat.camera(viewer).zoom > 0
    assert napari_compat.viewers().count(viewer) == 1


def test_a_viewer_without_a_window_has_none(model):
    assert napari_compat.main_window(model) is None
    napari_compat.set_playback_rate(model, 0, 12.0)
    napari_compat.keep_graphics_apart(model)
    model.add_image(np.zeros((8, 9)))
    model.layers.clear()


def test_all_windows_are_known_the_active_one_first(make_napari_viewer):
    import napari

    made = {make_napari_viewer(), make_napari_viewer()}
    assert made <= set(napari_compat.viewers())  # those of other tests may not be gone yet
    assert napari_compat.viewers()[0] is napari.current_viewer()


def test_graphics_work_on_the_window_whose_layers_go(make_napari_viewer, monkeypatch):
    viewer = make_napari_viewer()
    napari_compat.keep_graphics_apart(viewer)
    current = []
    scene = viewer.window._qt_viewer.canvas._scene_canvas
    monkeypatch.setattr(scene, "set_current", lambda *_: current.append(True))
    if not hasattr(viewer.layers.events, "begin_batch"):
        pytest.skip("this napari tells of no batches")
    viewer.add_image(np.zeros((8, 9)))
    viewer.layers.clear()
    assert current


def test_what_can_be_undone_is_seen(viewer):
    layer = viewer.add_labels(np.zeros((8, 9), int))
    layer.data_setitem((np.array([1]), np.array([2])), 1)
    assert len(napari_compat.history(layer, "undo")) == 1
    assert len(napari_compat.history(layer, "redo")) == 0
    layer.undo()
    assert len(napari_compat.history(layer, "redo")) == 1
    assert napari_compat.history(object(), "undo") is None
