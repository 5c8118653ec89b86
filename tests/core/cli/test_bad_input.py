"""Bad input ends in one sentence, exit code 1, no traceback, and nothing half-written."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from vasomim_core.cli import run
from vasomim_core.files import write_png
from vasomim_core.labels.labelset import LabelSet
from vasomim_core.models.catalogue import Card
from vasomim_core.models.checkpoint import save_checkpoint
from vasomim_core.models.segmentation_loss import SegmentationLoss
from vasomim_core.models.unext import UNeXt


@pytest.fixture
def fails(capsys):
    """Run a command that must fail; returns its sentence."""

    def check(*arguments: object, contains: str) -> str:
        code = run(list(map(str, arguments)))
        out, err = capsys.readouterr()
        assert code == 1, out
        assert "Traceback" not in err
        lines = [line for line in err.strip().splitlines() if line.startswith("vasomim")]
        assert len(lines) == 1, err
        assert "unexpected" not in lines[0]
        assert contains in lines[0]
        return lines[0]

    return check


@pytest.fixture
def frame(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    write_png(tmp_path / "frame.png", rng.integers(60, 200, (64, 64), np.uint8))
    return tmp_path / "frame.png"


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, UNeXt().state_dict(), Card("segmentation model", "unext"))
    return path


def _missing(folder: Path) -> Path:
    return folder / "nowhere.png"


def _empty(folder: Path) -> Path:
    (folder / "empty.png").write_bytes(b"")
    return folder / "empty.png"


def _truncated(folder: Path) -> Path:
    write_png(folder / "whole.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:900])
    return folder / "cut.png"


def _foreign(folder: Path) -> Path:
    (folder / "letter.png").write_text("Dear colleague, …")
    return folder / "letter.png"


def _nan(folder: Path) -> Path:
    np.save(folder / "nan.npy", np.full((40, 40), np.nan, np.float32))
    return folder / "nan.npy"


def _zero_sized(folder: Path) -> Path:
    np.save(folder / "zero.npy", np.zeros((0, 40), np.uint8))
    return folder / "zero.npy"


def _pickled_array(folder: Path) -> Path:
    np.save(folder / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    return folder / "objects.npy"


def _empty_folder(folder: Path) -> Path:
    (folder / "nothing").mkdir()
    return folder / "nothing"


BAD = [_missing, _empty, _truncated, _foreign, _nan, _zero_sized, _pickled_array, _empty_folder]


@pytest.mark.parametrize("make", BAD)
@pytest.mark.parametrize("command", ["anatomy", "vesselness", "segment"])
def test_unusable_frames(command, make, tmp_path, model, fails):
    (tmp_path / "in").mkdir()
    bad = make(tmp_path / "in")
    extra = ("--model", model) if command == "segment" else ()
    fails(command, bad, "--output", tmp_path / "out", *extra, contains=bad.name)
    assert not list((tmp_path / "out").rglob("*.*"))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((31, 17), np.uint8), ((40, 50, 3), np.uint8), ((40, 50, 4), np.uint8), ((33, 65), np.uint16)],
)
def test_unusual_frames_work(shape, dtype, tmp_path, model, capsys):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "odd.png")
    np.save(tmp_path / "in" / "constant.npy", np.full(shape[:2], 7, dtype))
    for command, extra in (("anatomy", ()), ("segment", ("--model", model, "--mirrored", "--probability"))):
        out = tmp_path / command
        assert run([command, str(tmp_path / "in"), "--output", str(out), *map(str, extra)]) == 0
        mask = np.asarray(Image.open(out / "odd.png"))
        assert mask.shape == shape[:2]
        assert set(np.unique(mask)) <= {0, 255}
        assert np.asarray(Image.open(out / "constant.png")).shape == shape[:2]
    capsys.readouterr()


def test_a_large_frame_works_in_tiles(tmp_path, model, capsys):
    write_png(tmp_path / "in" / "large.png", np.random.default_rng(0).integers(0, 255, (2048, 1536), np.uint8))
    arguments = ["segment", tmp_path / "in", "--model", model, "--output", tmp_path / "out", "--tile", 512]
    assert run(list(map(str, arguments))) == 0
    assert np.asarray(Image.open(tmp_path / "out" / "large.png")).shape == (2048, 1536)


def test_unknown_and_unsuitable_models(tmp_path, frame, fails):
    out = ("--output", tmp_path / "out", "--model")
    fails("segment", frame, *out, "no-such-model", contains="no model is called")
    fails("segment", frame, *out, tmp_path / "gone.safetensors", contains="does not exist")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    fails("segment", frame, *out, tmp_path / "cut.safetensors", contains="cut.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "bare.safetensors")
    fails("segment", frame, *out, tmp_path / "bare.safetensors", contains="does not say of which model")
    save_checkpoint(tmp_path / "wrong.safetensors", UNeXt().state_dict(), Card("segmentation model", "unet"))
    fails("segment", frame, *out, tmp_path / "wrong.safetensors", contains="another architecture")
    save_checkpoint(tmp_path / "odd.safetensors", UNeXt().state_dict(), Card("segmentation model", "resnet"))
    fails("segment", frame, *out, tmp_path / "odd.safetensors", contains="unknown architecture")


class _Code:
    def __reduce__(self):
        return os.system, ("touch code-was-run",)


def test_code_in_a_pickle_is_not_run(tmp_path, labelled_folder, fails, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"model": _Code()}))
    torch.save({"model": _Code()}, tmp_path / "evil2.pth")
    for name in ("evil.pth", "evil2.pth"):
        run_folder = tmp_path / f"run-{name}"
        fails("finetune", "--labels", labelled_folder, "--run", run_folder, "--init", name, contains=name)
    assert not (tmp_path / "code-was-run").exists()


@pytest.fixture
def labelled_folder(tmp_path) -> Path:
    rng = np.random.default_rng(1)
    for n in range(4):
        write_png(tmp_path / "set" / "images" / f"{n}.png", rng.integers(60, 200, (64, 64), np.uint8))
        write_png(tmp_path / "set" / "masks" / f"{n}.png", (rng.random((64, 64)) > 0.9).astype(np.uint8) * 255)
    return tmp_path / "set"


def test_labels_that_do_not_fit(tmp_path, labelled_folder, fails):
    command = ("finetune", "--labels", labelled_folder, "--run")
    (labelled_folder / "masks" / "2.png").unlink()
    fails(*command, tmp_path / "a", contains="2.png")
    write_png(labelled_folder / "masks" / "2.png", np.zeros((32, 64), np.uint8))
    fails(*command, tmp_path / "b", contains="2.png")
    fails("finetune", "--labels", tmp_path / "gone", "--run", tmp_path / "c", contains="gone")
    (tmp_path / "hollow" / "images").mkdir(parents=True)
    (tmp_path / "hollow" / "masks").mkdir()
    fails("finetune", "--labels", tmp_path / "hollow", "--run", tmp_path / "d", contains="hollow")


def test_a_label_set_of_one_patient_cannot_be_split(tmp_path, fails):
    labels = LabelSet.create(tmp_path / "one", "one patient")
    rng = np.random.default_rng(0)
    for _ in range(3):
        labels.add(rng.integers(0, 255, (64, 64), np.uint8), rng.random((64, 64)) > 0.9, group="p1")
    sentence = fails("finetune", "--labels", tmp_path / "one", "--run", tmp_path / "run", contains="group")
    assert "--val" in sentence


def test_masks_that_are_missing_or_of_another_size(tmp_path, fails):
    write_png(tmp_path / "truth" / "1.png", np.zeros((20, 20), np.uint8))
    (tmp_path / "none").mkdir()
    fails("evaluate", "--prediction", tmp_path / "none", "--truth", tmp_path / "truth", contains="1.png")
    write_png(tmp_path / "other" / "1.png", np.zeros((20, 21), np.uint8))
    fails("evaluate", "--prediction", tmp_path / "other", "--truth", tmp_path / "truth", contains="21")


def test_a_result_never_replaces_its_input(frame, fails):
    before = frame.read_bytes()
    fails("anatomy", frame, "--output", frame.parent, contains="another output folder")
    assert frame.read_bytes() == before


def test_a_full_disk_leaves_no_half_file(tmp_path, frame, fails, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    fails("anatomy", frame, "--output", tmp_path / "out", contains="disk is full")
    assert not list((tmp_path / "out").glob("*"))


def test_settings_out_of_range(tmp_path, labelled_folder, fails):
    start = ("finetune", "--labels", labelled_folder, "--run", tmp_path / "run")
    fails(*start, "--epochs", 0, contains="epochs is 0")
    fails(*start, "--fraction", 1.5, contains="fraction")
    fails(*start, "--accumulate", 3, contains="multiple of 3")
    data = labelled_folder / "images"
    fails("pretrain", "--data", data, "--run", tmp_path / "p", "--input-size", 64, "--patch-size", 24, contains="24")
    fails("finetune", "--resume", tmp_path / "no-run", contains="no-run")
    (tmp_path / "config.yaml").write_text("job: finetune\nlabels: x\nrun: y\nepoch: 3\n")
    fails("finetune", "--config", tmp_path / "config.yaml", contains="'epoch'")
    fails("pretrain", "--config", tmp_path / "config.yaml", contains="epoch")
    fails("segment", data, "--output", tmp_path / "o", "--threshold", 2, contains="threshold")


def test_a_run_that_failed_at_once_does_not_block_its_folder(tmp_path, labelled_folder, fails, capsys):
    fails("finetune", "--labels", tmp_path / "typo", "--run", tmp_path / "run", contains="typo")
    settings = ("--architecture", "unext", "--frame-size", 64, "--input-size", 64, "--epochs", 1, "--device", "cpu")
    arguments = ["finetune", "--labels", labelled_folder, "--run", tmp_path / "run", *settings]
    assert run(list(map(str, arguments))) == 0
    capsys.readouterr()
    fails(*arguments, contains="not empty")


def test_no_input_and_impossible_sizes(tmp_path, labelled_folder, fails):
    fails("anatomy", "--output", tmp_path / "out", contains="no input")
    start = ("pretrain", "--data", labelled_folder / "images", "--run")
    fails(*start, tmp_path / "a", "--decoder-width", 100, "--decoder-heads", 3, contains="3 heads")
    fails(*start, tmp_path / "b", "--segmentor", tmp_path / "gone.pth", contains="gone.pth")
    labels = ("finetune", "--labels", labelled_folder, "--run", tmp_path / "c")
    fails(*labels, "--input-size", 100, contains="multiple of 32")


def test_debug_shows_the_traceback(tmp_path, capsys):
    assert run(["anatomy", str(tmp_path / "gone.png"), "--output", str(tmp_path), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_ends_the_run_with_the_reason(tmp_path, labelled_folder, fails, monkeypatch):
    arguments = ("finetune", "--labels", labelled_folder, "--run", tmp_path / "run", "--architecture", "unext")
    settings = ("--learning-rate", 1, "--clip", "None", "--epochs", 200, "--frame-size", 64, "--input-size", 64)
    original = SegmentationLoss.forward
    monkeypatch.setattr(SegmentationLoss, "forward", lambda *a: original(*a) * float("nan"))
    fails(*arguments, *settings, "--device", "cpu", contains="not finite")
    assert '"reason": "failed"' in (tmp_path / "run" / "events.jsonl").read_text()
