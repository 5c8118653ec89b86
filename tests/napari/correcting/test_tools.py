"""The vessel tools in the real window, by mouse and keyboard: stills and cines, scaled and translated."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_vasomim.canvas import frames, layers
from napari_vasomim.correcting import strokes
from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.prediction import Prediction
from napari_vasomim.session import Session
from vasomim_core.errors import InputError

from ..mouse import LEFT, RIGHT, Mouse

PLACES = {
    "still": {},
    "scaled still": {"scale": (0.3, 0.3), "translate": (40, -15)},
    "cine": {},
    "scaled cine": {"scale": (2, 0.5, 0.5), "translate": (7, 100, -30)},
}
FRAME = 5


class Desk:
    """A shown window with an angiogram, its correction, and a mouse."""

    def __init__(self, viewer, data, **placed):
        self.viewer = viewer
        viewer.window._qt_window.resize(700, 500)
        self.angiogram = viewer.add_image(data, **placed)
        self.session = Session.of(viewer)
        self.layer = ensure_correction(viewer, self.angiogram)
        self.editor = editor_of(self.session, self.layer)
        self.tools = self.editor.tools
        frames.show_frame(viewer, self.layer, FRAME)
        viewer.layers.selection.active = self.layer
        viewer.reset_view()
        self.mouse = Mouse(viewer, self.layer)

    @property
    def drawn(self):
        return self.tools.mask.copy()

    @property
    def preview(self):
        found = [layer for layer in self.viewer.layers if layers.role(layer) == "preview" and layer.visible]
        return found[0] if found else None

    @property
    def seen(self):
        return self.preview.data > 0

    def put(self, mask):
        strokes.apply_values(self.layer, None if self.layer.ndim == 2 else FRAME, mask.astype(np.uint8))

    def predict(self, probability):
        prediction = Prediction("model", (frames.frame_count(self.angiogram), *probability.shape))
        for index in range(prediction.shape[0]):
            prediction.keep(index, probability, 0.0)
        self.session.predictions[self.angiogram] = prediction
        self.session.predicted.emit(prediction)


@pytest.fixture
def desks(make_napari_viewer, qtbot, still, cine):
    """One desk after the other in one window, as it is windows that take time."""

    def made(*places):
        viewer = make_napari_viewer(show=True)
        for place in places:
            viewer.layers.clear()
            desk = Desk(viewer, cine if "cine" in place else still, **PLACES[place])
            qtbot.wait(100)
            yield desk

    return made


@pytest.fixture
def desk(desks):
    return lambda place="still": next(desks(place))


@pytest.fixture
def branch(still_truth, cine_truth):
    """Three points along the vessels, well inside the frame."""
    from skimage.morphology import skeletonize

    line = np.argwhere(skeletonize(still_truth & cine_truth[FRAME]))
    line = line[(np.abs(line - 128) < 100).all(1)]
    start = line[len(line) // 2]
    away = np.hypot(*(line - start).T)
    return [tuple(map(int, line[np.abs(away - far).argmin()])) for far in (0, 25, 50)]


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
            assert strokes.undo_depth(desk.layer) == count
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
    assert strokes.redo_depth(desk.layer) == 1


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
        assert strokes.undo_depth(desk.layer) == 2
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
        assert strokes.undo_depth(desk.layer) == 2
        desk.layer.undo()
        assert (desk.drawn == mask).all()


def test_remove_with_shift_takes_the_branch_alone(desk):
    desk = desk()
    mask = np.zeros((256, 256), bool)
    mask[100:112, 20:230] = mask[112:200, 118:124] = True
    desk.put(mask)
    desk.tools.take("remove")
    desk.tools.hover((150, 120), branch=True)
    seen = desk.seen
    assert seen[120:200, 118:124].all()
    assert not seen[100:112].any()
    desk.mouse.move((150, 120))
    assert desk.seen.sum() == mask.sum()
    QTest.mouseClick(desk.mouse.native, LEFT, Qt.KeyboardModifier.ShiftModifier, desk.mouse.point((150, 120)))
    assert (desk.drawn == mask & ~seen).all()


def test_cut_erases_across_and_leaves_the_camera(desks):
    for desk in desks("scaled still", "scaled cine"):
        mask = np.zeros((256, 256), bool)
        mask[100:110, 20:230] = True
        desk.put(mask)
        desk.mouse.key(Qt.Key.Key_C)
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
        assert strokes.undo_depth(desk.layer) == 2
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
    assert strokes.undo_depth(desk.layer) == 2
    assert np.flatnonzero(desk.layer.data.any((1, 2))).tolist() == [FRAME]


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
        desk.mouse.key(Qt.Key.Key_C)
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


def test_the_preview_is_no_ones_business(desk, branch, tmp_path):
    desk = desk("cine")
    desk.mouse.key(Qt.Key.Key_T)
    desk.mouse.click(branch[0])
    desk.mouse.move(branch[1])
    assert desk.viewer.layers.selection.active is desk.layer
    desk.viewer.layers.selection.active = desk.preview
    assert desk.viewer.layers.selection.active is desk.layer
    assert layers.angiograms(desk.viewer) == [desk.angiogram]
    assert not desk.preview.editable
    assert desk.editor.unsaved == set()
    [journal] = (tmp_path / "journal").glob("*.journal")
    assert b"STEP" not in journal.read_bytes()
    desk.mouse.key(Qt.Key.Key_T)
    assert desk.preview is None
    made = len(desk.viewer.layers)
    desk.mouse.key(Qt.Key.Key_R)
    assert desk.preview is desk.viewer.layers[-1]
    assert len(desk.viewer.layers) == made  # kept, and hidden while no tool is up
    desk.viewer.layers.remove(desk.layer)
    assert list(desk.viewer.layers) == [desk.angiogram]


def test_the_preview_taken_away_by_hand_puts_the_tool_down(desk, branch):
    desk = desk()
    desk.mouse.key(Qt.Key.Key_T)
    desk.viewer.layers.remove(desk.preview)
    assert desk.tools.tool is None
    desk.mouse.click(branch[0])
    desk.mouse.click(branch[1])
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
    one.mouse.key(Qt.Key.Key_T)
    assert (one.tools.tool, other.tools.tool, other.preview) == ("trace", None, None)
    other.mouse.key(Qt.Key.Key_T)
    for mouse in (one.mouse, other.mouse):
        mouse.click(branch[0])
    one.mouse.click(branch[1])
    assert one.drawn.any()
    assert not other.layer.data.any()
    other.mouse.click(branch[1])
    assert other.drawn.any()
    assert (one.editor.unsaved, other.editor.unsaved) == ({0}, {FRAME})


def test_the_preview_lies_on_a_turned_cine(cine):
    viewer = ViewerModel()
    angiogram = viewer.add_image(
        cine, scale=(1, 0.3, 0.2), rotate=[[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]], units=("s", "mm", "mm")
    )
    layer = ensure_correction(viewer, angiogram)
    editor_of(Session.of(viewer), layer).tools.take("trace")
    preview = next(layer for layer in viewer.layers if layers.role(layer) == "preview")
    assert np.allclose(preview.data_to_world((30, 40)), layer.data_to_world((0, 30, 40))[1:])
    assert preview.units == layer.units[1:]
    viewer.layers.clear()


def test_a_tool_leaves_the_correction_alone_selected(viewer, still):
    session = Session.of(viewer)
    layer = ensure_correction(viewer, viewer.add_image(still))
    viewer.layers.selection.active = layer
    editor_of(session, layer).tools.take("trace")
    assert set(viewer.layers.selection) == {layer}
    chosen = viewer.window._qt_viewer.layers.selectionModel().selectedIndexes()
    assert [index.data() for index in chosen] == [layer.name]  # in the list that the person sees, too
