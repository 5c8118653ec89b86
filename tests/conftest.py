"""What all tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

# No timed tests: a busy machine is no defect.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[1]
BINDINGS = {"pyqt5": "PyQt5", "pyqt6": "PyQt6"}


def pytest_addoption(pluginmanager):
    """Make pytest-qt take the binding that qtpy takes, and leave it out where there is none: the engine needs no Qt."""
    found = [api for api, package in BINDINGS.items() if find_spec(package)]
    if found:
        os.environ["PYTEST_QT_API"] = os.environ.setdefault("QT_API", found[0]).lower()
    else:
        pluginmanager.set_blocked("pytest-qt")


def _python(*arguments: object, cwd: Path) -> None:
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The project as it is installed: the unpacked wheel, built from the source archive.

    Both are built from a copy of the tree with the build tools installed here; nothing is downloaded.
    """
    work = tmp_path_factory.mktemp("wheel")
    everywhere = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__")
    at_the_top = shutil.ignore_patterns("build", "demo", "runs", "tests", "docs")

    def left_out(folder: str, names: list[str]) -> set[str]:
        return everywhere(folder, names) | (at_the_top(folder, names) if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, work / "tree", ignore=left_out)
    build_source = f"import setuptools.build_meta as build; build.build_sdist({str(work)!r})"
    _python("-c", build_source, cwd=work / "tree")
    source = next(work.glob("*.tar.gz"))
    _python("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", work, source, cwd=work)
    with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
        wheel.extractall(work / "site")
    return work / "site"


@pytest.fixture(scope="session")
def run_installed(site):
    """Run Python code with the installed project instead of the tree; returns the finished process."""

    def run(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"NAPARI_CONFIG": cwd / "napari.yaml", "XDG_CONFIG_HOME": cwd / "config", "PYTHONPATH": site}
        env = os.environ | {name: str(path) for name, path in own.items()} | environment
        return subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, env=env, capture_output=True, text=True)

    return run
