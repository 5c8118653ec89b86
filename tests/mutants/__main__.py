"""`make mutants`: put single faults into core files, one at a time, and see whether the tests beside them turn red.

    python -m tests.mutants --count 120 --seed 0          # a sample
    python -m tests.mutants vasomim_core/masking/sampling.py --count 1000

Each fault goes into a copy of the tree; the tests that are run are those named in `BESIDE`. Faults that no test can
notice stand in `tests/mutants/known.toml` with the reason. Nine in ten of the others must be caught.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.faults import Fault, faults_of

ROOT = Path(__file__).resolve().parents[2]
CORE = "tests/core"
TRAINER = [
    f"{CORE}/training/test_{name}.py"
    for name in ("batches", "checkpoints", "optimisation", "parts", "progress", "seeding", "trainer")
]
BESIDE: dict[str, list[str]] = {
    "vasomim_core/anatomy": [f"{CORE}/anatomy"],
    "vasomim_core/masking": [f"{CORE}/masking"],
    "vasomim_core/models/objectives.py": [
        f"{CORE}/models/test_objectives.py",
        f"{CORE}/models/test_vasomim.py",
    ],
    "vasomim_core/models/segmentation_loss.py": [
        f"{CORE}/models/test_segmentation_loss.py",
        f"{CORE}/models/test_what_the_loss_prefers.py",
    ],
    "vasomim_core/models/class_mask.py": [f"{CORE}/models/test_class_mask.py"],
    "vasomim_core/classes.py": [f"{CORE}/test_classes.py"],
    "vasomim_core/data/codes.py": [f"{CORE}/data/test_codes.py"],
    "vasomim_core/data/completion.py": [f"{CORE}/data/test_completion.py"],
    "vasomim_core/evaluation": [f"{CORE}/evaluation"],
    "vasomim_core/correction": [f"{CORE}/correction"],
    "vasomim_core/labels": [f"{CORE}/labels"],
    "vasomim_core/reading/grey.py": [f"{CORE}/reading"],
    "vasomim_core/reading/levels.py": [f"{CORE}/reading"],
    "vasomim_core/reading/angiogram.py": [f"{CORE}/reading"],
    "vasomim_core/inference": [f"{CORE}/inference"],
    "vasomim_core/models/prediction.py": [f"{CORE}/models/test_prediction.py"],
    "vasomim_core/training/trainer.py": TRAINER,
    "vasomim_core/training/state.py": TRAINER,
    "vasomim_core/training/batches.py": TRAINER,
    "vasomim_core/training/optimisation.py": [*TRAINER, f"{CORE}/training/test_finetune.py"],
    "vasomim_core/measures": [f"{CORE}/measures"],
    "vasomim_core/methods": [f"{CORE}/methods"],
    "vasomim_core/comparing/rows.py": [f"{CORE}/comparing/test_parts.py"],
    "vasomim_core/comparing/statistics.py": [f"{CORE}/comparing/test_parts.py"],
    "vasomim_core/comparing/budget.py": [f"{CORE}/comparing/test_parts.py"],
    "vasomim_core/comparing/settings.py": [f"{CORE}/comparing/test_parts.py"],
    "vasomim_core/comparing/datasets.py": [
        f"{CORE}/comparing/test_parts.py",
        f"{CORE}/comparing/test_collections.py",
    ],
    "vasomim_core/training/events.py": [f"{CORE}/training/test_events.py", *TRAINER],
}
"""A file, or a folder of files, and the tests beside it."""
LIMIT = 600.0
"""Seconds after which tests that do not end count as red."""
LEAST = 0.9


def beside_of(file: str) -> list[str]:
    """The tests of one file."""
    return next(tests for place, tests in BESIDE.items() if file == place or file.startswith(place + "/"))


def files() -> list[str]:
    """All files that faults are put into."""
    found = [
        path for place in BESIDE for path in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
    ]
    return sorted(str(path.relative_to(ROOT)) for path in found if path.name != "__init__.py")


def known_faults() -> set[tuple[str, str, str]]:
    """(file, line, what is written there instead) of each fault that no test can notice."""
    entries = tomllib.loads((ROOT / "tests/mutants/known.toml").read_text(encoding="utf-8"))["fault"]
    return {(entry["file"], entry["line"], entry["wrong"]) for entry in entries}


def sample(of: list[str], count: int, seed: int, known: set[tuple[str, str, str]]) -> list[tuple[str, Fault]]:
    """A random choice of lines, with one of its faults each; those that are known to be without effect left out."""
    lines: dict[tuple[str, int], list[Fault]] = {}
    for file in of:
        source = (ROOT / file).read_text(encoding="utf-8")
        for fault in faults_of(source):
            if (file, source.splitlines()[fault.line - 1].strip(), fault.wrong.strip()) not in known:
                lines.setdefault((file, fault.line), []).append(fault)
    luck = random.Random(seed)
    chosen = sorted(luck.sample(sorted(lines), min(count, len(lines))))
    return [(file, luck.choice(lines[file, line])) for file, line in chosen]


def copy_of_tree(folder: Path) -> Path:
    """A copy of the files that belong to the project; data beside the checkout stays beside it."""
    tree = folder / "tree"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "demo", "runs")
    shutil.copytree(ROOT, tree, ignore=ignored)
    if (ROOT.parent / "shared").exists():
        (folder / "shared").symlink_to(ROOT.parent / "shared")
    return tree


def run_tests(tree: Path, tests: list[str], scratch: Path) -> bool:
    """Whether the tests pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xvfb", *tests]
    own = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "TMPDIR": str(scratch)}
    try:
        done = subprocess.run(command, cwd=tree, env=os.environ | own, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1, 2, 3):
        raise SystemExit(f"the tests could not be run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def main() -> int:
    """Put the faults in, one after the other, and count those that were caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="*", help="files or folders to put faults into; none = all of them")
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", type=Path, help="a JSON file for what came out")
    options = parser.parse_args()
    wanted = [
        f for f in files() if not options.file or any(f == o or f.startswith(o.rstrip("/") + "/") for o in options.file)
    ]
    todo = sample(wanted, options.count, options.seed, known_faults())
    outcomes: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            (Path(folder) / str(number)).mkdir()
            trees.put(copy_of_tree(Path(folder) / str(number)))

        def clean(tests: list[str]) -> tuple[list[str], bool]:
            tree = trees.get()
            passed = run_tests(tree, tests, tree.parent)
            trees.put(tree)
            return tests, passed

        def attempt(item: tuple[str, Fault]) -> None:
            file, fault = item
            tree, began = trees.get(), time.monotonic()
            source = (tree / file).read_text(encoding="utf-8")
            (tree / file).write_text(fault.into(source), encoding="utf-8")
            caught = not run_tests(tree, beside_of(file), tree.parent)
            (tree / file).write_text(source, encoding="utf-8")
            trees.put(tree)
            line = source.splitlines()[fault.line - 1].strip()
            was = source[fault.start : fault.end]
            outcomes.append(
                {"file": file, "number": fault.line, "line": line, "was": was, "wrong": fault.wrong.strip()}
            )
            outcomes[-1] |= {"caught": caught, "seconds": round(time.monotonic() - began)}
            mark = "caught  " if caught else "SURVIVED"
            print(f"{mark} {file}:{fault.line}  {was!r} -> {fault.wrong.strip()!r}   {line}", flush=True)

        with ThreadPoolExecutor(options.jobs) as pool:
            groups = {tuple(beside_of(file)) for file, _ in todo}
            for tests, passed in pool.map(clean, map(list, sorted(groups))):
                if not passed:
                    raise SystemExit(f"without any fault these tests fail: {' '.join(tests)}")
            list(pool.map(attempt, todo))
    caught = sum(bool(outcome["caught"]) for outcome in outcomes)
    if options.output:
        options.output.write_text(json.dumps(outcomes, indent=1), encoding="utf-8")
    for file in sorted({str(outcome["file"]) for outcome in outcomes}):
        own = [outcome for outcome in outcomes if outcome["file"] == file]
        print(f"{sum(bool(o['caught']) for o in own):4} of {len(own):3}  {file}")
    print(f"{caught} of {len(outcomes)} faults caught (seed {options.seed})")
    return 0 if caught >= LEAST * len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
