"""The command line: one program, one file per kind of work.

Each command is a frozen dataclass (its options, with their help) and a `run` method that returns what `--json` prints.
torch is imported by the commands that compute with it, so that `--help` answers at once. Other packages add commands
under the entry point group `vasomim.commands`: the engine runs the window's command and knows nothing of windows.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

import tyro

from vasomim_core.cli import assemble, compare, follow, frames, labels, machines, mask, measure, models, training
from vasomim_core.cli.common import printable
from vasomim_core.errors import VasoMIMError


class Command(Protocol):
    """What every command has."""

    json: bool
    debug: bool

    def run(self) -> dict[str, Any]:
        """Do the work; the result is what `--json` prints."""
        ...

    def summary(self, result: dict[str, Any]) -> str:
        """The same for people, in a few lines."""
        ...


COMMANDS: dict[str, Any] = {
    "vesselness": frames.Vesselness,
    "anatomy": frames.Anatomy,
    "mask": mask.Mask,
    "assemble": assemble.Assemble,
    "segmentor": training.Segmentor,
    "pretrain": training.Pretrain,
    "finetune": training.Finetune,
    "compare": compare.Compare,
    "segment": frames.Segment,
    "follow": follow.Follow,
    "evaluate": frames.Evaluate,
    "measure": measure.Measure,
    "sample": frames.Sample,
    "import": labels.Import,
    "export": labels.Export,
    "agreement": labels.Agreement,
    "models": models.Models,
    "package": models.Package,
    "machines": machines.Machines,
    "demo": training.Demo,
}


def run(arguments: list[str]) -> int:
    """Run one command.

    Args:
        arguments: as typed, without the program's name.

    Returns:
        Exit code: 0 on success, 1 when the work failed, 2 for options that make no sense, 3 when the work was done
        but for some files that could not be read, 130 when interrupted.
    """
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if name in ("--help", "-h"):
        print(_overview())
        return 0
    added = {} if name in COMMANDS else _added()
    if name not in COMMANDS and name not in added:
        print(
            f"vasomim: no command is called {name!r}; choose one of {', '.join([*COMMANDS, *added])}", file=sys.stderr
        )
        return 2
    debug = "--debug" in rest
    try:
        command = _parse(name, COMMANDS[name] if name in COMMANDS else added[name].load(), rest)
        result = command.run()
        if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
            text = json.dumps(result, ensure_ascii=False) if command.json else command.summary(result)
            print(printable(text))
        return 3 if result.get("failed") else 0
    except KeyboardInterrupt:
        print("vasomim: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            print(printable(traceback.format_exc()), file=sys.stderr)
        print(f"vasomim {name}: {printable(' '.join(_sentence(error).splitlines()))}", file=sys.stderr)
        return 1


def _added() -> dict[str, EntryPoint]:
    """The commands of other packages, not imported yet."""
    return {entry.name: entry for entry in entry_points(group="vasomim.commands")}


def _parse(name: str, kind: Any, arguments: list[str]) -> Command:
    kind = kind.chosen(arguments) if hasattr(kind, "chosen") else kind
    default = kind.default(arguments) if hasattr(kind, "default") else None
    return tyro.cli(kind, prog=f"vasomim {name}", args=arguments, default=default, config=(tyro.conf.OmitArgPrefixes,))


def _overview() -> str:
    kinds = COMMANDS | {name: entry.load() for name, entry in _added().items()}
    lines = [f"  {name:<11} {(kind.__doc__ or '').splitlines()[0]}" for name, kind in kinds.items()]
    return "\n".join(["usage: vasomim COMMAND [options]", "", *lines, "", "vasomim COMMAND --help lists its options."])


def _sentence(error: Exception) -> str:
    """An error in one sentence for a person."""
    if isinstance(error, VasoMIMError):
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full ({error.filename or 'no space left'}); free some space and run again"
    if isinstance(error, PermissionError):
        return f"{error.filename} may not be read or written; check its permissions"
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "memory does not suffice; choose a smaller --batch-size or --input-size, or a larger --accumulate"
    return f"unexpected {type(error).__name__}: {error}; run again with --debug and report what it prints"
