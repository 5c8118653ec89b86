"""What a layer is: an angiogram, a result that is known by its object, or a copy of one."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.canvas.facts import AngiogramFacts, Mark
from tests.core.reading.files import write_dicom
from vasomim_core.files import stamp
from vasomim_core.reading import GreyLevels, read_angiogram

pytestmark = pytest.mark.once  # what is tested here knows no Qt


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


def put(viewer, image, index=0, value=True, role="anatomy"):
    return results.put_frame(viewer, image, role, index, np.full(frames.frame_size(image), value), role)


@pytest.mark.parametrize(
    ("layer", "usable"),
    [
        (Image(np.zeros((8, 9), np.uint8)), True),
        (Image(np.zeros((3, 8, 9), np.uint16)), True),
        (Image(np.zeros((8, 9, 3), np.uint8), rgb=True), True),
        (Image(np.zeros((5, 8, 9, 3), np.uint8), rgb=True), True),
        (Image(np.zeros((2, 3, 8, 9))), False),
        (Image([np.zeros((64, 64)), np.zeros((32, 32))], multiscale=True), False),
        (Image(np.zeros((8, 9)), metadata={layers.KEY: Mark("probability")}), False),
        (Image(np.zeros((8, 9)), metadata={layers.KEY: "of someone else"}), True),
        (Labels(np.zeros((8, 9), int)), False),
        (None, False),
    ],
)
def test_what_can_be_worked_on(layer, usable):
    assert layers.is_angiogram(layer) is usable


def test_a_result_can_be_duplicated(viewer):
    image = viewer.add_image(np.zeros((8, 9)))
    result = put(viewer, image)
    from napari.layers._layer_actions import _duplicate_layer

    viewer.layers.selection.active = result
    _duplicate_layer(viewer.layers)
    assert len(viewer.layers) == 3
    put(viewer, image, value=False)
    assert sorted(layer.data.any() for layer in viewer.layers if isinstance(layer, Labels)) == [False, True]


@pytest.fixture
def made(viewer):
    """An angiogram with a result."""
    image = viewer.add_image(
        np.zeros((8, 9)), metadata={layers.KEY: AngiogramFacts(path=Path("x.png"), spacing=(1, 1))}
    )
    return image, put(viewer, image)


def duplicate(viewer, layer):
    """Duplicate Layer, as the menu of the layer list does it."""
    from napari.layers._layer_actions import _duplicate_layer

    viewer.layers.selection = {layer}
    before = set(viewer.layers)
    _duplicate_layer(viewer.layers)
    (copied,) = set(viewer.layers) - before
    return copied


def with_deep_metadata(viewer, layer):
    """A copy as others may make it."""
    return viewer.add_labels(layer.data.copy(), metadata=copy.deepcopy(layer.metadata))


@pytest.mark.parametrize("how", [duplicate, with_deep_metadata])
def test_a_copy_of_a_result_is_a_copy_and_goes_with_its_angiogram(viewer, made, how):
    image, result = made
    again = how(viewer, how(viewer, result))
    assert layers.role(again) == "copy"
    assert layers.result(again) is None
    assert layers.owner(viewer, again) is image
    assert layers.find(viewer, "anatomy", image) is result
    assert layers.role(result) == "anatomy"


def test_a_copy_of_an_angiogram_has_its_facts_and_changes_for_itself(viewer, made):
    image, _ = made
    again = duplicate(viewer, image)
    assert layers.facts(again) == layers.facts(image)
    assert layers.owner(viewer, again) is again
    assert layers.find(viewer, "anatomy", again) is None
    layers.set_facts(again, replace(layers.facts(again), chosen=GreyLevels(bright_vessels=True)))
    assert not layers.facts(image).levels.bright_vessels


def test_the_truth_of_a_sample_stays_the_truth_when_it_is_copied(viewer):
    viewer.add_image(np.zeros((8, 9)), metadata={layers.KEY: AngiogramFacts(sample="another")})
    mark = {layers.KEY: Mark("truth", sample="s")}
    truth = viewer.add_labels(np.zeros((8, 9), int), metadata=mark)
    assert layers.owner(viewer, truth) is None
    image = viewer.add_image(np.zeros((8, 9)), metadata={layers.KEY: AngiogramFacts(sample="s")})
    for layer in (truth, duplicate(viewer, truth)):
        assert layers.role(layer) == "truth"
        assert layers.owner(viewer, layer) is image
    duplicate(viewer, image)
    assert layers.owner(viewer, truth) is image


def test_an_angiogram_that_nobody_knows_has_no_facts(viewer):
    theirs = viewer.add_image(np.zeros((8, 9)), metadata={"of": "theirs"})
    assert layers.facts(theirs) == AngiogramFacts()
    assert layers.role(theirs) is None
    assert layers.owner(viewer, theirs) is theirs
    assert layers.path_of(theirs) is None


def test_the_facts_of_a_file_are_those_that_were_read(tmp_path):
    frames = np.random.default_rng(0).integers(0, 4096, (3, 31, 17)).astype(np.uint16)
    header = {"WindowCenter": 2048, "WindowWidth": 3000, "FrameTime": 40, "ImagerPixelSpacing": [0.2, 0.3]}
    path = write_dicom(tmp_path / "x", frames, PositionerPrimaryAngle=-30, PositionerSecondaryAngle=20, **header)
    known = AngiogramFacts.of_file(read_angiogram(path), GreyLevels(bright_vessels=True))
    assert (known.path, known.stamp) == (path, stamp(path))
    assert (known.spacing, known.frame_time_ms, known.angles) == ((0.2, 0.3), 40, (-30, 20))
    assert (known.window, known.levels) == ((2048, 3000), GreyLevels((2048, 3000), bright_vessels=True))
    assert replace(known, chosen=GreyLevels((9, 5))).levels == GreyLevels((9, 5))
