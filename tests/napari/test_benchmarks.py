"""The benchmarks of the real window run with what is installed, at their smallest setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from vasomim_core.synthetic import write_samples

pytestmark = pytest.mark.once

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALLEST = {
    "bench_latency": "--sizes 400x400 --repeats 1",
    "bench_window": "--seconds 1",
    "rhythm": "--frames 1 --size 64 --model vasomim-demo --pause 0.1",
    "finetune_loop": "--data samples --output loop --taught 4 --scored 1 --epochs 1",
}


@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_runs(run_installed, tmp_path, name):
    write_samples(tmp_path / "samples", 5, size=64)
    done = run_installed(BENCHMARKS / f"{name}.py", *SMALLEST[name].split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "it prints what it has found"
