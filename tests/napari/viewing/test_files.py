"""What a person opens: files, folders, discs; stills as one run or single; what cannot be read is told."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_vasomim.canvas.layers import facts
from napari_vasomim.session import Session
from napari_vasomim.viewing import files
from napari_vasomim.viewing.files import Opener, as_layers, look_through
from napari_vasomim.widgets.open_files import OpenAndChoose
from tests.core.reading.files import NAMING, write_dicom
from vasomim_core.files import write_png

from ..mouse import next_turn

pytestmark = pytest.mark.once


def quiet(done, total):
    pass


@pytest.fixture
def stills(tmp_path, cine):
    for number, frame in enumerate(cine):
        write_png(tmp_path / "stills" / f"{number}.png", frame)
    return tmp_path / "stills"


@pytest.fixture
def opened(qtbot, monkeypatch):
    """A viewer with *Open…*; the answers to its question are taken from a list."""
    viewer, answers = ViewerModel(), []
    head = OpenAndChoose(Session.of(viewer))
    qtbot.addWidget(head)
    monkeypatch.setattr(Opener, "_are_one_run", lambda self, found: answers.pop(0))

    def open_paths(*paths, answer=None):
        answers[:] = [answer]
        head.opener.open(paths)
        qtbot.waitUntil(lambda: not head.opener.work.busy, timeout=20_000)

    open_paths.viewer, open_paths.head = viewer, head
    return open_paths


def test_a_file_a_run_and_a_still(opened, tmp_path, cine, still):
    tifffile.imwrite(tmp_path / "run.tif", cine)
    write_png(tmp_path / "still.png", still)
    opened(tmp_path / "run.tif", tmp_path / "still.png")
    run, single = opened.viewer.layers
    assert (run.name, single.name) == ("run", "still")
    assert run.data.shape == cine.shape
    np.testing.assert_array_equal(single.data, still)
    assert Session.of(opened.viewer).angiogram is run  # the first of what is new
    assert facts(run).path == tmp_path / "run.tif"


def test_stills_of_one_size_are_one_run_if_a_person_says_so(opened, stills, cine):
    opened(stills, answer=True)
    (run,) = opened.viewer.layers
    np.testing.assert_array_equal(np.asarray(run.data), cine)
    opened(stills, answer=None)  # cancelled
    assert len(opened.viewer.layers) == 1


def test_a_still_that_is_open_does_not_stand_for_the_run_that_begins_with_it(viewer, stills, qtbot, monkeypatch):
    monkeypatch.setattr(Opener, "_are_one_run", lambda self, found: True)
    head = OpenAndChoose(Session.of(viewer))
    qtbot.addWidget(head)
    for given in (stills / "0.png", stills, stills / "0.png"):
        head.opener.open([given])
        qtbot.waitUntil(lambda: not head.opener.work.busy, timeout=20_000)
        next_turn(qtbot)
    assert [layer.data.shape[:-2] for layer in viewer.layers] == [(), (8,)]


def test_or_they_are_single(opened, stills, cine, notifications, monkeypatch):
    monkeypatch.setattr(files, "MOST_FILES", 3)
    opened(*sorted(stills.iterdir()), answer=False)
    assert [layer.name for layer in opened.viewer.layers] == ["0", "1", "2"]
    np.testing.assert_array_equal(opened.viewer.layers[2].data, cine[2])
    assert "Not opened: 5 further files" in notifications.pop().message


def test_the_question_says_how_many_and_how_large(qtbot, stills, monkeypatch):
    asked = []
    monkeypatch.setattr(QMessageBox, "exec_", lambda box: asked.append(box.text()))
    viewer = ViewerModel()
    head = OpenAndChoose(Session.of(viewer))
    qtbot.addWidget(head)
    head.opener.open([stills])
    qtbot.waitUntil(lambda: bool(asked))
    assert "8 stills of 256 × 256" in asked[0]
    assert not head.opener.work.busy  # no button was pressed: nothing is opened


def test_what_cannot_be_read_is_told_by_name(opened, tmp_path, cine, notifications):
    folder = tmp_path / "mixed"
    for number in (1, 2):
        (folder / str(number)).mkdir(parents=True)
        tifffile.imwrite(folder / str(number) / "run.tif", cine)
        (folder / f"bad{number}.png").write_bytes(b"no picture")
    opened(folder, tmp_path / "nowhere.dcm")
    assert len(opened.viewer.layers) == 2
    said = notifications.pop().message
    assert said.startswith("3 files could not be opened")
    assert all(name in said for name in ("bad1.png", "bad2.png", "nowhere.dcm"))
    assert not notifications
    opened(folder / "bad1.png")
    assert "bad1.png" in notifications.pop().message


def test_a_disc_is_opened_by_its_table_of_contents(opened, tmp_path, cine, notifications):
    from pydicom import Dataset, dcmread

    disc = tmp_path / "disc"
    disc.mkdir()
    for name, angle in (("RUN1", 30), ("RUN2", -20)):
        write_dicom(disc / name, cine, PositionerPrimaryAngle=angle, PositionerSecondaryAngle=0, FrameTime=66.7)
    table = dcmread(write_dicom(disc / "DICOMDIR", cine[:1]))
    table.DirectoryRecordSequence = []
    for name in ("RUN1", "RUN2", "RUN3"):
        record = Dataset()
        record.DirectoryRecordType, record.ReferencedFileID, record.PatientName = "IMAGE", name, "Doeling^Janette"
        table.DirectoryRecordSequence.append(record)
    table.save_as(disc / "DICOMDIR")
    opened(disc / "DICOMDIR")
    assert [layer.name for layer in opened.viewer.layers] == ["XA LAO 30", "XA RAO 20"]
    said = notifications.pop().message
    assert "RUN3 is listed on this disc, but is not there" in said
    assert not any(value in said for value in NAMING.values())
    model = ViewerModel()
    model.open(disc / "DICOMDIR", plugin="napari-vasomim")  # as when it is dropped onto the window
    assert len(model.layers) == 2


def test_few_are_opened_at_once_and_the_rest_is_counted(tmp_path, cine, monkeypatch):
    monkeypatch.setattr(files, "MOST_FILES", 2)
    for number in range(4):
        tifffile.imwrite(tmp_path / f"{number}.tif", cine[:, : 40 + number])
    (tmp_path / "00.png").write_bytes(b"no picture")
    found = look_through(sorted(tmp_path.iterdir()), quiet)
    assert (len(found.angiograms), len(found.refused), found.left, found.alike) == (2, 1, 2, False)
    read, told = as_layers(found, False, quiet)
    assert (len(read), told.left, told.queue) == (2, 2, None)


@pytest.mark.parametrize("alike", [False, True])
def test_a_folder_of_more_is_a_queue(opened, tmp_path, cine, monkeypatch, notifications, alike):
    """As when it is dropped onto the window: its first angiogram is shown, the others come one by one."""
    monkeypatch.setattr(files, "MOST_FILES", 2)
    for number in range(4):
        write_png(tmp_path / f"{number}.png", cine[0, : 40 if alike else 40 + number])
    asked = []
    Session.of(opened.viewer).canvas.folder_opened.connect(asked.append)
    opened(tmp_path, answer=False)
    assert [layer.name for layer in opened.viewer.layers] == ["0"]
    assert asked == [tmp_path]
    assert not notifications


def test_many_stills_are_not_kept_in_memory(cine, stills, monkeypatch):
    found = look_through([stills], quiet)
    assert found.alike
    first = found.angiograms[0].frames
    assert first.from_file
    np.testing.assert_array_equal(first[0], cine[0])
    write_png(stills / "8.png", cine[0, :99])  # of another size: no run any more
    monkeypatch.setattr(files, "MOST_FILES", 3)
    found = look_through([stills], quiet)
    assert (found.alike, len(found.angiograms), found.left) == (False, 3, 6)


def test_the_dialogs(opened, qtbot, tmp_path, cine, monkeypatch):
    tifffile.imwrite(tmp_path / "run.tif", cine)
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *a, **k: ([str(tmp_path / "run.tif")], ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: "")
    opened.head.choose_folder()
    assert not opened.head.opener.work.busy  # cancelled
    opened.head.choose_files()
    qtbot.waitUntil(lambda: len(opened.viewer.layers) == 1)
