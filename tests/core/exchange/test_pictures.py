"""Frames and runs with their masks over them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageSequence

from tests.core.exchange.conftest import THREE, drawn
from tests.core.labels.made import frame
from tests.core.reading.files import write_dicom
from vasomim_core.errors import ConfigError, LabelError
from vasomim_core.exchange.films import durations
from vasomim_core.exchange.formats import hand_over, labelled
from vasomim_core.exchange.pictures import Style, picture
from vasomim_core.figures import overlay
from vasomim_core.labels.class_list import write_classes
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.labels.sources import LabelledFolder

SHAPE = (33, 48)
"""Odd, which the codec of MP4 cannot be."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Five frames that go from dark to bright, 12.5 a second, of a patient with a name."""
    frames = np.stack([np.full(SHAPE, 40 * place, np.uint8) for place in range(5)])
    return write_dicom(tmp_path / "Doe^Jane.dcm", frames, FrameTime="80")


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> LabelledFolder:
    """Its masks, of three classes in a square each that moves down."""
    masks = np.zeros((5, *SHAPE), np.uint8)
    for place in range(5):
        for column, one in enumerate(THREE):
            masks[place, 4 * place : 4 * place + 12, 14 * column : 14 * column + 12] = one.value
    (tmp_path / "masks").mkdir()
    tifffile.imwrite(tmp_path / "masks" / "Doe^Jane.tif", masks, photometric="minisblack")
    write_classes(tmp_path / "masks" / "classes.json", THREE)
    return labelled(tmp_path / "masks" / "Doe^Jane.tif", images=run)


def exact(folder: LabelledFolder, place: int) -> np.ndarray:
    return picture(np.full(SHAPE, 40 * place, np.uint8), folder.sources()[0].masks().class_mask(place), THREE)


def test_classes_have_their_colours() -> None:
    grey, mask = frame(0), drawn(0)
    shown = picture(grey, mask, THREE)
    for one in THREE:
        np.testing.assert_array_equal(
            shown[mask == one.value], overlay(grey, mask == one.value, one.rgb)[mask == one.value]
        )
    np.testing.assert_array_equal(shown[mask == 0], np.repeat(grey[mask == 0][:, None], 3, axis=1))


def test_an_outline_leaves_the_inside_to_be_seen() -> None:
    grey, mask = np.full((20, 20), 90, np.uint8), np.zeros((20, 20), np.uint8)
    mask[5:12, 5:12], mask[5:12, 12:15] = 1, 7
    shown = picture(grey, mask, THREE, outline=True)
    assert (shown[8, 8] == 90).all()
    assert tuple(shown[5, 8]) == THREE[0].rgb
    assert tuple(shown[8, 11]) == THREE[0].rgb
    assert tuple(shown[8, 12]) == THREE[2].rgb
    assert (shown[0, 0] == 90).all()


def test_one_frame_of_a_run(folder: LabelledFolder, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="one frame of 5"):
        hand_over(folder, "png", tmp_path / "one.png")
    hand_over(folder, "png", tmp_path / "one.png", style=Style(frame=2))
    shown = np.asarray(Image.open(tmp_path / "one.png"))
    np.testing.assert_array_equal(
        shown, picture(np.full(SHAPE, 80, np.uint8), folder.sources()[0].masks().class_mask(2), THREE)
    )
    with pytest.raises(LabelError, match="there already"):
        hand_over(folder, "png", tmp_path / "one.png", style=Style(frame=2))
    with pytest.raises(ConfigError, match=r"frame 5 .* has no mask"):
        hand_over(folder, "png", tmp_path / "other.png", style=Style(frame=5))


def test_all_frames_go_without_the_name_of_their_file(folder: LabelledFolder, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    written = hand_over(folder, "png", tmp_path / "all", lambda *step: told.append(step))
    assert (written.frames, told) == (5, [(n, 5) for n in range(1, 6)])
    assert {path.stem for path in (tmp_path / "all").iterdir()} == set(written.names)
    hand_over(folder, "tiff", tmp_path / "stack")
    (stack,) = (tmp_path / "stack").iterdir()
    assert stack.stem in written.names
    with tifffile.TiffFile(stack) as file:
        pages = [page.asarray() for page in file.pages]
    for name, page in zip(written.names, pages, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "all" / f"{name}.png")), page)


def test_pictures_of_a_label_set_are_called_like_its_frames(labels: LabelSet, tmp_path: Path) -> None:
    written = hand_over(labelled(labels.folder), "png", tmp_path / "out")
    assert set(written.names) == {record.id for record in labels.records("accepted")}
    with pytest.raises(LabelError, match="6 angiograms"):
        hand_over(labelled(labels.folder), "png", tmp_path / "one.png")


def test_a_film_has_the_frames_the_rate_and_the_colours_of_the_run(folder: LabelledFolder, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    written = hand_over(folder, "mp4", tmp_path / "run.mp4", lambda *step: told.append(step))
    assert (written.frames, written.notes, told[-1]) == (5, (), (5, 5))
    film = cv2.VideoCapture(str(tmp_path / "run.mp4"))
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5, abs=0.01)
    shown = []
    while (read := film.read())[0]:
        shown.append(read[1][..., ::-1])
    film.release()
    assert [one.shape for one in shown] == [(34, 48, 3)] * 5
    for place, one in enumerate(shown):
        assert np.abs(one[: SHAPE[0]].astype(int) - exact(folder, place).astype(int)).mean() < 8
        assert int(one[32, 47].mean()) == pytest.approx(40 * place, abs=8)


def test_a_gif_has_them_too(folder: LabelledFolder, tmp_path: Path) -> None:
    hand_over(folder, "gif", tmp_path / "run.gif")
    with Image.open(tmp_path / "run.gif") as film:
        assert film.info["loop"] == 0
        shown, pauses = [], []
        for one in ImageSequence.Iterator(film):
            pauses.append(one.info["duration"])
            shown.append(np.asarray(one.convert("RGB")))
    assert pauses == [80] * 5
    for place, one in enumerate(shown):
        assert np.abs(one.astype(int) - exact(folder, place).astype(int)).max() <= 4


def test_the_pauses_of_a_gif_add_up() -> None:
    assert sum(durations(30, 15.0)) == 2000
    assert set(durations(30, 15.0)) == {60, 70}
    assert durations(3, 100.0) == [20, 20, 20]


def test_another_rate_and_a_run_that_tells_none(folder: LabelledFolder, tmp_path: Path) -> None:
    hand_over(folder, "gif", tmp_path / "slow.gif", style=Style(rate=5))
    with Image.open(tmp_path / "slow.gif") as film:
        assert film.info["duration"] == 200
    silent = write_dicom(tmp_path / "silent.dcm", np.zeros((5, *SHAPE), np.uint8))
    written = hand_over(labelled(tmp_path / "masks" / "Doe^Jane.tif", images=silent), "gif", tmp_path / "guess")
    assert any("1 run tells no frame rate" in note for note in written.notes)
    with pytest.raises(ConfigError, match="the rate is 0"):
        hand_over(folder, "mp4", tmp_path / "no.mp4", style=Style(rate=0))
    with pytest.raises(ConfigError, match="all frames"):
        hand_over(folder, "mp4", tmp_path / "no.mp4", style=Style(frame=1))


def test_a_film_shows_frames_without_a_label_too(run: Path, tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "set", "x", THREE)
    labels.add(np.full(SHAPE, 80, np.uint8), np.full(SHAPE, 1, np.uint8), frame_index=2)
    written = hand_over(labelled(labels.folder, images=run), "gif", tmp_path / "run.gif")
    assert written.frames == 5
    with Image.open(tmp_path / "run.gif") as film:
        shown = [np.asarray(one.convert("RGB")).astype(int) for one in ImageSequence.Iterator(film)]
    assert [bool(np.ptp(one[5, 5]) > 20) for one in shown] == [False, False, True, False, False]
    with pytest.raises(LabelError, match="single frame"):
        hand_over(labelled(labels.folder), "mp4", tmp_path / "no.mp4")
    assert not (tmp_path / "no.mp4").exists()
