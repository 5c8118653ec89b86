"""An OpenSSH server of the tests' own, on the loopback address, with keys of its own, as the current user."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")
SEPARATION = Path("/run/sshd")
"""Without this folder a server that root starts refuses to; the system's own service makes it, too."""


class Server:
    """Args: folder: for keys, configuration and log."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("host", "user", "stranger"):
            key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(folder / name)]
            subprocess.run(key, check=True)
        shutil.copyfile(folder / "user.pub", folder / "authorized")
        (folder / "authorized").chmod(0o600)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nPidFile none\n"
            f"AuthorizedKeysFile {folder / 'authorized'}\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n"
            "KbdInteractiveAuthentication no\nAllowUsers *\nPermitRootLogin prohibit-password\n"
        )
        public = (folder / "host.pub").read_text().split()
        (folder / "known").write_text(f"[127.0.0.1]:{self.port} {public[0]} {public[1]}\n")
        stranger = (folder / "stranger.pub").read_text().split()
        (folder / "changed").write_text(f"[127.0.0.1]:{self.port} {stranger[0]} {stranger[1]}\n")
        (folder / "unknown").write_text("")
        self.process: subprocess.Popen[bytes] | None = None
        self.made = False

    def config(self, known: str = "known", key: str = "user") -> Path:
        """A configuration for `ssh`, with which the server is called `far`."""
        path = self.folder / f"ssh_config_{known}_{key}"
        path.write_text(
            f"Host far\n  HostName 127.0.0.1\n  Port {self.port}\n  User {getpass.getuser()}\n"
            f"  IdentityFile {self.folder / key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.folder / known}\n  GlobalKnownHostsFile none\n"
        )
        return path

    def start(self) -> None:
        """Start it, and wait until it listens."""
        if os.geteuid() == 0 and not SEPARATION.is_dir():
            SEPARATION.mkdir(mode=0o755)
            self.made = True
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(self.folder / "sshd_config")], stdout=log, stderr=log
            )
        until = time.monotonic() + 20
        while time.monotonic() < until and self.process.poll() is None:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError((self.folder / "log").read_text())

    def stop(self) -> None:
        """End it; connections that are open stay open."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def cut_off(self) -> None:
        """End it with the connections that are open."""
        assert self.process is not None
        connections = psutil.Process(self.process.pid).children(recursive=True)
        self.stop()
        for one in connections:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(connections)

    def close(self) -> None:
        """End it for good."""
        self.stop()
        if self.made:
            SEPARATION.rmdir()
