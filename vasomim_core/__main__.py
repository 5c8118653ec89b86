"""`python -m vasomim_core` and the `vasomim` console script (`torchrun -m vasomim_core …` for several processes)."""

from __future__ import annotations

import os
import sys

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def leave_working_folder() -> None:
    """Take no module from the working folder, where anybody's files may lie: no yaml.py beside the angiograms.

    `python -m` and an empty entry of PYTHONPATH put it among the places of modules. It stays where the program itself
    lies there. Processes that this one starts do not look into it either.
    """
    working = os.getcwd()
    if os.path.realpath(working) == os.path.realpath(HERE):
        return
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if "" in given:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, given))
    if working not in given:  # else somebody has asked for it
        sys.path[:] = [path for path in sys.path if path not in ("", working)]
    os.environ["PYTHONSAFEPATH"] = "1"


leave_working_folder()


def main() -> None:
    """Run the command line and exit with its code."""
    import io

    from vasomim_core.cli import run

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that cannot show β shows a question mark

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
