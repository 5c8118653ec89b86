"""Requests to another machine, through the system's own OpenSSH client.

Nothing is ever asked on the way: `ssh` takes keys and the agent, and no password; an unknown host is refused. What the
far side gets on its command line is fixed by the description of the machine. All else is JSON on standard input.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from vasomim_core.errors import RemoteError
from vasomim_core.remote.far import MARK
from vasomim_core.remote.machines import Machine, check_machine

OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ConnectTimeout": "15",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "4",
}
"""Options of every call. A network that is gone is noticed within a minute."""
LONGEST = 1 << 26
"""Bytes of one line of an answer."""


class Lost(RemoteError):
    """The machine cannot be reached now; the same may work later."""


Payload = Iterable[tuple[str, bytes]]
"""Files to send: SHA-256 and content."""


@dataclass(frozen=True)
class Connection:
    """Where requests go.

    Attributes:
        name: of the machine, for messages.
        machine: its description.
    """

    name: str
    machine: Machine

    def command(self) -> list[str]:
        """What is run here; the last argument is what the shell there gets.

        Raises:
            ConfigError: the description is none.
        """
        check_machine(self.name, self.machine)
        one = self.machine
        file = ["-F", str(one.ssh_config)] if one.ssh_config is not None else []
        port = ["-p", str(one.port)] if one.port is not None else []
        home, python = ("~/", one.python[2:]) if one.python.startswith("~/") else ("", one.python)
        lines = [one.setup, f"exec {home}{shlex.quote(python)} -P -m vasomim_core.remote.far"]
        script = "\n".join(filter(None, lines))
        options = [part for name, value in OPTIONS.items() for part in ("-o", f"{name}={value}")]
        return ["ssh", "-T", *file, *port, *options, "--", one.host, f"exec sh -c {shlex.quote(script)}"]

    def ask(self, do: str, payload: Payload = (), **request: Any) -> dict[str, Any]:
        """Send one request; the answer.

        Args:
            do: what is asked for, see `far.DO`.
            payload: files that go along.
            request: its arguments.

        Raises:
            Lost: the machine cannot be reached, or the connection broke.
            RemoteError: it can be reached and does not do this; the sentence says why.
        """
        with self.answers(do, payload, **request) as answers:
            return next(iter(answers))[0]

    @contextmanager
    def answers(self, do: str, payload: Payload = (), **request: Any) -> Iterator[Answers]:
        """Send one request; its answers as they come.

        Raises:
            Lost, RemoteError: as `ask`, also from the answers.
        """
        place = {"folder": self.machine.folder, "gpus": self.machine.gpus, "sbatch": self.machine.sbatch_options()}
        line = json.dumps({"do": do, "place": place, **request}).encode() + b"\n"
        with tempfile.TemporaryFile() as errors, self._process(errors) as process:
            assert process.stdin is not None
            with suppress(OSError):  # a broken pipe: why, `ssh` says at its end
                process.stdin.write(line)
                for sha, content in payload:
                    header = {"sha256": sha, "size": len(content)}
                    process.stdin.write(json.dumps(header).encode() + b"\n" + content)
                process.stdin.write(b"{}\n")
                process.stdin.close()
            yield Answers(self, process, errors)

    @contextmanager
    def _process(self, errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        """`ssh` in a session of its own: Ctrl+C asks the run to stop, and must not break the connection."""
        options: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
        try:
            process = subprocess.Popen(
                self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, **options
            )
        except OSError as error:
            raise RemoteError(
                f"ssh cannot be started ({error.strerror}); install the OpenSSH client of your system"
            ) from error
        try:
            yield process
        finally:
            process.kill()
            for stream in (process.stdin, process.stdout):
                with suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
            process.wait()

    def failure(self, code: int, said: str) -> RemoteError:
        """Why there is no further answer, by the code with which `ssh` ended and what it or the far side said."""
        name, one = self.name, self.machine
        last = (said.strip().splitlines() or [f"code {code}"])[-1].strip()
        if "IDENTIFICATION HAS CHANGED" in said:
            return RemoteError(
                f"{name} has another host key than it had: ask its administrator before you trust it ({one.host})"
            )
        if "Host key verification failed" in said:
            return RemoteError(
                f"{name} is a host that is not known yet: connect to {one.host} once with ssh in a terminal, compare "
                "the fingerprint with what its administrator says, and try again"
            )
        if "Permission denied" in said and code == 255:
            return RemoteError(
                f"{name} does not let you in without a password: put your SSH key there (ssh-copy-id {one.host}), or "
                "load it into your agent"
            )
        if code == 255 or code < 0:
            return Lost(f"{name} ({one.host}) cannot be reached, or the connection broke ({last})")
        if "No module named" in said:
            what = last.partition("No module named")[2].strip().strip("'\"")
            return RemoteError(f"{name} has no {what} in its {one.python}: install the same VasoMIM there")
        if code in (126, 127):
            return RemoteError(f"{name} cannot start {one.python} ({last}): say how Python starts there")
        return RemoteError(f"{name} ended with code {code} ({last})")


class Answers:
    """What the far side says to one request: each a dictionary, with the bytes that follow it.

    Args:
        connection: to the machine.
        process: `ssh`.
        errors: where its errors go.
    """

    def __init__(self, connection: Connection, process: subprocess.Popen[bytes], errors: IO[bytes]):
        self._connection, self._process, self._errors = connection, process, errors

    def end(self) -> None:
        """Listen no longer; whoever waits for an answer, in another thread, gets an error."""
        self._process.kill()

    def __iter__(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Each answer, until the connection ends.

        Raises:
            Lost: it broke, or could not be made.
            RemoteError: the far side refuses, or cannot answer.
        """
        name, output = self._connection.name, self._process.stdout
        assert output is not None
        while line := output.readline(LONGEST):
            if not line.startswith(MARK):
                continue
            try:
                value = json.loads(line[len(MARK) :])
                size = value.get("size", 0)
                content = output.read(size)
            except (ValueError, AttributeError, TypeError):
                raise RemoteError(f"{name} gave an answer that is none; install the same version there") from None
            if len(content) < size:
                break
            if "refused" in value:
                raise RemoteError(f"{name}: {value['refused']}")
            yield value, content
        code = self._process.wait()
        self._errors.seek(0)
        raise self._connection.failure(code, self._errors.read(1 << 16).decode("utf-8", "replace"))
