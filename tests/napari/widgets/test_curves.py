"""The live curves show what a run wrote into its events."""

from __future__ import annotations

import numpy as np
import pytest
from napari.qt import get_stylesheet
from qtpy.QtGui import QColor

from napari_vasomim.widgets.curves import Curves, smooth


def step(number, loss):
    return {"event": "step", "step": number, "epoch": 1 + number // 100, "loss": loss, "dice": 0.1, "eta": 3.0}


def validation(number, epoch, dsc):
    return {"event": "validation", "step": number, "epoch": epoch, "scores": {"dsc": dsc, "cldice": 50.0}}


@pytest.fixture
def curves(qtbot):
    made = Curves()
    qtbot.addWidget(made)
    made.show()
    return made


def drawn(curves):
    """Loss and DSC as (steps, values) each."""
    curves.redraw()
    return tuple((np.asarray(x), np.asarray(y)) for x, y in (curves._raw.getOriginalDataset(), dsc_of(curves)))


def dsc_of(curves):
    x, y = curves._dsc.getOriginalDataset()
    return ([], []) if x is None else (x, y)


def test_it_says_that_there_is_nothing_yet(curves):
    assert curves._empty.isVisible()
    curves.add_events([{"event": "prepare", "done": 1, "total": 2}, {"event": "warning", "message": "…"}])
    curves.redraw()
    assert curves._empty.isVisible()


def test_steps_and_validations_are_drawn(curves, qtbot):
    curves.add_events([step(10, 0.9), step(20, 0.5), validation(20, 1, 60.0)])
    curves.add_events([step(30, 0.4), validation(30, 2, 81.5), validation(40, 3, 80.0)])
    qtbot.waitUntil(lambda: not curves._empty.isVisible())
    (steps, losses), (at, scores) = drawn(curves)
    assert steps.tolist() == [10, 20, 30]
    assert losses.tolist() == [0.9, 0.5, 0.4]
    assert at.tolist() == [20, 30, 40]
    assert scores.tolist() == [60.0, 81.5, 80.0]
    assert curves.best() == (2, 81.5)
    assert "81.5&nbsp;in&nbsp;epoch&nbsp;2" in curves._legend.text()


def test_a_run_without_validation_has_no_right_axis(curves):
    curves.add_events([step(10, 0.9)])
    curves.redraw()
    assert not curves._item.getAxis("right").isVisible()
    assert curves.best() is None


def test_a_resumed_run_takes_back_what_came_after_its_last_saved_state(curves):
    curves.add_events([step(10, 0.9), step(20, 0.5), validation(20, 1, 60.0), step(30, 9.9), validation(30, 2, 99.0)])
    curves.add_events([{"event": "start", "resumed": 20}, step(30, 0.4)])
    (steps, losses), (at, _) = drawn(curves)
    assert steps.tolist() == [10, 20, 30]
    assert losses.tolist() == [0.9, 0.5, 0.4]
    assert at.tolist() == [20]


def test_clear_forgets_the_run(curves):
    curves.add_events([step(10, 0.9), validation(10, 1, 60.0)])
    curves.redraw()
    curves.clear()
    assert curves._empty.isVisible()
    curves.add_events([step(5, 0.1)])
    (steps, _), (at, _) = drawn(curves)
    assert steps.tolist() == [5]
    assert len(at) == 0


def test_a_burst_of_events_is_drawn_once(curves, qtbot, monkeypatch):
    draws = []
    monkeypatch.setattr(curves._raw, "setData", lambda *a, **k: draws.append(a))
    for number in range(1, 200):
        curves.add_events([step(number, 0.5)])
    qtbot.waitUntil(lambda: bool(draws))
    assert len(draws) == 1
    assert len(draws[0][0]) == 199


def test_what_came_in_while_hidden_is_there_when_shown(curves):
    curves.hide()
    curves.add_events([step(10, 0.9)])
    curves.show()
    assert not curves._empty.isVisible()


def test_smoothing_keeps_a_line_and_a_mean():
    line = np.linspace(2, 1, 500)
    inside = smooth(line)[20:-20]
    np.testing.assert_allclose(inside, line[20:-20])
    assert smooth(np.array([1.0])).tolist() == [1.0]
    assert smooth(np.array([])).size == 0
    noisy = np.random.default_rng(0).normal(size=3000)
    assert smooth(noisy).std() < noisy.std() / 5


@pytest.mark.parametrize("count", [300, 100_000])
def test_long_runs_are_thinned_out_for_the_screen(curves, qtbot, count):
    curves.add_events([step(number, 1 / number) for number in range(1, count + 1)])
    curves.redraw()
    curves.grab()
    x, _ = curves._raw.getData()
    assert len(x) <= 3000
    assert curves._raw.getOriginalDataset()[0][-1] == count


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_stands_out_from_the_background(curves, qapp, theme):
    curves.add_events([step(10, 0.9), validation(10, 1, 60.0)])
    curves.setStyleSheet(get_stylesheet(theme))
    curves.redraw()
    image = curves.grab().toImage()
    ground = QColor(image.pixel(2, image.height() - 2)).lightness()
    assert (ground < 128) == (theme == "dark")
    for side in ("bottom", "left", "right"):
        assert abs(curves._item.getAxis(side).textPen().color().lightness() - ground) > 60
