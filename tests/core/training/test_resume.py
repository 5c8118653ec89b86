"""A run killed at any moment goes on as if nothing had happened; several processes learn what one would have.

Runs compute on one thread, so that their sums do not depend on the machine, and end themselves at a given step, so that
nothing depends on how fast it is. What does not need a process of its own has none: loading torch takes longest.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vasomim_core import cli
from vasomim_core.config import PretrainConfig, Training
from vasomim_core.models.checkpoint import read_state
from vasomim_core.training.events import EventLog, read_events
from vasomim_core.training.pretrain import pretrain
from vasomim_core.training.result import TrainingResult

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
EPOCHS = 4  # of 12 frames in batches of 4: three steps each
PRETRAINING = [
    *("--encoder", "tiny", "--input-size", 64, "--decoder-width", 32, "--decoder-depth", 1, "--decoder-heads", 2),
    *("--segmentor-epochs", 1, "--batch-size", 4, "--device", "cpu", "--precision", "fp32", "--log-every", 1),
    *("--save-every", 1, "--learning-rate", 1e-3, "--epochs", EPOCHS, "--ema", 0.9),
]
FINETUNING = [
    *("--architecture", "unext", "--frame-size", 64, "--input-size", 64, "--batch-size", 4, "--epochs", EPOCHS),
    *("--device", "cpu", "--precision", "fp32", "--log-every", 1, "--save-every", 3),
]

pytestmark = pytest.mark.usefixtures("one_thread")


def vasomim(*arguments: object) -> int:
    """Run a command in this process; its exit code."""
    return cli.run(list(map(str, arguments)))


@functools.cache
def forked():
    """Where processes come from that have loaded torch already, and done nothing with it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vasomim_core.training.finetune", "vasomim_core.training.pretrain"])
    return context


def run_and_die(last: int, arguments: list[str]) -> None:
    """Run a command in a process that ends itself as soon as it has told of a step."""
    write = EventLog.write

    def write_and_die(log, event, **values):
        write(log, event, **values)
        if event == "step" and values["step"] == last:
            os.kill(os.getpid(), signal.SIGKILL)

    EventLog.write = write_and_die
    torch.set_num_threads(1)
    cli.run(arguments)


def killed_at(step: int, *arguments: object) -> None:
    """Run a command in a process of its own, which is killed as soon as it has told of a step."""
    process = forked().Process(target=run_and_die, args=(step, list(map(str, arguments))))
    process.start()
    process.join(250)
    assert process.exitcode == -signal.SIGKILL


@pytest.fixture
def asked_to_stop(monkeypatch):
    """Sends this process a signal as soon as a run has told of a step."""
    write = EventLog.write

    def at(step: int, number: signal.Signals) -> None:
        def write_and_ask(log, event, **values):
            write(log, event, **values)
            if event == "step" and values["step"] == step:
                signal.raise_signal(number)

        monkeypatch.setattr(EventLog, "write", write_and_ask)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # unheard, it would end all tests
    yield at
    signal.signal(signal.SIGTERM, before)


def losses(run: Path) -> dict[int, float]:
    return {e["step"]: e["loss"] for e in read_events(run) if e["event"] == "step"}


def same_model(one: Path, other: Path) -> bool:
    first, second = (read_state(run / "model.safetensors") for run in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def unbroken(labelled, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    assert vasomim("pretrain", "--data", labelled / "images", "--run", run, *PRETRAINING) == 0
    return run


def test_killed_and_resumed_equals_unbroken(unbroken, labelled, tmp_path):
    """SIGKILL in the middle of an epoch, twice."""
    run = tmp_path / "killed"
    segmentor = unbroken / "segmentor" / "model.safetensors"
    killed_at(4, "pretrain", "--data", labelled / "images", "--run", run, "--segmentor", segmentor, *PRETRAINING)
    killed_at(8, "pretrain", "--resume", run)
    assert vasomim("pretrain", "--resume", run) == 0
    assert losses(run) == losses(unbroken)
    assert len(losses(run)) == 3 * EPOCHS
    assert same_model(run, unbroken)
    assert [e["reason"] for e in read_events(run) if e["event"] == "end"] == ["finished"]


def test_the_guidance_grows_and_is_told(unbroken):
    betas = [e["beta"] for e in read_events(unbroken) if e["event"] == "step"]
    assert betas == sorted(betas)
    assert betas[0] == pytest.approx(0.5 / EPOCHS, abs=1e-4)
    assert betas[-1] == pytest.approx(0.5)


def test_two_processes_give_the_losses_of_one(unbroken, labelled, tmp_path):
    """Each batch in two parts: the gradients of the first stay with each process, those of the last are shared."""
    run = tmp_path / "two"
    segmentor = unbroken / "segmentor" / "model.safetensors"
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "--", "vasomim_core", "pretrain", "--data", labelled / "images", "--run", run),
        *("--segmentor", segmentor, "--accumulate", 2, *PRETRAINING),
    ]
    done = subprocess.run(list(map(str, command)), env=ENVIRONMENT, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    one, two = losses(unbroken), losses(run)
    assert two.keys() == one.keys()
    for step in one:
        assert two[step] == pytest.approx(one[step], rel=2e-3)
    assert next(e for e in read_events(run) if e["event"] == "start")["processes"] == 2


def test_a_killed_finetuning_run_goes_on_too(labelled, tmp_path):
    """Validation, the best epoch and batch statistics included; killed before and after its first saved state."""
    whole, run = tmp_path / "whole", tmp_path / "killed"
    assert vasomim("finetune", "--labels", labelled, "--run", whole, *FINETUNING) == 0
    killed_at(2, "finetune", "--labels", labelled, "--run", run, *FINETUNING)
    killed_at(5, "finetune", "--resume", run)
    assert vasomim("finetune", "--resume", run) == 0
    assert losses(run) == losses(whole)

    def validations(folder):
        return [(e["step"], e["scores"]) for e in read_events(folder) if e["event"] == "validation"]

    assert validations(run) == validations(whole)
    assert same_model(run, whole)


def test_a_finished_run_is_not_resumed(unbroken, capsys):
    before = (unbroken / "model.safetensors").read_bytes()
    assert vasomim("pretrain", "--resume", unbroken) == 1
    assert "is finished" in capsys.readouterr().err
    assert (unbroken / "model.safetensors").read_bytes() == before


def test_stopping_keeps_a_usable_model_and_can_be_resumed(labelled, tmp_path, asked_to_stop, capsys):
    run = tmp_path / "stopped"
    asked_to_stop(3, signal.SIGTERM)
    assert vasomim("finetune", "--labels", labelled, "--run", run, *FINETUNING) == 0
    assert "stopped" in capsys.readouterr().out
    assert read_state(run / "model.safetensors")
    before = max(losses(run))
    assert before < 2 * EPOCHS
    asked_to_stop(before + 1, signal.SIGINT)
    assert vasomim("finetune", "--resume", run) == 0
    assert "stopped" in capsys.readouterr().out
    assert before < max(losses(run)) < 2 * EPOCHS
    assert sorted(losses(run)) == list(range(1, max(losses(run)) + 1))


def test_pretraining_that_is_stopped_before_it_begins_has_no_model_and_says_so(labelled, tmp_path, asked_to_stop):
    asked_to_stop(6, signal.SIGTERM)  # the last one of the segmentor; pretraining itself has three
    training = Training(epochs=1, batch_size=4, device="cpu", log_every=1)
    small = {"encoder": "tiny", "input_size": 64, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
    config = PretrainConfig(labelled / "images", tmp_path / "run", segmentor_epochs=2, training=training, **small)
    result = pretrain(config)
    assert result == TrainingResult(config.run, config.run / "model.safetensors", "stopped")
    assert not result.model.exists()
    result = pretrain(config, resume=True)
    assert (result.reason, result.epochs, result.scores, result.best_epoch) == ("finished", 1, {}, None)
    assert read_state(result.model)
    assert [*losses(config.run / "segmentor")] == [6]


def test_the_same_settings_give_the_same_run_and_another_seed_another(unbroken, tmp_path):
    again, other = tmp_path / "again", tmp_path / "other"
    assert vasomim("pretrain", "--config", unbroken / "config.yaml", "--run", again) == 0
    assert losses(again) == losses(unbroken)
    one_epoch = ("--seed", 1, "--epochs", 1)
    assert vasomim("pretrain", "--config", unbroken / "config.yaml", "--run", other, *one_epoch) == 0
    assert losses(other)[1] != losses(unbroken)[1]


def test_a_run_is_never_overwritten(unbroken, capsys):
    assert vasomim("pretrain", "--config", unbroken / "config.yaml") == 1
    err = capsys.readouterr().err
    assert "not empty" in err
    assert "Traceback" not in err
