"""What goes with a correction layer: what is unsaved, its keys, its journal."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vasomim.canvas import frames, layers
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.corrections import drawn, ensure_correction
from napari_vasomim.correcting.editing import editor_of, editors, journal
from napari_vasomim.correcting.unfinished import restore, unfinished
from napari_vasomim.session import Session

pytestmark = pytest.mark.once  # what is tested here knows no Qt


@pytest.fixture
def viewer(qapp):
    """Without a window, for what concerns layers alone."""
    model = ViewerModel()
    yield model
    model.layers.clear()


@pytest.fixture
def begin(viewer):
    def made(frames, **style):
        angiogram = viewer.add_image(frames, **style)
        layer = ensure_correction(viewer, angiogram)
        return layer, editor_of(Session.of(viewer), layer)

    return made


def spot(layer, frame, row=50, column=50, value=1):
    mask = np.zeros(layer.data.shape[-2:], bool)
    mask[row : row + 4, column : column + 5] = True
    return undo.apply(layer, None if layer.ndim == 2 else frame, mask, value)


def offered():
    return [(entry.strokes, entry.frames) for entry in unfinished(journal().folder)]


def test_there_is_one_editor_and_one_correction_for_an_angiogram(begin, viewer, cine):
    layer, editor = begin(cine, scale=(1, 0.3, 0.3), translate=(0, 10, 20))
    assert editor_of(Session.of(viewer), layer) is editor
    assert ensure_correction(viewer, editor.source) is layer
    assert editors(Session.of(viewer)) == [editor]
    assert (layer.data.shape, layer.data.dtype) == (cine.shape, np.uint8)
    assert np.allclose(layer.data_to_world((3, 4, 5)), editor.source.data_to_world((3, 4, 5)))
    assert (layers.role(layer), layers.result(layer).source) == ("correction", editor.source)


def test_frames_are_unsaved_until_they_are_accepted_as_they_are(begin, viewer, cine):
    layer, editor = begin(cine)
    told = []
    Session.of(viewer).drawn.connect(told.append)
    spot(layer, 2)
    spot(layer, 5)
    assert told == [layer, layer]
    assert editor.unsaved == {2, 5}
    Session.of(viewer).accepted.emit(layer, 2)
    assert editor.unsaved == {5}
    layer.undo()
    layer.undo()
    assert editor.unsaved == {2, 5}
    assert frames.current_index(viewer, layer) == 2  # an undo is seen


def test_what_was_accepted_is_not_offered_again(begin, viewer, cine):
    layer, editor = begin(cine)
    spot(layer, 2)
    spot(layer, 5)
    for frame in (2, 5):
        Session.of(viewer).accepted.emit(layer, frame)
    spot(layer, 6)
    kept = layer.data.copy()
    editor.close()
    assert offered() == [(1, (6,))]
    assert (restore(unfinished(journal().folder)[0]) == kept).all()


def test_nothing_is_left_to_offer_once_all_is_accepted(begin, viewer, still):
    layer, editor = begin(still)
    spot(layer, 0)
    Session.of(viewer).accepted.emit(layer, 0)
    editor.close()
    assert offered() == []


def test_a_deleted_layer_is_offered_back(begin, viewer, still):
    layer, editor = begin(still)
    told = []
    spot(layer, 0)
    Session.of(viewer).drawn.connect(told.append)
    viewer.layers.remove(layer)
    assert told == [None]
    assert editors(Session.of(viewer)) == []
    assert offered() == [(1, (0,))]
    again = ensure_correction(viewer, editor.source)
    assert again is not layer
    assert not again.data.any()
    assert editor_of(Session.of(viewer), again) is not editor


def test_what_the_person_does_not_want_is_forgotten(begin, viewer, still):
    layer, editor = begin(still)
    spot(layer, 0)
    editor.discard()
    editor.close()
    assert offered() == []
    assert editors(Session.of(viewer)) == []


def test_another_size_of_the_angiogram_gets_a_correction_of_its_own(begin, viewer, still):
    layer, editor = begin(still)
    spot(layer, 0)
    editor.source.data = still[:100, :120]
    assert layer in viewer.layers
    other = ensure_correction(viewer, editor.source)
    assert other.data.shape == (100, 120)
    assert editor_of(Session.of(viewer), other) is not editor


def test_every_label_is_vessel_and_looks_the_same(begin, still):
    layer, editor = begin(still)
    spot(layer, 0)
    spot(layer, 0, row=80, value=2)
    assert drawn(layer, 0).sum() == 40
    assert editor.frame.mask.sum() == 40
    assert np.array_equal(layer.get_color(1), layer.get_color(2))
    assert layer.get_color(1)[3] > 0
    assert not np.any(layer.colormap.map(0)[3])


def begun_and_closed(frames):
    viewer = ViewerModel()
    layer = ensure_correction(viewer, viewer.add_image(frames))
    editor = editor_of(Session.of(viewer), layer)
    editor.tools.take("trace")
    spot(layer, 0)
    viewer.layers.clear()
    return [weakref.ref(thing) for thing in (viewer, layer, editor)]


def test_an_editor_that_is_closed_keeps_nothing_alive(qapp, still):
    gone = begun_and_closed(still)
    gc.collect()
    assert [ref() for ref in gone] == [None, None, None]
