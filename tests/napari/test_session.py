"""What the panels of a window share, and that two windows share nothing."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QComboBox

from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.canvas.facts import AngiogramFacts
from napari_vasomim.prediction import Prediction
from napari_vasomim.session import Session
from napari_vasomim.widgets.kit import AngiogramChoice
from vasomim_core.errors import InputError
from vasomim_core.reading import GreyLevels


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


@pytest.fixture
def session(viewer):
    return Session.of(viewer)


def heard(signal):
    got = []
    signal.connect(lambda *args: got.append(args[0] if args else None))
    return got


def still(value=0):
    return np.full((8, 9), value, np.uint8)


def test_a_viewer_and_its_proxies_have_one_session(make_napari_viewer_proxy):
    proxy = make_napari_viewer_proxy()
    assert Session.of(proxy) is Session.of(proxy.__wrapped__)


def test_viewers_do_not_share(session):
    viewer = ViewerModel()
    other = Session.of(viewer)
    assert other is not session
    viewer.add_image(still())
    assert session.angiogram is None
    assert other.angiogram is not None


def test_a_closed_viewer_is_let_go(qapp):
    viewer = ViewerModel()
    session = weakref.ref(Session.of(viewer))
    image = viewer.add_image(still(), name="a")  # to guess a name, napari keeps hold of the variables here
    session().predictions[image] = Prediction("m", (1, 8, 9))
    results.put_frame(viewer, image, "anatomy", 0, still() > 0, "anatomy")
    del viewer, image
    gc.collect()
    assert session() is None


def test_the_angiogram_is_the_one_last_opened_or_selected(session, viewer):
    first = viewer.add_image(still())
    second = viewer.add_image(still())
    assert session.angiogram is second
    viewer.layers.selection.active = first
    assert session.angiogram is first
    viewer.add_labels(np.zeros((8, 9), int))
    viewer.add_points([(1, 1)])
    viewer.add_image(np.zeros((2, 2, 8, 9)))
    viewer.add_image([np.zeros((64, 64)), np.zeros((32, 32))], multiscale=True)
    assert session.angiogram is first
    viewer.layers.remove(first)
    assert session.angiogram is second
    viewer.layers.clear()
    assert session.angiogram is None
    for use in (session.need_angiogram, lambda: session.set_bright_vessels(True)):
        with pytest.raises(InputError, match="No angiogram is open"):
            use()
    assert session.index == 0


def test_a_session_made_late_knows_what_is_open(viewer):
    image = viewer.add_image(still())
    session = Session.of(viewer)
    assert session.angiogram is image
    changed = heard(session.pixels_changed)
    image.data = still(1)
    assert changed == [image]


def test_the_shown_frame_is_told_once_the_slider_rests(session, viewer, qtbot):
    image = viewer.add_image(np.arange(20, dtype=np.uint8)[:, None, None] * np.ones((20, 8, 9), np.uint8))
    told = heard(session.frame_changed)
    for step in range(12):
        viewer.dims.set_current_step(0, step)
    qtbot.waitUntil(lambda: bool(told))
    qtbot.wait(100)
    assert len(told) == 1
    assert session.index == 11
    viewer.dims.set_current_step(0, 11)
    viewer.layers.remove(image)
    qtbot.wait(50)


def test_what_was_found_goes_with_the_pixels(session, viewer):
    image, other = viewer.add_image(still()), viewer.add_image(still())
    kept = Prediction("m", (1, 8, 9))
    for layer in (image, other):
        session.predictions[layer] = kept
        results.put_frame(viewer, layer, "anatomy", 0, still() == 0, "anatomy")
    frames, chosen = heard(session.frame_changed), heard(session.angiogram_changed)
    image.data = still(7)
    assert list(session.predictions) == [other]
    assert not frames
    assert chosen[-1] is other
    assert not layers.find(viewer, "anatomy", image).data.any()
    assert layers.find(viewer, "anatomy", other).data.any()
    other.data = still(8)
    assert not list(session.predictions)
    assert frames


def test_bright_vessels(session, viewer):
    image = viewer.add_image(still(40))
    session.predictions[image] = Prediction("m", (1, 8, 9))
    layers.set_facts(image, AngiogramFacts(window=(1, 2)))
    session.set_bright_vessels(True)
    assert (frames.grey(image, 0) == 215).all()
    assert image not in session.predictions
    assert layers.facts(image).levels == GreyLevels((1, 2), bright_vessels=True)
    told = heard(session.frame_changed)
    session.set_bright_vessels(True)
    assert not told
    session.set_bright_vessels(False)
    assert (frames.grey(image, 0) == 40).all()
    assert told


def test_model_and_annotator_are_remembered_for_the_next_window(session):
    told = heard(session.model_changed)
    session.model = "mine"
    session.model = "mine"
    session.annotator = "  reader 2 "
    assert told == ["mine"]
    later = Session.of(ViewerModel())
    assert (later.model, later.annotator) == ("mine", "reader 2")
    session.annotator = " "
    assert session.annotator  # the login name


def test_accepting_without_a_panel_says_what_is_missing(session):
    with pytest.raises(InputError, match="label set"):
        session.request_accept()


class TestChoice:
    """The choice of the angiogram on top of the panels."""

    @pytest.fixture
    def choice(self, session, qtbot):
        choice = AngiogramChoice(session)
        qtbot.addWidget(choice)
        return choice

    def pick(self, box: QComboBox, text):
        box.setCurrentText(text)
        box.activated.emit(box.currentIndex())

    def offers(self, choice):
        return [choice.choice.itemText(row) for row in range(choice.choice.count())]

    def test_empty_full_and_empty_again(self, choice, viewer):
        assert self.offers(choice) == ["none open: drop a file here"]
        assert not choice.choice.isEnabled()
        image = viewer.add_image(still(), name="a")
        viewer.add_labels(np.zeros((8, 9), int), name="not")
        assert self.offers(choice) == ["a"]
        assert choice.choice.isEnabled()
        image.name = "b"
        assert self.offers(choice) == ["b"]
        viewer.layers.remove(image)
        assert not choice.choice.isEnabled()
        assert not choice.bright.isEnabled()

    def test_the_chosen_one_stays_chosen_when_results_come(self, choice, session, viewer):
        first = viewer.add_image(still(), name="a")
        viewer.add_image(still(), name="b")
        self.pick(choice.choice, "a")
        assert session.angiogram is first
        results.put_frame(viewer, first, "anatomy", 0, still() > 0, "anatomy")
        assert session.angiogram is first
        assert choice.choice.currentText() == "a"

    def test_after_a_new_order_it_still_means_what_it_says(self, choice, session, viewer):
        made = {name: viewer.add_image(still(), name=name) for name in "abc"}
        viewer.layers.move(0, 3)
        for name, layer in made.items():
            self.pick(choice.choice, name)
            assert session.angiogram is layer
            assert choice.choice.currentText() == name

    def test_inverted_is_a_property_of_the_image(self, choice, session, viewer):
        first, second = viewer.add_image(still(10), name="a"), viewer.add_image(still(10), name="b")
        choice.bright.click()
        assert (frames.grey(second, 0) == 245).all()
        assert choice.bright.isChecked()
        self.pick(choice.choice, "a")
        assert session.angiogram is first
        assert not choice.bright.isChecked()
        assert layers.facts(second).levels.bright_vessels
