"""Many files: what cannot be read does not keep the rest from being done, and is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom import dcmread

from tests.core.reading.files import write_dicom
from vasomim_core.cli import run
from vasomim_core.files import write_png
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.models.catalogue import Card
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.unext import UNeXt
from vasomim_core.training.events import read_events

FRAME = np.random.default_rng(0).integers(60, 200, (64, 64), np.uint8)
PRETRAINING = (
    *("--epochs", 1, "--batch-size", 2, "--device", "cpu", "--precision", "fp32", "--consistency", 0),
    *("--encoder", "tiny", "--input-size", 64, "--patch-size", 16, "--decoder-width", 32, "--decoder-depth", 1),
    *("--decoder-heads", 2, "--sampler", "uniform", "--workers", 0),
)


def vasomim(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(list(map(str, arguments)))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A folder as it comes on a disc: two frames, a table of contents, a report, a cut file, a damaged run, a pipe."""
    folder = tmp_path / "disc"
    for name in ("1.png", "2.png"):
        write_png(folder / name, FRAME)
    report = dcmread(write_dicom(folder / "IM_REPORT", FRAME[None]))
    del report.PixelData
    report.save_as(folder / "IM_REPORT")
    report.save_as(folder / "DICOMDIR")
    (folder / "cut.png").write_bytes((folder / "1.png").read_bytes()[:400])
    tifffile.imwrite(folder / "run.tif", np.stack([FRAME] * 4), compression="zlib", photometric="minisblack")
    data = bytearray((folder / "run.tif").read_bytes())
    with tifffile.TiffFile(folder / "run.tif") as tif:
        data[tif.pages[2].dataoffsets[0]] ^= 0xFF
    (folder / "run.tif").write_bytes(data)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.png")
    return folder


BAD = {"IM_REPORT", "cut.png", "run.tif"} | ({"pipe.png"} if hasattr(os, "mkfifo") else set())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, UNeXt().state_dict(), Card("segmentation model", "unext"))
    return path


@pytest.mark.timeout(120)
@pytest.mark.parametrize("command", ["anatomy", "vesselness", "segment"])
def test_the_rest_is_done_and_failures_are_listed(command, disc, model, tmp_path, capsys):
    extra = ("--model", model) if command == "segment" else ()
    arguments = (command, disc, "--output", tmp_path / "out", *extra)
    code, out, err = vasomim(capsys, *arguments)
    assert code == 3, err
    suffix = ".tif" if command == "vesselness" else ".png"
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.*")) == [f"1{suffix}", f"2{suffix}"]
    lines = out.strip().splitlines()
    assert f"{len(BAD)} of {len(BAD) + 2} files could not be read:" in lines
    listed = lines[-len(BAD) :]
    assert {name for name in BAD if any(str(disc / name) in line for line in listed)} == BAD
    assert any("holds no image" in line for line in listed)
    code, out, _ = vasomim(capsys, *arguments, "--json")
    assert code == 3
    result = json.loads(out)
    assert (len(result["written"]), result["frames"], len(result["failed"])) == (2, 2, len(BAD))
    code, _, err = vasomim(capsys, *arguments, "--strict")
    assert code == 1
    assert any(name in err for name in BAD)


def test_a_folder_without_one_that_can_be_read_fails(tmp_path, capsys):
    for name in ("1.png", "2.png"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    code, _, err = vasomim(capsys, "anatomy", tmp_path / "in", "--output", tmp_path / "out")
    assert code == 1
    assert "the first of 2 files" in err


@pytest.mark.timeout(120)
def test_pretraining_leaves_out_what_cannot_be_read_and_says_so(disc, tmp_path, capsys):
    start = ("pretrain", "--data", disc, *PRETRAINING)
    code, out, err = vasomim(capsys, *start, "--run", tmp_path / "run")
    assert code == 3, err
    warnings = [e for e in read_events(tmp_path / "run") if e["event"] == "warning"]
    told = [e["message"] for e in warnings if e["left_out"]]
    assert {name for name in BAD if any(str(disc / name) in message for message in told)} == BAD
    assert any("Frame 2 of" in message for message in told)  # the other three of that run are learned from
    (begun,) = [e for e in read_events(tmp_path / "run") if e["event"] == "start"]
    assert begun["frames"] == 2 + 3
    assert all(message in out for message in told)
    code, _, err = vasomim(capsys, *start, "--run", tmp_path / "strict", "--strict")
    assert code == 1
    assert any(name in err for name in BAD)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    code, _, err = vasomim(capsys, "pretrain", "--data", tmp_path / "bad", *PRETRAINING, "--run", tmp_path / "none")
    assert code == 1
    assert "1.png" in err


def test_previews_beside_frames_have_a_way_out(tmp_path, capsys):
    for name in ("1.png", "1.jpg", "2.png", "2.jpg"):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(FRAME).save(tmp_path / "in" / name)
    start = ("anatomy", tmp_path / "in", "--output", tmp_path / "out")
    code, _, err = vasomim(capsys, *start)
    assert code == 1
    assert "take the other kind alone (suffix .png)" in err
    code, _, _ = vasomim(capsys, *start, "--suffix", ".png")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.png", "2.png"]
    code, out, _ = vasomim(capsys, "pretrain", "--data", tmp_path / "in", *PRETRAINING, "--run", tmp_path / "run")
    assert code == 0
    assert "suffix alone" in out


def test_of_a_label_set_the_frames_are_segmented(tmp_path, model, capsys):
    labels = LabelSet.create(tmp_path / "labels", "x")
    record = labels.add(FRAME, FRAME > 190)
    labels.update_mask(record.id, FRAME > 180, "b")
    code, out, _ = vasomim(capsys, "segment", labels.folder, "--model", model, "--output", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out)["frames"] == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{record.id}.png"]


def test_a_window_that_hides_the_picture_is_told(tmp_path, capsys):
    deep = FRAME.astype(np.uint16) * 9 + 800
    (tmp_path / "in").mkdir()
    write_dicom(tmp_path / "in" / "x.dcm", deep[None], WindowCenter=128, WindowWidth=256)
    write_png(tmp_path / "in" / "y.png", deep)
    code, out, _ = vasomim(capsys, "vesselness", tmp_path / "in", "--output", tmp_path / "out")
    assert code == 0
    assert "set aside" in out
    seen = [tifffile.imread(tmp_path / "out" / f"{name}.tif") for name in ("x", "y")]
    np.testing.assert_array_equal(*seen)
