"""The commands as a person types them: files in, files out, a summary or one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from vasomim_core.cli import COMMANDS, run
from vasomim_core.files import write_png
from vasomim_core.models.catalogue import Card
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.registry import load_model
from vasomim_core.models.unext import UNeXt
from vasomim_core.synthetic import synthesize, synthesize_cine


def vasomim(capsys, *arguments: object) -> str:
    code = run(list(map(str, arguments)))
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


@pytest.fixture
def frames(tmp_path):
    rng = np.random.default_rng(0)
    still = rng.integers(60, 200, (64, 64), np.uint8)
    write_png(tmp_path / "in" / "a" / "still.png", still)
    write_png(tmp_path / "in" / "b" / "still.png", still)
    tifffile.imwrite(tmp_path / "in" / "cine.tif", np.stack([still] * 4), photometric="minisblack")
    return tmp_path / "in"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_and_with_which_units(name, capsys):
    with pytest.raises(SystemExit) as ended:
        run([name, "--help"])
    assert ended.value.code == 0
    assert f"vasomim {name}" in capsys.readouterr().out


def test_help_does_not_wait_for_torch():
    code = "import sys; from vasomim_core.cli import run; run(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "finetune" in done.stdout


def test_unknown_commands_and_options_exit_with_2(capsys):
    assert run(["segmentate"]) == 2
    assert "choose one of vesselness, anatomy" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        run(["sample", "--outptu", "x"])
    assert ended.value.code == 2


def test_anatomy_mirrors_folders_and_writes_stacks_as_pages(frames, tmp_path, capsys):
    result = json.loads(vasomim(capsys, "anatomy", frames, "--output", tmp_path / "out", "--json"))
    assert result["frames"] == 6
    for name in ("a/still.png", "b/still.png"):
        mask = np.asarray(Image.open(tmp_path / "out" / name))
        assert set(np.unique(mask)) <= {0, 255}
    stack = tifffile.imread(tmp_path / "out" / "cine.tif")
    assert stack.shape == (4, 64, 64)
    np.testing.assert_array_equal(stack[0], mask)


def test_names_with_dots_stay_whole_and_results_are_no_input(frames, tmp_path, capsys):
    data = tmp_path / "export"
    data.mkdir()
    for number in (7, 8):
        (data / f"1.2.840.{number}.png").write_bytes((frames / "a" / "still.png").read_bytes())
    for _ in range(2):
        result = json.loads(vasomim(capsys, "anatomy", data, "--output", data / "anatomy", "--json"))
        assert result["frames"] == 2
    assert sorted(p.name for p in (data / "anatomy").iterdir()) == ["1.2.840.7.png", "1.2.840.8.png"]


def test_one_folder_deep_inside_is_not_mirrored(frames, tmp_path, capsys):
    (tmp_path / "set").mkdir()
    (frames / "a").rename(tmp_path / "set" / "images")
    vasomim(capsys, "anatomy", tmp_path / "set", "--output", tmp_path / "out")
    assert (tmp_path / "out" / "still.png").exists()


def test_vesselness_writes_32_bit(frames, tmp_path, capsys):
    vasomim(capsys, "vesselness", frames / "a" / "still.png", "--output", tmp_path / "v", "--sigmas", 1, 2.5)
    response = tifffile.imread(tmp_path / "v" / "still.tif")
    assert response.dtype == np.float32
    assert response.max() > 0


def test_segment_writes_mask_and_probability_of_one_threshold(frames, tmp_path, capsys):
    save_checkpoint(tmp_path / "m.safetensors", UNeXt().state_dict(), Card("segmentation model", "unext"))
    start = ("segment", frames / "a", frames / "cine.tif", "--model", tmp_path / "m.safetensors", "--output")
    vasomim(capsys, *start, tmp_path / "out", "--probability", "--threshold", 0.45, "--device", "cpu")
    probability = tifffile.imread(tmp_path / "out" / "still_probability.tif")
    mask = np.asarray(Image.open(tmp_path / "out" / "still.png")) > 0
    np.testing.assert_array_equal(mask, probability >= np.float32(0.45))
    assert tifffile.imread(tmp_path / "out" / "cine.tif").shape == (4, 64, 64)


def test_bright_vessels_are_asked_for_and_told(tmp_path, capsys):
    drawn = synthesize(5, size=256)
    write_png(tmp_path / "dark" / "x.png", drawn.frame)
    write_png(tmp_path / "bright" / "x.png", 255 - drawn.frame)
    said = {}
    for folder, options in (("dark", ()), ("bright", ("--inverted",))):
        said[folder] = vasomim(capsys, "segment", tmp_path / folder, "--output", tmp_path / f"{folder}-masks", *options)
    masks = [(tmp_path / f"{folder}-masks" / "x.png").read_bytes() for folder in said]
    assert masks[0] == masks[1]
    assert not any("--inverted" in words for words in said.values())
    hidden = vasomim(capsys, "segment", tmp_path / "dark", "--output", tmp_path / "none", "--threshold", 1)
    assert "little was found in 1 of them" in hidden
    assert "--inverted" in hidden


def test_sample_finetune_segment_evaluate(tmp_path, capsys, monkeypatch):
    """The whole way with labels: what was learned scores better than an untrained network."""
    monkeypatch.setenv("VASOMIM_MODELS", str(tmp_path / "models"))
    vasomim(capsys, "sample", "--output", tmp_path / "data", "--count", 12, "--size", 128)
    again = tmp_path / "again"
    vasomim(capsys, "sample", "--output", again, "--count", 12, "--size", 128)
    for path in (tmp_path / "data" / "images").iterdir():
        assert path.read_bytes() == (again / "images" / path.name).read_bytes()

    settings = ("--architecture", "unet", "--width", 8, "--frame-size", 128, "--input-size", 96, "--batch-size", 4)
    learning = ("--epochs", 30, "--learning-rate", 1e-2, "--validate-every", 10, "--device", "cpu", "--no-augment")
    start = ("finetune", "--labels", tmp_path / "data", "--val", tmp_path / "data", "--run", tmp_path / "run")
    result = json.loads(vasomim(capsys, *start, *settings, *learning, "--json"))
    assert result["reason"] == "finished"
    assert "also trained on" in result["warnings"][0]
    vasomim(capsys, "segment", tmp_path / "data" / "images", "--model", tmp_path / "run", "--output", tmp_path / "p")
    scores = json.loads(
        vasomim(
            capsys, "evaluate", "--prediction", tmp_path / "p", "--truth", tmp_path / "data", "--json", "--per-frame"
        )
    )
    assert scores["n"] == 12 == len(scores["rows"])
    assert {"dsc", "cldice", "iou", "sensitivity", "precision", "hd95"} <= scores.keys()
    assert scores["dsc"] > 50
    assert scores["dsc"] == pytest.approx(result["validation"]["dsc"], abs=1e-3)
    card = load_model(tmp_path / "run", "cpu").card
    assert card.scores["validation"]["dsc"] == pytest.approx(result["validation"]["dsc"])
    assert card.data["frames"] == 12
    table = vasomim(capsys, "evaluate", "--prediction", tmp_path / "p", "--truth", tmp_path / "data")
    assert "mean of 12" in table


def test_a_moving_sample_is_a_stack_that_everything_reads(tmp_path, capsys):
    vasomim(capsys, "sample", "--output", tmp_path / "d", "--count", 1, "--frames", 3, "--size", 96)
    (image,) = (tmp_path / "d" / "images").iterdir()
    assert tifffile.imread(image).shape == (3, 96, 96)
    vasomim(capsys, "anatomy", tmp_path / "d" / "images", "--output", tmp_path / "out")
    scores = vasomim(capsys, "evaluate", "--prediction", tmp_path / "out", "--truth", tmp_path / "d", "--json")
    assert json.loads(scores)["n"] == 3


def test_a_sample_that_is_washed_out_and_moved(tmp_path, capsys):
    start = ("sample", "--count", 1, "--size", 96)
    moving = ("--frames", 4, "--frame-time", 400, "--injection", 300, "--table", 10)
    vasomim(capsys, *start, "--output", tmp_path / "d", *moving)
    (masks,) = (tmp_path / "d" / "masks").iterdir()
    drawn = synthesize_cine((0, 0), frames=4, frame_time_ms=400, injection_ms=300, table=10, size=96)
    np.testing.assert_array_equal(tifffile.imread(masks) > 0, drawn.masks)
    assert run([*map(str, start), "--output", str(tmp_path / "e"), "--table", "10"]) == 1
    assert "are of a run" in capsys.readouterr().err


def test_models_lists_what_can_be_used(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VASOMIM_MODELS", str(tmp_path))
    scores = {"validation": {"frames": 7, "dsc": 61.0, "cldice": 60.0}}
    card = Card("segmentation model", "unext", description="of a test", scores=scores)
    save_checkpoint(tmp_path / "mine.safetensors", UNeXt().state_dict(), card)
    (tmp_path / "broken.safetensors").write_bytes(b"?")
    out = vasomim(capsys, "models")
    assert (
        "mine: segmentation model, 1 MB\n    of a test\n    validation on 7 frames: DSC 61.00 %, clDice 60.00 %\n"
        in out
    )
    assert "not for diagnosis" in out
    assert "broken: cannot be used\n" in out
    assert json.loads(vasomim(capsys, "models", "--json"))["mine"]["kind"] == "segmentation model"
    listed = vasomim(capsys, "models", "--add", tmp_path / "mine.safetensors", "--name", "again", "--json")
    assert json.loads(listed)["again"] == json.loads(listed)["mine"]
