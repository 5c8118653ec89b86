"""Every script in benchmarks/ runs with what is installed, at its smallest setting; for the window see tests/napari."""

from __future__ import annotations

from pathlib import Path

import pytest

from vasomim_core.config import FinetuneConfig, Training
from vasomim_core.synthetic import write_samples
from vasomim_core.training.finetune import finetune

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
WINDOW = {"bench_latency", "bench_window", "finetune_loop", "rhythm"}
SMALLEST = {
    "annotation_cost": "--frames 1 --size 128 --apart 40 --model vasomim-demo",
    "bench_anatomy": "--smallest",
    "bench_masking": "--smallest",
    "bench_models": "--smallest",
    "bench_pretraining": "--repeats 1 --batch 1",
    "bench_reading": "--smallest",
    "bench_trace": "--smallest",
    "following": "--first 0 --seeds 1 --size 64 --frames 16 --model vasomim-demo",
    "few_labels": "--output few --domains synthetic --models vasomim-demo --labels 3 --scored 1 --epochs 1",
    "measures": "--smallest",
    "pretrained_unet": "--output unet --labels data/train --report data/val --fractions 1 --seeds 1 --frame-size 64 "
    "--input-size 64 --batch-size 2 --pretraining-epochs 1 --segmentor-epochs 1 --epochs 1",
    "learning_curve": "--stages stage --runs curve --shares 0.5 --picture curve.png",
    "scale": "--smallest",
    "robustness": "--data data/val --frames 1 --model vasomim-demo",
}


def test_every_benchmark_is_run_here_or_in_the_window():
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == {*SMALLEST, *WINDOW, "timing"}


@pytest.fixture
def data(tmp_path) -> Path:
    """Frames to learn from and frames to validate on, where a benchmark is given real ones else."""
    write_samples(tmp_path / "data" / "train", 4, size=64)
    write_samples(tmp_path / "data" / "val", 4, size=64, seed=1)
    return tmp_path / "data"


@pytest.fixture
def stage(tmp_path, data) -> Path:
    """A finished run that validates on frames of its own."""
    small = {"architecture": "unext", "frame_size": 64, "input_size": 64, "augment": False}
    training = Training(epochs=1, batch_size=2, device="cpu", precision="fp32")
    finetune(FinetuneConfig(data / "train", tmp_path / "stage", val=data / "val", training=training, **small))
    return tmp_path / "stage"


@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_runs(run_installed, tmp_path, name, request):
    for word in ("data", "stage"):
        if word in SMALLEST[name]:
            request.getfixturevalue(word)
    done = run_installed(BENCHMARKS / f"{name}.py", *SMALLEST[name].split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "it prints what it has found"
