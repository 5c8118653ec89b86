"""Pretraining on an assembled data set, by one process, or by two that have neither data nor runs in common."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import torch

from tests.core.training.test_resume import forked, killed_at, losses, run_and_die, same_model, vasomim
from vasomim_core.data.assembled import AssembledFrames
from vasomim_core.data.assembling import assemble
from vasomim_core.data.unlabelled import each_frame, open_unlabelled
from vasomim_core.training.events import read_events

OPTIONS = [
    *("--method", "mae", "--encoder", "tiny", "--input-size", 64, "--epochs", 2, "--batch-size", 4, "--device", "cpu"),
    *("--decoder-width", 32, "--decoder-depth", 1, "--decoder-heads", 2, "--precision", "fp32", "--log-every", 1),
    *("--save-every", 1, "--learning-rate", 1e-3, "--warmup", 0),
]
STEPS = 6


@pytest.fixture(scope="module")
def assembled(labelled, tmp_path_factory) -> Path:
    return assemble(labelled, tmp_path_factory.mktemp("assembled") / "set", processes=1).folder


@pytest.fixture(scope="module")
def unbroken(labelled, tmp_path_factory) -> Path:
    """On the folders that the data set was assembled of."""
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    assert vasomim("pretrain", "--data", labelled, "--run", run, *OPTIONS) == 0
    assert len(losses(run)) == STEPS
    return run


def ended(run: Path) -> str:
    return [event["message"] for event in read_events(run) if event["event"] == "end"][-1]


def test_it_gives_the_losses_of_its_folders_and_no_run_keeps_a_copy(assembled, unbroken, tmp_path, monkeypatch):
    run = tmp_path / "run"
    killed_at(4, "pretrain", "--data", assembled, "--run", run, *OPTIONS)
    assert not (run / "cache").exists()
    read = []
    stored = AssembledFrames.stored
    monkeypatch.setattr(AssembledFrames, "stored", lambda self, index: read.append(index) or stored(self, index))
    assert vasomim("pretrain", "--resume", run) == 0
    assert len(read) == 3 * 4, "a run that goes on reads the frames of its batches and no other"
    assert losses(run) == losses(unbroken)
    assert same_model(run, unbroken)


def test_with_anatomy_it_gives_the_losses_of_its_folders(labelled, assembled, tmp_path):
    options = [*OPTIONS[2:], "--consistency", 0, "--epochs", 1]
    for name, data in (("folder", labelled), ("set", assembled)):
        assert vasomim("pretrain", "--data", data, "--run", tmp_path / name, *options) == 0
    assert losses(tmp_path / "set") == losses(tmp_path / "folder")


def test_another_data_set_is_refused(labelled, assembled, tmp_path, capsys):
    run, other = tmp_path / "run", tmp_path / "other"
    options = [*OPTIONS[2:], "--consistency", 0]
    assert vasomim("pretrain", "--data", assembled, "--run", run, "--anatomy", "as-released", *options) == 1
    assert "assembled with --anatomy robust, and this run asks for as-released" in capsys.readouterr().err
    run = tmp_path / "killed"
    killed_at(3, "pretrain", "--data", assembled, "--run", run, *OPTIONS)
    assemble(next((labelled / "images").iterdir()), other, processes=1)
    for data in (other, labelled):
        assert vasomim("pretrain", "--resume", run, "--data", data) == 1
        assert "has no copy of its data: the files have changed" in capsys.readouterr().err


def test_other_readers_of_folders_take_it_too(labelled, assembled):
    found = open_unlabelled(assembled)
    assert found.frames == 12
    again = open_unlabelled(labelled)
    pairs = zip(each_frame(found, [], []), each_frame(again, [], []), strict=True)
    assert all((one == other).all() for one, other in pairs)


def one_machine(rank: int, port: int, step: int, arguments: list[str], said: Path) -> None:
    """What torchrun would start on one of two machines, in this process, which is killed after a step."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with open(said, "w") as file, redirect_stderr(file):
        if step and rank == 1:
            run_and_die(step, arguments)
        code = vasomim(*arguments)
    sys.exit(code)


def two_machines(step: int, arguments: list[list[object]], folder: Path) -> list[str]:
    """Run a command on each, the second one's process killed after a step, 0 = not; what each says.

    Without torchrun, from a process that has loaded torch: much faster.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = [folder / f"said{rank}.txt" for rank in range(2)]
    given = [(rank, port, step, list(map(str, arguments[rank])), said[rank]) for rank in range(2)]
    started = [forked().Process(target=one_machine, args=one) for one in given]
    for process in started:
        process.start()
    for process in started:
        process.join(250)
        assert process.exitcode, "each ends, and by no success"
    return [path.read_text() for path in said]


def test_two_machines_share_the_frames_and_one_goes_on_alone_where_the_other_is_lost(assembled, unbroken, tmp_path):
    data = [assembled, shutil.copytree(assembled, tmp_path / "copy")]
    runs = [tmp_path / "first", tmp_path / "second"]
    given = [["pretrain", "--data", one, "--run", run, *OPTIONS] for one, run in zip(data, runs, strict=True)]
    runs[1].mkdir()
    (runs[1] / "state.pt").write_bytes(b"of another run")
    said = two_machines(2, given, tmp_path)
    assert "another process of this run has gone" in said[0]
    assert "another process of this run has gone" in ended(runs[0])
    assert sorted(path.name for path in runs[1].iterdir()) == ["config.yaml", "state.pt"]

    two_machines(4, [["pretrain", "--resume", run] for run in runs], tmp_path)
    assert torch.load(runs[1] / "state.pt", weights_only=True)["state"]["step"] > 0, "it is the first machine's now"
    assert vasomim("pretrain", "--resume", runs[0]) == 0
    starts = [(e["processes"], e["resumed"]) for e in read_events(runs[0]) if e["event"] == "start"]
    assert [count for count, _ in starts] == [2, 2, 1]
    assert 0 == starts[0][1] < starts[1][1] < starts[2][1] < STEPS
    assert losses(runs[0]) == pytest.approx(losses(unbroken), rel=2e-3)


@pytest.mark.parametrize("other", ["frames", "settings"])
def test_machines_with_other_frames_or_settings_are_refused(labelled, assembled, tmp_path, other):
    data, options = [assembled, assembled], [OPTIONS, OPTIONS]
    if other == "frames":
        data[1] = assemble(labelled / "images" / "1.png", tmp_path / "other", processes=1).folder
    else:
        options[1] = [*OPTIONS, "--seed", 1]
    given = [["pretrain", "--data", data[n], "--run", tmp_path / str(n), *options[n]] for n in range(2)]
    for said in two_machines(0, given, tmp_path):
        assert ("do not see the same frames" if other == "frames" else "were given different settings") in said
