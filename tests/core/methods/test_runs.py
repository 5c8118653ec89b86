"""Every method as a run: killed at any moment it goes on as if nothing had happened, it can be stopped, and shared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.core.methods.made import SMALL, shrink, small
from tests.core.training.test_resume import forked, losses, same_model
from vasomim_core import cli
from vasomim_core.models.checkpoint import read_state
from vasomim_core.training.events import EventLog
from vasomim_core.training.pretrain import pretrain
from vasomim_core.training.runs import load_config, save_config

ALL = list(SMALL)
pytestmark = pytest.mark.usefixtures("tiny")


def config_of(name: str, frames: Path, run: Path):
    config = small(name, data=frames, run=run)
    return replace(config, training=replace(config.training, log_every=1, save_every=1))


def end_after(step: int, number: signal.Signals):
    """A log that sends this process a signal as soon as it has told of a step."""
    write = EventLog.write

    def write_and_end(log, event, **values):
        write(log, event, **values)
        if event == "step" and values["step"] == step:
            os.kill(os.getpid(), number)

    return write_and_end


def run_and_die(configs) -> None:
    """Run each in a process of its own, forked from this one, which is killed after the third step of four."""
    torch.set_num_threads(1)
    shrink()
    EventLog.write = end_after(3, signal.SIGKILL)
    for config in configs:
        if (child := os.fork()) == 0:
            pretrain(config)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    os._exit(7)


@pytest.fixture(scope="module")
def runs(folder, tmp_path_factory):
    """For each method an unbroken run, and one that was killed in its second epoch."""
    place = tmp_path_factory.mktemp("runs")
    killed = forked().Process(target=run_and_die, args=([config_of(n, folder, place / f"{n}-killed") for n in ALL],))
    killed.start()
    with pytest.MonkeyPatch.context() as patch:
        from vasomim_core.models import vit

        patch.setattr(vit, "_SIZES", dict(vit._SIZES))
        shrink()
        for name in ALL:
            pretrain(config_of(name, folder, place / name))
    killed.join(250)
    assert killed.exitcode == 7
    return place


@pytest.mark.parametrize("name", ALL)
def test_killed_and_resumed_equals_unbroken(name, runs):
    whole, killed = runs / name, runs / f"{name}-killed"
    assert max(losses(killed)) == 3
    assert cli.run(["pretrain", "--resume", str(killed)]) == 0
    assert losses(killed) == losses(whole)
    assert same_model(killed, whole)
    assert type(load_config(killed)) is type(load_config(whole))


def test_two_processes_give_the_losses_of_one(runs, folder, tmp_path):
    """But for MoCo v3's: on the CPU its batch normalisation knows one process."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.core.methods.two"]
    done = subprocess.run(
        [sys.executable, *command, str(folder), str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    for name in ALL:
        one, two = losses(runs / name), losses(tmp_path / name)
        assert two.keys() == one.keys()
        if name != "mocov3":
            assert list(two.values()) == pytest.approx(list(one.values()), rel=5e-3), name


@pytest.mark.parametrize("name", ["amt", "dino"])
def test_a_run_that_is_stopped_keeps_its_model_and_goes_on(name, folder, runs, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(EventLog, "write", end_after(3, signal.SIGINT))
        assert pretrain(config_of(name, folder, tmp_path / name)).reason == "stopped"
    assert read_state(tmp_path / name / "model.safetensors")
    assert cli.run(["pretrain", "--resume", str(tmp_path / name)]) == 0
    assert same_model(tmp_path / name, runs / name)


def test_bf16_and_the_average_of_weights_go_with_every_method(folder, tmp_path):
    for name in ALL:
        config = config_of(name, folder, tmp_path / name)
        training = replace(config.training, precision="bf16", ema=0.9, epochs=1)
        result = pretrain(replace(config, training=training))
        assert result.reason == "finished"
        assert all(torch.isfinite(value).all() for value in read_state(result.model).values())


def test_a_method_is_chosen_on_the_command_line_and_its_settings_are_its_own(folder, tmp_path, capsys):
    run, other = tmp_path / "run", tmp_path / "other"
    options = ["--data", str(folder), "--encoder", "tiny", "--input-size", "64", "--batch-size", "4", "--epochs", "1"]
    assert cli.run(["pretrain", "--method", "simmim", "--run", str(run), "--mask-ratio", "0.5", *options]) == 0
    config = load_config(run)
    assert (config.method, config.mask_ratio, config.training.schedule) == ("simmim", 0.5, "step")
    assert (run / "config.yaml").read_text().startswith("job: pretrain\nmethod: simmim\n")
    assert cli.run(["pretrain", "--config", str(run / "config.yaml"), "--run", str(other)]) == 0
    assert same_model(run, other)
    capsys.readouterr()
    assert cli.run(["pretrain", "--method", "dino", "--config", str(run), "--run", str(tmp_path / "c")]) == 1
    assert "--method simmim, not dino" in capsys.readouterr().err
    assert cli.run(["pretrain", "--method", "byol", "--run", str(other), *options]) == 1
    assert "choose one of vasomim, mae, simmim" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.run(["pretrain", "--method", "dino", "--sampler", "uniform", "--run", str(other), *options])


def test_settings_without_a_method_are_those_of_earlier_versions(tmp_path):
    config = small("vasomim")
    save_config(tmp_path / "config.yaml", config)
    path = tmp_path / "config.yaml"
    path.write_text(path.read_text().replace("method: vasomim\n", ""))
    assert load_config(path) == config
