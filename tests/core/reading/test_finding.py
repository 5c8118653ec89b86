"""Which files of a folder are frames: links, label sets, masks beside images, pipes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from tests.core.reading.files import (
    cine,
    write_dicom,
)
from vasomim_core.errors import InputError
from vasomim_core.files import write_png
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.reading import find_angiograms

FRAME = np.zeros((8, 9), np.uint8)


def found(folder: Path, **options: str) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_angiograms(folder, **options)]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_linked_folders_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    top, other = tmp_path / "top", tmp_path / "other"
    for path in (top / "a" / "1.png", top / "m" / "2.png", other / "x" / "3.png"):
        write_png(path, FRAME)
    (top / "0-link-within").symlink_to(top / "m")
    (top / "link").symlink_to(other)
    (top / "link-again").symlink_to(other / "x")
    (top / "a" / "loop").symlink_to(top)
    (top / "up").symlink_to(tmp_path)
    (other / "back").symlink_to(top / "a")
    (top / "dangling").symlink_to(tmp_path / "nowhere")
    assert found(top) == ["a/1.png", "link/x/3.png", "m/2.png"]


def test_of_a_label_set_the_frames_are_taken(tmp_path: Path) -> None:
    labels = LabelSet.create(tmp_path / "sets" / "labels", "x")
    record = labels.add(FRAME, FRAME > 0)
    labels.update_mask(record.id, FRAME == 0, "b")
    write_png(tmp_path / "sets" / "1.png", FRAME)
    assert found(labels.folder) == [f"frames/{record.id}.png"]
    assert found(tmp_path / "sets") == ["1.png", f"labels/frames/{record.id}.png"]


@pytest.mark.parametrize("masks", ["masks", "masks-alpha"])
def test_masks_beside_images_are_no_angiograms(tmp_path: Path, masks: str) -> None:
    for part in ("images", masks):
        write_png(tmp_path / "set" / part / "1.png", FRAME)
    assert found(tmp_path) == ["set/images/1.png"]
    assert found(tmp_path / "set" / masks) == ["1.png"]  # asked for by name


def test_one_kind_of_file_can_be_chosen(tmp_path: Path) -> None:
    for name in ("1.png", "1.jpg", "2.PNG", "2.jpg"):
        (tmp_path / name).write_bytes(b"x")
    assert found(tmp_path, suffix=".png") == found(tmp_path, suffix="PNG") == ["1.png", "2.PNG"]
    with pytest.raises(InputError, match=r"\.tif"):
        find_angiograms(tmp_path, suffix=".tif")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.timeout(20)
def test_a_named_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    write_png(tmp_path / "1.png", FRAME)
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "IM_0001.dcm")
    assert found(tmp_path) == ["1.png", "IM_0001.dcm"]  # which reading refuses by name
    with pytest.raises(InputError, match="pipe"):
        find_angiograms(tmp_path / "pipe")


def test_find_angiograms(tmp_path: Path) -> None:
    for name in (
        "10.png",
        "2.png",
        "b/1.TIF",
        "a10/1.npy",
        "a9/1.jpg",
        ".hidden.png",
        ".cache/1.png",
        "notes.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    write_dicom(tmp_path / "IM0", cine())
    write_dicom(tmp_path / "DICOMDIR", cine())
    found = [p.relative_to(tmp_path).as_posix() for p in find_angiograms(tmp_path)]
    assert found == ["2.png", "10.png", "a9/1.jpg", "a10/1.npy", "b/1.TIF", "IM0"]
    assert find_angiograms(str(tmp_path / "2.png")) == [tmp_path / "2.png"]
    for wrong in (tmp_path / "notes.txt", tmp_path / "none", tmp_path / ".git"):
        with pytest.raises(InputError, match=re.escape(str(wrong))):
            find_angiograms(wrong)
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError, match="no angiogram"):
        find_angiograms(tmp_path / "void")
