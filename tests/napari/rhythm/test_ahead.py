"""Frames ahead: a few, behind everything else, dropped when they no longer hold; the whole queue on request."""

from __future__ import annotations

import pytest

from napari_vasomim.prediction_layers import PredictionLayers
from napari_vasomim.rhythm.ahead import AHEAD
from napari_vasomim.shortcuts import Shortcuts
from vasomim_core.errors import InputError

from .conftest import frame_of

pytestmark = pytest.mark.once


def test_the_next_few_are_ready_once_a_frame_was_segmented(desk, fake):
    assert not desk.ahead.used
    assert not fake.asked
    assert "Once a frame is segmented" in desk.ahead.words()
    desk.segment()
    desk.are_ready()
    assert fake.asked == [("behind", number, "vasomim-demo") for number in (1, 2, 3)]
    assert desk.ahead.words() == "The next 3 frames are ready."
    Shortcuts.of(desk.model).press("next")
    desk.at(1)
    desk.qtbot.waitUntil(lambda: len(fake.asked) == 4)
    assert fake.asked[-1][:2] == ("behind", 4)  # what was ready is not asked for again
    assert 0 in desk.session.predictions[desk.session.angiogram]


def test_a_frame_that_is_not_ready_is_asked_for_before_all_others(desk, fake):
    desk.segment()
    fake.held = True
    desk.qtbot.waitUntil(lambda: bool(fake.asked))
    from napari_vasomim.labelling.queue import Place

    desk.walk.go(Place(5, 0))
    desk.at(5)
    desk.qtbot.waitUntil(lambda: ("call", 5, "vasomim-demo") in fake.asked)


def test_another_model_drops_what_is_ahead(desk, fake):
    desk.segment()
    desk.are_ready()
    fake.asked.clear()
    fake.held = True
    desk.session.model = "vasomim-fast"
    desk.qtbot.waitUntil(lambda: bool(fake.asked))
    assert fake.asked == [("behind", 1, "vasomim-fast")]
    assert not desk.ahead._kept
    desk.session.model = "vasomim-base"  # while that is being worked at
    fake.go_on()
    desk.are_ready()
    assert {answer.model for _, answer in desk.ahead._kept.values()} == {"vasomim-base"}


def test_a_file_that_changes_is_segmented_anew(desk, fake, stills):
    from vasomim_core.files import write_png

    desk.segment()
    desk.are_ready()
    write_png(stills / "1.png", frame_of(6))
    Shortcuts.of(desk.model).press("next")
    desk.at(1)
    desk.qtbot.waitUntil(lambda: ("call", 6, "vasomim-demo") in fake.asked)


def test_memory_is_bounded_and_the_whole_queue_is_ordered(desk, fake):
    desk.ahead.segment_whole()
    desk.qtbot.waitUntil(lambda: not desk.ahead.whole, timeout=20_000)
    assert len(desk.ahead._kept) <= AHEAD
    assert desk.walk.queue.segmented == 7
    desk.walk.set_order("uncertain")
    assert [place.file for place in desk.walk.queue.places()] == [6, 5, 4, 3, 2, 1, 0]


def test_the_whole_queue_can_be_stopped(desk, fake):
    fake.held = True
    desk.ahead.segment_whole()
    desk.qtbot.waitUntil(lambda: bool(fake.asked))
    desk.ahead.stop_whole()
    fake.go_on()
    desk.are_ready()
    assert desk.walk.queue.segmented < 7


def test_a_failure_is_a_quiet_line_until_the_person_segments_again(desk, fake, notifications):
    fake.held = True
    desk.segment()
    desk.qtbot.waitUntil(lambda: bool(fake.waiting))
    future, _ = fake.waiting.pop()
    future.set_running_or_notify_cancel()
    future.set_exception(InputError("the model is gone"))
    desk.qtbot.waitUntil(lambda: "the model is gone" in desk.ahead.words())
    assert not notifications
    fake.go_on()
    desk.segment()
    desk.are_ready()


def test_frames_of_another_model_are_not_mixed_into_a_run(desk):
    layer = desk.session.angiogram
    desk.segment()
    before = desk.session.predictions[layer]
    PredictionLayers.of(desk.model).mirrored = True
    desk.session.settings_changed.emit()
    desk.are_ready()
    assert desk.session.predictions[layer] is before
