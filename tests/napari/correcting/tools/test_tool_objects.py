"""Each tool by itself on a shown frame, without window or mouse."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vasomim.canvas import frames
from napari_vasomim.correcting import undo
from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.correcting.editing import editor_of
from napari_vasomim.correcting.tools.cut import Cut
from napari_vasomim.correcting.tools.join import Join
from napari_vasomim.correcting.tools.remove import Remove
from napari_vasomim.correcting.tools.shown_frame import ShownFrame
from napari_vasomim.correcting.tools.spec import GROW, TOOLS
from napari_vasomim.correcting.tools.trace import Trace
from napari_vasomim.session import Session
from vasomim_core.errors import InputError

from .places import FRAME

pytestmark = pytest.mark.once  # what of Qt it uses others try with both bindings


@pytest.fixture
def frame(model, cine):
    """The shown frame of a cine, on which a bar is drawn."""
    layer = ensure_correction(model, model.add_image(cine))
    frames.show_frame(model, layer, FRAME)
    shown = editor_of(Session.of(model), layer).frame
    bar = np.zeros((256, 256), bool)
    bar[100:110, 20:200] = True
    assert shown.paint(bar) == bar.sum()
    return shown


@pytest.mark.parametrize("kind", [Trace, Join, Remove, Cut])
def test_a_click_does_what_was_shown_as_one_undoable_step(frame, kind):
    tool, before, depth = kind(frame), frame.mask, undo.undo_depth(frame.layer)
    if kind is Trace:
        assert tool.hover((140, 60)) is None
        assert tool.click((140, 60)) == 0
    tool.press((90, 60))
    point = (150, 62) if kind is Join else (105, 62)
    shown = tool.hover(point)
    assert shown.any()
    assert (frame.mask == before).all()
    changed = tool.click(point)
    after = before | shown if kind in (Trace, Join) else before & ~shown
    assert (frame.mask == after).all()
    assert changed == (after != before).sum() > 0
    assert undo.undo_depth(frame.layer) == depth + 1
    assert np.flatnonzero(frame.layer.data.any((1, 2))).tolist() == ([FRAME] if after.any() else [])
    frame.layer.undo()
    assert (frame.mask == before).all()


@pytest.mark.parametrize("kind", [Trace, Cut])
def test_what_a_click_began_is_forgotten_in_the_end(frame, kind):
    tool, before = kind(frame), frame.mask
    tool.press((90, 60))
    if kind is Trace:
        tool.click((140, 60))
    tool.end()
    assert tool.hover((105, 62)) is None
    assert tool.click((105, 62)) == 0
    assert (frame.mask == before).all()


def test_a_frame_costs_the_same_object_until_something_of_it_changes(frame, model):
    cost = frame.cost()
    frame.paint(np.ones((256, 256), bool))
    assert frame.cost() is cost
    frames.show_frame(model, frame.layer, FRAME + 1)
    other = frame.cost()
    assert other is not cost
    assert not np.array_equal(other.frame, cost.frame)
    frame.probability_changed()
    assert frame.cost() is other  # it was about another frame
    frame.pixels_changed()
    assert frame.cost() is not other


@pytest.mark.parametrize("kind", [Trace, Join])
def test_a_frame_that_cannot_be_read_is_a_sentence_and_nothing_is_drawn(frame, kind, monkeypatch):
    def damaged(layer, index):
        raise InputError("Frame 5 cannot be read.")

    monkeypatch.setattr(frames, "grey", damaged)
    tool, before = kind(frame), frame.mask
    for _ in range(2):
        with pytest.raises(InputError, match="Frame 5"):
            tool.click((140, 60))
    assert (frame.mask == before).all()


def test_the_table_names_each_tool_once_and_the_guide_names_all():
    specs = [*TOOLS.values(), GROW]
    for field in ("name", "key", "title", "help"):
        assert len({getattr(spec, field) for spec in specs}) == len(specs)


@pytest.mark.parametrize("kind", [Trace, Join])
def test_a_probability_that_comes_while_the_tool_is_up_leads_the_next_path(frame, kind):
    known = {}
    shown = ShownFrame(frame.viewer, frame.layer, frame.source, known.get)
    tool = kind(shown)
    tool.click((140, 60))
    before = tool.hover((200, 60))
    known[FRAME] = np.zeros((256, 256), np.float32)
    known[FRAME][100:200, 100] = known[FRAME][139:142, 60:101] = known[FRAME][199:202, 60:101] = 1
    shown.probability_changed()
    alone = kind(ShownFrame(frame.viewer, frame.layer, frame.source, known.get))
    if kind is Trace:
        alone.click((140, 60))
    assert (tool.hover((200, 60)) == alone.hover((200, 60))).all()
    assert (tool.hover((200, 60)) != before).any()
