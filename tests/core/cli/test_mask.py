"""`vasomim mask`: the arrays of the engine in files."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from vasomim_core.cli import run
from vasomim_core.files import write_png
from vasomim_core.inference.frame_masking import mask_frame
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models.catalogue import read_card
from vasomim_core.synthetic import synthesize


def vasomim(capsys, *arguments: object) -> dict:
    code = run([*map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return synthesize(3, size=160).frame[:, :130]


@pytest.fixture
def frame(tmp_path, grey):
    write_png(tmp_path / "in" / "x.png", grey)
    return tmp_path / "in" / "x.png"


def same(npz, result):
    with np.load(npz) as held:
        assert json.loads(str(held["settings"])) == result.settings()
        expected = result.arrays()
        assert set(held.files) == {*expected, "settings"}
        for name, array in expected.items():
            np.testing.assert_array_equal(held[name], array, err_msg=name)


def test_it_writes_what_the_engine_computes(frame, grey, tmp_path, capsys):
    options = ("--sampler", "top-k", "--mask-ratio", 0.75, "--beta-start", 0.2, "--beta-end", 0.9, "--epochs", 30)
    more = ("--input-size", 96, "--patch-size", 8, "--seed", 4, "--epoch", 12, "--anatomy", "as-released")
    told = vasomim(capsys, "mask", frame, "--output", tmp_path / "out", *options, *more)
    schedule = MaskingSchedule(96, 8, 0.75, "top-k", 0.2, 0.9, False, 30, 4)
    result = mask_frame(grey, schedule, 12, "as-released")
    same(tmp_path / "out" / "x.npz", result)
    assert (told["masked"], told["guided"]) == (result.mask.masked.sum(), result.mask.guided.sum())
    with open(tmp_path / "out" / "x.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 144
    for row in rows:
        at = int(row["row"]), int(row["column"])
        assert np.float32(row["f"]) == result.mask.f[at]
        assert row["masked"] == str(int(result.mask.masked[at]))
        assert np.float32(row["masking_ratio"]) == result.over_epochs.masking_ratio[at]
    with open(tmp_path / "out" / "x_curves.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(30))
    assert float(rows[-1]["beta"]) == pytest.approx(0.9)
    np.testing.assert_array_equal([np.float32(r["vessel_patches"]) for r in rows], result.over_epochs.vessel_patches)
    with Image.open(tmp_path / "out" / "x.png") as figure:
        assert figure.width > 1500


def test_a_model_gives_its_sizes_and_draws(frame, grey, tmp_path, capsys, pretrained):
    told = vasomim(capsys, "mask", frame, "--output", tmp_path / "out", "--model", pretrained, "--epochs", 5)
    schedule = MaskingSchedule(epochs=5).for_model(read_card(pretrained).options)
    assert (told["settings"]["input_size"], told["settings"]["model"]) == (64, "p")
    result = mask_frame(grey, schedule, 4, model=pretrained)
    same(tmp_path / "out" / "x.npz", result)
    assert told["l_rec"] == pytest.approx(result.reconstruction.l_rec)
    chosen = ("--input-size", 128, "--co-guidance")
    told = vasomim(capsys, "mask", frame, "--output", tmp_path / "out", "--model", pretrained, "--epochs", 5, *chosen)
    assert told["settings"]["input_size"] == 128


def test_a_run_is_asked_for_one_of_its_frames(grey, tmp_path, capsys):
    path = tmp_path / "in" / "run.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, np.stack([grey, grey[::-1]]), photometric="minisblack")
    vasomim(capsys, "mask", path, "--output", tmp_path / "out", "--index", 1, "--epochs", 2)
    same(tmp_path / "out" / "run_1.npz", mask_frame(np.ascontiguousarray(grey[::-1]), MaskingSchedule(epochs=2), 1))


def test_bright_vessels_are_masked_in_the_negative(frame, grey, tmp_path, capsys):
    write_png(tmp_path / "in" / "bright.png", 255 - grey)
    vasomim(capsys, "mask", tmp_path / "in" / "bright.png", "--output", tmp_path / "out", "--inverted", "--epochs", 2)
    same(tmp_path / "out" / "bright.npz", mask_frame(grey, MaskingSchedule(epochs=2), 1))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--index", 1), "--index is 1; give one from 0 to 0"),
        (("--epoch", 200), "epoch 200 of 200 does not exist"),
        (("--input-size", 100), "input_size is 100; give a multiple of 32 px"),
        (("--patch-size", 24), "does not divide into patches of 24 px"),
        (("--mask-ratio", 1.5), "mask_ratio is 1.5"),
        (("--co-guidance",), "choose a pretrained model"),
        (("--model", "vasomim-fast"), "is a segmentation model"),
        (("--model", "vasomim-encoder", "--patch-size", 8), "this model's patches are of 16 px"),
        (("--model", "nobody"), "no model is called 'nobody'"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(frame, tmp_path, capsys, options, says):
    assert run(["mask", str(frame), "--output", str(tmp_path / "out"), *map(str, options)]) == 1
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_frame_is_not_replaced_by_its_figure(frame, capsys):
    before = frame.read_bytes()
    assert run(["mask", str(frame), "--output", str(frame.parent)]) == 1
    assert "give another --output" in capsys.readouterr().err
    assert frame.read_bytes() == before
