"""Join, remove and cut, by mouse and keyboard, and grow by its key."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_vasomim.canvas import frames
from napari_vasomim.correcting import undo

from .places import FRAME

pytestmark = pytest.mark.once  # mouse and keys are tried with both bindings in test_trace, test_toolbox

SHIFT = Qt.KeyboardModifier.ShiftModifier


def test_join_leads_from_what_is_drawn_to_the_click(desks, branch):
    first, middle, last = branch
    for desk in desks("scaled still", "scaled cine"):
        desk.mouse.key(Qt.Key.Key_J)
        desk.mouse.move(last)
        assert not desk.seen.any()  # nothing is drawn that could be joined
        stump = np.zeros((256, 256), bool)
        stump[first[0] - 3 : first[0] + 4, first[1] - 3 : first[1] + 4] = True
        desk.put(stump)
        desk.mouse.move(middle)
        desk.mouse.move(last)
        seen = desk.seen
        assert (seen & stump).any()
        assert np.hypot(*(np.argwhere(seen) - last).T).min() < 6
        desk.mouse.click(last)
        assert (desk.drawn == stump | seen).all()
        assert undo.undo_depth(desk.layer) == 2
        desk.mouse.key(Qt.Key.Key_T)  # a trace begins where it is clicked, not at what is drawn
        desk.mouse.click(middle)
        desk.mouse.key(Qt.Key.Key_J)
        desk.layer.undo()
        desk.mouse.move(middle)
        desk.mouse.move(last)
        assert (desk.seen == seen).all()


def test_remove_takes_the_piece_that_was_red(desks):
    for desk in desks("scaled still", "scaled cine"):
        mask = np.zeros((256, 256), bool)
        mask[40:60, 40:90] = mask[150:190, 100:110] = True
        desk.put(mask)
        desk.mouse.key(Qt.Key.Key_R)
        desk.mouse.move((50, 60))
        seen = desk.seen
        assert seen.sum() == 20 * 50
        desk.mouse.click((50, 60))
        assert (desk.drawn == mask & ~seen).all()
        assert not desk.seen.any()
        desk.mouse.click((220, 220))
        assert undo.undo_depth(desk.layer) == 2
        desk.layer.undo()
        assert (desk.drawn == mask).all()


def test_remove_with_shift_takes_the_branch_alone(desk):
    desk = desk()
    mask = np.zeros((256, 256), bool)
    mask[100:112, 20:230] = mask[112:200, 118:124] = True
    desk.put(mask)
    desk.tools.take("remove")
    desk.mouse.move((150, 120), SHIFT)
    seen = desk.seen
    assert seen[120:200, 118:124].all()
    assert not seen[100:112].any()
    desk.mouse.move((150, 120))
    assert desk.seen.sum() == mask.sum()
    desk.mouse.click((150, 120), modifier=SHIFT)
    assert (desk.drawn == mask & ~seen).all()


def test_cut_erases_across_and_leaves_the_camera(desks):
    for desk in desks("scaled still", "scaled cine"):
        mask = np.zeros((256, 256), bool)
        mask[100:110, 20:230] = True
        desk.put(mask)
        desk.mouse.key(Qt.Key.Key_K)
        camera = desk.mouse.camera.center
        desk.mouse.drag((85, 120), (125, 120), release=False)
        assert desk.seen.any()
        assert (desk.drawn == mask).all()
        desk.mouse.release((125, 120))
        gone = mask & ~desk.drawn
        assert gone.any()
        assert np.abs(np.argwhere(gone)[:, 1] - 120).max() < 5
        assert not desk.drawn[:, 118:122].all(1).any()
        assert not desk.seen.any()
        assert np.allclose(desk.mouse.camera.center, camera)
        desk.mouse.click((105, 50))
        assert undo.undo_depth(desk.layer) == 2
        desk.tools.take(None)
        desk.mouse.drag((85, 120), (125, 120))
        assert not np.allclose(desk.mouse.camera.center, camera)


def test_grow_by_its_key(desk, notifications):
    desk = desk("cine")
    desk.mouse.key(Qt.Key.Key_G)
    assert "segment this frame" in notifications.pop().message
    probability = np.zeros((256, 256), np.float32)
    probability[50:60, 20:200] = 0.7
    probability[90:99, 20:200] = 0.7
    desk.predict(probability)
    desk.mouse.key(Qt.Key.Key_G)
    assert "something to start from" in notifications.pop().message
    seed = np.zeros((256, 256), bool)
    seed[55, 30] = True
    desk.put(seed)
    desk.editor.grow_threshold = 0.8
    desk.mouse.key(Qt.Key.Key_G)
    assert desk.drawn.sum() == 1
    desk.editor.grow_threshold = 0.6
    desk.mouse.key(Qt.Key.Key_G)
    assert (np.argwhere(desk.drawn)[:, 0].min(), desk.drawn.sum()) == (50, 10 * 180)
    assert undo.undo_depth(desk.layer) == 2
    assert np.flatnonzero(desk.layer.data.any((1, 2))).tolist() == [FRAME]


def test_a_cut_is_given_up_by_escape_and_by_another_frame(desk):
    desk = desk("cine")
    mask = np.zeros((256, 256), bool)
    mask[100:110, 20:230] = True
    desk.put(mask)
    before = desk.layer.data.copy()
    desk.mouse.key(Qt.Key.Key_K)
    for give_up in (
        lambda: desk.mouse.key(Qt.Key.Key_Escape),
        lambda: frames.show_frame(desk.viewer, desk.layer, FRAME + 1),
    ):
        frames.show_frame(desk.viewer, desk.layer, FRAME)
        desk.mouse.drag((85, 120), (125, 120), release=False)
        assert desk.seen.any()
        give_up()
        assert not desk.seen.any()
        desk.mouse.release((125, 120))
        assert (desk.layer.data == before).all()
    assert desk.tools.tool == "cut"
