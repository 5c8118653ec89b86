"""Trace, by mouse and keyboard."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

from napari_vasomim.canvas import frames
from napari_vasomim.correcting import undo

from ...mouse import RIGHT
from .places import FRAME, PLACES


def test_a_click_paints_what_was_seen_before_it_as_one_step(desks, branch):
    first, middle, last = branch
    for desk in desks(*PLACES):
        desk.mouse.key(Qt.Key.Key_T)
        assert desk.tools.tool == "trace"
        desk.mouse.click(first)
        assert not desk.drawn.any()
        assert not desk.seen.any()
        for count, point in enumerate((middle, last), 1):
            desk.mouse.move(point)
            seen, before = desk.seen, desk.drawn
            assert seen.any()
            assert np.hypot(*(np.argwhere(seen) - point).T).min() < 6
            desk.mouse.click(point)
            assert (desk.drawn == before | seen).all()
            assert not desk.seen.any()
            assert undo.undo_depth(desk.layer) == count
        if desk.layer.ndim == 3:
            assert np.flatnonzero(desk.layer.data.any((1, 2))).tolist() == [FRAME]


def test_the_probability_leads_the_path_also_when_it_comes_in_the_middle_of_a_trace(desk, branch):
    desk = desk()
    first, _, last = branch
    desk.mouse.key(Qt.Key.Key_T)
    desk.mouse.click(first)
    desk.mouse.move(last)
    without = desk.seen
    row = max(20, min(first[0], last[0]) - 40)
    detour = np.zeros((256, 256), np.float32)
    for a, b in (((first[0], first[1]), (row, first[1])), ((row, first[1]), (row, last[1])), ((row, last[1]), last)):
        top, bottom = sorted((a[0], b[0]))
        left, right = sorted((a[1], b[1]))
        detour[top - 2 : bottom + 3, left - 2 : right + 3] = 1
    desk.predict(detour)
    desk.mouse.move((last[0] + 1, last[1]))
    assert desk.seen.any()
    assert (desk.seen != without).any()
    seen = desk.seen
    desk.mouse.click((last[0] + 1, last[1]))
    assert (desk.drawn == seen).all()


def test_backspace_takes_pieces_back_and_goes_on_from_there(desk, branch):
    desk = desk()
    first, middle, last = branch
    desk.mouse.key(Qt.Key.Key_T)
    desk.mouse.click(first)
    desk.mouse.click(middle)
    one = desk.drawn
    desk.mouse.click(last)
    desk.mouse.key(Qt.Key.Key_Backspace)
    assert (desk.drawn == one).all()
    assert np.hypot(*(np.argwhere(desk.seen) - middle).T).min() < 6  # without a move, too
    desk.mouse.key(Qt.Key.Key_Backspace)
    assert not desk.drawn.any()
    desk.mouse.key(Qt.Key.Key_Backspace)
    desk.mouse.move(last)
    assert not desk.seen.any()


def test_backspace_takes_nothing_back_that_the_trace_did_not_paint(desk, branch):
    desk = desk()
    first, middle, _ = branch
    everything = np.ones((256, 256), bool)
    desk.put(everything)
    desk.mouse.key(Qt.Key.Key_T)
    for point in (first, middle):
        desk.mouse.click(point)  # paints nothing new
    desk.mouse.key(Qt.Key.Key_Backspace)
    assert desk.drawn.all()
    desk.mouse.click(middle)
    desk.layer.undo()
    desk.mouse.key(Qt.Key.Key_Backspace)
    assert not desk.drawn.any()
    assert undo.redo_depth(desk.layer) == 1


def test_what_ends_a_trace(desk, branch):
    desk = desk("cine")
    first, middle, last = branch
    endings = {
        "escape": lambda: desk.mouse.key(Qt.Key.Key_Escape),
        "right click": lambda: desk.mouse.click(last, RIGHT),
        "double click": lambda: None,  # instead of the second click
        "undo": lambda: desk.mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier),
        "frame": lambda: frames.show_frame(desk.viewer, desk.layer, FRAME + 1),
    }
    for ending, end in endings.items():
        desk.tools.take(None)
        desk.put(np.zeros_like(desk.drawn))
        frames.show_frame(desk.viewer, desk.layer, FRAME)
        desk.mouse.key(Qt.Key.Key_T)
        desk.mouse.click(first)
        if ending == "double click":
            desk.mouse.double_click(middle)
        else:
            desk.mouse.click(middle)
        assert desk.drawn.any(), ending
        end()
        assert desk.tools.tool == "trace", ending
        desk.mouse.move(last)
        assert not desk.seen.any(), ending
        before = desk.layer.data.copy()
        desk.mouse.click(last)
        assert (desk.layer.data == before).all(), ending
        assert (before.any((1, 2)).tolist() == [False] * 8) == (ending == "undo"), ending


def test_dragging_moves_the_camera_and_paints_nothing(desk, branch):
    desk = desk()
    first, middle, last = branch
    desk.mouse.key(Qt.Key.Key_T)
    desk.mouse.click(first)
    centre = desk.mouse.camera.center
    desk.mouse.drag(middle, last)
    assert not np.allclose(desk.mouse.camera.center, centre)
    assert not desk.drawn.any()
    desk.mouse.move(middle)
    assert desk.seen.any()  # the trace goes on


def test_outside_the_frame_nothing_is_shown_or_painted(desk, branch):
    desk = desk("scaled cine")
    desk.mouse.key(Qt.Key.Key_T)
    desk.mouse.click((-12, 100))
    desk.mouse.click(branch[0])
    desk.mouse.move(branch[1])
    assert desk.seen.any()
    desk.mouse.move((260, 100))
    assert not desk.seen.any()
    desk.mouse.click((260, 100))
    desk.mouse.click((128, -20))
    assert not desk.drawn.any()


def test_renamed_and_reordered_layers_are_still_traced_on(desk, branch):
    desk = desk("scaled cine")
    desk.mouse.key(Qt.Key.Key_T)
    desk.layer.name, desk.angiogram.name = "mine", "correction"
    desk.mouse.click(branch[0])
    desk.viewer.layers.move(desk.viewer.layers.index(desk.layer), 0)
    desk.viewer.layers.move(desk.viewer.layers.index(desk.preview), 0)
    desk.mouse.move(branch[1])
    seen = desk.seen
    desk.mouse.click(branch[1])
    assert seen.any()
    assert (desk.drawn == seen).all()
