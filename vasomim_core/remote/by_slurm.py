"""A run as a job of a SLURM cluster: submitted by `sbatch`, found by `slurm.json` and by its name in the queue.

`squeue` says how a job stands, and for some minutes how it has ended. Later the cluster's accounting says that
(`sacct`), where there is one. Nothing but a host name is asked of a compute node: folder and Python are those of the
login node, on a file system that both see.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vasomim_core.remote.started import BEGUN, OUTPUT, Commands, Refused, Standing, write, write_record

ENDED = (
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
)
UNKNOWN = "UNKNOWN"
"""SLURM has forgotten the job."""
LONGEST = 90.0
"""Seconds within which SLURM's commands answer."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between two questions for one job, the last one again and again: a cluster has many to answer to."""
GRACE = 10.0
"""Seconds from the wish that a job ends to its end by force, and then to giving up."""
FORGOTTEN = "Invalid job id"
OVER = (FORGOTTEN, "already completing or completed")
"""What SLURM's commands say of a job that has ended."""
SCRIPT = """#!/bin/sh
# SLURM starts this, again where it has put the run back into its queue; then the run goes on from its last saved state.
export {environment}
if [ -f {begun} ]; then exec {resume}; fi
exec {begin}
"""
_GPUS = re.compile(r"gpu:(?:([A-Za-z][\w.-]*):)?(\d+)")


class Slurm:
    """Args: job: the folder of a job; options: what a run asks of SLURM, as arguments of `sbatch`."""

    def __init__(self, job: Path, options: Sequence[str] = ()):
        self._job, self._record, self._options = job, job / "slurm.json", options
        self._name = f"vasomim-{job.name}"
        self._standing: Standing | None = None
        self._asked, self._answers = 0.0, 0

    @property
    def there(self) -> bool:
        """As `Started.there`."""
        return self._record.is_file()

    def start(self, commands: Commands) -> None:
        """As `Started.start`. What was submitted without an answer, as by a busy cluster, is not submitted twice."""
        number = self._waiting()
        if number is None:
            words = {
                "environment": shlex.join(f"{name}={value}" for name, value in commands.environment.items()),
                "begun": BEGUN,
                "begin": shlex.join(commands.line(commands.begin)),
                "resume": shlex.join(commands.line(commands.resume)),
            }
            write(self._job / "job.sh", SCRIPT.format(**words).encode())
            own = (f"--job-name={self._name}", f"--chdir={self._job}", f"--output={OUTPUT}", "--export=ALL")
            number = _said("sbatch", "--parsable", *self._options, *own, str(self._job / "job.sh")).partition(";")[0]
        write_record(self._record, {"job": number.strip()})
        self._standing = None

    def standing(self) -> Standing:
        """As `Started.standing`; SLURM is asked after pauses that grow, and what it said last holds in between."""
        pause = PAUSES[min(self._answers, len(PAUSES)) - 1] if self._answers else 0.0
        if self._standing is None or time.monotonic() - self._asked >= pause:
            try:
                self._standing = self._look()
            except Refused:
                if self._standing is None:
                    raise
            self._asked, self._answers = time.monotonic(), self._answers + 1
        return self._standing

    def stop(self) -> None:
        """As `Started.stop`."""
        self._cancel("--state=PENDING")
        self._cancel("--batch", "--signal=TERM")
        self.ending()

    def end(self) -> None:
        """As `Started.end`."""
        for how in ((), ("--full", "--signal=KILL")):
            self._cancel(*how)
            until = time.monotonic() + GRACE
            while (alive := self._look().alive) and time.monotonic() < until:
                time.sleep(min(0.5, PAUSES[0]))
            if not alive:
                return
        raise Refused(f"SLURM does not end the run's job {self._number()}; try again in a minute")

    def forget(self) -> None:
        """As `Started.forget`."""
        self._record.unlink(missing_ok=True)

    def ending(self) -> None:
        """As `Started.ending`: SLURM is asked sooner again."""
        self._answers = min(self._answers, 1)

    def _cancel(self, *how: str) -> None:
        try:
            _said("scancel", *how, self._number())
        except Refused as error:
            if not any(words in str(error) for words in OVER):
                raise

    def _number(self) -> str:
        number = json.loads(self._record.read_text())["job"]
        if not re.fullmatch(r"\d+", number):
            raise Refused(f"{self._record} names no job of SLURM; `vasomim machines --clean` removes the run")
        return str(number)

    def _waiting(self) -> str | None:
        """The number of the job in the queue that has this run's name."""
        return _said("squeue", "--noheader", f"--name={self._name}", "--format=%i").split("\n")[0].strip() or None

    def _look(self) -> Standing:
        """How the job stands now.

        Raises:
            Refused: SLURM does not answer.
        """
        number = self._number()
        try:
            told = _said("squeue", "--noheader", "--states=all", f"--jobs={number}", "--format=%T|%r|%N|%S")
        except Refused as error:
            if FORGOTTEN not in str(error):
                raise
            told = ""
        if not told:
            told = self._accounted(number)
        state, reason, node, start = [*told.splitlines()[-1].split("|"), "", "", ""][:4]
        queue = {"state": state.split()[0], "reason": reason, "node": node, "start": start}
        return Standing(queue["state"] not in (*ENDED, UNKNOWN), queue)

    def _accounted(self, number: str) -> str:
        columns = "--format=State,Reason,NodeList,Start"
        try:
            told = _said("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={number}", columns)
        except Refused:  # most small clusters keep no account
            told = ""
        return told or UNKNOWN


def cluster(options: Sequence[str]) -> dict[str, Any]:
    """What the cluster has for runs, by their options of `sbatch`.

    Returns:
        "partition", its "limit" of time, its "state", its "nodes"; "gpus" of each kind of node; whether SLURM takes
        such a job ("refusal", empty = it does), and when it "expects" it to begin.

    Raises:
        Refused: SLURM is not there, or does not answer.
    """
    asked = next((one.partition("=")[2] for one in options if one.startswith("--partition=")), "")
    rows = [row.split("|") for row in _said("sinfo", "--noheader", "--format=%P|%a|%l|%D|%G").splitlines()]
    named = [row for row in rows if len(row) == 5]
    ours = [row for row in named if row[0].rstrip("*") in asked.split(",") or (not asked and row[0].endswith("*"))]
    gpus = {f"{found[2]} × {found[1] or 'GPU'} a node" for row in ours for found in _GPUS.finditer(row[4])}
    refusal, expects = _tried(options)
    return {
        "partition": ",".join(dict.fromkeys(row[0].rstrip("*") for row in ours)) or asked,
        "limit": ours[0][2] if ours else "",
        "state": ours[0][1] if ours else "",
        "nodes": sum(int(row[3]) for row in ours if row[3].isdigit()),
        "gpus": sorted(gpus),
        "refusal": refusal,
        "expects": expects,
    }


def _tried(options: Sequence[str]) -> tuple[str, str]:
    """What SLURM would say to a job of these options: why it refuses it, and when it would begin."""
    line = ["sbatch", "--test-only", *options, "--wrap=true"]
    done = _run(line)
    told = [line.partition("error: ")[2] or line.removeprefix("sbatch: ") for line in done.stderr.splitlines() if line]
    if done.returncode:
        return "; ".join(told) or f"code {done.returncode}", ""
    found = re.search(r"to start at (\S+)", done.stderr)
    return "", found[1] if found else ""


def on_node(options: Sequence[str], request: dict[str, Any], wait: int) -> tuple[str, bytes]:
    """Put a request to `far` on a compute node, where one is free.

    Args:
        options: of runs there.
        request: what is asked.
        wait: seconds to wait for a node.

    Returns:
        Why there is no answer, empty = there is one; and what the process there has written.
    """
    own = [one for one in options if not one.startswith(("--time=", "--signal=", "--requeue"))]
    line = ["srun", "--quiet", f"--immediate={wait}", "--time=5", "--job-name=vasomim-check", *own]
    try:
        done = subprocess.run(
            [*line, sys.executable, "-P", "-m", "vasomim_core.remote.far"],
            input=json.dumps(request).encode() + b"\n",
            capture_output=True,
            timeout=LONGEST + wait,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error), b""
    last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no answer"])[-1]
    return ("" if done.stdout else last), done.stdout


def _said(*line: str) -> str:
    """What a command of SLURM prints.

    Raises:
        Refused: it is not there, fails or does not answer.
    """
    done = _run(line)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        raise Refused(f"SLURM says to {line[0]}: {said.removeprefix(f'{line[0]}: ').removeprefix('error: ')}")
    return done.stdout.strip()


def _run(line: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            line,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LONGEST,
            env={**os.environ, "SLURM_TIME_FORMAT": "standard"},
            check=False,
        )
    except FileNotFoundError:
        raise Refused(f"{line[0]} is not there: give the login node of a SLURM cluster, or its --setup") from None
    except subprocess.TimeoutExpired:
        raise Refused(f"SLURM does not answer to {line[0]} within {LONGEST:.0f} s; try again later") from None
