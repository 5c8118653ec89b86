"""Two ways of doing the same work, timed in turn in one process; the ratio of their medians is what counts."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

Way = tuple[str, Callable[[], Any]]


def smallest(description: str) -> bool:
    """The command line of a measurement without other options: whether to see only that it runs, on little work."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="little work, once: shows that it runs, tells nothing")
    return parser.parse_args().smallest


def compare(work: str, ours: Way, reference: Way, target: float | None = None, repeats: int = 7) -> float:
    """Print one line: how many times faster `ours` is than `reference`.

    The two run alternately, so that a machine that slows down slows both; the first round is not counted.

    Args:
        work: what is done.
        ours: name and function.
        reference: name and function.
        target: ratio that should be reached; None = none is set.
        repeats: counted rounds.
    """
    times: dict[str, list[float]] = {ours[0]: [], reference[0]: []}
    for round_number in range(repeats + 1):
        for name, function in (ours, reference):
            began = time.perf_counter()
            function()
            if round_number:
                times[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians[reference[0]] / medians[ours[0]]
    goal = f", at least {target:g}×" if target else ""
    shown = ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in medians.items())
    print(f"{work}: {ratio:.1f}×{goal}  ({shown}; median of {repeats})")
    return ratio
