"""Every edit is one undoable step, and undo shows the frame it changes."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.layers import Labels

from napari_vasomim.canvas.frames import current_index
from napari_vasomim.correcting.undo import (
    Box,
    Step,
    UndoFollows,
    apply,
    apply_values,
    boxes_of,
    differing,
    forget_steps,
    redo_depth,
    steps,
    undo_depth,
)
from vasomim_core.errors import InputError

pytestmark = pytest.mark.once  # what is tested here knows no Qt

SQUARE = np.zeros((20, 30), bool)
SQUARE[4:8, 10:16] = True


def cine(**keywords) -> Labels:
    return Labels(np.zeros((5, 20, 30), np.uint8), **keywords)


def test_a_tool_makes_one_step():
    layer = cine()
    layer.data[2, 4] = 1

    assert apply(layer, 2, SQUARE, 1) == 18  # the first row was drawn already
    assert undo_depth(layer) == 1
    assert (layer.data[2][SQUARE] == 1).all()
    assert apply(layer, 2, SQUARE, 1) == 0
    assert undo_depth(layer) == 1

    layer.undo()
    assert layer.data.sum() == 30
    assert (undo_depth(layer), redo_depth(layer)) == (0, 1)
    layer.redo()
    assert layer.data.sum() == 48


def test_a_whole_frame_is_replaced_in_one_step():
    layer = Labels(np.eye(20, 30, dtype=np.uint8))
    new = SQUARE * np.uint8(3)

    assert apply_values(layer, None, new) == 20 + 24
    assert np.array_equal(layer.data, new)
    layer.undo()
    assert np.array_equal(layer.data, np.eye(20, 30))
    assert apply_values(layer, None, layer.data.copy()) == 0


def test_tools_work_on_a_layer_that_was_never_shown():
    layer = cine(visible=False)
    apply(layer, 0, SQUARE, 1)
    assert layer.visible
    layer.undo()
    assert not layer.data.any()


@pytest.mark.parametrize(("frame", "size"), [(5, (20, 30)), (-1, (20, 30)), (None, (20, 30)), (0, (30, 20))])
def test_what_does_not_fit_is_refused_in_a_sentence(frame, size):
    layer = cine()
    with pytest.raises(InputError, match=r"layer '.*\.$"):
        apply(layer, frame, np.ones(size, bool), 1)
    assert not layer.data.any()


def test_every_kind_of_step_is_told():
    layer, made = cine(), []
    steps(layer).made.connect(made.append)

    layer.brush_size = 3
    layer.paint((0, 5, 5), 1)
    layer.paint_polygon([(0, 10, 10), (0, 10, 15), (0, 15, 15)], 2)
    layer.fill((0, 0, 0), 3)
    apply(layer, 4, SQUARE, 1)
    layer.visible = False
    layer.undo()
    layer.redo()
    layer.redo()  # nothing left: no step

    assert made == [
        Step([Box(0, 4, 7, 4, 7)]),
        Step([Box(0, 10, 16, 10, 16)]),
        Step([Box(0, 0, 20, 0, 30)]),
        Step([Box(4, 4, 8, 10, 16)]),
        Step([Box(4, 4, 8, 10, 16)], replayed=True),
        Step([Box(4, 4, 8, 10, 16)], replayed=True),
    ]


def test_a_stroke_over_several_frames_has_a_box_for_each():
    layer, made = cine(), []
    steps(layer).made.connect(made.append)
    layer.brush_size, layer.n_edit_dimensions = 3, 3
    layer.paint((2, 5, 5), 1)
    assert [box.frame for box in made[0].boxes] == [1, 2, 3]


def test_a_new_array_forgets_the_steps_of_the_old_one():
    layer, made = cine(), []
    apply(layer, 1, SQUARE, 1)
    steps(layer).made.connect(made.append)
    layer.mode = "paint"

    layer.data = layer.data  # the same one, as code does to redraw
    assert undo_depth(layer) == 1
    layer.data = np.ones((20, 30), np.uint8)
    layer.undo()

    assert made == [Step(None)]
    assert layer.data.all()
    assert layer.mode == "paint"


def test_forgotten_steps_are_not_undone():
    layer = cine()
    apply(layer, 1, SQUARE, 1)
    forget_steps(layer)
    layer.undo()
    assert layer.data.any()


def test_a_history_of_unknown_form_is_found_by_comparison(monkeypatch):
    monkeypatch.setattr("napari_vasomim.correcting.undo._spans", lambda *_: (_ for _ in ()).throw(TypeError()))
    layer, made = cine(), []
    steps(layer).made.connect(made.append)
    apply(layer, 3, SQUARE, 1)
    layer.undo()
    layer.undo()
    assert made == [Step(None), Step([Box(3, 4, 8, 10, 16)], replayed=True)]


def test_older_and_foreign_history_atoms():
    indices = np.array([1, 3]), np.array([4, 9]), np.array([2, 2])
    assert boxes_of([(indices, 0, 1)], (5, 20, 30)) == [Box(frame, 4, 10, 2, 3) for frame in (1, 2, 3)]
    assert boxes_of([(indices[1:], 0, 1)], (20, 30)) == [Box(0, 4, 10, 2, 3)]
    assert boxes_of([(indices, 0, 1)], (20, 30)) is None
    assert boxes_of(["?"], (20, 30)) is None
    assert boxes_of(None, (20, 30)) is None


def test_differing_frames_only():
    before = np.zeros((5, 20, 30), np.uint8)
    after = before.copy()
    after[3, 4:6, 7] = 1
    assert list(differing(before, after)) == [Box(3, 4, 6, 7, 8)]
    assert list(differing(before[3], after[3])) == [Box(0, 4, 6, 7, 8)]


@pytest.fixture
def layer(viewer):
    layer = viewer.add_labels(np.zeros((5, 20, 30), np.uint8), scale=(0.5, 2, 2), translate=(7, -3, 40))
    UndoFollows(viewer, layer)
    return layer


def press(viewer, key):
    """A key, by napari's own binding of the active layer."""
    from app_model.types import KeyBinding

    viewer.layers.selection.active = viewer.layers[-1]
    bindings = type(viewer.layers[-1]).class_keymap
    bindings[KeyBinding.from_str(key)](viewer.layers[-1])


def test_undo_and_redo_go_to_the_frame_they_change(viewer, layer):
    layer.name = "something else"
    viewer.dims.set_point(0, 7 + 0.5 * 1)
    layer.paint((1, 5, 5), 1)  # by napari's brush
    apply(layer, 3, SQUARE, 1)  # by a tool of ours, on a frame that is not shown
    viewer.dims.set_point(0, 7)

    shown = []
    for key in ("Ctrl+Z", "Ctrl+Z", "Ctrl+Shift+Z", "Ctrl+Shift+Z"):
        press(viewer, key)
        shown.append(current_index(viewer, layer))
    assert shown == [3, 1, 1, 3]


def test_undo_on_the_shown_frame_moves_nothing(viewer, layer):
    viewer.dims.set_point(0, 8)
    layer.n_edit_dimensions = 3
    layer.paint((2, 5, 5), 1)
    point = viewer.dims.point
    layer.undo()
    assert viewer.dims.point == point


def test_undo_follows_a_layer_that_was_taken_out_and_put_back(viewer, layer):
    apply(layer, 3, SQUARE, 1)
    viewer.layers.remove(layer)
    viewer.add_image(np.zeros((40, 20, 30)))
    viewer.dims.set_point(0, 0)
    layer.undo()
    assert viewer.dims.point[0] == 0
    viewer.layers.append(layer)
    layer.redo()
    assert current_index(viewer, layer) == 3


def test_closed_follows_no_longer(viewer):
    layer = viewer.add_labels(np.zeros((5, 20, 30), np.uint8))
    follows = UndoFollows(viewer, layer)
    apply(layer, 3, SQUARE, 1)
    follows.close()
    viewer.dims.set_point(0, 0)
    layer.undo()
    assert current_index(viewer, layer) == 0


def test_neither_layer_nor_viewer_is_held():
    from napari.components import ViewerModel

    viewer, layer = ViewerModel(), cine()
    viewer.layers.append(layer)
    follows = UndoFollows(viewer, layer)
    apply(layer, 3, SQUARE, 1)
    gone = weakref.ref(viewer)
    del viewer
    gc.collect()
    assert gone() is None
    layer.undo()

    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None
    follows.close()
