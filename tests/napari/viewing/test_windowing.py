"""Window and level: by the right button in the real window, by presets, and never against another tool."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vasomim.canvas import frames, layers
from napari_vasomim.canvas.facts import AngiogramFacts
from napari_vasomim.session import Session
from napari_vasomim.viewing.windowing import DRAG_PX, Drag, Windowing
from vasomim_core.errors import InputError
from vasomim_core.reading.grey import window_limits

from ..mouse import RIGHT, Mouse


@pytest.fixture
def deep(still) -> np.ndarray:
    return still.astype(np.uint16) * 9 + 800


def test_the_right_button_in_the_window(make_napari_viewer, still):
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_image(still)
    Windowing.of(viewer)
    mouse = Mouse(viewer, layer)
    zoom, (low, high) = mouse.camera.zoom, layer.contrast_limits
    mouse.drag((60, 60), (60, 160), button=RIGHT)
    wide_low, wide_high = layer.contrast_limits
    assert wide_high - wide_low > high - low
    assert wide_high + wide_low == pytest.approx(high + low)
    mouse.drag((60, 60), (120, 60), button=RIGHT)
    assert sum(layer.contrast_limits) > high + low  # down: a higher level, a darker picture
    assert np.diff(layer.contrast_limits) == pytest.approx(wide_high - wide_low)
    assert mouse.camera.zoom == zoom  # napari would have zoomed
    assert mouse.camera.mouse_pan
    changed = tuple(layer.contrast_limits)
    layer.cursor = "crosshair"  # as while a tool of ours is up, which such a click ends
    mouse.double_click((60, 60), RIGHT)
    assert tuple(layer.contrast_limits) == changed
    layer.cursor = "standard"
    mouse.double_click((60, 60), RIGHT)
    assert tuple(layer.contrast_limits) == (low, high)
    drawn = viewer.add_labels(np.zeros(still.shape, np.uint8))
    drawn.mode = "paint"  # whose right button is napari's
    mouse.drag((60, 60), (60, 160), button=RIGHT)
    assert tuple(layer.contrast_limits) == (low, high)


def test_a_drag_in_numbers():
    drag = Drag((100, 300), 0, 1000, np.uint16)
    assert drag.limits(DRAG_PX / 10, 0) == (50, 350)
    assert drag.limits(0, DRAG_PX / 10) == (200, 400)
    low, high = drag.limits(-DRAG_PX, 0)
    assert high - low == 1  # never less
    low, high = drag.limits(0, 10 * DRAG_PX)
    assert (low + high) / 2 == 1000  # never beyond the picture
    low, high = Drag((0, 1), 0.0, 0.0, np.float32).limits(-1e9, 0)
    assert 0 < high - low < 1e-3


def test_presets_are_of_the_frame_that_is_shown(qapp, cine):
    viewer = ViewerModel()
    layer = viewer.add_image(cine)
    windowing = Windowing.of(viewer)
    viewer.dims.set_current_step(0, 7)
    for preset, percentiles in (("full", (0, 100)), ("usual", (1, 99)), ("vessels", (2, 90))):
        windowing.apply(preset)
        assert tuple(layer.contrast_limits) == pytest.approx(tuple(np.percentile(cine[7], percentiles)))


def test_as_opened_is_the_window_of_the_file_or_the_first_limits(qapp, deep):
    viewer = ViewerModel()
    windowing = Windowing.of(viewer)
    first = viewer.add_image(deep, contrast_limits=(900, 2000))
    windowing.apply("full")
    windowing.apply("opened")
    assert tuple(first.contrast_limits) == (900, 2000)
    facts = AngiogramFacts(window=(1500, 401))
    second = viewer.add_image(deep, contrast_limits=(0, 1), metadata={layers.KEY: facts})
    windowing.apply("opened")
    assert tuple(second.contrast_limits) == window_limits((1500, 401))


def test_it_is_for_the_eye_alone(qapp, deep):
    viewer = ViewerModel()
    layer = viewer.add_image(deep)
    windowing, before = Windowing.of(viewer), frames.grey(layer, 0)
    windowing.apply("vessels")
    windowing.set_negative(True)
    assert layer.colormap.name == "gray_r"
    np.testing.assert_array_equal(frames.grey(layer, 0), before)


def test_one_grey_level_and_no_angiogram(qapp):
    viewer = ViewerModel()
    windowing = Windowing.of(viewer)
    with pytest.raises(InputError, match="No angiogram"):
        windowing.apply("full")
    layer = viewer.add_image(np.full((8, 9), 7, np.uint8), contrast_limits=(0, 255))
    windowing.apply("full")
    low, high = layer.contrast_limits
    assert high > low
    assert Session.of(viewer).angiogram is layer
