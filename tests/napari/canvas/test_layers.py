"""Results are found by object and tag, lie exactly on their angiogram, and never on that of another."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_vasomim.canvas import layers
from vasomim_core.errors import InputError

PLACED = {"scale": (0.3, 0.5), "translate": (11, -7), "rotate": 30, "shear": [0.2], "units": ("mm", "mm")}
PLACED_CINE = {"scale": (66, 0.3, 0.5), "translate": (5, 11, -7), "units": ("ms", "mm", "mm")}


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


def put(viewer, image, index=0, value=True, role="anatomy"):
    return layers.put_frame(viewer, image, role, index, np.full(layers.frame_size(image), value), role)


@pytest.mark.parametrize(
    ("layer", "usable"),
    [
        (Image(np.zeros((8, 9), np.uint8)), True),
        (Image(np.zeros((3, 8, 9), np.uint16)), True),
        (Image(np.zeros((8, 9, 3), np.uint8), rgb=True), True),
        (Image(np.zeros((5, 8, 9, 3), np.uint8), rgb=True), True),
        (Image(np.zeros((2, 3, 8, 9))), False),
        (Image([np.zeros((64, 64)), np.zeros((32, 32))], multiscale=True), False),
        (Image(np.zeros((8, 9)), metadata={"vasomim": {"role": "probability"}}), False),
        (Image(np.zeros((8, 9)), metadata={"vasomim": "of someone else"}), True),
        (Labels(np.zeros((8, 9), int)), False),
        (None, False),
    ],
)
def test_what_can_be_worked_on(layer, usable):
    assert layers.is_angiogram(layer) is usable


@pytest.mark.parametrize(
    ("shape", "rgb", "placed"),
    [
        ((20, 30), False, PLACED),
        ((20, 30, 3), True, PLACED),
        ((4, 20, 30), False, PLACED_CINE),
        ((4, 20, 30, 3), True, PLACED_CINE),
        ((20, 30), False, {"affine": [[0.9, 0.1, 4], [-0.2, 1.1, 3], [0, 0, 1]]}),
    ],
)
def test_results_lie_exactly_on_their_angiogram(viewer, shape, rgb, placed):
    image = viewer.add_image(np.zeros(shape, np.uint8), rgb=rgb, **placed)
    result = put(viewer, image)
    assert result.data.shape == layers.result_shape(image)
    assert result.units == image.units
    for corner in ((0, 0), (0, 29), (19, 0), (19, 29)):
        corner = (*[2] * (image.ndim - 2), *corner)
        np.testing.assert_allclose(result.data_to_world(corner), image.data_to_world(corner), atol=1e-9)


def test_one_layer_per_role_and_angiogram(viewer):
    first = viewer.add_image(np.zeros((3, 8, 9)), name="x")
    second = viewer.add_image(np.zeros((3, 8, 9)), name="x")
    a, b = put(viewer, first, 1), put(viewer, second, 2)
    assert a is not b
    assert put(viewer, first, 0) is a
    a.name, b.name = b.name, a.name
    viewer.layers.reverse()
    assert layers.find(viewer, "anatomy", first) is a
    assert layers.find(viewer, "anatomy", second) is b
    assert a.data.any(axis=(1, 2)).tolist() == [True, True, False]
    assert layers.labels_of(viewer, "anatomy", first) is a
    assert layers.labels_of(viewer, "vesselness", first) is None
    viewer.layers.remove(a)
    again = put(viewer, first, 2)
    assert again is not a
    assert again.data.any(axis=(1, 2)).tolist() == [False, False, True]


def test_a_result_takes_neither_the_selection_nor_the_pen(viewer):
    image = viewer.add_image(np.zeros((8, 9)))
    viewer.layers.selection.active = image
    assert not put(viewer, image).editable
    assert put(viewer, image, role="correction").editable
    assert viewer.layers.selection.active is image


def test_a_result_of_another_size_is_replaced_wherever_it_lies(viewer):
    image = viewer.add_image(np.zeros((8, 9)))
    put(viewer, image)
    viewer.layers.reverse()
    for shape in ((10, 12), (4, 10, 12), (6, 5)):
        image.data = np.zeros(shape)
        for _ in range(2):
            assert put(viewer, image).data.shape == shape
        assert len(viewer.layers) == 2


def test_clearing_results_spares_what_people_drew(viewer):
    image, other = viewer.add_image(np.zeros((8, 9))), viewer.add_image(np.zeros((8, 9)))
    of = {role: put(viewer, image, role=role) for role in ("anatomy", "prediction", "correction")}
    elsewhere = put(viewer, other)
    layers.clear_results(viewer, image, ("prediction",))
    assert of["anatomy"].data.all()
    assert not of["prediction"].data.any()
    layers.clear_results(viewer, image)
    assert not of["anatomy"].data.any()
    assert of["correction"].data.all()
    assert elsewhere.data.all()
    of["correction"].data[:] = 1
    image.data = np.zeros((4, 4))
    layers.clear_results(viewer, image)
    assert of["anatomy"] not in viewer.layers
    assert of["correction"] in viewer.layers


def test_the_shown_frame_through_scale_translation_and_a_longer_neighbour(viewer):
    image = viewer.add_image(np.zeros((5, 8, 9)), scale=(66, 1, 1), translate=(1000, 0, 0))
    viewer.add_image(np.zeros((90, 8, 9)), scale=(20, 1, 1))
    for index in (0, 3, 4):
        layers.show_frame(viewer, image, index)
        assert layers.current_index(viewer, image) == index
    viewer.dims.set_point(0, 0)
    assert layers.current_index(viewer, image) == 0
    viewer.dims.set_point(0, 1e9)
    assert layers.current_index(viewer, image) == 4
    still = viewer.add_image(np.zeros((8, 9)))
    assert layers.current_index(viewer, still) == 0
    layers.show_frame(viewer, still, 3)  # nothing to move


def test_pixels_under_a_point(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)), **PLACED_CINE)
    world = image.data_to_world((2, 7.25, 11.5))
    np.testing.assert_allclose(layers.pixel_at(image, world), (7.25, 11.5))


def test_frames_as_the_engine_wants_them():
    grey = np.arange(80, dtype=np.uint8).reshape(8, 10) * 3
    rgb = np.stack([grey, grey // 2, grey // 3], axis=-1)
    np.testing.assert_array_equal(layers.frame_of(Image(grey), 0), grey)
    luminance = 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]
    assert np.abs(layers.frame_of(Image(rgb, rgb=True), 0) - luminance).max() <= 1
    assert np.abs(layers.frame_of(Image(np.stack([rgb * 0, rgb]), rgb=True), 1) - luminance).max() <= 1
    with_alpha = np.concatenate([rgb, np.zeros((8, 10, 1), np.uint8)], axis=-1)
    np.testing.assert_array_equal(
        layers.frame_of(Image(with_alpha, rgb=True), 0), layers.frame_of(Image(rgb, rgb=True), 0)
    )
    for dtype in (np.uint16, np.int32, np.float32, np.float64):
        wide = layers.frame_of(Image(grey.astype(dtype) * 37), 0)
        assert wide.dtype == np.uint8
        assert wide.min() == 0
        assert wide.max() == 255
        assert (np.diff(wide.astype(int).ravel()) >= 0).all()
    lazy = Image(dask.array.from_array(np.stack([grey, 255 - grey]), chunks=(1, 8, 10)))
    np.testing.assert_array_equal(layers.frame_of(lazy, 1), 255 - grey)
    windowed = Image(grey.astype(np.uint16), metadata={"vasomim": {"role": "angiogram", "window": (50, 20)}})
    assert set(np.unique(layers.frame_of(windowed, 0)[grey < 40])) == {0}
    inverted = Image(255 - grey, metadata={"vasomim": {"role": "angiogram", "bright_vessels": True}})
    np.testing.assert_array_equal(layers.frame_of(inverted, 0), grey)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_frame_that_cannot_be_used_is_a_sentence(value):
    with pytest.raises(InputError, match="not finite"):
        layers.frame_of(Image(np.full((8, 9), value), contrast_limits=(0, 1)), 0)


def test_a_result_can_be_duplicated(viewer):
    image = viewer.add_image(np.zeros((8, 9)))
    result = put(viewer, image)
    from napari.layers._layer_actions import _duplicate_layer

    viewer.layers.selection.active = result
    _duplicate_layer(viewer.layers)
    assert len(viewer.layers) == 3
    put(viewer, image, value=False)
    assert sorted(layer.data.any() for layer in viewer.layers if isinstance(layer, Labels)) == [False, True]
