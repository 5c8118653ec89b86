from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from vasomim_core.cli import run
from vasomim_core.files import write_png
from vasomim_core.following import steady
from vasomim_core.models.catalogue import Card
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.unext import UNeXt
from vasomim_core.synthetic import SyntheticCine, synthesize_cine


@pytest.fixture(scope="module")
def cine() -> SyntheticCine:
    return synthesize_cine(3, frames=4, frame_time_ms=400, side="left", size=96)


@pytest.fixture
def folder(tmp_path: Path, cine: SyntheticCine) -> Path:
    for part, pages in (("run", cine.frames), ("masks", cine.masks.astype(np.uint8) * 255)):
        (tmp_path / part).mkdir()
        tifffile.imwrite(tmp_path / part / "x.tif", pages, photometric="minisblack")
    write_png(tmp_path / "3.png", cine.masks[3].astype(np.uint8) * 255)
    return tmp_path


def follow(capsys, folder: Path, *anchors: str, more: tuple = ()) -> tuple[int, str, str]:
    given = [word for one in anchors for word in ("--anchor", one)]
    code = run(["follow", str(folder / "run" / "x.tif"), *given, "--output", str(folder / "out"), *map(str, more)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_page_for_every_frame_and_a_line_of_trust(folder, capsys, cine):
    code, out, err = follow(
        capsys, folder, f"3={folder / '3.png'}", f"1={folder / 'masks' / 'x.tif'}", more=("--json",)
    )
    assert code == 0, err
    pages = tifffile.imread(folder / "out" / "x.tif")
    assert (pages.shape, pages.dtype) == ((4, 96, 96), np.uint8)
    assert set(np.unique(pages)) <= {0, 255}
    for index in (1, 3):
        np.testing.assert_array_equal(pages[index] > 0, cine.masks[index])
    with open(folder / "out" / "x_trust.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["anchor"] for row in rows] == ["0", "1", "0", "1"]
    told = json.loads(out)
    assert [one["trust"] for one in told["frames"]] == [float(row["trust"]) for row in rows]
    assert told["model"] is None


def test_a_model_is_asked_about_every_frame(folder, capsys):
    save_checkpoint(folder / "m.safetensors", UNeXt().state_dict(), Card("segmentation model", "unext"))
    more = ("--model", folder / "m.safetensors", "--device", "cpu")
    code, out, err = follow(capsys, folder, f"3={folder / '3.png'}", more=more)
    assert code == 0, err
    assert "4 frames followed from 1 by m" in out


def test_class_values_stay_as_they_are(folder, capsys, cine):
    mask = cine.masks[3].astype(np.uint8) * 2
    mask[:48] *= 2
    write_png(folder / "classes.png", mask)
    code, _, err = follow(capsys, folder, f"3={folder / 'classes.png'}")
    assert code == 0, err
    pages = tifffile.imread(folder / "out" / "x.tif")
    assert set(np.unique(pages)) == {0, 2, 4}
    code, _, err = follow(capsys, folder, f"3={folder / 'classes.png'}", f"2={folder / 'masks' / 'x.tif'}")
    assert code == 1
    assert "in one way" in err


def test_bad_anchors_are_one_sentence(folder, capsys, cine):
    write_png(folder / "small.png", np.full((48, 96), 255, np.uint8))
    write_png(folder / "grey.png", cine.frames[3])
    write_png(folder / "empty.png", np.zeros((96, 96), np.uint8))
    tifffile.imwrite(folder / "two.tif", cine.masks[2:].astype(np.uint8), photometric="minisblack")
    good = f"3={folder / '3.png'}"
    for given, said in (
        ((f"4={folder / '3.png'}",), "has the frames 0 to 3"),
        ((f"-1={folder / '3.png'}",), "not INDEX=MASK"),
        ((str(folder / "3.png"),), "not INDEX=MASK"),
        ((good, f"3={folder / 'masks' / 'x.tif'}"), "two anchors"),
        ((f"3={folder / 'small.png'}",), "48×96"),
        ((f"3={folder / 'grey.png'}",), "grey levels"),
        ((f"3={folder / 'empty.png'}",), "frame 3 has no vessel"),
        ((f"3={folder / 'two.tif'}",), "2 pages"),
        ((f"3={folder / 'none.png'}",), "none.png"),
        ((), "at least one"),
    ):
        code, _, err = follow(capsys, folder, *given)
        assert (code, said in err, "Traceback" in err, err.count("\n")) == (1, True, False, 1), (given, err)
    assert not (folder / "out").exists() or not list((folder / "out").iterdir())


def test_neither_the_run_nor_a_mask_is_written_over(folder, capsys):
    for place in ("run", "masks"):
        command = ["follow", folder / "run" / "x.tif", "--anchor", f"3={folder / 'masks' / 'x.tif'}", "--output"]
        assert run([*map(str, command), str(folder / place)]) == 1
        assert "another output folder" in capsys.readouterr().err
    (folder / "run" / "x.tif").rename(folder / "run" / "x.tiff")
    command[1], command[3] = folder / "run" / "x.tiff", f"3={folder / '3.png'}"
    assert run([*map(str, command), str(folder / "run")]) == 1
    assert not (folder / "run" / "x.tif").exists()


def test_a_still_cannot_be_followed(folder, capsys):
    command = ["follow", folder / "3.png", "--anchor", f"0={folder / '3.png'}", "--output", folder / "out"]
    assert run(list(map(str, command))) == 1
    assert "has one frame" in capsys.readouterr().err


def test_segment_makes_a_run_steady_when_asked_to(folder, capsys, cine):
    save_checkpoint(folder / "m.safetensors", UNeXt().state_dict(), Card("segmentation model", "unext"))
    start = ["segment", folder / "run", "--model", folder / "m.safetensors", "--probability", "--device", "cpu"]
    found = {}
    for name, more in (("each", []), ("calm", ["--steady"])):
        assert run([*map(str, [*start, "--output", folder / name, *more])]) == 0, capsys.readouterr().err
        found[name] = tifffile.imread(folder / name / "x_probability.tif")
    expected = list(steady(zip(cine.frames, found["each"], strict=True)))
    np.testing.assert_allclose(found["calm"], expected, atol=1e-6)
    assert np.abs(found["calm"] - found["each"]).max() > 1e-4
