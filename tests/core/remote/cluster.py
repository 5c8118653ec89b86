"""A SLURM cluster of the tests' own: one node, which is this computer, as the current user, on ports of its own."""

from __future__ import annotations

import getpass
import os
import platform
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin"
PROGRAMS = {name: shutil.which(name, path=PLACES) for name in ("munged", "slurmctld", "slurmd", "sbatch", "srun")}
CORES = 4
"""That the node says it has, whatever it has."""
LICENCE = "one"
"""Of which the cluster has one: who asks for it waits for who has it."""


class Cluster:
    """Munge, controller and node; `conf` is what `$SLURM_CONF` names."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm"))  # a socket's path must be short
        self.conf = self.folder / "slurm.conf"
        node = platform.node().partition(".")[0]
        controller_port, node_port = _free_ports()
        (self.folder / "key").write_bytes(secrets.token_bytes(128))
        (self.folder / "key").chmod(0o400)
        (self.folder / "state").mkdir()
        (self.folder / "spool").mkdir()
        self.conf.write_text(
            f"ClusterName=test\nSlurmctldHost={node}(127.0.0.1)\nSlurmctldPort={controller_port}\n"
            f"SlurmdPort={node_port}\nSlurmUser={getpass.getuser()}\nSlurmdUser={getpass.getuser()}\n"
            # What is put back into the queue waits for as long as a credential lives.
            f"AuthType=auth/munge\nAuthInfo=socket={self.folder}/munge,cred_expire=5\n"
            f"StateSaveLocation={self.folder}/state\nSlurmdSpoolDir={self.folder}/spool\n"
            f"SlurmctldPidFile={self.folder}/controller.pid\nSlurmdPidFile={self.folder}/node.pid\n"
            f"SlurmctldLogFile={self.folder}/controller.log\nSlurmdLogFile={self.folder}/node.log\n"
            "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n"
            "AccountingStorageType=accounting_storage/none\nSelectType=select/cons_tres\n"
            "SelectTypeParameters=CR_Core\nMpiDefault=none\nKillWait=2\nReturnToService=2\n"
            f"Licenses={LICENCE}:1\n"
            "SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1\nSlurmdParameters=config_overrides\n"
            f"NodeName={node} NodeAddr=127.0.0.1 CPUs={CORES} State=UNKNOWN\n"
            f"PartitionName=main Nodes={node} Default=YES MaxTime=2-00:00:00 State=UP\n"
        )
        self._environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        self.node = node
        self.spared = ""
        """Number of a job that runs beside the tests."""
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start it, and wait until the node takes jobs."""
        of_munge = {"key-file": "key", "socket": "munge", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        options = [f"--{name}={self.folder / file}" for name, file in of_munge.items()]
        self._begin("munged", "--force", "--foreground", *options)
        _until(lambda: (self.folder / "munge").exists())
        self._begin("slurmctld", "-D")
        self._begin("slurmd", "-D", "-N", self.node)
        _until(lambda: "idle" in self.said("sinfo", "--noheader", "--format=%t"), self._log)

    def said(self, *command: str) -> str:
        """What a command of SLURM prints; empty where it fails."""
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def jobs(self) -> list[str]:
        """The numbers of the jobs in the queue."""
        return [one for one in self.said("squeue", "--noheader", "--format=%i").split() if one != self.spared]

    def occupy(self) -> str:
        """Take the licence, until the job of this number is cancelled."""
        options = ("--parsable", f"--licenses={LICENCE}", f"--chdir={self.folder}", "--output=/dev/null")
        number = self.said("sbatch", *options, "--wrap=exec sleep 600")
        _until(lambda: self.said("squeue", "--noheader", f"--jobs={number}", "--format=%T") == "RUNNING", self._log)
        return number

    def empty(self) -> None:
        """Cancel what a test has left."""
        if jobs := self.jobs():
            self.said("scancel", *jobs)
        _until(lambda: not self.jobs(), self._log)

    def close(self) -> None:
        """End it for good."""
        self.said("scancel", "--full", "--signal=KILL", f"--user={getpass.getuser()}")
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self, name: str, *arguments: str) -> None:
        with open(self.folder / f"{name}.out", "wb") as log:
            self._processes.append(
                subprocess.Popen(
                    [str(PROGRAMS[name]), *arguments],
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def _log(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(self.folder.glob("*.out")))


def _free_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in (one, other)]


def _until(condition, log=lambda: "") -> None:
    until = time.monotonic() + 30
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"the cluster of the tests does not come: {log()}")
        time.sleep(0.05)
