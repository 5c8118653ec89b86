"""The keys: one table, none of napari's, the same from everywhere in the window, listed by `?` and in the guide."""

from __future__ import annotations

import html

import numpy as np
import pytest
from napari._app_model import get_app_model
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QPushButton

from napari_vasomim import napari_compat
from napari_vasomim.correcting.desk import CorrectingDesk
from napari_vasomim.keys import KEYS, as_markdown, sequences
from napari_vasomim.session import Session
from napari_vasomim.shortcuts import Shortcuts
from napari_vasomim.viewing.looking import Looking
from napari_vasomim.widgets.key_list import KeyLists
from napari_vasomim.widgets.segment import SegmentPanel
from napari_vasomim.widgets.workbench import Workbench

from .conftest import ROOT
from .mouse import activate

SYSTEM = set(["Return", "Enter", "Tab", "Esc", "Space", "Backspace", "Del", "F1", "F11", "Up", "Down", "Left", "Right"])
OURS = [one for one in KEYS if one.bound == "window"]


def as_qt(key) -> str:
    return QKeySequence(str(key)).toString()


def test_no_key_has_two_meanings():
    assert len({one.key for one in KEYS}) == len({one.name for one in KEYS}) == len(KEYS)


def test_none_is_one_of_naparis_or_the_systems(viewer):
    """The classes have numbers while there are several; napari has the same letters for its tools."""
    shown = viewer.add_image(np.zeros((8, 8))), viewer.add_labels(np.zeros((8, 8), int))
    keymaps = [kind.class_keymap for layer in shown for kind in type(layer).__mro__ if hasattr(kind, "class_keymap")]
    keymaps += [kind.class_keymap for kind in type(viewer).__mro__ if hasattr(kind, "class_keymap")]
    naparis = {as_qt(key) for keymap in keymaps for key in keymap if key is not Ellipsis}
    naparis |= {as_qt(one.keybinding) for one in get_app_model().keybindings}
    assert {"E", "V", "C", "Ctrl+Z", "Ctrl+Shift+P"} <= naparis
    ours = {as_qt(key) for one in OURS if one.name != "class" for key in sequences(one.name)}
    assert not ours & naparis
    assert not ours & SYSTEM
    assert not any(part in key for key in ours for part in ("Ctrl", "Alt", "Meta"))
    assert all(as_qt(one.key) in naparis for one in KEYS if one.bound == "napari" and len(one.key) == 1)


def test_where_a_layer_of_others_is_selected_its_keys_are_naparis(viewer):
    keys = Shortcuts.of(viewer)
    for name in ("accept", "join"):
        keys.answer(name, lambda: None)
    (accept,), (join,) = keys._bound["accept"], keys._bound["join"]
    viewer.add_points(np.zeros((1, 2)))  # has `A`
    assert not accept.isEnabled()
    assert join.isEnabled()
    viewer.add_image(np.zeros((8, 8)))
    assert accept.isEnabled()


@pytest.mark.once
def test_the_guide_has_the_table():
    assert as_markdown() in (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")


def test_every_key_does_something_in_the_workbench(model, qtbot):
    bench = Workbench(model)
    qtbot.addWidget(bench)
    answered = Shortcuts.of(model)._actions
    assert {one.name for one in OURS} - {"class"} | {f"class {number}" for number in range(1, 10)} == set(answered)


def test_the_same_from_canvas_panels_and_layer_list_but_not_in_a_field(make_napari_viewer, qtbot, still):
    viewer = make_napari_viewer(show=True)
    activate(viewer)
    window = viewer.window._qt_window
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    field = QLineEdit(bench)
    field.show()
    angiogram = viewer.add_image(still)
    desk = CorrectingDesk.of(viewer)
    tree = viewer.window._qt_viewer.layers
    places = [napari_compat.canvas_widget(viewer), tree, bench.findChild(QPushButton), bench.findChild(QComboBox)]
    for place in places:
        place.setFocus()
        viewer.layers.selection.active = angiogram
        qtbot.keyClick(place, Qt.Key.Key_T)
        assert desk.editor.tools.tool == "trace"
        assert viewer.layers.selection.active is desk.correction
        desk.editor.tools.take(None)
    field.setFocus()
    qtbot.keyClick(field, Qt.Key.Key_T)
    assert (field.text(), desk.editor.tools.tool) == ("t", None)

    desk.correction.opacity = 0.4
    places[0].setFocus()
    qtbot.keyPress(places[0], Qt.Key.Key_H)
    assert (desk.correction.opacity, desk.correction.visible, angiogram.opacity) == (0, True, 1)
    qtbot.keyRelease(places[0], Qt.Key.Key_H)
    assert desk.correction.opacity == 0.4

    qtbot.keyClick(places[1], Qt.Key.Key_Question, Qt.KeyboardModifier.ShiftModifier)
    listed = KeyLists.of(viewer).list
    assert listed.isVisible()
    assert window.rect().contains(listed.geometry())
    text = " ".join(label.text() for label in listed.findChildren(QLabel))
    assert all(html.escape(one.what) in text for one in KEYS)
    qtbot.keyClick(listed, Qt.Key.Key_Escape)
    assert listed.isHidden()


def test_looking(model, cine, still):
    looking, session = Looking.of(model), Session.of(model)
    run, other = model.add_image(cine), model.add_image(still)
    session.next_angiogram()
    assert session.angiogram is run
    session.canvas.go_to(run, 0)
    for by, at in ((1, 1), (1, 2), (-1, 1), (-1, 0), (-1, 0)):
        looking.step(by)
        assert session.index == at
    session.next_angiogram()
    assert session.angiogram is other


def test_a_panel_alone_answers_its_keys_as_long_as_it_lives(model, beside, monkeypatch):
    pressed = []
    monkeypatch.setattr(SegmentPanel, "segment_frame", lambda self: pressed.append(self))
    panel = beside(model, SegmentPanel)
    Shortcuts.of(model).press("segment")
    assert pressed == [panel]
