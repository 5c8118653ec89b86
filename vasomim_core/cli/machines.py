"""The command that describes other machines, and looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from vasomim_core.cli.common import Options
from vasomim_core.errors import ConfigError
from vasomim_core.remote.machines import Machine, machine_named, machines, remove_machine, save_machine


@dataclass(frozen=True, kw_only=True)
class Machines(Options):
    """List the machines that --on NAME trains on; describe one, forget one, look at one, clean one.

    Attributes:
        add: describe a machine under this name, by the options below; an earlier description is replaced.
        remove: forget the machine of this name; nothing on it changes.
        check: look whether this machine can be reached, what is there, and in what it differs from this computer.
        clean: remove from this machine the runs that are not at work, and the frames that no other needs.
        host: as for `ssh`: a name, an alias of the SSH configuration, or user@host.
        folder: on that machine, for what is sent; a relative one begins in the home folder there.
        python: the Python there in which VasoMIM is installed; `~/` is the home folder there.
        setup: a line of shell that comes first there, such as "module load cuda"; empty = none.
        port: of the SSH server; None = as the SSH configuration says.
        ssh_config: file that `ssh` reads; None = your own SSH configuration.
        keep_frames: leave frames and masks there when a run has ended, so that the next one need not send them again.
        gpus: graphics cards of one run; several share each batch, 0 = it is computed on processors.
        slurm: it is the login node of a SLURM cluster, and runs are jobs in its queue.
        partition: of the cluster, where runs go; empty = the cluster's default.
        hours: after which SLURM ends a run, which saves its state shortly before; None = as the cluster has it.
        cpus: processor cores of one run; None = as the cluster has it.
        memory: main memory of one run in GB; None = as the cluster has it.
        sbatch: further options of `sbatch` without their dashes, such as account=angio qos=long.
    """

    add: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    remove: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    check: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    clean: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    host: str | None = None
    folder: str = Machine.folder
    python: str = Machine.python
    setup: str = Machine.setup
    port: int | None = Machine.port
    ssh_config: Path | None = Machine.ssh_config
    keep_frames: bool = Machine.keep_frames
    gpus: int = Machine.gpus
    slurm: bool = Machine.slurm
    partition: str = Machine.partition
    hours: float | None = Machine.hours
    cpus: int | None = Machine.cpus
    memory: int | None = Machine.memory
    sbatch: tuple[str, ...] = Machine.sbatch

    def run(self) -> dict[str, Any]:
        """Do what is asked, then list all."""
        from vasomim_core.config import fields, to_dict

        told: dict[str, Any] = {}
        if self.add is not None:
            if self.host is None:
                raise ConfigError("a machine needs its --host: a name, an alias of your SSH configuration or user@host")
            given = {field: getattr(self, field) for field in fields(Machine)}
            config = None if self.ssh_config is None else self.ssh_config.resolve()
            save_machine(self.add, Machine(**{**given, "ssh_config": config}))
        if self.remove is not None:
            remove_machine(self.remove)
        if self.clean is not None:
            told["cleaned"] = _connection(self.clean).ask("clean")
        if self.check is not None:
            told |= _checked(self.check)
        return {"machines": {name: to_dict(machine) for name, machine in machines().items()}, **told}

    def summary(self, result: dict[str, Any]) -> str:
        """The answer to what was asked, else a line for each machine."""
        lines = []
        if "cleaned" in result:
            cleaned = result["cleaned"]
            lines.append(f"{self.clean}: {cleaned['removed']} runs removed, {cleaned['running']} are at work")
        if "found" in result:
            first, *more = result["words"]
            lines += [first, *(f"    {sentence}" for sentence in more)]
        if lines:
            return "\n".join(lines)
        known = result["machines"].items()
        listed = [
            f"{name}: {one['host']}, in {one['folder']}, by {one['python']}" + (", SLURM" if one["slurm"] else "")
            for name, one in known
        ]
        return "\n".join(listed) or "no machines yet; `vasomim machines --add NAME --host HOST` describes one"


def _connection(name: str) -> Any:
    from vasomim_core.remote.connection import Connection

    return Connection(name, machine_named(name))


def _checked(name: str) -> dict[str, Any]:
    from vasomim_core.config import to_dict
    from vasomim_core.remote.machine_check import differences, look, obstacles, words

    found = look(_connection(name), node=True)
    return {
        "found": to_dict(found),
        "obstacles": obstacles(name, found),
        "differences": differences(name, found),
        "words": words(name, found),
    }
