"""The numbers of guided masking in files: every array by its name, every patch on a row."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.core.masking.made import drawn, result
from vasomim_core.errors import InputError
from vasomim_core.masking.results import save_csv, save_npz

SHOWN = ["image", "anatomy", "f", "masked", "guided", "epoch", "beta"]
OVER = ["masking_ratio", "epochs", "betas", "vessel_patches", "vessel_pixels"]
DRAWN = ["reconstruction", "filled", "l_rec"]
SEEN = ["vessels", "vessels_again", "l_cons"]


def test_arrays_are_those_that_there_are():
    assert list(result().arrays()) == SHOWN + OVER
    assert list(result(drawn(segmentor=False)).arrays()) == SHOWN + OVER + DRAWN
    assert sorted(result(drawn(segmentor=True)).arrays()) == sorted(SHOWN + OVER + DRAWN + SEEN)


def test_the_difference_needs_both_pictures_of_the_segmentor():
    assert drawn(segmentor=False).difference is None
    assert_array_equal(drawn(segmentor=True).difference, np.full((64, 64), 0.5, np.float32))
    for missing in ("vessels", "vessels_again"):
        made = drawn(segmentor=True)
        object.__setattr__(made, missing, None)
        assert made.difference is None


def test_an_npz_holds_all_arrays_and_the_settings(tmp_path):
    a, b = result(drawn(segmentor=True), "m"), result(seed=7)
    save_npz(tmp_path / "x.npz", {"_a": a, "_b": b})
    with np.load(tmp_path / "x.npz") as file:
        expected = {f"{name}_a": value for name, value in a.arrays().items()}
        expected |= {f"{name}_b": value for name, value in b.arrays().items()}
        assert set(file.files) == {*expected, "settings_a", "settings_b"}
        for name, value in expected.items():
            assert_array_equal(file[name], value)
        settings = json.loads(str(file["settings_b"]))
    assert settings == {
        "input_size": 64, "patch_size": 32, "mask_ratio": 0.5, "sampler": "anatomy", "beta_start": 0.0,
        "beta_end": 0.5, "co_guidance": False, "epochs": 200, "seed": 7, "epoch": 1, "anatomy": "robust", "model": "",
    }  # fmt: skip


def test_a_csv_has_a_row_per_patch_and_the_curves_beside_it(tmp_path):
    files = save_csv(tmp_path / "x.csv", {"": result()})
    assert files == [tmp_path / "x.csv", tmp_path / "x_curves.csv"]
    tables = [list(csv.reader(file.read_text(encoding="utf-8").splitlines())) for file in files]
    assert tables[0] == [
        ["row", "column", "f", "masked", "guided", "masking_ratio"],
        ["0", "0", "0.5", "1", "1", "1.0"],
        ["0", "1", "0.0", "1", "0", "0.5"],
        ["1", "0", "0.0", "0", "0", "0.25"],
        ["1", "1", "0.5", "0", "0", "0.25"],
    ]
    assert tables[1] == [
        ["epoch", "beta", "vessel_patches", "vessel_pixels"],
        ["0", "0.125", "0.5", "0.25"],
        ["1", "0.25", "0.75", "1.0"],
    ]
    assert b"\n\n" not in files[0].read_bytes().replace(b"\r\n", b"\n")
    save_csv(tmp_path / "x.csv", {"_a": result(), "_b": result()})
    first = (tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    own = ["f", "masked", "guided", "masking_ratio"]
    assert first == ["row", "column", *(f"{name}_a" for name in own), *(f"{name}_b" for name in own)]


@pytest.mark.parametrize("save", [save_npz, save_csv])
def test_what_cannot_be_written_is_said_in_a_sentence(tmp_path, save):
    (tmp_path / "taken").write_text("a file, no folder")
    with pytest.raises(InputError, match=r"x\.dat cannot be written .*; choose another folder\."):
        save(tmp_path / "taken" / "x.dat", {"": result()})
