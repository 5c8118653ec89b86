"""`python -m vasomim_core` and the `vasomim` console script (`torchrun -m vasomim_core …` for several processes)."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from vasomim_core.cli import run

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that cannot show β shows a question mark

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
