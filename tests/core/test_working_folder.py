"""No file of the working folder is taken for a module, however the program is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vasomim_core.synthetic import write_samples

NAMES = [
    *("yaml", "cv2", "torch", "numpy", "scipy", "PIL", "pydicom", "tifffile", "safetensors", "psutil", "tyro", "tqdm"),
    *("timm", "monai", "skimage", "matplotlib", "torchvision", "json", "io", "shutil", "argparse", "gdcm", "napari"),
    *(
        "qtpy",
        "superqt",
        "magicgui",
        "pyqtgraph",
        "psygnal",
        "typing_extensions",
        "random",
        "logging",
        "multiprocessing",
    ),
]


@pytest.fixture
def hostile(tmp_path) -> Path:
    """A folder with angiograms, and with modules that leave a mark when they are imported."""
    folder = tmp_path / "downloads"
    write_samples(folder, 4, size=64)
    for name in NAMES:
        (folder / f"{name}.py").write_text(
            f"open({str(tmp_path / 'mark')!r}, 'a').write({name!r} + '\\n')\nraise ImportError('a stranger')\n"
        )
    return folder


@pytest.fixture
def start(hostile, tmp_path):
    def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"OMP_NUM_THREADS": "1", "QT_QPA_PLATFORM": "offscreen"} | environment
        for name in ("PYTHONSAFEPATH", *(name for name, value in environment.items() if not value)):
            env.pop(name, None)
        done = subprocess.run(
            list(map(str, command)), cwd=hostile, env=env, capture_output=True, text=True, timeout=250
        )
        mark = tmp_path / "mark"
        assert not mark.exists(), mark.read_text()
        return done

    return run


CONSOLE = "import sys; sys.path.pop(0); from vasomim_core.__main__ import main; main()"
TRAINING = ["--architecture", "unext", "--frame-size", 64, "--input-size", 64, "--epochs", 1, "--device", "cpu"]


@pytest.mark.parametrize("program", [["-m", "vasomim_core"], ["-c", CONSOLE]], ids=["module", "console"])
def test_the_command_line(start, tmp_path, program):
    out = tmp_path / "out"
    done = start(sys.executable, *program, "segment", "images", "--output", out, "--model", "vasomim-demo")
    assert done.returncode == 0, done.stderr
    assert len(list(out.iterdir())) == 4


def test_neither_does_an_empty_entry_among_the_places_of_modules_bring_it_in(start, tmp_path):
    path = os.pathsep + os.environ.get("PYTHONPATH", "")
    done = start(sys.executable, "-c", CONSOLE, "models", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr


def test_several_processes(start, tmp_path):
    done = start(
        *(sys.executable, "-P", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2),
        *("-m", "--", "vasomim_core", "finetune", "--labels", ".", "--run", tmp_path / "run", *TRAINING),
    )
    assert done.returncode == 0, done.stderr


def test_the_window_and_its_children(start, tmp_path):
    """The window segments in its inference child and starts a training run."""
    pytest.importorskip("qtpy.QtWidgets")
    done = start(sys.executable, "-m", "napari_vasomim", "--help")
    assert done.returncode == 0, done.stderr
    code = f"""
import sys
sys.path.remove("")
from pathlib import Path
import numpy as np
from napari_vasomim.background import engine
from napari_vasomim.runs import jobs
from vasomim_core.config import FinetuneConfig, Training
from vasomim_core.inference.requests import Segment
answer = engine.shared().call(Segment(np.zeros((64, 64), np.uint8), "vasomim-demo")).result()
assert answer.model == "vasomim-demo"
small = dict(architecture="unext", frame_size=64, input_size=64, training=Training(epochs=1, device="cpu"))
status = jobs.start(FinetuneConfig(Path("."), Path({str(tmp_path / "child")!r}), **small)).wait()
assert status.state == "finished", status.message
"""
    done = start(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
