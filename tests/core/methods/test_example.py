"""The method that docs/methods.md adds, added as it says and run as a new user would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from vasomim_core.training.events import read_events
from vasomim_core.training.runs import MODEL

ROOT = Path(__file__).parents[3]


def block(name: str) -> str:
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n```(?:python|text)\n(.*?)```", text, re.DOTALL)
    assert found, name
    return found[1]


def test_the_example_of_the_documents_runs(folder, tmp_path):
    package = tmp_path / "copy" / "vasomim_core"
    shutil.copytree(ROOT / "vasomim_core", package, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    settings = package / "methods" / "settings.py"
    text = settings.read_text(encoding="utf-8")
    text = text.replace(
        "@dataclass(frozen=True)\nclass Entry:", f"{block('settings')}\n\n@dataclass(frozen=True)\nclass Entry:"
    )
    text = text.replace("    )\n}\n", f"{block('line')}    )\n}}\n")
    settings.write_text(text, encoding="utf-8")
    (package / "methods" / "denoising.py").write_text(block("file"), encoding="utf-8")
    options = "--encoder tiny --input-size 64 --batch-size 4 --epochs 6 --learning-rate 1e-3 --noise 0.3 --log-every 1"
    command = [sys.executable, "-m", "vasomim_core", "pretrain", "--method", "denoising"]
    environment = os.environ | {"PYTHONPATH": str(package.parent), "OMP_NUM_THREADS": "1"}

    def run(*more: str) -> str:
        done = subprocess.run(
            [*command, *more], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=250
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "--noise" in run("--help")
    run("--data", str(folder), "--run", str(tmp_path / "run"), "--device", "cpu", *options.split())
    losses = [event["loss"] for event in read_events(tmp_path / "run") if event["event"] == "step"]
    assert len(losses) == 12
    assert sum(losses[-3:]) < sum(losses[:3])
    assert (tmp_path / "run" / MODEL).exists()
