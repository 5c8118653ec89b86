"""What is installed from a wheel is what stands in the tree: an unlisted package works here and is missing there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel, built from a copy of the tree with the build tools installed here (nothing is downloaded)."""
    work = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "demo", "runs")
    shutil.copytree(ROOT, work / "tree", ignore=left_out)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(work)]
    built = subprocess.run([*command, str(work / "tree")], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return zipfile.ZipFile(next(work.glob("*.whl")))


def test_the_wheel_holds_every_module_and_all_weights(wheel):
    tree = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.py", "*.safetensors", "py.typed")
        for path in (ROOT / "vasomim_core").rglob(pattern)
    }
    packed = {name for name in wheel.namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert packed == tree


def test_the_wheel_has_the_command_and_the_licence(wheel):
    names = wheel.namelist()
    entry_points = next(n for n in names if n.endswith("entry_points.txt"))
    assert "vasomim = vasomim_core.__main__:main" in wheel.read(entry_points).decode()
    assert any(n.endswith("licenses/LICENSE") for n in names)


def test_no_python_file_lies_at_the_root():
    assert not list(ROOT.glob("*.py"))
