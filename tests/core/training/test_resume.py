"""A run killed at any moment goes on as if nothing had happened; several processes learn what one would have."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.core.training.conftest import TINY, finish, vasomim
from vasomim_core.models.checkpoint import read_state
from vasomim_core.training.events import read_events


def losses(run: Path) -> dict[int, float]:
    return {e["step"]: e["loss"] for e in read_events(run) if e["event"] == "step"}


def wait_for_step(run: Path, step: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if max(losses(run) or {0: 0}) >= step:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    pytest.fail("the run did not get that far")


@pytest.fixture(scope="module")
def unbroken(labelled, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    finish(vasomim("pretrain", "--data", labelled / "images", "--run", run, "--epochs", 8, "--ema", 0.9, *TINY))
    return run


def test_killed_and_resumed_equals_unbroken(unbroken, labelled, tmp_path):
    """SIGKILL in the middle of an epoch (12 frames, batch 4: three steps an epoch), twice."""
    run = tmp_path / "killed"
    segmentor = unbroken / "segmentor" / "model.safetensors"
    start = ("pretrain", "--data", labelled / "images", "--run", run, "--segmentor", segmentor)
    process = vasomim(*start, "--epochs", 8, "--ema", 0.9, *TINY)
    for step in (4, 11):
        wait_for_step(run, step, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = vasomim("pretrain", "--resume", run)
    finish(process)
    assert losses(run) == losses(unbroken)
    assert len(losses(run)) == 24
    resumed, whole = read_state(run / "model.safetensors"), read_state(unbroken / "model.safetensors")
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[k], whole[k]) for k in whole)
    assert [e["reason"] for e in read_events(run) if e["event"] == "end"] == ["finished"]


def test_the_guidance_grows_and_is_told(unbroken):
    betas = [e["beta"] for e in read_events(unbroken) if e["event"] == "step"]
    assert betas == sorted(betas)
    assert betas[0] == pytest.approx(0.5 / 8, abs=1e-4)
    assert betas[-1] == pytest.approx(0.5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_give_the_losses_of_one(unbroken, labelled, tmp_path, accumulate):
    run = tmp_path / "two"
    segmentor = unbroken / "segmentor" / "model.safetensors"
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "--", "vasomim_core", "pretrain", "--data", labelled / "images", "--run", run),
        *("--segmentor", segmentor, "--epochs", "8", "--ema", "0.9", "--accumulate", accumulate, *TINY),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    one = losses(unbroken)
    two = losses(run)
    assert two.keys() == one.keys()
    for step in one:
        assert two[step] == pytest.approx(one[step], rel=2e-3)
    assert next(e for e in read_events(run) if e["event"] == "start")["processes"] == 2


def test_a_killed_finetuning_run_goes_on_too(labelled, tmp_path):
    """Validation, the best epoch and batch statistics included; killed before and after its first saved state."""
    settings = [
        *("--architecture", "unext", "--frame-size", 64, "--input-size", 64, "--batch-size", 4, "--epochs", 8),
        *("--device", "cpu", "--precision", "fp32", "--log-every", 1, "--save-every", 3, "--labels", labelled),
    ]
    finish(vasomim("finetune", "--run", tmp_path / "whole", *settings))
    run = tmp_path / "killed"
    process = vasomim("finetune", "--run", run, *settings)
    for step in (2, 8):
        wait_for_step(run, step, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = vasomim("finetune", "--resume", run)
    finish(process)
    assert losses(run) == losses(tmp_path / "whole")

    def validations(folder):
        return [(e["step"], e["scores"]) for e in read_events(folder) if e["event"] == "validation"]

    assert validations(run) == validations(tmp_path / "whole")
    resumed, whole = (read_state(folder / "model.safetensors") for folder in (run, tmp_path / "whole"))
    assert all(torch.equal(resumed[k], whole[k]) for k in whole)


def test_a_finished_run_is_not_resumed(unbroken):
    before = (unbroken / "model.safetensors").read_bytes()
    process = vasomim("pretrain", "--resume", unbroken)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "is finished" in err
    assert (unbroken / "model.safetensors").read_bytes() == before


def test_stopping_keeps_a_usable_model_and_can_be_resumed(unbroken, labelled, tmp_path):
    run = tmp_path / "stopped"
    start = ("finetune", "--labels", labelled, "--run", run, "--architecture", "unext", "--frame-size", 64)
    process = vasomim(
        *start, "--input-size", 64, "--epochs", 400, "--batch-size", 4, "--device", "cpu", "--log-every", 1
    )
    wait_for_step(run, 5, process)
    process.send_signal(signal.SIGTERM)
    assert "stopped" in finish(process)
    assert (run / "model.safetensors").exists()
    before = max(losses(run))
    process = vasomim("finetune", "--resume", run)
    wait_for_step(run, before + 3, process)
    process.send_signal(signal.SIGINT)
    assert "stopped" in finish(process)
    assert sorted(losses(run)) == list(range(1, max(losses(run)) + 1))


def test_the_same_settings_give_the_same_run_and_another_seed_another(unbroken, tmp_path):
    again, other = tmp_path / "again", tmp_path / "other"
    finish(vasomim("pretrain", "--config", unbroken / "config.yaml", "--run", again))
    assert losses(again) == losses(unbroken)
    finish(vasomim("pretrain", "--config", unbroken / "config.yaml", "--run", other, "--seed", 1, "--epochs", 1))
    assert losses(other)[1] != losses(unbroken)[1]


def test_a_run_is_never_overwritten(unbroken):
    process = vasomim("pretrain", "--config", unbroken / "config.yaml")
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "not empty" in err
    assert "Traceback" not in err
