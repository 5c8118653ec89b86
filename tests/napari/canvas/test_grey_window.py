"""Grey levels in the window: a frame is one frame from any reader, and what is shown of 16 bits can be worked on."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pillow
from qtpy.QtCore import Qt

from napari_vasomim.canvas import frames, layers, results
from napari_vasomim.correcting.corrections import ensure_correction
from napari_vasomim.labelling.sources import FileSource
from napari_vasomim.widgets.label_set import LabelSetPanel
from tests.core.reading.files import write_dicom
from vasomim_core.exchange.formats import labelled
from vasomim_core.exchange.importing import import_labels
from vasomim_core.files import write_png
from vasomim_core.labels.labelset import LabelSet, pixel_sha256
from vasomim_core.reading import read_angiogram, to_grey, to_uint8

from ..mouse import click

pytestmark = pytest.mark.once  # what is tested here knows no Qt

READER = "napari-vasomim"


@pytest.fixture
def deep(still) -> np.ndarray:
    """An angiogram of 12 bits in 16, uint16 (256, 256)."""
    return still.astype(np.uint16) * 9 + 800


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kind", ["RGB", "RGBA", "L", "16 bits"])
def test_a_frame_is_the_same_from_naparis_own_reader_from_ours_and_from_an_import(model, tmp_path, kind, suffix):
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (200, 160, 3), np.uint8)
    image = (
        Pillow.fromarray(colour).convert(kind) if kind[0] != "1" else Pillow.fromarray(colour[..., 0] * np.uint16(9))
    )
    (tmp_path / "images").mkdir()
    image.save(tmp_path / "images" / f"x{suffix}")
    write_png(tmp_path / "masks" / "x.png", (rng.random((200, 160)) > 0.9).astype(np.uint8) * 255)
    path = tmp_path / "images" / f"x{suffix}"
    (ours,) = model.open(path, plugin=READER)
    (theirs,) = model.open(path, plugin="napari")
    known = pixel_sha256(frames.stored(ours, 0))
    assert pixel_sha256(frames.stored(theirs, 0)) == known
    assert pixel_sha256(FileSource(path).frame(0)) == known
    labels = LabelSet.create(tmp_path / "set", "x")
    import_labels(labelled(tmp_path), labels)
    assert [record.frame_sha256 for record in labels.records()] == [known]
    np.testing.assert_array_equal(frames.grey(ours, 0), frames.grey(theirs, 0))
    np.testing.assert_array_equal(frames.grey(ours, 0), to_uint8(read_angiogram(path).frames[0]))
    if kind == "RGB":
        np.testing.assert_array_equal(frames.grey(theirs, 0), to_grey(colour))


def test_a_window_that_hides_the_picture_is_set_aside_told_and_not_kept(
    model, deep, tmp_path, beside, qtbot, notifications
):
    path = write_dicom(tmp_path / "x.dcm", deep[None], WindowCenter=128, WindowWidth=256)
    (layer,) = model.open(path, plugin=READER)
    (note,) = notifications
    assert "set aside" in note.message
    low, high = layer.contrast_limits
    assert low < np.median(deep) < high
    seen = frames.grey(layer, 0)
    assert np.mean((seen > 5) & (seen < 250)) > 0.5
    panel = beside(model, LabelSetPanel)
    labels = LabelSet.create(tmp_path / "set", "x")
    panel.session.open_label_set(labels)
    ensure_correction(model, layer).data[10:20, 10:40] = 1
    click(qtbot, panel.keep)
    qtbot.waitUntil(lambda: bool(labels.records()))
    (record,) = labels.records()
    np.testing.assert_array_equal(labels.frame(record.id), deep)


def test_what_is_shown_can_be_worked_on(model, deep, tmp_path, beside, qtbot):
    path = write_dicom(tmp_path / "x.dcm", deep[None], WindowCenter=1500, WindowWidth=2000)
    (layer,) = model.open(path, plugin=READER)
    panel = beside(model, LabelSetPanel)
    session = panel.session
    found = results.put_frame(model, layer, "prediction", 0, np.ones((256, 256), bool), "prediction")
    before = frames.grey(layer, 0)
    layer.contrast_limits = (1000, 1600)
    np.testing.assert_array_equal(frames.grey(layer, 0), before)  # looking changes nothing
    changed = []
    session.pixels_changed.connect(changed.append)
    button = panel.findChild(type(panel.keep), "as shown")
    assert button.isVisible()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    expected = to_uint8(deep, (1300.5, 601))
    np.testing.assert_array_equal(frames.grey(layer, 0), expected)
    np.testing.assert_array_equal(frames.stored(layer, 0), expected)
    assert expected[deep <= 1000].max() == 0
    assert expected[deep >= 1600].min() == 255
    assert changed == [layer]
    assert not found.data.any()  # what a model found in other pixels is gone
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert changed == [layer]


def test_eight_bits_have_nothing_to_apply(model, still, beside):
    model.add_image(still)
    panel = beside(model, LabelSetPanel)
    assert not panel.findChild(type(panel.keep), "as shown").isVisible()


def test_a_file_of_the_queue_keeps_the_window_that_was_set(model, deep, tmp_path, beside, qtbot):
    (tmp_path / "run").mkdir()
    for name in ("1.dcm", "2.dcm"):
        write_dicom(tmp_path / "run" / name, deep[None])
    panel = beside(model, LabelSetPanel)
    walk = panel.desk.navigator
    panel.session.open_label_set(LabelSet.create(tmp_path / "set", "x"))
    walk.work_through(tmp_path / "run")
    qtbot.waitUntil(lambda: walk.place is not None)
    panel.session.angiogram.contrast_limits = (1000, 1600)
    panel.session.use_shown_window()
    np.testing.assert_array_equal(walk.queue.sources[0].frame(0), to_uint8(deep, (1300.5, 601)))
    walk.next()
    qtbot.waitUntil(lambda: walk.place is not None and walk.place.file == 1)
    assert layers.facts(panel.session.angiogram).levels.window is None
    walk.previous()
    qtbot.waitUntil(lambda: walk.place is not None and walk.place.file == 0)
    assert list(panel.session.angiogram.contrast_limits) == [1000, 1600]
    np.testing.assert_array_equal(frames.grey(panel.session.angiogram, 0), to_uint8(deep, (1300.5, 601)))
