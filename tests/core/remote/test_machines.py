"""Machines are described once; nothing of a description, or of a path, is ever read by a shell as more than a word."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from tests.core.training.test_resume import vasomim
from vasomim_core.errors import ConfigError
from vasomim_core.remote.connection import Connection
from vasomim_core.remote.machines import Machine, machine_named, machines, machines_file, remove_machine, save_machine


def test_descriptions_are_kept_replaced_and_forgotten(tmp_path):
    assert machines() == {}
    one = Machine("someone@gpu.example", "/data/vm", "~/venv/bin/python", "module load cuda", 2222, tmp_path, True)
    save_machine("department", one)
    save_machine("cluster", Machine("login"))
    assert machines() == {"department": one, "cluster": Machine("login")}
    save_machine("cluster", Machine("login", keep_frames=True))
    remove_machine("department")
    assert machines() == {"cluster": Machine("login", keep_frames=True)}
    with pytest.raises(ConfigError, match="known are cluster"):
        machine_named("department")


@pytest.mark.parametrize(
    "host", ["-oProxyCommand=touch owned", "a b", "", "a@b@c", "$(id)", "host;id", "host\nid", "-l", "a@-b", "x'y"]
)
def test_what_is_no_host_is_refused_before_it_reaches_ssh(host):
    with pytest.raises(ConfigError, match="host is"):
        save_machine("department", Machine(host))
    with pytest.raises(ConfigError, match="host is"):
        Connection("department", Machine(host)).command()


@pytest.mark.parametrize("name", ["", "-x", "a b", "../x", "é", "x" * 41])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ConfigError, match="cannot name a machine"):
        save_machine(name, Machine("host"))


@pytest.mark.parametrize("field", ["folder", "python", "setup"])
def test_a_text_has_one_line(field):
    with pytest.raises(ConfigError, match=f"{field} is"):
        save_machine("department", Machine("host", **{field: "a\nb"}))


@pytest.mark.parametrize(
    "text",
    ["[1, 2]", "a: 1", "a: {}", "a: {host: [1]}", "a: {host: h, port: 0}", "a: {host: h, x: 1}", "a: {host: -x}", "{"],
)
def test_a_damaged_file_is_named(text):
    machines_file().parent.mkdir()
    machines_file().write_text(text)
    with pytest.raises(ConfigError, match=r"machines\.yaml"):
        machines()


def test_nobody_is_asked_and_no_unknown_host_accepted():
    command = Connection("department", Machine("me@gpu", port=2222)).command()
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", "ForwardAgent=no"} <= set(command)
    assert command[-3:-1] == ["--", "me@gpu"]
    assert command[command.index("-p") + 1] == "2222"


def test_the_shell_there_sees_one_python(tmp_path):
    python = tmp_path / 'it\'s $(touch owned) a "python"'
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    command = Connection("department", Machine("gpu", python=str(python), setup="cd /")).command()[-1]
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "-P -m vasomim_core.remote.far\n"
    assert [path.name for path in tmp_path.iterdir()] == [python.name]


def test_home_there_is_not_home_here():
    command = Connection("department", Machine("gpu", python="~/my venv/python")).command()[-1]
    assert shlex.split(shlex.split(command)[3]) == ["exec", "~/my venv/python", "-P", "-m", "vasomim_core.remote.far"]
    assert "~/'my venv/python'" in shlex.split(command)[3]


def test_the_command_line_lists_adds_and_removes(capsys, tmp_path):
    assert vasomim("machines") == 0
    assert "no machines yet" in capsys.readouterr().out
    assert vasomim("machines", "--add", "gpu", "--host", "me@gpu", "--folder", "/data/x", "--keep-frames") == 0
    assert capsys.readouterr().out == "gpu: me@gpu, in /data/x, by python3\n"
    assert vasomim("machines", "--remove", "gpu") == 0
    assert vasomim("machines", "--add", "gpu") == 1
    assert "needs its --host" in capsys.readouterr().err
    assert vasomim("finetune", "--labels", tmp_path, "--run", tmp_path / "run", "--on", "gpu") == 1
    assert "no machine is called 'gpu'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
