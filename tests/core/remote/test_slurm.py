"""Runs on a real SLURM cluster of one node, over a real SSH server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from tests.core.remote.cluster import LICENCE, Cluster
from tests.core.remote.conftest import NAME, Far
from tests.core.remote.test_running import TRAINING, Seen, config
from tests.core.training.test_resume import losses, vasomim
from vasomim_core.comparing.settings import Comparison
from vasomim_core.comparing.standing import standing
from vasomim_core.config import FinetuneConfig, to_dict
from vasomim_core.errors import RemoteError, RunError
from vasomim_core.remote import asked, comparison, copying
from vasomim_core.remote.running import cancel, train_elsewhere
from vasomim_core.training.events import EventLog, read_events
from vasomim_core.training.finetune import finetune
from vasomim_core.training.runs import save_config

pytestmark = pytest.mark.timeout(1200)  # each run is a process that loads torch, on a machine that may be busy
__all__ = ["config"]  # a fixture


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(asked, "PAUSES", (0.05,))


class LoginNode(Far):
    """The far side as the login node of a cluster; `asks` is what its runs ask of SLURM."""

    def __init__(self, server, folder: Path, cluster: Cluster):
        super().__init__(server, folder)
        setup = f"{self.machine.setup} SLURM_CONF={cluster.conf}"
        self.machine = replace(self.machine, setup=setup, slurm=True, gpus=0)

    def asks(self, **asks: object) -> None:
        self.machine = replace(self.machine, **asks)


@pytest.fixture
def far(server, cluster, tmp_path) -> LoginNode:
    return LoginNode(server, tmp_path, cluster)


def queued(run: Path) -> list[str]:
    return [event["message"] for event in read_events(run) if event["event"] == "queue"]


@pytest.fixture(scope="module")
def short_run(server, a_cluster, labelled, tmp_path_factory) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A run that may take two minutes and would take longer, followed by a process of its own."""
    folder = tmp_path_factory.mktemp("short")
    far = LoginNode(server, folder, a_cluster)
    far.asks(hours=1 / 30, setup=f"{far.machine.setup} PACE=0.5")
    (folder / "machines.yaml").write_text(yaml.safe_dump({NAME: to_dict(far.machine)}))
    training = replace(TRAINING, epochs=1000)
    settings = FinetuneConfig(
        labelled, folder / "run", architecture="unext", frame_size=64, input_size=64, training=training
    )
    save_config(folder / "short.yaml", settings)
    command = (sys.executable, "-m", "vasomim_core", "finetune", "--config", folder / "short.yaml", "--on", NAME)
    environment = {**os.environ, "VASOMIM_MACHINES": str(folder / "machines.yaml")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        while not a_cluster.jobs() and run.poll() is None:
            psutil.wait_procs([], 0.1)
        a_cluster.spared = next(iter(a_cluster.jobs()), "")
        yield run, settings.run
        run.kill()


def test_a_run_waits_is_cut_off_and_is_the_run_that_it_would_have_been_here(
    short_run, config, far, server, cluster, tmp_path
):
    """The short run goes on meanwhile."""
    gate, blocker = tmp_path / "gate", cluster.occupy()
    far.asks(sbatch=(f"licenses={LICENCE}",))
    far.described(WAIT_FOR=gate)

    def back():
        if server.process is None:
            server.start()
            gate.touch()

    watcher = Seen(waits=lambda: cluster.said("scancel", blocker), step3=server.cut_off, tries=back)
    outcome = train_elsewhere(config, NAME, watcher=watcher)
    assert outcome.reason == "finished"
    assert watcher.steps == [1, 2, 3, 4]
    assert any("cannot be reached" in sentence for sentence in watcher.sentences)
    told = queued(config.run)
    assert f"Waits in the queue of {NAME} for a licence" in " ".join(told)
    assert told[-1] == f"Begins on {cluster.node} of {NAME}."
    assert not far.folder.exists()
    assert not cluster.jobs()
    assert not list(tmp_path.rglob("owned"))

    here = replace(config, run=tmp_path / "here")
    finetune(here)
    assert losses(config.run) == losses(here.run)
    assert (config.run / "model.safetensors").read_bytes() == (here.run / "model.safetensors").read_bytes()


def test_a_run_is_killed_resumed_and_put_back_into_the_queue(config, far, cluster, tmp_path):
    far.described(DIE_AT=3)
    with pytest.raises(RunError, match=r"gone without a word.*goes on from its last saved state"):
        train_elsewhere(config, NAME)
    gate = tmp_path / "gate"
    far.described(WAIT_FOR=gate)

    def put_back():
        if not gate.exists():
            cluster.said("scontrol", "requeue", *cluster.jobs())

    again = Seen(step3=put_back, **{"puts back": gate.touch})
    assert train_elsewhere(config, resume=True, watcher=again).reason == "finished"
    assert any("for its time to begin" in sentence for sentence in queued(config.run))
    here = replace(config, run=tmp_path / "here")
    finetune(here)
    assert losses(config.run) == losses(here.run)
    assert not far.folder.exists()


def test_a_run_that_was_left_is_found_again_stopped_and_cancelled(config, far, cluster, tmp_path, monkeypatch):
    gate = tmp_path / "gate"
    far.described(WAIT_FOR=gate)
    leave = Seen(step3=lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert train_elsewhere(config, NAME, watcher=leave).reason == "left"
    found_again = copying.Events.found_again

    def then_stop(events):
        found_again(events)
        EventLog(config.run).write("stop")

    monkeypatch.setattr(copying.Events, "found_again", then_stop)
    again = Seen(stops=gate.touch)
    outcome = train_elsewhere(config, resume=True, watcher=again)
    assert again.steps == []
    assert outcome.reason == "stopped"
    assert "vasomim machines --clean" in outcome.message
    assert (config.run / "model.safetensors").exists()
    assert far.files()
    cancel(config.run)
    assert not far.folder.exists()


@pytest.mark.parametrize(("waits", "times", "reason"), [(True, 1, "stopped"), (False, 2, "cancelled")])
def test_ctrl_c_stops_a_run_and_twice_cancels_it(config, far, cluster, waits, times, reason):
    if waits:
        cluster.occupy()
        far.asks(sbatch=(f"licenses={LICENCE}",))
    far.described(READS_FOR_EVER=1)

    def interrupt():
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)

    seen = Seen(**{"waits" if waits else "prepare": interrupt})
    assert train_elsewhere(config, NAME, watcher=seen).reason == reason
    assert list(read_events(config.run))[-1]["reason"] == reason
    assert not far.folder.exists()
    assert len(cluster.jobs()) == waits


def test_a_run_that_somebody_cancels_there_says_so(config, far, cluster):
    far.described(READS_FOR_EVER=1)
    watcher = Seen(prepare=lambda: cluster.said("scancel", *cluster.jobs()))
    with pytest.raises(RunError, match=rf"the run on {NAME} was cancelled in SLURM.*; it had saved no state"):
        train_elsewhere(config, NAME, watcher=watcher)
    (warning,) = [event for event in read_events(config.run) if event["event"] == "warning"]
    assert warning["message"] == f"The run on {NAME} was cancelled in SLURM."
    assert not far.folder.exists()


@pytest.mark.parametrize(
    ("asks", "words"),
    [
        ({"partition": "nowhere"}, "no such partition"),
        ({"gpus": 1}, "the partition main has none"),
        ({"cpus": 99}, "SLURM on department does not take such a run: .*not available"),
    ],
)
def test_what_the_cluster_does_not_have_is_said_before_anything_is_sent(config, far, asks, words):
    far.asks(**asks)
    far.described()
    with pytest.raises(RemoteError, match=words):
        train_elsewhere(config, NAME)
    assert not config.run.exists()
    assert not far.folder.exists()


def test_a_machine_that_is_no_login_node_says_so(config, far):
    far.machine = replace(far.machine, setup=f"{far.machine.setup} PATH=/nowhere")
    far.described()
    with pytest.raises(RemoteError, match="sinfo is not there"):
        train_elsewhere(config, NAME)


def test_a_check_tells_of_the_partition_and_of_a_node(far, cluster, capsys):
    far.described()
    assert vasomim("machines", "--check", NAME) == 0
    said = capsys.readouterr().out
    assert "partition main (1 nodes, up): at most 2-00:00:00 a run, a run would begin at 20" in said
    assert "a node of it: VasoMIM" in said
    assert "is described without a GPU" in said or "no GPU that torch can use" in said


def test_a_comparison_waits_in_the_queue_and_comes_back(far, cluster, labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "POLL", 0.3)
    blocker = cluster.occupy()
    far.asks(sbatch=(f"licenses={LICENCE}",))
    far.described()
    watcher = Seen(waits=lambda: cluster.said("scancel", blocker))
    settings = Comparison((labelled,), methods=("frangi",), seeds=1, fraction=1, device="cpu")
    compared = comparison.compare_elsewhere(tmp_path / "out", settings, NAME, watcher)
    assert compared.reason == "finished"
    assert standing(tmp_path / "out").finished
    assert any("waits in the queue" in sentence for sentence in watcher.sentences)
    assert not far.folder.exists()


def test_a_run_saves_its_state_before_its_time_is_over(short_run, cluster):
    process, run = short_run
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "stopped: model in" in output
    assert "as SLURM does shortly before the time limit" in output
    assert [event["reason"] for event in read_events(run) if event["event"] == "end"] == ["stopped"]
    assert "state.pt" in {path.name for path in run.parent.rglob("jobs/*/run/*")}
