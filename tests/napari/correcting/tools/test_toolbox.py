"""Which tool is up: what takes it up, and all that puts it down."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.correcting.tools.spec import TOOLS, VESSEL_TOOLS
from napari_vasomim.session import Session
from vasomim_core.errors import InputError

from ...mouse import activate
from .places import FRAME


def test_other_buttons_and_a_tool_put_down_paint_nothing(desk, branch):
    desk = desk()
    desk.mouse.key(Qt.Key.Key_T)
    for point in branch:
        desk.mouse.click(point, Qt.MouseButton.MiddleButton)
    assert not desk.drawn.any()
    desk.mouse.key(Qt.Key.Key_T)
    assert desk.tools.tool is None
    assert desk.preview is None
    for point in branch:
        desk.mouse.click(point)
    assert not desk.drawn.any()


def test_naparis_own_tools_put_ours_down(desk):
    desk = desk()
    told = []
    desk.tools.changed.connect(told.append)
    for key, mode in ((Qt.Key.Key_P, "paint"), (Qt.Key.Key_E, "erase"), (Qt.Key.Key_F, "fill")):
        desk.mouse.key(Qt.Key.Key_K)
        assert (str(desk.layer.mode), desk.tools.tool) == ("pan_zoom", "cut")
        desk.mouse.key(key)
        assert (str(desk.layer.mode), desk.tools.tool, desk.preview) == (mode, None, None)
    desk.mouse.key(Qt.Key.Key_T)
    assert (str(desk.layer.mode), desk.tools.tool) == ("pan_zoom", "trace")
    assert told == ["cut", None] * 3 + ["trace"]


def test_escape_stays_naparis_while_none_of_our_tools_is_up(desk):
    desk = desk()
    desk.mouse.key(Qt.Key.Key_T)
    desk.layer.mode = "polygon"
    for point in ((50, 50), (50, 90), (90, 90)):
        desk.mouse.click(point)
    polygon = desk.layer._overlays["polygon"]
    assert len(polygon.points) >= 3
    desk.mouse.key(Qt.Key.Key_Escape)
    assert len(polygon.points) < 3
    assert not desk.drawn.any()


def test_3d_view_says_why_and_puts_the_tool_down(desk, branch, notifications):
    desk = desk("cine")
    desk.mouse.key(Qt.Key.Key_T)
    desk.mouse.click(branch[0])
    desk.viewer.dims.ndisplay = 3
    assert desk.tools.tool is None
    assert desk.preview is None
    desk.mouse.key(Qt.Key.Key_T)
    assert "2-D view" in notifications.pop().message
    desk.viewer.dims.ndisplay = 2
    desk.mouse.key(Qt.Key.Key_T)
    assert desk.tools.tool == "trace"
    desk.viewer.dims.order = (1, 0, 2)  # time is seen as an axis of the picture
    assert desk.tools.tool is None
    with pytest.raises(InputError, match="single frames"):
        desk.tools.take("cut")


def test_taking_a_tool_up_shows_a_hidden_layer(desk, branch):
    desk = desk()
    desk.layer.visible = False
    desk.mouse.key(Qt.Key.Key_T)
    assert desk.layer.visible
    for point in branch:
        desk.mouse.click(point)
    assert desk.drawn.any()


def test_the_layer_may_go_while_a_tool_is_up(desk, branch):
    desk = desk()
    desk.mouse.key(Qt.Key.Key_T)
    desk.mouse.click(branch[0])
    desk.mouse.click(branch[1])
    desk.viewer.layers.remove(desk.layer)
    assert list(desk.viewer.layers) == [desk.angiogram]
    again = ensure_correction(desk.viewer, desk.angiogram)
    desk.viewer.layers.selection.active = again
    desk.mouse.key(Qt.Key.Key_T)
    for point in branch:
        desk.mouse.click(point)
    assert again.data.any()
    assert desk.tools.tool is None  # of the editor that is gone


def test_the_angiogram_may_go_while_a_tool_is_up(desk, branch):
    desk = desk()
    desk.mouse.key(Qt.Key.Key_T)
    desk.mouse.click(branch[0])
    desk.mouse.click(branch[1])
    drawn = desk.drawn
    desk.viewer.layers.remove(desk.angiogram)
    assert desk.tools.tool is None
    assert list(desk.viewer.layers) == [desk.layer]
    assert (desk.drawn == drawn).all()
    desk.viewer.layers.selection.active = desk.layer
    desk.mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not desk.drawn.any()


def test_pixels_of_another_size_put_the_tool_down(desk, still):
    desk = desk()
    desk.mouse.key(Qt.Key.Key_T)
    desk.angiogram.data = still[:200, :220]
    assert desk.tools.tool is None
    assert desk.layer.data.shape == (256, 256)


def test_two_viewers_do_not_mix(desk, branch):
    one, other = desk(), desk("cine")
    activate(one.viewer)
    one.mouse.key(Qt.Key.Key_T)
    assert (one.tools.tool, other.tools.tool, other.preview) == ("trace", None, None)
    activate(other.viewer)
    other.mouse.key(Qt.Key.Key_T)
    for mouse in (one.mouse, other.mouse):
        mouse.click(branch[0])
    one.mouse.click(branch[1])
    assert one.drawn.any()
    assert not other.layer.data.any()
    other.mouse.click(branch[1])
    assert other.drawn.any()
    assert (one.editor.unsaved, other.editor.unsaved) == ({0}, {FRAME})


def test_a_tool_leaves_the_correction_alone_selected(viewer, still):
    session = Session.of(viewer)
    layer = ensure_correction(viewer, viewer.add_image(still))
    viewer.layers.selection.active = layer
    editor_of(session, layer).tools.take("trace")
    assert set(viewer.layers.selection) == {layer}
    chosen = viewer.window._qt_viewer.layers.selectionModel().selectedIndexes()
    assert [index.data() for index in chosen] == [layer.name]  # in the list that the person sees, too


def test_every_key_of_the_table_takes_its_tool_up(desk):
    desk = desk()
    for spec in TOOLS.values():
        desk.mouse.key(getattr(Qt.Key, f"Key_{spec.key}"))
        ours = spec.name if spec in VESSEL_TOOLS else None
        assert (desk.tools.tool, str(desk.layer.mode)) == (ours, "pan_zoom" if ours else spec.name)
        assert (desk.preview is not None) == (ours is not None)
        if ours:
            assert spec.help in desk.viewer.help


def test_no_tool_is_taken_up_on_what_is_not_on_the_canvas(model, still, cine):
    session = Session.of(model)
    first = model.add_image(still, name="first")
    editor = editor_of(session, ensure_correction(model, first))
    editor.tools.take("trace")
    editor.tools.take(None)
    session.angiogram = model.add_image(still)
    with pytest.raises(InputError, match="'first' of this correction is not shown"):
        editor.tools.take("trace")
    with pytest.raises(InputError, match="'first' of this correction is not shown"):
        editor.grow()
    assert editor.tools.tool is None
