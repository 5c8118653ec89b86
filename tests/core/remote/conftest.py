"""A machine that is this one, reached by SSH."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.core.remote.cluster import PROGRAMS, Cluster
from tests.core.remote.server import SSHD, Server
from tests.core.training.conftest import labelled
from vasomim_core.remote.machines import Machine, save_machine

ROOT = Path(__file__).resolve().parents[3]
NAME = "department"
__all__ = ["labelled"]  # a fixture


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """An SSH server, which every test finds started."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no OpenSSH server and client are installed (Debian: openssh-server, openssh-client)")
    one = Server(tmp_path_factory.mktemp("sshd"))
    one.start()
    yield one
    one.close()


@pytest.fixture(scope="session")
def a_cluster() -> Iterator[Cluster]:
    """A SLURM cluster, which every test finds started."""
    absent = [name for name, path in PROGRAMS.items() if path is None]
    if absent:
        pytest.skip(f"no SLURM is installed: {', '.join(absent)} (Debian: slurm-wlm, munge)")
    one = Cluster()
    try:
        one.start()
        yield one
    finally:
        one.close()


@pytest.fixture
def cluster(a_cluster) -> Iterator[Cluster]:
    """The cluster, without a job."""
    yield a_cluster
    a_cluster.empty()


class Far:
    """The far side: `described` with an environment; `folder` is where everything there lies."""

    def __init__(self, server: Server, folder: Path):
        self.folder = folder / "it's $(touch owned) far"
        gate = Path(__file__).with_name("gate")
        setup = f"export PYTHONPATH={shlex.quote(f'{gate}:{ROOT}')} OMP_NUM_THREADS=1"
        self.machine = Machine("far", str(self.folder), sys.executable, setup, ssh_config=server.config())

    def described(self, **environment: object) -> Machine:
        words = [f"{name}={shlex.quote(str(value))}" for name, value in environment.items()]
        machine = replace(self.machine, setup=" ".join([self.machine.setup, *words]))
        save_machine(NAME, machine)
        return machine

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()] if self.folder.exists() else []


@pytest.fixture(autouse=True)
def _own_machines(tmp_path, monkeypatch):
    monkeypatch.setenv("VASOMIM_MACHINES", str(tmp_path / "settings" / "machines.yaml"))


@pytest.fixture
def far(server, tmp_path) -> Iterator[Far]:
    one = Far(server, tmp_path)
    yield one
    for known in one.folder.glob("jobs/*/process.json"):  # of a test that failed
        with suppress(psutil.Error):
            psutil.Process(json.loads(known.read_text())["pid"]).kill()
