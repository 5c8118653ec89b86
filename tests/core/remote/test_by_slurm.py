"""What SLURM may say of a job, by commands that stand in for its own; how a job is asked for."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from vasomim_core.errors import ConfigError
from vasomim_core.remote import by_slurm
from vasomim_core.remote.by_process import Process
from vasomim_core.remote.by_slurm import Slurm, cluster
from vasomim_core.remote.far import Place
from vasomim_core.remote.machines import Machine, save_machine
from vasomim_core.remote.queue_words import ended_by, in_queue
from vasomim_core.remote.started import Commands, Refused

COMMANDS = Commands(["finetune", "--run", "run"], ["finetune", "--resume", "run"])


class Stand:
    """Commands of SLURM that say what they are told to, and keep what they were asked."""

    def __init__(self, folder: Path):
        self.folder = folder

    def says(self, command: str, said: str = "", error: str = "") -> None:
        path = self.folder / command
        fails = f"printf '%s\\n' {shlex.quote(f'{command}: error: {error}')} >&2; exit 1" if error else ""
        (self.folder / f"{command}.asked").touch()
        path.write_text(
            f'#!/bin/sh\necho "$@" >> {shlex.quote(f"{path}.asked")}\nprintf "%s\\n" {shlex.quote(said)}\n{fails}\n'
        )
        path.chmod(0o755)

    def asked(self, command: str) -> list[str]:
        return (self.folder / f"{command}.asked").read_text().splitlines()


@pytest.fixture
def stand(tmp_path, monkeypatch) -> Stand:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(by_slurm, "PAUSES", (0.0,))
    return Stand(tmp_path / "bin")


@pytest.fixture
def job(stand, tmp_path) -> Slurm:
    """A job that was submitted, with the number 7."""
    stand.says("squeue")
    stand.says("sbatch", "7;other-cluster")
    one = Slurm(tmp_path / "0123456789abcdef", ("--gres=gpu:1",))
    one.start(COMMANDS)
    return one


def test_a_run_is_submitted_once_though_the_answer_was_lost(stand, tmp_path):
    stand.says("squeue")
    stand.says("sbatch", error="Batch job submission failed: Socket timed out on send/recv operation")
    one = Slurm(tmp_path / "0123456789abcdef")
    with pytest.raises(Refused, match="SLURM says to sbatch: Batch job submission failed"):
        one.start(COMMANDS)
    assert not one.there
    stand.says("squeue", "41")  # it is in the queue all the same
    one.start(COMMANDS)
    assert one.there
    assert len(stand.asked("sbatch")) == 1
    assert "--name=vasomim-0123456789abcdef" in stand.asked("squeue")[-1]
    assert json.loads((tmp_path / "0123456789abcdef" / "slurm.json").read_text()) == {"job": "41"}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("TIMEOUT", "SLURM ended the run on far at its time limit"),
        ("PREEMPTED", "for a job that comes first"),
        ("OUT_OF_MEMORY", "more main memory than it had asked for"),
        ("NODE_FAIL", "has failed"),
        ("FAILED", ""),
        ("CANCELLED by 1000", "was cancelled in SLURM"),
    ],
)
def test_an_end_has_a_reason(job, stand, state, words):
    stand.says("squeue", f"{state}|None|node1|2026-11-28T01:17:44")
    standing = job.standing()
    assert not standing.alive
    assert words in ended_by("far", standing.queue)
    assert bool(words) == bool(ended_by("far", standing.queue))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "PENDING|Priority||2026-11-28T09:30:00",
            "come first; SLURM expects it to begin at 2026-11-28 09:30",
        ),
        ("PENDING|Resources||N/A", "waits in the queue of far for resources that others use"),
        ("PENDING|QOSMaxJobsPerUserLimit||N/A", "waits in the queue of far (QOSMaxJobsPerUserLimit)"),
        ("PENDING|PartitionTimeLimit||N/A", "for ever: it asks for more hours than its partition allows"),
        ("REQUEUED|None||N/A", "waits in the queue of far"),
        ("RUNNING|None|node1|2026-11-28T01:17:44", "begins on node1 of far"),
        ("SUSPENDED|None|node1|N/A", "is suspended on node1"),
        ("COMPLETING|None|node1|N/A", ""),
    ],
)
def test_a_run_that_has_not_ended_is_somewhere(job, stand, line, words):
    stand.says("squeue", line)
    standing = job.standing()
    assert standing.alive
    said = in_queue("far", standing.queue)
    assert words in said
    assert bool(words) == bool(said)


def test_what_the_queue_has_forgotten_the_account_knows(job, stand):
    stand.says("squeue", error="slurm_load_jobs error: Invalid job id specified")
    stand.says("sacct", "TIMEOUT|None|node1|2026-11-28T01:17:44")
    assert job.standing().queue["state"] == "TIMEOUT"
    assert "--jobs=7" in stand.asked("sacct")[0]
    stand.says("sacct", error="Slurm accounting storage is disabled")
    standing = job.standing()
    assert not standing.alive
    assert "does not know the run any more" in ended_by("far", standing.queue)


def test_a_silent_cluster_has_not_ended_a_run(job, stand):
    stand.says("squeue", error="Unable to contact slurm controller (connect failure)")
    with pytest.raises(Refused, match="Unable to contact"):
        job.standing()
    stand.says("squeue", "RUNNING|None|node1|N/A")
    assert job.standing().alive
    stand.says("squeue", error="Unable to contact slurm controller (connect failure)")
    assert job.standing().alive


def test_a_stop_that_did_not_arrive_is_told(job, stand):
    stand.says("scancel", error="Kill job error on job id 7: Job/step already completing or completed")
    job.stop()
    assert stand.asked("scancel") == ["--state=PENDING 7", "--batch --signal=TERM 7"]
    stand.says("scancel", error="Kill job error on job id 7: Unable to contact slurm controller (connect failure)")
    with pytest.raises(Refused, match="Unable to contact"):
        job.stop()


def test_slurm_is_not_asked_all_the_time(job, stand, monkeypatch):
    monkeypatch.setattr(by_slurm, "PAUSES", (3600.0,))
    stand.says("squeue", "RUNNING|None|node1|N/A")
    before = len(stand.asked("squeue"))
    assert [job.standing().alive for _ in range(5)] == [True] * 5
    assert len(stand.asked("squeue")) == before + 1


def test_what_a_description_asks_of_slurm():
    asks = {"gpus": 2, "partition": "gpu", "hours": 0.5, "cpus": 8, "memory": 64, "sbatch": ("account=x", "exclusive")}
    options = Machine("host", slurm=True, **asks).sbatch_options()
    assert options == [
        *("--nodes=1", "--ntasks=1", "--requeue", "--partition=gpu", "--gres=gpu:2", "--time=30"),
        *("--cpus-per-task=8", "--mem=64G", "--signal=B:TERM@120", "--account=x", "--exclusive"),
    ]
    assert "--signal=B:TERM@6" in (Machine("host", slurm=True, hours=1 / 60).sbatch_options() or ())
    assert Machine("host", partition="gpu").sbatch_options() is None


@pytest.mark.parametrize(
    "asks",
    [
        *({"partition": name} for name in ("a b", "-p", "a\nb", "$(id)")),
        *({"sbatch": (option,)} for option in ("--account=x", "a b", "wrap=id", "output=/x", "array=1-9", "", "x=\n")),
    ],
)
def test_what_is_no_option_is_refused(asks):
    with pytest.raises(ConfigError, match=r"partition is|sbatch has"):
        save_machine("far", Machine("host", slurm=True, **asks))


def test_a_partition_is_known_by_what_its_nodes_have(stand):
    stand.says("sbatch")
    rows = ["cpu*|up|2-00:00:00|40|(null)", "gpu|up|1-00:00:00|10|gpu:a100:4(S:0-1)", "gpu|up|1-00:00:00|2|gpu:8,nic:1"]
    stand.says("sinfo", "\n".join(rows))
    found = cluster(["--partition=gpu"])
    assert (found["partition"], found["limit"], found["nodes"]) == ("gpu", "1-00:00:00", 12)
    assert found["gpus"] == ["4 × a100 a node", "8 × GPU a node"]
    assert cluster([])["gpus"] == []
    assert cluster(["--partition=none"])["limit"] == ""


def test_a_run_goes_on_as_its_machine_is_described_by_then(stand, tmp_path):
    stand.says("squeue")
    stand.says("sbatch", "8")
    place = Place(str(tmp_path), sbatch=[])
    job = place.job("0123456789abcdef")
    job.mkdir(parents=True)
    (job / "process.json").write_text("{}")
    assert isinstance(place.started(job), Process)
    place.start(job, ["finetune"], ["finetune"])
    assert isinstance(place.started(job), Slurm)
    assert isinstance(Place(str(tmp_path)).started(job), Slurm)


def test_several_gpus_are_several_processes():
    several = Commands(["pretrain"], [], gpus=4).line(["pretrain"])
    assert several[1:] == [
        *("-P", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4", "-m", "--"),
        *("vasomim_core", "pretrain"),
    ]
    assert Commands([], [], gpus=0).environment["CUDA_VISIBLE_DEVICES"] == ""
