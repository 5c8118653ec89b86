"""Several angiograms in one window: what is seen is what is worked on, kept and shown again. With mouse and keys."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.canvas.facts import AngiogramFacts
from napari_vasomim.correcting.corrections import correction_of
from napari_vasomim.widgets.correct import CorrectPanel
from napari_vasomim.widgets.label_set import LabelSetPanel
from napari_vasomim.widgets.segment import SegmentPanel
from napari_vasomim.widgets.workbench import Workbench
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.synthetic import synthesize_cine

from .mouse import Mouse, activate, click, settle

pytestmark = pytest.mark.once  # what of Qt it uses others try with both bindings

LENGTHS = {"first": 20, "second": 8, "third": 16}
SIZES = {"first": 256, "second": 256, "third": 192}


@pytest.fixture(scope="module")
def runs():
    """Three runs, two of them of one size, of different lengths."""
    return {
        name: np.asarray(synthesize_cine(seed, frames=count, frame_time_ms=100, side="left", size=SIZES[name]).frames)
        for seed, (name, count) in enumerate(LENGTHS.items(), 3)
    }


@pytest.fixture
def window(make_napari_viewer, qtbot, tmp_path, runs):
    """A window with a label set, the three runs opened one after the other, and the workbench."""
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1366, 768)
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    bench.session.model = "vasomim-demo"
    opened = {
        name: viewer.add_image(frames, name=name, metadata={layers.KEY: AngiogramFacts()})
        for name, frames in runs.items()
    }
    bench.session.open_label_set(LabelSet.create(tmp_path / "labels", "three"))
    qtbot.wait(200)
    return viewer, bench, opened


def choose(bench, name):
    """As a person does it: in the list on top."""
    from napari_vasomim.widgets.kit import AngiogramChoice

    box = bench.findChild(AngiogramChoice).choice
    place = box.findText(name)
    assert place >= 0
    box.setCurrentIndex(place)
    box.activated.emit(place)
    settle()


def slide(viewer, step):
    viewer.dims.set_current_step(0, step)
    settle()


def on_canvas(viewer):
    """The grey levels that napari has sliced for the images that are seen: of how many layers, and of the topmost."""
    seen = [layer for layer in viewer.layers if isinstance(layer, Image) and layer.visible]
    seen = [layer for layer in seen if layers.role(layer) in (None, "angiogram")]
    return len(seen), np.asarray(seen[-1]._slice.image.raw)


def test_choosing_shows_one_run_at_its_own_frame_with_a_slider_of_its_own(window, runs):
    viewer, bench, opened = window
    for name, step in (("first", 12), ("second", 5), ("third", 9)):
        choose(bench, name)
        slide(viewer, step)
    for name, step in (("second", 5), ("first", 12), ("third", 9), ("first", 12)):
        choose(bench, name)
        count, pixels = on_canvas(viewer)
        assert count == 1
        assert np.array_equal(pixels, runs[name][step])
        assert bench.session.angiogram is opened[name]
        assert bench.session.index == step
        assert viewer.dims.nsteps[0] == LENGTHS[name]
        assert viewer.window._qt_viewer.dims.slider_widgets[0].slider.maximum() == LENGTHS[name] - 1


def test_a_short_run_cannot_be_left_by_the_slider(window, runs):
    viewer, bench, _ = window
    choose(bench, "first")
    slide(viewer, 12)
    choose(bench, "second")
    slide(viewer, 12)
    assert bench.session.index == viewer.dims.current_step[0] == 7
    assert np.array_equal(on_canvas(viewer)[1], runs["second"][7])


def test_what_is_segmented_drawn_and_kept_is_the_frame_on_the_canvas(window, runs, qtbot):
    viewer, bench, opened = window
    labels = bench.session.label_set
    choose(bench, "third")
    slide(viewer, 12)
    choose(bench, "first")
    slide(viewer, 12)
    segment = bench.show_panel(SegmentPanel)
    click(qtbot, segment.now)
    qtbot.waitUntil(segment.now.isEnabled, timeout=120_000)
    made = layers.find(viewer, "prediction", opened["first"])
    assert made.visible
    assert made.name == "prediction · first"
    assert made.data[12].any()
    assert not made.data[:12].any()

    choose(bench, "second")
    slide(viewer, 6)
    assert not made.visible
    correct = bench.show_panel(CorrectPanel)
    click(qtbot, correct.tools["paint"])
    correction = correction_of(viewer, opened["second"])
    mouse = Mouse(viewer, correction)
    seen = on_canvas(viewer)[1].copy()
    mouse.drag((6, 100, 60), (6, 100, 120))
    drawn = np.asarray(correction.data[6]) > 0
    assert drawn[100, 60:120].all()
    activate(viewer)
    mouse.key(Qt.Key.Key_A)
    qtbot.waitUntil(lambda: len(labels.records()) == 1, timeout=20_000)
    [record] = labels.records()
    assert np.array_equal(labels.frame(record.id), seen)
    assert np.array_equal(labels.frame(record.id), runs["second"][6])
    assert np.array_equal(labels.mask(record.id), drawn)
    assert record.frame_index == 6
    assert record.model is None

    choose(bench, "first")
    assert made.visible
    assert not correction.visible
    assert bench.session.index == 12


def test_a_mask_that_is_shown_by_its_eye_brings_its_angiogram(window, qtbot):
    viewer, bench, opened = window
    choose(bench, "second")
    click(qtbot, bench.show_panel(CorrectPanel).empty)
    correction = correction_of(viewer, opened["second"])
    choose(bench, "first")
    assert not correction.visible
    correction.visible = True
    assert bench.session.angiogram is opened["second"]
    assert opened["second"].visible
    assert not opened["first"].visible
    opened["third"].visible = True
    assert bench.session.angiogram is opened["third"]
    viewer.layers.selection.active = correction
    assert bench.session.angiogram is opened["second"]


@pytest.mark.parametrize("case", ["hidden", "covered", "3-D"])
def test_nothing_is_worked_on_that_is_not_seen(window, qtbot, notifications, case):
    viewer, bench, opened = window
    choose(bench, "first")
    click(qtbot, bench.show_panel(CorrectPanel).tools["paint"])
    correction = correction_of(viewer, opened["first"])
    Mouse(viewer, correction).drag((0, 100, 60), (0, 100, 120))
    panels = [bench.panel(kind) for kind in (SegmentPanel, CorrectPanel, LabelSetPanel)]
    if case == "hidden":
        opened["first"].visible = False
        sentence = "is hidden"
    elif case == "covered":
        cover = viewer.add_image(np.zeros((256, 256), np.uint8), name="an overlay")
        viewer.layers.selection.active = correction
        cover.visible = True
        sentence = "'an overlay' lies over the angiogram 'first'"
    else:
        viewer.dims.ndisplay = 3
        sentence = "2-D view"
    settle()
    assert bench.session.angiogram is opened["first"]
    segment, correct, kept = panels
    notifications.clear()
    for act in (segment.segment_frame, segment.segment_cine, correct.start_empty, kept.accept):
        with pytest.raises(Exception, match=sentence):
            act()
    qtbot.wait(100)
    assert bench.session.label_set.records() == []
    assert opened["first"] not in bench.session.predictions


def test_an_overlay_that_is_seen_through_or_beside_hinders_nobody(window):
    viewer, bench, opened = window
    choose(bench, "first")
    cover = viewer.add_image(np.zeros((256, 256), np.uint8), opacity=0.5)
    viewer.layers.selection.active = opened["first"]
    cover.visible = True
    assert bench.session.need_shown() == (opened["first"], bench.session.index)
    cover.opacity, cover.blending = 1, "additive"
    assert bench.session.need_shown()[0] is opened["first"]


def test_side_by_side_in_the_grid_runs_can_be_compared(window):
    viewer, bench, opened = window
    choose(bench, "first")
    grid = getattr(viewer, "canvas", viewer).grid
    grid.enabled = True
    opened["second"].visible = True
    assert opened["first"].visible
    assert bench.session.angiogram is opened["first"]
    assert bench.session.need_shown()[0] is opened["first"]
    grid.enabled = False
    assert not opened["second"].visible
    assert opened["first"].visible


def test_the_layer_that_gets_the_keys_belongs_to_the_run_that_is_shown(window, qtbot):
    viewer, bench, opened = window
    choose(bench, "second")
    click(qtbot, bench.show_panel(CorrectPanel).empty)
    choose(bench, "first")
    click(qtbot, bench.show_panel(CorrectPanel).empty)
    for name in ("second", "first"):
        choose(bench, name)
        assert viewer.layers.selection.active is correction_of(viewer, opened[name])


def test_frames_that_come_while_another_run_is_shown_wait_out_of_sight(window):
    viewer, bench, opened = window
    choose(bench, "second")
    mask = np.ones((256, 256), bool)
    made = results.put_frame(viewer, opened["first"], "prediction", 3, mask, "prediction")
    assert not made.visible
    assert bench.session.angiogram is opened["second"]
    choose(bench, "first")
    assert made.visible


@pytest.mark.parametrize("chosen", ["first", "second"])
def test_a_renamed_angiogram_renames_its_results(window, chosen):
    viewer, bench, opened = window
    choose(bench, chosen)
    mask = np.ones((256, 256), bool)
    made = results.put_frame(viewer, opened["first"], "prediction", 3, mask, "prediction")
    own = results.put_frame(viewer, opened["first"], "anatomy", 3, mask, "anatomy")
    own.name = "what I call it"
    opened["first"].name = "RAO"
    assert made.name == "prediction · RAO"
    assert own.name == "what I call it"


def test_a_backup_of_the_correction_is_not_the_correction(window, qtbot):
    viewer, bench, opened = window
    labels = bench.session.label_set
    choose(bench, "first")
    click(qtbot, bench.show_panel(CorrectPanel).tools["paint"])
    correction = correction_of(viewer, opened["first"])
    mouse = Mouse(viewer, correction)
    mouse.drag((0, 100, 60), (0, 100, 120))
    backup = duplicate(viewer, correction)
    viewer.layers.selection.active = correction
    correction.mode = "paint"
    mouse.drag((0, 140, 60), (0, 140, 120))
    index = bench.session.index
    assert correction.data[index, 140, 90]
    assert not backup.data[index, 140, 90]
    activate(viewer)
    mouse.key(Qt.Key.Key_A)
    qtbot.waitUntil(lambda: len(labels.records()) == 1, timeout=20_000)
    [record] = labels.records()
    assert np.array_equal(labels.mask(record.id), correction.data[index] > 0)
    assert correction_of(viewer, opened["first"]) is correction
    choose(bench, "second")
    assert not backup.visible  # it lies on the first run
    choose(bench, "first")
    assert backup.visible


def test_a_copy_of_a_result_is_left_as_it_is(window):
    viewer, bench, opened = window
    choose(bench, "first")
    one, two = np.zeros((2, 256, 256), bool)
    one[:50] = two[:, :50] = True
    for role in ("prediction", "anatomy"):
        made = results.put_frame(viewer, opened["first"], role, 3, one, role)
        copy = duplicate(viewer, made)
        again = results.put_frame(viewer, opened["first"], role, 3, two, role)
        assert again is made
        assert np.array_equal(copy.data[3] > 0, one)
        assert not layers.is_angiogram(copy)
        results.clear_results(viewer, opened["first"])
        assert np.array_equal(copy.data[3] > 0, one)
    heat = results.put_frame(viewer, opened["first"], "probability", 3, one.astype(np.float32), "probability")
    assert not layers.is_angiogram(duplicate(viewer, heat))


def test_a_copy_of_an_angiogram_is_an_angiogram_with_results_of_its_own(window, qtbot):
    viewer, bench, opened = window
    choose(bench, "first")
    click(qtbot, bench.show_panel(CorrectPanel).empty)
    correction = correction_of(viewer, opened["first"])
    bench.session.set_bright_vessels(True)
    copy = duplicate(viewer, opened["first"])
    assert bench.session.angiogram is copy
    assert not opened["first"].visible
    assert correction_of(viewer, copy) is None
    assert np.array_equal(frames.grey(copy, 0), frames.grey(opened["first"], 0))  # the negative, as is seen
    choose(bench, "first")
    assert correction_of(viewer, opened["first"]) is correction
    assert correction.visible


def duplicate(viewer, layer):
    """Duplicate Layer, as the menu of the layer list does it."""
    from napari.layers._layer_actions import _duplicate_layer

    viewer.layers.selection = {layer}
    before = set(viewer.layers)
    _duplicate_layer(viewer.layers)
    settle()
    [made] = set(viewer.layers) - before
    assert isinstance(made, (Labels, Image))
    return made
