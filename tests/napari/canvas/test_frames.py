"""The frames of a layer: how many, which is shown, and what they look like to the engine."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_vasomim.canvas import frames, layers
from napari_vasomim.canvas.facts import AngiogramFacts
from vasomim_core.errors import InputError
from vasomim_core.reading import GreyLevels

pytestmark = pytest.mark.once  # what is tested here knows no Qt

PLACED = {"scale": (0.3, 0.5), "translate": (11, -7), "rotate": 30, "shear": [0.2], "units": ("mm", "mm")}
PLACED_CINE = {"scale": (66, 0.3, 0.5), "translate": (5, 11, -7), "units": ("ms", "mm", "mm")}


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


def test_the_shown_frame_through_scale_translation_and_a_longer_neighbour(viewer):
    image = viewer.add_image(np.zeros((5, 8, 9)), scale=(66, 1, 1), translate=(1000, 0, 0))
    viewer.add_image(np.zeros((90, 8, 9)), scale=(20, 1, 1))
    for index in (0, 3, 4):
        frames.show_frame(viewer, image, index)
        assert frames.current_index(viewer, image) == index
    viewer.dims.set_point(0, 0)
    assert frames.current_index(viewer, image) == 0
    viewer.dims.set_point(0, 1e9)
    assert frames.current_index(viewer, image) == 4
    still = viewer.add_image(np.zeros((8, 9)))
    assert frames.current_index(viewer, still) == 0
    frames.show_frame(viewer, still, 3)  # nothing to move


def test_pixels_under_a_point(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)), **PLACED_CINE)
    world = image.data_to_world((2, 7.25, 11.5))
    np.testing.assert_allclose(frames.pixel_at(image, world), (7.25, 11.5))


def test_frames_as_the_engine_wants_them():
    grey = np.arange(80, dtype=np.uint8).reshape(8, 10) * 3
    rgb = np.stack([grey, grey // 2, grey // 3], axis=-1)
    np.testing.assert_array_equal(frames.grey(Image(grey), 0), grey)
    luminance = 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]
    assert np.abs(frames.grey(Image(rgb, rgb=True), 0) - luminance).max() <= 1
    assert np.abs(frames.grey(Image(np.stack([rgb * 0, rgb]), rgb=True), 1) - luminance).max() <= 1
    with_alpha = np.concatenate([rgb, np.zeros((8, 10, 1), np.uint8)], axis=-1)
    np.testing.assert_array_equal(frames.grey(Image(with_alpha, rgb=True), 0), frames.grey(Image(rgb, rgb=True), 0))
    for dtype in (np.uint16, np.int32, np.float32, np.float64):
        wide = frames.grey(Image(grey.astype(dtype) * 37), 0)
        assert wide.dtype == np.uint8
        assert wide.min() == 0
        assert wide.max() == 255
        assert (np.diff(wide.astype(int).ravel()) >= 0).all()
    lazy = Image(dask.array.from_array(np.stack([grey, 255 - grey]), chunks=(1, 8, 10)))
    np.testing.assert_array_equal(frames.grey(lazy, 1), 255 - grey)
    windowed = Image(grey.astype(np.uint16), metadata={layers.KEY: AngiogramFacts(window=(50, 20))})
    assert set(np.unique(frames.grey(windowed, 0)[grey < 40])) == {0}
    inverted = Image(255 - grey, metadata={layers.KEY: AngiogramFacts(chosen=GreyLevels(bright_vessels=True))})
    np.testing.assert_array_equal(frames.grey(inverted, 0), grey)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_frame_that_cannot_be_used_is_a_sentence(value):
    with pytest.raises(InputError, match="not finite"):
        frames.grey(Image(np.full((8, 9), value), contrast_limits=(0, 1)), 0)
