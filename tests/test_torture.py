"""`make torture` itself: it runs, counts what goes wrong, and fails where that is not nothing."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")

ROOT = Path(__file__).resolve().parents[1]
BREAK = """
import os, sys
from pathlib import Path
from vasomim_core import files

def not_atomic(path):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path
    with open(path, "r+b") as handle:
        os.fsync(handle.fileno())

files.atomic.__wrapped__.__code__ = not_atomic.__code__
from tests.torture.__main__ import main
sys.exit(main())
"""
ONE = ["--only", "full disk labels", "--seconds", "4"]


def torture(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=280)


def test_trials_of_one_kind_are_counted():
    done = torture("-m", "tests.torture", *ONE)
    assert done.returncode == 0, done.stdout
    assert "seed 0" in done.stdout
    words = done.stdout.splitlines()[-1].split()
    assert words[0] == "all"
    assert int(words[1]) > 0
    assert words[2:] == ["0", "0", "0"]


def test_writes_that_are_not_atomic_are_found():
    done = torture("-c", BREAK, *ONE)
    assert done.returncode == 1, done.stdout + done.stderr
    assert int(done.stdout.splitlines()[-1].split()[2]) > 0


@pytest.mark.parametrize("fault", ["loss", "traceback", "hang"])
def test_each_fault_fails(fault, tmp_path, capsys):
    from tests.torture.__main__ import report

    subjects = [("kill", "run"), ("fuzz", "label set")]
    fine = Counter({("kill", "run", "trials"): 3})
    assert report(fine, subjects, tmp_path) == 0
    assert report(fine + Counter({("fuzz", "label set", fault): 1}), subjects, tmp_path) == 1
