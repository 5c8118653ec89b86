"""What is shown of a prediction, as a film, pictures or DICOM."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from qtpy.QtWidgets import QFileDialog

from napari_vasomim._reader import get_reader
from napari_vasomim.canvas import frames, layers
from napari_vasomim.prediction import Prediction
from napari_vasomim.widgets import shown_export
from napari_vasomim.widgets.segment import SegmentPanel
from vasomim_core.errors import InputError
from vasomim_core.exchange.pictures import picture
from vasomim_core.reading import GreyLevels

from ...core.reading.files import write_dicom
from ..mouse import click

pytestmark = pytest.mark.once  # what of Qt it uses others try with both bindings


@pytest.fixture
def run(tmp_path, cine):
    ids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}
    return write_dicom(tmp_path / "run.dcm", cine[:4, :64, :48], **ids, FrameTime="80")


@pytest.fixture
def panel(beside, model, run):
    ((data, keywords, _),) = get_reader(str(run))(str(run))
    layer = model.add_image(data, **keywords)
    panel = beside(model, SegmentPanel)
    prediction = Prediction("vasomim-demo", (4, 64, 48))
    for index in (1, 3):
        prediction.keep(index, probability(index), 0.1)
    panel.session.predictions[layer] = prediction
    panel._angiogram_changed()
    return panel


def probability(index):
    p = np.zeros((64, 48), np.float32)
    p[5:20, 4 * index : 4 * index + 9] = 0.9
    p[30:40, 4 * index : 4 * index + 9] = 0.4
    return p


@pytest.fixture
def save_as(monkeypatch, tmp_path):
    def save_as(name, ending):
        monkeypatch.setattr(
            QFileDialog, "getSaveFileName",
            lambda *words: (str(tmp_path / name), next(one for one in words[-1].split(";;") if ending in one)),
        )  # fmt: skip
        return tmp_path / name

    return save_as


def exported(qtbot, panel):
    click(qtbot, panel.export.button)
    qtbot.waitUntil(lambda: not panel.export.work.busy)


def test_a_film_of_what_is_shown(qtbot, panel, save_as, notifications):
    path = save_as("run.gif", ".gif")
    path.write_text("an older one")
    panel.outline.setChecked(False)
    exported(qtbot, panel)
    assert "4 frames in run.gif" in notifications[-1].message
    layer = panel.session.angiogram
    with Image.open(path) as film:
        assert (film.n_frames, film.info["duration"]) == (4, 80)
        for index in range(4):
            film.seek(index)
            mask = (probability(index) > 0.5) * np.uint8(index in (1, 3))
            expected = picture(frames.grey(layer, index), mask, panel._prediction().classes)
            assert np.abs(np.asarray(film.convert("RGB")).astype(int) - expected).max() <= 4


def test_the_angiogram_goes_while_it_is_exported(qtbot, model, panel, save_as, notifications):
    path = save_as("run.tif", ".tif")
    click(qtbot, panel.export.button)
    model.layers.clear()
    qtbot.waitUntil(lambda: not panel.export.work.busy)
    with Image.open(path) as stack:
        assert stack.n_frames == 2
    assert not panel.export.button.isEnabled()


def test_a_picture_is_of_the_shown_frame_at_the_shown_threshold(qtbot, model, panel, save_as):
    path, layer = save_as("one", ".png"), panel.session.angiogram
    frames.show_frame(model, layer, 3)
    panel._prediction().threshold = 0.3
    panel.outline.setChecked(True)
    exported(qtbot, panel)
    expected = picture(frames.grey(layer, 3), (probability(3) > 0.3) * np.uint8(1), panel._prediction().classes, True)
    np.testing.assert_array_equal(np.asarray(Image.open(path.with_suffix(".png"))), expected)


def test_a_name_without_ending_replaces_nothing_unasked(qtbot, model, panel, save_as, notifications, tmp_path):
    save_as("one", ".png")
    frames.show_frame(model, panel.session.angiogram, 3)
    (tmp_path / "one.png").write_text("mine")
    exported(qtbot, panel)
    assert "is there already" in notifications.pop().message
    assert (tmp_path / "one.png").read_text() == "mine"


def test_the_shown_frame_was_not_segmented(qtbot, model, panel, save_as, notifications):
    path = save_as("one.png", ".png")
    frames.show_frame(model, panel.session.angiogram, 2)
    exported(qtbot, panel)
    assert "The shown frame is not segmented yet" in notifications.pop().message
    assert not path.exists()


def test_what_is_shown_inverted_is_written_so(qtbot, panel, tmp_path):
    shown = panel._shown_masks()
    layers.set_facts(shown.layer, layers.AngiogramFacts(chosen=GreyLevels(bright_vessels=True)))
    np.testing.assert_array_equal(shown._angiogram().grey(1), frames.grey(shown.layer, 1))
    np.testing.assert_array_equal(shown._angiogram().grey(1), ~frames.pixels_of(shown.layer, 1))


def test_a_later_threshold_does_not_change_what_is_written(panel):
    masks = shown_export.FoundMasks(panel._prediction())
    panel._prediction().threshold = 0.3
    panel._prediction().keep(1, np.ones((64, 48), np.float32), 0.0)
    np.testing.assert_array_equal(masks.class_mask(1), probability(1) > 0.5)


def test_dicom_names_the_model_and_asks(qtbot, panel, run, save_as, monkeypatch):
    path, asked = save_as("seg.dcm", "Segmentation"), []
    monkeypatch.setattr(shown_export, "confirmed", lambda *words: asked.append(words[-1]) or len(asked) > 1)
    exported(qtbot, panel)
    assert "names the patient" in asked[0]
    assert not path.exists()
    exported(qtbot, panel)
    made = dcmread(path)
    (segment,) = made.SegmentSequence
    assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("AUTOMATIC", "vasomim-demo")
    sources = [one.DerivationImageSequence[0].SourceImageSequence[0] for one in made.PerFrameFunctionalGroupsSequence]
    assert [one.ReferencedFrameNumber for one in sources] == [2, 4]
    assert {one.ReferencedSOPInstanceUID for one in sources} == {dcmread(run).SOPInstanceUID}
    np.testing.assert_array_equal(made.pixel_array[1].astype(bool), probability(3) > 0.5)


def test_dicom_refers_to_no_file_that_is_another_now(qtbot, panel, run, save_as, notifications):
    path = save_as("seg.dcm", "Segmentation")
    os.utime(run, ns=(1, 1))
    exported(qtbot, panel)
    assert "not known to be what its file holds" in notifications.pop().message
    assert not path.exists()


def test_nothing_is_segmented_yet(model, beside, still):
    model.add_image(still)
    panel = beside(model, SegmentPanel)
    assert not panel.export.button.isEnabled()
    with pytest.raises(InputError, match="Nothing is segmented yet"):
        panel.export.ask()
