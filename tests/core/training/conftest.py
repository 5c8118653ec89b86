"""Small frames with dark vessels, and settings under which a run takes seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from vasomim_core.files import write_png

TINY = [
    *("--encoder", "tiny", "--input-size", "64", "--decoder-width", "32", "--decoder-depth", "1"),
    *("--decoder-heads", "2", "--segmentor-epochs", "2", "--batch-size", "4", "--device", "cpu"),
    *("--precision", "fp32", "--log-every", "1", "--save-every", "1", "--learning-rate", "1e-3"),
]


@pytest.fixture(scope="session")
def labelled(tmp_path_factory) -> Path:
    """Twelve 96×80 frames in images/, their vessels in masks/."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    for n in range(12):
        mask = np.zeros((96, 80), np.uint8)
        points = np.cumsum(rng.normal((6, 5), 3, (14, 2)), axis=0).astype(np.int32)
        cv2.polylines(mask, [points], False, 255, 3)
        frame = 170 - 70.0 * cv2.GaussianBlur(mask, (0, 0), 1) / 255 + rng.normal(0, 4, mask.shape)
        write_png(folder / "images" / f"{n}.png", frame.clip(0, 255).astype(np.uint8))
        write_png(folder / "masks" / f"{n}.png", mask)
    return folder


def vasomim(*arguments: object, **options) -> subprocess.Popen:
    """Start the command line in a process of its own, on one thread, so that sums do not depend on the machine."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vasomim_core", *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def finish(process: subprocess.Popen) -> str:
    """Wait for it; its output. Fails with its stderr when it does not exit with 0."""
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return out
