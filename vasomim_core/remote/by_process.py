"""A run as a process with a session of its own: it needs no connection. It is found by `process.json`."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import psutil

from vasomim_core.locks import Holder
from vasomim_core.remote.started import BEGUN, OUTPUT, Commands, Refused, Standing, write_record

GRACE = 5.0
"""Seconds from SIGTERM to SIGKILL."""
EVENTS = "run/events.jsonl"


class Process:
    """Args: job: the folder of a job."""

    def __init__(self, job: Path):
        self._job, self._record = job, job / "process.json"

    @property
    def there(self) -> bool:
        """As `Started.there`."""
        return self._record.is_file()

    def start(self, commands: Commands) -> None:
        """As `Started.start`."""
        begun = (self._job / BEGUN).is_file()
        with open(self._job / OUTPUT, "wb") as output:
            child = subprocess.Popen(
                commands.line(commands.resume if begun else commands.begin),
                cwd=self._job,
                env={**os.environ, **commands.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started = psutil.Process(child.pid).create_time()
        holder = Holder(child.pid, platform.node(), started, f"{datetime.now(UTC):%F %T} UTC")
        write_record(self._record, asdict(holder))

    def standing(self) -> Standing:
        """As `Started.standing`."""
        try:
            return Standing(not self._holder().gone)
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return Standing(False)

    def stop(self) -> None:
        """As `Started.stop`."""
        events = self._job / EVENTS
        if events.exists():  # also heard by a process that does not hear signals
            with open(events, "a", encoding="utf-8") as file:
                file.write(json.dumps({"event": "stop", "time": round(time.time(), 3)}) + "\n")
        with suppress(psutil.Error):
            psutil.Process(self._holder().pid).terminate()

    def end(self) -> None:
        """As `Started.end`."""
        tree: Iterable[psutil.Process] = []
        with suppress(psutil.Error):
            process = psutil.Process(self._holder().pid)
            tree = [process, *process.children(recursive=True)]
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for member in tree:
                with suppress(psutil.Error):
                    end(member)
            _, tree = psutil.wait_procs(tree, timeout=GRACE)

    def forget(self) -> None:
        """As `Started.forget`."""
        self._record.unlink(missing_ok=True)

    def ending(self) -> None:
        """As `Started.ending`; a process is seen to end."""

    def _holder(self) -> Holder:
        holder = Holder(**json.loads(self._record.read_text()))
        if holder.host != platform.node():
            raise Refused(
                f"the run was started on {holder.host} and this is {platform.node()}: give the host by its own name"
            )
        return holder
