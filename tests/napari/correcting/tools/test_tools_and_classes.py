"""Every tool draws in the chosen class, and none touches another unless it is asked to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from qtpy.QtCore import Qt

from napari_vasomim.canvas import frames
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.correcting.tools.spec import CLASS_TOOLS, GROW, NAPARI_TOOLS, TOOLS
from napari_vasomim.prediction import Prediction
from napari_vasomim.session import Session
from vasomim_core.errors import InputError
from vasomim_core.labels.labelset import LabelSet

from ...classes import THREE
from .places import FRAME

pytestmark = pytest.mark.once  # as test_join_remove_cut

ALL = [*TOOLS, *(spec.name for spec in CLASS_TOOLS), GROW.name]
ASKED = ["remove", "recolour piece", "recolour branch"]
"""Those that take the class under the pointer."""
point = st.tuples(st.integers(45, 210), st.integers(45, 210))
squares = st.lists(st.tuples(st.sampled_from([1, 2, 5]), point), min_size=2, max_size=6)


@pytest.fixture
def editor(model, cine, tmp_path):
    session = Session.of(model)
    session.open_label_set(LabelSet.create(tmp_path / "three", "three", THREE))
    angiogram = model.add_image(cine)
    made = editor_of(session, ensure_correction(model, angiogram))
    frames.show_frame(model, made.layer, FRAME)
    prediction = Prediction("model", cine.shape)
    prediction.keep(FRAME, (np.indices((256, 256)).sum(0) % 40 < 25).astype(np.float32), 0.0)
    session.predictions[angiogram] = prediction
    return made


def use(editor, name, a, b):
    """What a person does with a tool, from one point to another."""
    layer, tools = editor.layer, editor.tools
    if name == "grow":
        editor.grow()
    elif name in {spec.name for spec in NAPARI_TOOLS}:
        layer.mode, layer.brush_size = name, 15
        label = 0 if name == "erase" else layer.selected_label
        with layer.block_history():
            layer._draw(label, (FRAME, *a), (FRAME, *b))  # as napari's own mouse does
    else:
        tools.take(None)
        tools.take(name)
        tools.hover(a)
        tools.press(a)
        tools.click(a) if name != "cut" else None
        tools.click(b)


@pytest.mark.parametrize("name", ALL)
@settings(
    max_examples=6,
    phases=[Phase.generate],
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.integers(0, 2), squares=squares, a=point, b=point)
def test_no_tool_touches_another_class_unasked(editor, name, place, squares, a, b):
    plane = np.zeros((256, 256), np.uint8)
    for value, (row, column) in squares:
        plane[row - 30 : row + 30, column - 40 : column + 40] = value
    undo.apply_values(editor.layer, FRAME, plane)
    editor.classes.choose(place)
    chosen = editor.classes.palette.chosen.value
    mine = (plane == chosen) | (plane == 0)
    under = {editor.frame.value_at(a), *(editor.frame.value_at(p) for p in (a, b))} if name in ASKED else set()
    depth = undo.undo_depth(editor.layer)
    try:
        use(editor, name, a, b)
    except InputError:
        assert name in ("grow", "join")  # which begin at what is drawn
        assert not (plane == chosen).any()
    now = editor.layer.data[FRAME]
    changed = now != plane
    assert set(np.unique(now[changed])) <= ({0} if name in ("cut", "erase", "remove") else {chosen})
    touched = set(np.unique(plane[changed & ~mine]).tolist())
    assert touched <= under
    assert np.flatnonzero(editor.layer.data.any((1, 2))).tolist() in ([], [FRAME])
    while undo.undo_depth(editor.layer) > depth:
        editor.layer.undo()
    assert (editor.layer.data[FRAME] == plane).all()


def tree(editor):
    """A trunk of class 1 along a row, with a branch of the same upwards, and a piece of class 2 at its end."""
    plane = np.zeros((256, 256), np.uint8)
    plane[150:157, 40:200] = 1
    plane[80:150, 117:124] = 1
    plane[150:157, 200:230] = 2
    undo.apply_values(editor.layer, FRAME, plane)
    return plane


def test_a_piece_ends_where_another_class_begins(editor):
    plane = tree(editor)
    editor.classes.choose(2)
    editor.tools.take("recolour piece")
    assert editor.tools.click((153, 60)) == (plane == 1).sum()
    assert (editor.layer.data[FRAME] == np.array([0, 5, 2], np.uint8)[plane]).all()
    assert editor.tools.click((153, 60)) == 0  # it has the class already
    editor.tools.take("remove")
    assert editor.tools.click((153, 210)) == (plane == 2).sum()


def test_a_branch_stays_a_branch_when_its_neighbour_was_recoloured(editor):
    tree(editor)
    editor.classes.choose(1)
    editor.tools.take("recolour branch")
    editor.tools.click((100, 120))
    now = editor.layer.data[FRAME]
    assert (now[80:140, 117:124] == 2).all()
    assert (now[150:157, 45:195] == 1).all()
    editor.classes.choose(2)
    editor.tools.click((153, 60))  # one side of the fork that all three classes make
    now = editor.layer.data[FRAME]
    assert (now[150:157, 45:100] == 5).all()
    assert (now[150:157, 140:195] == 1).all()


def test_join_begins_at_any_vessel_and_paints_the_chosen_one(editor):
    plane = tree(editor)
    editor.classes.choose(1)
    editor.tools.take("join")
    assert editor.tools.click((60, 60)) > 0
    now = editor.layer.data[FRAME]
    assert set(np.unique(now[now != plane])) == {2}
    editor.classes.choose(2)  # no vessel: from itself alone, and there is none of it
    with pytest.raises(InputError):
        editor.tools.click((200, 60))


def test_recolouring_needs_several_classes(model, still):
    editor = editor_of(Session.of(model), ensure_correction(model, model.add_image(still)))
    with pytest.raises(InputError, match="needs another class"):
        editor.tools.take("recolour piece")


def test_numbers_choose_classes_and_napari_has_them_back(desk, branch, tmp_path):
    desk = desk()
    desk.mouse.key(Qt.Key.Key_2)
    assert str(desk.layer.mode) == "paint"  # napari's own, while there is one class
    desk.session.open_label_set(LabelSet.create(tmp_path / "three", "three", THREE))
    for key, value in ((Qt.Key.Key_3, 5), (Qt.Key.Key_1, 1), (Qt.Key.Key_2, 2), (Qt.Key.Key_9, 2), (Qt.Key.Key_4, 2)):
        desk.mouse.key(key)
        assert (desk.layer.selected_label, str(desk.layer.mode)) == (value, "paint")
    desk.mouse.key(Qt.Key.Key_T)
    np.testing.assert_allclose(desk.preview.get_color(1)[:3], np.array([0x3C, 0xA0, 0xE8]) / 255, atol=0.01)
    assert desk.viewer.help.startswith("Draws LCX.")
    for place in branch:
        desk.mouse.click(place)
    desk.mouse.key(Qt.Key.Key_1)
    desk.mouse.key(Qt.Key.Key_U)
    desk.mouse.move(branch[1])
    assert desk.viewer.help.startswith("LCX becomes LAD.")
    desk.mouse.click(branch[1])
    assert set(np.unique(desk.layer.data)) == {0, 1}
    desk.session.open_label_set(LabelSet.create(tmp_path / "one", "one"))
    desk.editor.fit({1: 1})
    desk.layer.mode = "pan_zoom"
    desk.mouse.key(Qt.Key.Key_2)
    assert str(desk.layer.mode) == "paint"
