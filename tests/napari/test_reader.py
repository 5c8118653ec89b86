"""Files come in as layers: lazily, with their window, at their fullest frame; what is broken ends in a sentence."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import tifffile
from napari.layers import Image

from napari_vasomim import _reader
from napari_vasomim.canvas import opening
from napari_vasomim.canvas.facts import AngiogramFacts
from napari_vasomim.canvas.frames import current_index, grey, stored
from napari_vasomim.canvas.layers import KEY, facts, role
from napari_vasomim.labelling import sources
from napari_vasomim.labelling.desk import LabellingDesk
from napari_vasomim.widgets.workbench import Workbench
from tests.core.reading.files import write_dicom
from vasomim_core.anatomy.fullest import FRAMES
from vasomim_core.errors import InputError
from vasomim_core.files import write_png
from vasomim_core.reading import Angiogram, Frames, read_angiogram

from .mouse import next_turn

pytestmark = pytest.mark.once  # what is tested here knows no Qt

READER = "napari-vasomim"


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """The frames that were decoded, as they are."""
    seen: list[int] = []
    block = _reader.read_angiogram

    def counting(path):
        angiogram = block(path)
        inner = angiogram.frames
        frames = Frames(lambda i: seen.append(i) or inner[i], inner.shape, inner.dtype, angiogram.source)
        return Angiogram(frames, angiogram.source, stated_window=angiogram.stated_window, angles=angiogram.angles)

    monkeypatch.setattr(_reader, "read_angiogram", counting)
    return seen


def fullest(viewer, qtbot) -> int:
    """Wait for the search; returns what it found."""
    layer = viewer.layers[-1]
    qtbot.waitUntil(lambda: facts(layer).fullest_frame is not None, timeout=10_000)
    return facts(layer).fullest_frame


def test_a_still_is_one_layer_named_after_its_file(model, still, tmp_path):
    write_png(tmp_path / "case 12.png", still)
    (layer,) = model.open(tmp_path / "case 12.png", plugin=READER)
    assert isinstance(layer, Image)
    assert layer.name == "case 12"
    assert role(layer) == "angiogram"
    np.testing.assert_array_equal(layer.data, still)
    np.testing.assert_array_equal(layer.scale, 1)


def test_a_long_run_opens_without_being_decoded(viewer, decoded, tmp_path, qtbot):
    tifffile.imwrite(tmp_path / "run.tif", np.random.default_rng(0).integers(0, 255, (200, 64, 64), np.uint8))
    (layer,) = viewer.open(tmp_path / "run.tif", plugin=READER)
    assert layer.data.shape == (200, 64, 64)
    fullest(viewer, qtbot)
    # Three for the grey levels, two for the canvas.
    assert len(set(decoded)) <= 5 + FRAMES


def test_it_opens_where_the_vessels_are_fullest(viewer, cine, cine_truth, tmp_path, qtbot):
    run = np.concatenate([cine, cine[:1].repeat(8, 0)])  # contrast agent washed out again
    tifffile.imwrite(tmp_path / "run.tif", run)
    (layer,) = viewer.open(tmp_path / "run.tif", plugin=READER)
    found = fullest(viewer, qtbot)
    assert current_index(viewer, layer) == found
    assert cine_truth[found].sum() > 0.9 * cine_truth.sum(axis=(1, 2)).max()


def test_a_file_that_is_open_is_shown_and_not_opened_again(viewer, still, cine, tmp_path, qtbot, notifications):
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    folder = tmp_path / "runs"
    folder.mkdir()
    write_png(folder / "1.png", still)
    tifffile.imwrite(folder / "2.tif", cine)
    (first,) = viewer.open(folder / "1.png", plugin=READER)
    next_turn(qtbot)
    viewer.open(folder, plugin=READER)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    assert [layer.name for layer in viewer.layers] == ["1", "2"]
    assert "1 is open already." in [note.message for note in notifications]
    viewer.open(folder / "1.png", plugin=READER)
    qtbot.waitUntil(lambda: bench.session.angiogram is first and len(viewer.layers) == 2)
    assert first.visible
    write_png(folder / "1.png", 255 - still)  # other pixels under the same name are another angiogram
    (other,) = viewer.open(folder / "1.png", plugin=READER)
    next_turn(qtbot)
    assert other in viewer.layers
    assert bench.session.angiogram is other


def test_the_fullest_frame_of_a_run_that_was_left_does_not_move_another(viewer, cine, tmp_path, qtbot, monkeypatch):
    left = Event()

    def search(frames):
        left.wait(20)
        return 7

    monkeypatch.setattr(_reader, "fullest_frame", search)
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    tifffile.imwrite(tmp_path / "run.tif", cine)
    other = viewer.add_image(cine, name="other")
    (layer,) = viewer.open(tmp_path / "run.tif", plugin=READER)
    next_turn(qtbot)
    viewer.layers.selection.active = other
    viewer.dims.set_current_step(0, 2)
    left.set()
    qtbot.waitUntil(lambda: facts(layer).fullest_frame is not None)
    assert current_index(viewer, other) == 2
    bench.session.angiogram = layer
    assert bench.session.index == 7


def test_a_run_plays_at_its_own_speed(viewer, cine):
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")

    def fps():
        return viewer.window._qt_viewer.dims.slider_widgets[0].fps

    runs = {
        time_ms: viewer.add_image(cine, metadata={KEY: AngiogramFacts(frame_time_ms=time_ms)})
        for time_ms in (66.7, 133.3, None)
    }
    # One whose file tells no time is not played at the speed of the one before.
    for time_ms, rate in ((66.7, 15), (None, 10), (133.3, 7.5)):
        bench.session.angiogram = runs[time_ms]
        assert fps() == rate


def test_it_stays_where_the_person_has_gone_meanwhile(viewer, cine, tmp_path, qtbot, monkeypatch):
    moved = Event()

    def search(frames):
        moved.wait(20)
        return 7

    monkeypatch.setattr(_reader, "fullest_frame", search)
    tifffile.imwrite(tmp_path / "run.tif", cine)
    (layer,) = viewer.open(tmp_path / "run.tif", plugin=READER)
    next_turn(qtbot)  # in which the place where it opened is noted
    viewer.dims.set_current_step(0, 2)
    moved.set()
    assert fullest(viewer, qtbot) == 7
    assert current_index(viewer, layer) == 2


def test_dicom_keeps_its_window_and_tells_no_name(viewer, tmp_path, qtbot):
    frames = np.full((3, 32, 32), 900, np.uint16)
    path = write_dicom(
        tmp_path / "DOE_JOHN",
        frames,
        WindowCenter=1000,
        WindowWidth=401,
        FrameTime=66.7,
        PositionerPrimaryAngle=-30,
        PositionerSecondaryAngle=20.2,
        PatientName="DOE^JOHN",
    )
    (layer,) = viewer.open(path, plugin=READER)
    assert layer.name == "XA RAO 30 CRA 20"
    assert layer.contrast_limits == [799.5, 1199.5]
    frames[:, 0, :2] = 10, 4000
    path = write_dicom(tmp_path / "again", frames, WindowCenter=1000, WindowWidth=401)
    (again,) = viewer.open(path, plugin=READER)
    qtbot.waitUntil(lambda: again.contrast_limits_range == [10, 4000])  # the person can widen it
    assert again.contrast_limits == [799.5, 1199.5]
    assert facts(layer).frame_time_ms == pytest.approx(66.7)
    assert facts(layer).angles == (-30, pytest.approx(20.2))
    assert facts(layer).window == (1000, 401)


@pytest.mark.parametrize(
    ("angles", "words"),
    [
        (None, []),
        ((0.2, -0.3), ["AP"]),
        ((0, 25), ["AP", "CRA 25"]),
        ((90, 0), ["LAO 90"]),
        ((-5, -5), ["RAO 5", "CAU 5"]),
    ],
)
def test_angles_are_said_as_people_say_them(angles, words):
    assert _reader.angulation(angles) == words


def test_a_narrow_image_is_no_colour_image(model, tmp_path):
    write_png(tmp_path / "narrow.png", np.zeros((40, 3), np.uint8))
    (layer,) = model.open(tmp_path / "narrow.png", plugin=READER)
    assert not layer.rgb
    assert layer.data.shape == (40, 3)


def test_a_folder_gives_a_layer_for_each_file(model, still, tmp_path):
    for name in ("2.png", "10.png"):
        write_png(tmp_path / "frames" / name, still)
    model.open(tmp_path / "frames", plugin=READER)
    assert [layer.name for layer in model.layers] == ["2", "10"]


def test_single_frames_can_be_stacked(model, cine, tmp_path):
    paths = []
    for index, frame in enumerate(cine):
        paths.append(tmp_path / f"{index}.png")
        write_png(paths[-1], frame)
    (layer,) = model.open(paths, stack=True, plugin=READER)
    np.testing.assert_array_equal(np.asarray(layer.data), cine)


def single_frames(folder, cine, *headers):
    """A DICOM file of one frame for each header."""
    alike = {
        "ImagerPixelSpacing": [0.3, 0.3],
        "PixelSpacing": [0.2, 0.2],
        "PixelSpacingCalibrationType": "FIDUCIAL",
        "FrameTime": 66.7,
        "PositionerPrimaryAngle": -30,
        "PositionerSecondaryAngle": 20,
        "WindowCenter": 128,
        "WindowWidth": 200,
    }
    return [
        str(write_dicom(folder / f"{i}.dcm", frame[None], **(alike | header)))
        for i, (frame, header) in enumerate(zip(cine, headers, strict=False))
    ]


def test_a_stack_of_files_is_known_by_what_they_say_alike(cine, tmp_path, notifications):
    paths = single_frames(tmp_path, cine, {}, {}, {})
    [(data, how, _)] = _reader.read(paths)
    known, one = how["metadata"][KEY], read_angiogram(paths[1])
    assert data.shape == (3, 256, 256)
    assert known.calibration == one.calibration is not None
    assert known.spacing == (0.3, 0.3)
    assert known.frame_time_ms == pytest.approx(66.7)
    assert (known.angles, known.window) == ((-30, 20), (128, 200))
    assert how["name"] == "XA RAO 30 CRA 20"
    assert notifications == []


def test_where_the_files_of_a_stack_differ_it_is_said_and_not_taken_from_one(cine, tmp_path, notifications):
    paths = single_frames(tmp_path, cine, {}, {"PixelSpacing": [0.25, 0.25], "PositionerPrimaryAngle": 10}, {})
    [(_, how, _)] = _reader.read(paths)
    known = how["metadata"][KEY]
    assert (known.calibration, known.angles, how["name"]) == (None, None, "XA")
    assert (known.spacing, known.window) == ((0.3, 0.3), (128, 200))  # in which they do not differ
    (told,) = notifications
    assert "without the size of its pixels, the angles of the C-arm: there they differ" in told.message


def test_a_file_that_is_not_ours_is_refused_before_reading(tmp_path):
    (tmp_path / "README").write_text("no angiogram")
    assert _reader.get_reader(str(tmp_path / "README")) is None


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n cut", b"not an image at all" * 20])
def test_a_broken_file_is_a_sentence(content, model, tmp_path, notifications):
    (tmp_path / "broken.png").write_bytes(content)
    model.open(tmp_path / "broken.png", plugin=READER)
    assert not model.layers
    (note,) = notifications
    assert "broken.png" in note.message


def test_what_can_be_read_of_a_folder_is_opened(model, still, tmp_path, notifications):
    write_png(tmp_path / "frames" / "good.png", still)
    (tmp_path / "frames" / "bad.tif").write_bytes(b"II*\0")
    model.open(tmp_path / "frames", plugin=READER)
    assert [layer.name for layer in model.layers] == ["good"]
    assert len(notifications) == 1


def test_a_folder_of_two_thousand_opens_as_a_queue(model, tmp_path, qtbot, monkeypatch):
    """Nothing is opened before it is shown."""
    write_png(tmp_path / "many" / "0000.png", np.arange(4096, dtype=np.uint8).reshape(64, 64))
    for index in range(1, 2000):
        os.link(tmp_path / "many" / "0000.png", tmp_path / "many" / f"{index:04}.png")
    read = []

    def counted(path, *more):
        read.append(Path(path).name)
        return read_angiogram(path, *more)

    monkeypatch.setattr(_reader, "read_angiogram", counted)
    monkeypatch.setattr(sources, "read_angiogram", counted)
    monkeypatch.setattr(opening, "viewers", lambda: [model])
    walk = LabellingDesk.of(model).navigator
    model.open(tmp_path / "many", plugin=READER)
    qtbot.waitUntil(lambda: len(walk.queue.sources) == 2000 and not walk.message, timeout=60_000)
    assert (walk.place, [layer.name for layer in model.layers]) == ((0, 0), ["0000"])
    assert set(read) == {"0000.png"}
    walk.next()
    qtbot.waitUntil(lambda: walk.place == (1, 0), timeout=60_000)
    assert set(read) == {"0000.png", "0001.png"}


def test_without_a_workbench_a_large_folder_says_what_to_do(model, tmp_path, qtbot, notifications, monkeypatch):
    monkeypatch.setattr(opening, "viewers", lambda: [model])
    monkeypatch.setattr(_reader, "MOST_FILES", 2)
    for index in range(3):
        write_png(tmp_path / "many" / f"{index}.png", np.zeros((8, 8), np.uint8))
    model.open(tmp_path / "many", plugin=READER)
    assert [layer.name for layer in model.layers] == ["0"]
    qtbot.waitUntil(lambda: bool(notifications))
    assert "holds 3 angiograms" in notifications.pop().message


def test_a_damaged_frame_is_black_and_told_once(model, cine, tmp_path, notifications, monkeypatch):
    tifffile.imwrite(tmp_path / "run.tif", cine)
    good = read_angiogram(tmp_path / "run.tif")

    def failing(index):
        if index == 2:
            raise ValueError
        return good.frames[index]

    frames = Frames(failing, good.frames.shape, good.frames.dtype, good.source)
    monkeypatch.setattr(_reader, "read_angiogram", lambda path: Angiogram(frames, good.source))
    (layer,) = model.open(tmp_path / "run.tif", plugin=READER)
    for step in (2, 3, 2):
        model.dims.set_current_step(0, step)
    assert not layer.data[2].any()
    (note,) = notifications
    assert "Frame 2" in note.message
    for work in (grey, stored):  # black for the eye alone: nothing is found in it, and it is not kept
        with pytest.raises(InputError, match="Frame 2"):
            work(layer, 2)
        np.testing.assert_array_equal(work(layer, 3), cine[3])


def test_two_windows_open_each_their_own(make_napari_viewer, cine, tmp_path, qtbot):
    tifffile.imwrite(tmp_path / "run.tif", cine)
    viewers = [make_napari_viewer(), make_napari_viewer()]
    for viewer in viewers:
        viewer.open(tmp_path / "run.tif", plugin=READER)
    qtbot.waitUntil(
        lambda: all(facts(viewer.layers[0]).fullest_frame is not None for viewer in viewers), timeout=10_000
    )
