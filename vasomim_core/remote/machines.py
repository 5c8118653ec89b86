"""Which other machines there are: described once, in one file in the user's folder of settings.

The file is the user's own. What a run folder says, which may come from anybody, is the name of a machine and no more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import platformdirs
import yaml

from vasomim_core.config import check, from_dict, to_dict
from vasomim_core.errors import ConfigError
from vasomim_core.files import open_ordinary, write_text
from vasomim_core.locks import locked
from vasomim_core.schema import Ui, shown

LONGEST = 1 << 20  # bytes
TURN = 10.0
"""Seconds to wait until another window has written."""
SAVE = 120
"""Seconds before its time limit at which a run on a cluster is asked to save its state; SLURM rounds up to a minute."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_HOST = re.compile(r"(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9_\[:][\w.:\[\]-]*", re.ASCII)
_PARTITION = re.compile(r"[A-Za-z0-9_][\w.,-]*", re.ASCII)
_SBATCH = re.compile(r"([a-z]+(?:-[a-z]+)*)(?:=[!-~]+)?", re.ASCII)
OURS = (
    "array",
    "chdir",
    "error",
    "export",
    "help",
    "input",
    "job-name",
    "open-mode",
    "output",
    "parsable",
    "quiet",
    "signal",
    "test-only",
    "usage",
    "version",
    "wait",
    "wrap",
)
"""Options of `sbatch` that VasoMIM sets itself, or after which it could not follow a run."""


@dataclass(frozen=True)
class Machine:
    """A machine, or a cluster by its login node, reached by the system's own `ssh` with its keys and configuration.

    Attributes:
        host: as for `ssh`: a name, an alias of the SSH configuration, or user@host.
        folder: on that machine, for what is sent; a relative one begins in the home folder there.
        python: the Python there in which VasoMIM is installed; `~/` is the home folder there.
        setup: a line of shell that comes first there, such as `module load cuda`; empty = none.
        port: of the SSH server; None = as the SSH configuration says.
        ssh_config: file that `ssh` reads; None = your own SSH configuration.
        keep_frames: leave frames and masks there when a run has ended, so that the next one need not send them again.
        gpus: graphics cards of one run; several share each batch, 0 = it is computed on processors.
        slurm: it is the login node of a SLURM cluster, and runs are jobs in its queue.
        partition: of the cluster, where runs go; empty = the cluster's default.
        hours: after which SLURM ends a run, which saves its state shortly before; None = as the cluster has it.
        cpus: processor cores of one run; None = as the cluster has it.
        memory: main memory of one run; None = as the cluster has it.
        sbatch: further options of `sbatch` without their dashes, such as account=angio, qos=long, constraint=a100.
    """

    host: str
    folder: str = "vasomim"
    python: str = "python3"
    setup: str = ""
    port: Annotated[int | None, Ui(min=1, max=65535, advanced=True)] = None
    ssh_config: Annotated[Path | None, Ui(advanced=True)] = None
    keep_frames: bool = False
    gpus: Annotated[int, Ui(min=0, max=64)] = 1
    slurm: bool = False
    partition: str = ""
    hours: Annotated[float | None, Ui(min=1 / 60, max=10_000, step=1, unit="h")] = None
    cpus: Annotated[int | None, Ui(min=1, max=1024, advanced=True)] = None
    memory: Annotated[int | None, Ui(min=1, max=65_536, unit="GB", advanced=True)] = None
    sbatch: Annotated[tuple[str, ...], Ui(advanced=True)] = ()

    def sbatch_options(self) -> list[str] | None:
        """What a run asks of SLURM, as arguments of `sbatch`; None where there is no SLURM."""
        if not self.slurm:
            return None
        minutes = None if self.hours is None else max(1, round(60 * self.hours))
        before = SAVE if minutes is None else min(SAVE, 6 * minutes)  # seconds: a tenth of the time at most
        asked = {
            "partition": self.partition or None,
            "gres": f"gpu:{self.gpus}" if self.gpus else None,
            "time": minutes,
            "cpus-per-task": self.cpus,
            "mem": self.memory and f"{self.memory}G",
            "signal": f"B:TERM@{before}",
        }
        own = [f"--{name}={value}" for name, value in asked.items() if value is not None]
        return ["--nodes=1", "--ntasks=1", "--requeue", *own, *(f"--{option}" for option in self.sbatch)]


def check_machine(name: str, machine: Machine) -> None:
    """Check a description, before any of it reaches a command.

    Raises:
        ConfigError: a name or host that is none, a text of several lines, a value out of range.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{shown(name)} cannot name a machine; give up to 40 letters (A to Z), digits, '.', '_' and '-'"
        )
    check(machine)
    if not _HOST.fullmatch(machine.host):
        raise ConfigError(f"host is {shown(machine.host)}; give its name, its alias for ssh, or user@host")
    for field in ("folder", "python", "setup"):
        text = getattr(machine, field)
        if not text.isprintable() or (field != "setup" and not text.strip()):
            raise ConfigError(f"{field} is {shown(text)}; give one line of text")
    if machine.partition and not _PARTITION.fullmatch(machine.partition):
        raise ConfigError(f"partition is {shown(machine.partition)}; give its name in SLURM (`sinfo` lists them)")
    for option in machine.sbatch:
        named = _SBATCH.fullmatch(option)
        if named is None:
            raise ConfigError(f"sbatch has {shown(option)}; give long names without dashes, such as account=angio")
        if named[1] in OURS:
            raise ConfigError(f"sbatch has {shown(option)}, which VasoMIM sets itself; leave it out")


def machines_file() -> Path:
    """Where machines are described: `$VASOMIM_MACHINES`, else in the platform's folder of settings for this user."""
    given = os.environ.get("VASOMIM_MACHINES")
    return Path(given) if given else platformdirs.user_config_path("vasomim", appauthor=False) / "machines.yaml"


def machines() -> dict[str, Machine]:
    """All machines by name; none where nothing was described yet.

    Raises:
        ConfigError: the file cannot be read, or describes something that is no machine.
    """
    path = machines_file()
    try:
        with open_ordinary(path) as file:
            listed = yaml.safe_load(file.read(LONGEST)) or {}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML; correct it, or describe the machines anew") from error
    if not isinstance(listed, dict) or not all(isinstance(one, dict) for one in listed.values()):
        raise ConfigError(f"{path} does not list machines by name; correct it, or describe them anew")
    found = {}
    for name, values in listed.items():
        try:
            found[str(name)] = from_dict(Machine, values)
            check_machine(str(name), found[str(name)])
        except ConfigError as error:
            raise ConfigError(f"{path}: {shown(name)}: {error}") from error
    return found


def machine_named(name: str) -> Machine:
    """The machine of a name.

    Raises:
        ConfigError: there is none; the message lists those that there are.
    """
    known = machines()
    if name not in known:
        raise ConfigError(
            f"no machine is called {shown(name)}; known are {', '.join(known) or 'none yet'}: "
            "`vasomim machines --add NAME --host HOST` describes one"
        )
    return known[name]


def save_machine(name: str, machine: Machine) -> None:
    """Describe a machine; an earlier description of this name is replaced.

    Raises:
        ConfigError: a description that is none.
        LockedError: another program writes the file all the time.
    """
    check_machine(name, machine)
    _change(lambda known: {**known, name: machine})


def remove_machine(name: str) -> None:
    """Forget a machine; nothing on it changes.

    Raises:
        ConfigError: there is none of this name.
    """
    machine_named(name)
    _change(lambda known: {other: one for other, one in known.items() if other != name})


def _change(change: Any) -> None:
    path = machines_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f".{path.name}.lock"), TURN):
        _write(path, change(machines()))


def _write(path: Path, known: Mapping[str, Machine]) -> None:
    values = {name: to_dict(machine) for name, machine in known.items()}
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
