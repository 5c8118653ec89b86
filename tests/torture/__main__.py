"""`make torture`: trials of every kind for some minutes, then a table of counts, all zero but that of the trials.

python -m tests.torture [--seconds 240] [--seed 0] [--kinds kill race] [--only "kill run" --trial 17]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from tests.torture import full_disk, fuzz, hostile, kill, race
from tests.torture.bench import Bench
from tests.torture.trial import Trial
from vasomim_core.training import finetune  # noqa: F401  imported once, for all children

KINDS = {"kill": kill, "race": race, "full disk": full_disk, "fuzz": fuzz, "hostile": hostile}
FAULTS = ("loss", "traceback", "hang")
SHOWN = 3  # faults of one subject of which the words are printed


def one(bench: Bench, seed: int, kind: str, name: str, number: int) -> Trial:
    """Run one trial; its folder stays where something went wrong."""
    numbers = [seed, list(KINDS).index(kind), *name.encode(), number]
    folder = Path(tempfile.mkdtemp(prefix="trial-", dir=bench.folder))
    trial = Trial(folder, np.random.default_rng(numbers))
    try:
        KINDS[kind].trials(bench)[name](trial)
    finally:
        if not trial.faults:
            shutil.rmtree(folder, ignore_errors=True)
    return trial


def main() -> int:
    """Run trials until the time is over; 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--only", help='one subject alone, such as "kill run"')
    parser.add_argument("--trial", type=int, help="with --only: this one alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    place = Path(tempfile.mkdtemp(prefix="torture-"))
    os.environ["VASOMIM_MODELS"] = str(place / "models")
    bench = Bench(place)
    print(f"seed {options.seed}, {options.seconds:g} s; what goes wrong stays in {place}", flush=True)
    if not options.only:
        bench.weights  # noqa: B018  made before the clock runs
    subjects = [(kind, name) for kind in options.kinds for name in KINDS[kind].trials(bench)]
    if options.only:
        subjects = [(kind, name) for kind, name in subjects if f"{kind} {name}" == options.only]
    counts: Counter[tuple[str, str, str]] = Counter()
    rounds: Counter[tuple[str, str]] = Counter()
    spent: dict[tuple[str, str], float] = dict.fromkeys(subjects, 0.0)
    shares = {(k, n): KINDS[k].SHARE / sum(kind == k for kind, _ in subjects) for k, n in subjects}
    if not subjects:
        parser.error(f"there is no {options.only!r}")
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        kind, name = min(subjects, key=lambda subject: spent[subject] / shares[subject])
        number = rounds[kind, name] if options.trial is None else options.trial
        began = time.monotonic()
        trial = one(bench, options.seed, kind, name, number)
        spent[kind, name] += time.monotonic() - began
        counts[kind, name, "trials"] += trial.tried
        rounds[kind, name] += 1
        for fault, words in trial.faults:
            counts[kind, name, fault] += 1
            if counts[kind, name, fault] <= SHOWN:
                print(f"{fault} in {kind} {name}, trial {number} ({trial.folder}):\n  {words.strip()}", flush=True)
        if options.trial is not None:
            break
    return report(counts, subjects, place)


def report(counts: Counter[tuple[str, str, str]], subjects: list[tuple[str, str]], place: Path) -> int:
    """Print the table; 1 where a count that should be zero is not."""
    print(f"\n{'kind':<28}{'trials':>8}{'losses':>8}{'tracebacks':>12}{'hangs':>8}")
    widths = (8, 8, 12, 8)

    def line(words: str, values: list[int]) -> None:
        print(f"{words:<28}" + "".join(f"{value:>{width}}" for value, width in zip(values, widths, strict=True)))

    columns = ("trials", *FAULTS)
    for kind, name in subjects:
        line(f"{kind}: {name}", [counts[kind, name, column] for column in columns])
    total = [sum(counts[kind, name, column] for kind, name in subjects) for column in columns]
    line("all", total)
    if any(total[1:]):
        return 1
    shutil.rmtree(place, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
