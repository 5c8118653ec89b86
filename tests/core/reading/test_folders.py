"""The way through many files: what is known of how many frames there are, while more turn up."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from vasomim_core.errors import InputError
from vasomim_core.files import write_masks, write_png
from vasomim_core.reading.folders import each_angiogram

FRAME = np.random.default_rng(0).integers(60, 200, (32, 32), np.uint8)


def dark(greys, count, target):
    return write_masks(target, (grey < 100 for grey in greys), count)


@pytest.fixture
def folder(tmp_path):
    write_png(tmp_path / "in" / "1.png", FRAME)
    tifffile.imwrite(tmp_path / "in" / "2.tif", np.stack([FRAME] * 3), photometric="minisblack")
    (tmp_path / "in" / "3.png").write_bytes(b"no picture")
    write_png(tmp_path / "in" / "4.png", 255 - FRAME)
    return tmp_path / "in"


def test_each_frame_passes_once_and_is_counted(folder, tmp_path):
    told = []
    done = each_angiogram(folder, tmp_path / "out", dark, progress=lambda *frames: told.append(frames))
    assert [path.name for path in done.written] == ["1.png", "2.tif", "4.png"]
    assert (done.frames, done.notes, len(done.failed)) == (5, (), 1)
    assert told == [(1, 4), (2, 6), (3, 6), (4, 6), (5, 5)]
    np.testing.assert_array_equal(tifffile.imread(done.written[1]), np.stack([(FRAME < 100) * np.uint8(255)] * 3))


def test_strict_ends_at_the_first_and_keeps_what_was_done(folder, tmp_path):
    with pytest.raises(InputError, match=r"3\.png"):
        each_angiogram([folder], tmp_path / "out", dark, strict=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.png", "2.tif"]
