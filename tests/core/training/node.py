"""Run by torchrun, on each of two machines: a command, whose second process is killed after a step."""

from __future__ import annotations

import os
import sys

from tests.core.training.test_resume import run_and_die
from vasomim_core import cli

if __name__ == "__main__":
    step, *arguments = sys.argv[1:]
    if os.environ["RANK"] == "1":
        run_and_die(int(step), arguments)
    sys.exit(cli.run(arguments))
