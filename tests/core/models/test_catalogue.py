"""Models are known without torch, or anything else that takes long to load."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from vasomim_core.errors import CheckpointError
from vasomim_core.models.catalogue import WEIGHTS, find_model, model_name, models, read_card, register

DEMO = WEIGHTS / "vasomim-demo.safetensors"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VASOMIM_MODELS", str(tmp_path / "models"))
    return tmp_path


def test_the_catalogue_is_light(folder):
    code = f"""
import sys
from vasomim_core.models.catalogue import find_model, models, read_card, register
from pathlib import Path
register(find_model("vasomim-demo"), "mine")
assert models()["mine"] == read_card(Path({str(DEMO)!r}))
sys.exit(any(heavy in sys.modules for heavy in ("torch", "skimage", "scipy.optimize")))
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_run_folder_stands_for_its_model(folder):
    (folder / "run").mkdir()
    model = folder / "run" / "model.safetensors"
    model.write_bytes(DEMO.read_bytes())
    assert find_model(folder / "run") == model
    assert register(model, "vasomim-demo") == "vasomim-demo-2"


@pytest.mark.parametrize(
    ("model", "called"),
    [
        ("vasomim-fast", "vasomim-fast"),
        ("mine.v2", "mine.v2"),
        ("files/mine.v2.safetensors", "mine.v2"),
        ("runs/left coronary/model.safetensors", "left coronary"),
        ("runs/tuned.2", "tuned.2"),
        ("", ""),
    ],
)
def test_a_model_is_called_as_a_person_would(model, called):
    assert model_name(model) == called


def test_a_runs_model_is_called_like_the_run_wherever_one_stands(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert model_name("model.safetensors") == folder.name
    assert model_name(folder / "models" / "model.safetensors") == "model"  # it was registered under this name


@pytest.mark.parametrize("kept", [0, 4, 100, 3000])
def test_truncated_files_are_refused_and_left_out(folder, kept):
    (folder / "models").mkdir()
    short = folder / "models" / "short.safetensors"
    short.write_bytes(DEMO.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="truncated"):
        read_card(short)
    assert set(models()) == {"vasomim-base", "vasomim-demo", "vasomim-encoder", "vasomim-every", "vasomim-fast"}


@pytest.mark.parametrize("header", [None, {"vasomim": "no json"}, {"vasomim": "[]"}, {"vasomim": '{"format": 1}'}])
def test_files_without_a_card_are_refused(folder, header):
    save_file({"x": np.zeros(3, np.float32)}, folder / "x.safetensors", metadata=header)
    with pytest.raises(CheckpointError, match="does not say of which model"):
        read_card(folder / "x.safetensors")


def test_a_card_of_a_later_version_asks_for_an_update(folder):
    card = {"vasomim": '{"format": 99, "version": "9.0"}'}
    save_file({"x": np.zeros(3, np.float32)}, folder / "x.safetensors", metadata=card)
    with pytest.raises(CheckpointError, match=r"newer version \(9\.0\)"):
        read_card(folder / "x.safetensors")
