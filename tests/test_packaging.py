"""What is installed from a wheel is what stands in the tree: an unlisted package works here and is missing there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("vasomim_core", "napari_vasomim")
FIND = """
from npe2 import PluginManager
manager = PluginManager()
manager.discover()
manifest = manager.get_manifest("napari-vasomim")
print(manifest.display_name, len(manifest.contributions.widgets), manifest.package_metadata.version)
"""


def test_the_wheel_holds_every_module_and_all_weights(site):
    tree = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for pattern in ("*.py", "*.safetensors", "*.txt", "*.pyi", "py.typed")
        for path in (ROOT / package).rglob(pattern)
    }
    packed = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    packed = {name for name in packed if not name.split("/")[0].endswith(".dist-info")}
    assert packed == tree | {"napari_vasomim_manifest/napari.yaml"}


def test_the_wheel_has_the_licence(site):
    assert list(site.glob("*.dist-info/licenses/LICENSE"))


def test_napari_finds_the_plugin_once_installed(run_installed, tmp_path):
    done = run_installed("-c", FIND, cwd=tmp_path)
    assert done.stdout.split()[:2] == ["VasoMIM", "10"], done.stderr


def test_napari_finds_the_plugin_in_an_editable_install(tmp_path):
    """The hook of an editable install is built and loaded as Python loads it from site-packages."""
    build = f"import setuptools.build_meta as build; print(build.build_editable({str(tmp_path)!r}))"
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in (*PACKAGES, "napari.yaml", "pyproject.toml", "README.md", "LICENSE"):
        (tree / name).symlink_to(ROOT / name)
    built = subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    shutil.unpack_archive(tmp_path / built.stdout.split()[-1], tmp_path / "site", "zip")
    # -S: an editable install of this project in the environment of the tests would be found first.
    load = f"import site, sys; site.addsitedir('site'); sys.path.append({sysconfig.get_path('purelib')!r})"
    command = [sys.executable, "-S", "-c", f"{load}\n{FIND}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split()[:2] == ["VasoMIM", "10"], done.stderr


def test_the_window_is_a_command_of_the_command_line(run_installed, tmp_path):
    done = run_installed("-m", "vasomim_core", "--help", cwd=tmp_path)
    assert "Open napari with the workbench" in done.stdout, done.stderr
    unknown = run_installed("-m", "vasomim_core", "ap", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "app" in unknown.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_code_is_a_package(package):
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_no_python_file_lies_at_the_root():
    assert not list(ROOT.glob("*.py"))


def test_the_engine_needs_no_napari_and_no_qt(site):
    (metadata,) = site.glob("*.dist-info/METADATA")
    needed = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", metadata.read_text(encoding="utf-8"), re.MULTILINE)
    assert "torch" in needed
    assert not {"napari", "magicgui", "qtpy", "superqt", "PyQt5", "pyqt5", "pyqt6", "psygnal", "npe2"} & set(needed)
