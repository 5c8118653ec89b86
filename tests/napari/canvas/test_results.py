"""Results are found by object and tag, lie exactly on their angiogram, and never on that of another."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vasomim.canvas import frames, layers, results

pytestmark = pytest.mark.once  # what is tested here knows no Qt

PLACED = {"scale": (0.3, 0.5), "translate": (11, -7), "rotate": 30, "shear": [0.2], "units": ("mm", "mm")}
PLACED_CINE = {"scale": (66, 0.3, 0.5), "translate": (5, 11, -7), "units": ("ms", "mm", "mm")}


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


def put(viewer, image, index=0, value=True, role="anatomy"):
    return results.put_frame(viewer, image, role, index, np.full(frames.frame_size(image), value), role)


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
    assert result.data.shape == frames.result_shape(image)
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
    results.clear_results(viewer, image, ("prediction",))
    assert of["anatomy"].data.all()
    assert not of["prediction"].data.any()
    results.clear_results(viewer, image)
    assert not of["anatomy"].data.any()
    assert of["correction"].data.all()
    assert elsewhere.data.all()
    of["correction"].data[:] = 1
    image.data = np.zeros((4, 4))
    results.clear_results(viewer, image)
    assert of["anatomy"] not in viewer.layers
    assert of["correction"] in viewer.layers
