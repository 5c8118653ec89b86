"""The layer on which is seen what a click would do."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_vasomim.canvas import layers
from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.session import Session

pytestmark = pytest.mark.once  # as test_join_remove_cut


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


def test_the_preview_lies_on_a_turned_cine(model, cine):
    angiogram = model.add_image(
        cine, scale=(1, 0.3, 0.2), rotate=[[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]], units=("s", "mm", "mm")
    )
    layer = ensure_correction(model, angiogram)
    editor_of(Session.of(model), layer).tools.take("trace")
    preview = layers.find(model, "preview", angiogram)
    assert np.allclose(preview.data_to_world((30, 40)), layer.data_to_world((0, 30, 40))[1:])
    assert preview.units == layer.units[1:]
