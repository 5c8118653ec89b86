"""A run folder has one process at a time, says whole paths, and its settings may come from anybody."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.core.training.test_resume import FINETUNING, losses, vasomim
from vasomim_core.config import FinetuneConfig
from vasomim_core.errors import ConfigError, RunError
from vasomim_core.training.events import EventLog, read_events
from vasomim_core.training.processes import Processes
from vasomim_core.training.runs import absolute, exclusive, load_config, open_run, save_config

ONE = ("--epochs", 1)


def test_a_run_that_is_alive_is_not_resumed(labelled, tmp_path, capsys):
    run = tmp_path / "run"
    save_config(run / "config.yaml", FinetuneConfig(labelled, run))
    before = sorted(path.name for path in run.iterdir())
    with exclusive(run):
        assert vasomim("finetune", "--resume", run) == 1
    assert f"{run} is in use: " in (sentence := capsys.readouterr().err)
    assert f"process {os.getpid()} on " in sentence
    assert sorted(path.name for path in run.iterdir()) == [".lock", *before]


def test_of_starts_at_the_same_instant_one_gets_the_folder(labelled, tmp_path):
    together, leave = threading.Barrier(6), threading.Event()
    config = FinetuneConfig(labelled, tmp_path / "run")

    def start(_: int) -> str:
        together.wait()
        try:
            with open_run(config, Processes(), resume=False):
                leave.wait(60)
                return "mine"
        except RunError as error:
            return str(error)

    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(start, n) for n in range(6)]
        while sum(one.done() for one in waiting) < 5:
            pass
        leave.set()
        answers = [one.result() for one in waiting]
    assert answers.count("mine") == 1
    assert all("in use" in answer or "not empty" in answer for answer in answers if answer != "mine")
    assert [e["event"] for e in read_events(tmp_path / "run")] == ["open"]


def test_settings_mean_the_same_files_from_anywhere(labelled, tmp_path, monkeypatch):
    (tmp_path / "here" / "elsewhere").mkdir(parents=True)
    (tmp_path / "here" / "data").symlink_to(labelled)
    monkeypatch.chdir(tmp_path / "here")
    assert vasomim("finetune", "--labels", "data", "--val", "data", "--run", "a", *FINETUNING, *ONE) == 0
    config = load_config(Path("a"))
    assert (config.labels, config.val, config.run) == (labelled, labelled, tmp_path / "here" / "a")
    monkeypatch.chdir("elsewhere")
    assert vasomim("finetune", "--config", "../a/config.yaml", "--run", "b") == 0
    assert losses(Path("b")) == losses(Path("../a"))
    assert load_config(Path("b")).run == tmp_path / "here" / "elsewhere" / "b"


def test_a_models_name_stays_a_name_and_its_path_becomes_whole(labelled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vasomim-demo").mkdir()  # no run
    (tmp_path / "encoder.pth").write_bytes(b"")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"")
    told = {"vasomim-demo": "vasomim-demo", "encoder.pth": "/encoder.pth", "run": "/run", "gone": "gone"}
    for init, kept in told.items():
        whole = absolute(FinetuneConfig(Path("no labels"), Path("new"), init=init))
        assert whole.init == (str(tmp_path) + kept if kept[0] == "/" else kept)
        assert whole.labels == Path("no labels")  # nothing is there: what was typed is told


LAUGHS = "\n".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(9))
HOSTILE = {
    "laughs": f"job: finetune\na0: &a0 [x]\n{LAUGHS}\nlabels: *a9\nrun: r\n",
    "merged": f"job: finetune\na0: &a0 {{x: 1}}\n{LAUGHS.replace('[', '{<<: [').replace(']', ']}')}\nrun: r\n",
    "alias": "job: finetune\nlabels: &a x\nrun: *a\n",
    "digits": f"job: finetune\nlabels: x\nrun: r\ntraining: {{epochs: {'9' * 6000}}}\n",
    "hexadecimal": f"job: finetune\nlabels: x\nrun: r\ntraining: {{epochs: 0x{'f' * 6000}}}\n",
    "a huge rate": f"job: finetune\nlabels: x\nrun: r\nfraction: 0x{'f' * 6000}\n",
    "in a list": f"job: finetune\nlabels: [0x{'f' * 6000}]\nrun: r\n",
    "job": "job: []\nlabels: x\nrun: r\n",
    "job, too": "job: {a: 1}\n",
    "deep": "job: finetune\nlabels: " + "[" * 20_000,
    "deep and closed": "job: finetune\nlabels: " + "[" * 5_000 + "]" * 5_000 + "\nrun: r\n",
    "wide": "job: finetune\nrun: r\nlabels: [" + "x, " * 15_000 + "x]\n",
    "long": "job: finetune\nrun: r\nlabels: " + "x" * 60_000,
    "too long": "# " + "x" * 1_000_000,
    "no number": "job: finetune\nlabels: x\nrun: r\nfraction: .nan\n",
    "infinite": "job: finetune\nlabels: x\nrun: r\nfraction: .inf\n",
    "a pair of three": "job: finetune\nlabels: x\nrun: r\ntraining: {betas: [0.1, 0.2, 0.3]}\n",
    "a pair of one": "job: finetune\nlabels: x\nrun: r\ntraining: {betas: [0.1]}\n",
    "a choice": "job: finetune\nlabels: x\nrun: r\narchitecture: [vit]\n",
    "a name": "job: finetune\n? [a, b]\n: 1\n",
    "a day": "job: finetune\nlabels: 2001-01-01\nrun: r\n",
    "no day": "job: finetune\nlabels: 2001-99-99\nrun: r\n",
    "zero": 'job: finetune\nlabels: "a\\0b"\nrun: r\n',
    "object": "job: finetune\nlabels: !!python/object/apply:os.system [ls]\nrun: r\n",
    "bytes": b"\xff\xfe\x00",
    "nothing": "",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_settings_end_in_a_short_sentence(tmp_path, name, capsys):
    text = HOSTILE[name]
    (tmp_path / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as raised:
        load_config(tmp_path)
    assert len(str(raised.value)) < 600 + len(str(tmp_path))
    assert vasomim("finetune", "--config", tmp_path / "config.yaml", "--run", tmp_path / "run") == 1
    assert "unexpected" not in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["config.yaml", "events.jsonl", "data.json"])
def test_a_named_pipe_is_not_waited_for(labelled, tmp_path, name, capsys):
    run = tmp_path / "run"
    save_config(run / "config.yaml", FinetuneConfig(labelled, run, architecture="unext", frame_size=64, input_size=64))
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    if name == "data.json":
        EventLog(run).write("end", reason="failed", message="")
        assert vasomim("finetune", "--resume", run, *ONE, "--device", "cpu") == 0  # it had not begun
    else:
        assert vasomim("finetune", "--resume", run) == 1
    assert "unexpected" not in capsys.readouterr().err


def test_settings_written_and_read_are_the_same(tmp_path):
    config = FinetuneConfig(Path("ä b"), tmp_path)
    save_config(tmp_path / "config.yaml", config)
    assert load_config(tmp_path) == config
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["job"] == "finetune"


@pytest.mark.parametrize(
    ("option", "value"), [("--fraction", 0.5), ("--seed", 3), ("--frame-size", 96), ("--init", "vasomim-demo")]
)
def test_a_resumed_run_takes_no_settings_that_it_was_not_begun_with(labelled, tmp_path, capsys, option, value):
    run = tmp_path / "run"
    save_config(run / "config.yaml", FinetuneConfig(labelled, run))
    assert vasomim("finetune", "--resume", run, option, value) == 1
    error = capsys.readouterr().err
    assert f"{option[2:].replace('-', '_')} is {value}, and the run in" in error
    assert "was begun with" in error
