"""The classes of a correction: the chosen one, what napari's controls may do, and what another set means for it."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.colormaps.standardize_color import transform_color

from napari_vasomim.correcting import undo
from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.correcting.drawn_classes import strangers
from napari_vasomim.correcting.editing import editor_of, journal
from napari_vasomim.correcting.unfinished import restore, unfinished
from napari_vasomim.session import Session
from vasomim_core.classes import VESSEL, LabelClass
from vasomim_core.errors import LabelError
from vasomim_core.labels.labelset import LabelSet

from ..classes import CATHETER, LAD, LCX, THREE

pytestmark = pytest.mark.once  # what is tested here knows no Qt


@pytest.fixture
def session(model, tmp_path):
    session = Session.of(model)
    session.open_label_set(LabelSet.create(tmp_path / "three", "three", THREE))
    return session


@pytest.fixture
def editor(model, session, still):
    layer = ensure_correction(model, model.add_image(still))
    return editor_of(session, layer)


def put(editor, *values):
    """Squares of these values, from the left."""
    plane = np.zeros((256, 256), np.uint8)
    for place, value in enumerate(values):
        plane[20:40, 10 + 30 * place : 30 + 30 * place] = value
    undo.apply_values(editor.layer, None, plane)
    return plane


def test_the_layer_has_the_colours_of_the_classes_and_draws_in_the_chosen_one(editor, session):
    layer = editor.layer
    for one in THREE:
        np.testing.assert_allclose(layer.get_color(one.value), transform_color(one.colour)[0], atol=0.01)
    assert (layer.selected_label, layer.preserve_labels) == (1, True)
    editor.classes.choose(2)
    assert (layer.selected_label, session.class_value) == (5, 5)
    editor.classes.choose(3)  # there is no fourth
    assert layer.selected_label == 5
    session.label_set.set_classes([LAD, LCX, LabelClass(5, "wire", "#00ff00", vessel=False)])
    session.take_classes(session.label_set.classes)
    np.testing.assert_allclose(layer.get_color(5), (0, 1, 0, 1), atol=0.01)
    assert editor.classes.palette.chosen.name == "wire"


@pytest.mark.parametrize("how", ["spinner", "up", "down", "new label", "background", "pick"])
def test_no_control_of_napari_leads_out_of_the_classes(editor, notifications, how):
    from napari.layers.labels import _labels_key_bindings as keys

    layer = editor.layer
    put(editor, 1, 2, 5)
    editor.classes.choose(1)
    if how == "spinner":
        layer.selected_label = 77
    elif how == "up":
        keys.increase_label_id(layer)
    elif how == "down":  # to a class: that is a choice
        keys.decrease_label_id(layer)
    elif how == "new label":
        keys.new_label(layer)
    elif how == "background":
        layer.swap_selected_and_background_labels()
    else:
        layer.selected_label = int(layer.get_value((30, 80)) or 0)
    expected = {"down": LAD, "pick": CATHETER}.get(how, LCX)
    assert (layer.selected_label, editor.classes.palette.chosen) == (expected.value, expected)
    assert [("is no class here" in note.message) for note in notifications] == ([] if expected is not LCX else [True])


def test_shuffled_colours_come_back(editor, notifications):
    editor.layer.new_colormap()
    np.testing.assert_allclose(editor.layer.get_color(2), transform_color(LCX.colour)[0], atol=0.01)
    assert "colours are those of the classes" in notifications.pop().message


def test_one_class_has_its_own_keys_and_colours_back(editor, session, tmp_path, notifications):
    editor.classes.choose(2)
    session.open_label_set(LabelSet.create(tmp_path / "one", "one"))
    assert "1" not in {str(key) for key in editor.layer.keymap}
    assert (editor.layer.preserve_labels, editor.layer.selected_label) == (False, 1)
    assert editor.classes.palette.classes == VESSEL
    assert notifications == []  # nobody asked for the class that is gone


@pytest.mark.parametrize(
    ("before", "now", "same_set", "found"),
    [
        (THREE, THREE, False, {}),
        (THREE, (LAD, LabelClass(2, "twig"), CATHETER), True, {}),  # renamed
        (THREE, (LAD, LabelClass(2, "twig"), CATHETER), False, {2: "LCX"}),  # another one
        (THREE, (LAD, CATHETER), True, {2: "LCX"}),
        (THREE, VESSEL, False, {1: "LAD", 2: "LCX"}),
        (VESSEL, (LabelClass(3, "artery"),), False, {}),  # one class is the vessel, whatever it is called
        (VESSEL, THREE, False, {1: "vessel", 2: "vessel"}),
        (VESSEL, (*VESSEL, LCX), True, {2: "vessel"}),  # 2 was vessel, too
    ],
)
def test_strangers(before, now, same_set, found):
    assert strangers([1, 2], before, now, same_set) == found


def test_what_the_set_does_not_have_neither_vanishes_nor_changes(editor, session, tmp_path):
    plane = put(editor, 1, 2, 5)
    session.open_label_set(LabelSet.create(tmp_path / "other", "other", [LabelClass(1, "RCA"), CATHETER]))
    assert editor.classes.strangers == {1: "LAD", 2: "LCX"}
    assert (editor.layer.data == plane).all()
    assert editor.classes.palette.classes == THREE
    with pytest.raises(LabelError, match=r"the label set other has no class for: LAD \(1\), LCX \(2\)\."):
        editor.classes.need_known()
    for wrong in ({1: 1}, {1: 1, 2: 7}):
        with pytest.raises(LabelError, match="Say for each"):
            editor.fit(wrong)
    editor.unsaved.clear()
    editor.fit({1: 5, 2: 0})
    assert (editor.layer.data == np.array([0, 5, 0, 0, 0, 5], np.uint8)[plane]).all()
    assert (editor.classes.strangers, editor.unsaved, undo.undo_depth(editor.layer)) == ({}, {0}, 0)
    editor.classes.need_known()
    editor.close()
    [entry] = unfinished(journal().folder)
    assert [one["name"] for one in entry.about["classes"]] == ["RCA", "catheter"]
    assert (restore(entry) == editor.layer.data).all()


def test_the_journal_never_says_other_classes_than_its_values_have(editor, session, tmp_path):
    """Killed between the two, the classes before and the values before are what comes back."""
    plane = put(editor, 1, 2)
    session.open_label_set(LabelSet.create(tmp_path / "other", "other", [LabelClass(1, "RCA")]))
    [file] = journal()._files.values()
    editor.classes.adopt()
    journal().describe(editor.layer, editor._about(), with_next_step=True)
    left = file.path.read_bytes()
    editor.layer.data = np.zeros_like(plane)
    aside = tmp_path / "aside"
    aside.mkdir()
    (aside / "left.journal").write_bytes(left)
    editor.close()
    from napari_vasomim.correcting.journal_format import read_head

    with open(aside / "left.journal", "rb") as read:
        assert [one["name"] for one in read_head(read)["about"]["classes"]] == ["LAD", "LCX", "catheter"]


def test_erased_strangers_are_none_and_the_set_is_taken_over(editor, session, tmp_path):
    put(editor, 1, 2)
    session.label_set.set_classes([LAD, CATHETER])
    session.take_classes(session.label_set.classes)
    assert editor.classes.strangers == {2: "LCX"}
    undo.apply(editor.layer, None, editor.layer.data == 2, 0)
    assert (editor.classes.strangers, editor.classes.palette.classes) == ({}, (LAD, CATHETER))
    assert undo.undo_depth(editor.layer) == 0  # an undo would bring LCX back


def test_a_journal_keeps_its_classes_and_older_ones_knew_one(model, session, still, tmp_path):
    angiogram = model.add_image(still)
    editor = editor_of(session, ensure_correction(model, angiogram))
    plane = put(editor, 1, 2, 5)
    model.layers.remove(editor.layer)
    [entry] = unfinished(journal().folder)
    again = editor_of(session, ensure_correction(model, angiogram, restore(entry), entry))
    assert (again.layer.data == plane).all()
    assert again.classes.strangers == {}
    model.layers.remove(again.layer)
    [entry] = unfinished(journal().folder)
    del entry.about["classes"]
    old = editor_of(session, ensure_correction(model, angiogram, restore(entry), entry))
    assert (old.layer.data == plane).all()
    assert old.classes.strangers == {1: "vessel", 2: "vessel", 5: "vessel"}
