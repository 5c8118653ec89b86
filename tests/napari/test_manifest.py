"""napari finds what the manifest promises."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from npe2 import PluginManifest

from vasomim_core.reading import SUFFIXES

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = PluginManifest.from_file(ROOT / "napari.yaml")
COMMANDS = {command.id: command.python_name for command in MANIFEST.contributions.commands}
WIDGETS = {widget.display_name: widget.command for widget in MANIFEST.contributions.widgets}
PANELS = [
    "Workbench",
    "View",
    "Vesselness",
    "Mask preview",
    "Segment",
    "Correct",
    "Label set",
    "Measure",
    "Finetune",
    "Pretrain",
]
MENUS = [
    ("napari/layers/filter", "Vesselness"),
    ("napari/layers/segment", "Segment"),
    ("napari/layers/annotate", "Correct"),
    ("napari/layers/annotate", "Label set"),
    ("napari/layers/measure", "Measure"),
    ("napari/layers/visualize", "Mask preview"),
]


@pytest.mark.parametrize("python_name", COMMANDS.values())
def test_every_command_resolves(python_name):
    module, _, name = python_name.partition(":")
    assert callable(getattr(import_module(module), name))


def test_the_panels_stand_in_the_order_of_the_work():
    assert list(WIDGETS) == PANELS


def test_every_panel_opens_from_the_plugins_menu_and_has_its_place_in_the_others(viewer):
    from napari._app_model import get_app_model

    for panel in PANELS:
        dock, widget = viewer.window.add_plugin_dock_widget("napari-vasomim", panel)
        assert widget is not None
        assert "napari_viewer" in inspect.signature(type(widget)).parameters
        assert panel in dock.name
    for menu, panel in MENUS:
        titles = [item.command.title for item in get_app_model().menus.get_menu(menu)]
        assert f"{panel} (VasoMIM)" in titles, menu


@pytest.mark.parametrize(
    "name", [*(f"a{suffix}" for suffix in sorted(SUFFIXES)), "A.TIF", "IM_0001", "7", "1.2.840.113"]
)
def test_what_the_engine_reads_is_offered_to_us(name, tmp_path, plugin):
    readers = {reader.plugin_name for reader in plugin.iter_compatible_readers([str(tmp_path / name)])}
    assert "napari-vasomim" in readers


@pytest.mark.parametrize("name", ["a.csv", "a.py", "a.zarr", "a.geojson", "a.ome.zarr", "film.mp4", "a.h5"])
def test_what_others_read_is_left_to_them(name, tmp_path, plugin):
    readers = {reader.plugin_name for reader in plugin.iter_compatible_readers([str(tmp_path / name)])}
    assert "napari-vasomim" not in readers


@pytest.mark.once  # of processes and files, not of Qt
def test_torch_never_loads_in_the_process_of_the_window():
    """Every module of the plugin is imported in a fresh interpreter; the contracts of import-linter see names only."""
    code = (
        "import sys, pkgutil, importlib, napari_vasomim as p\n"
        "for m in pkgutil.walk_packages(p.__path__, 'napari_vasomim.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "print(sorted({'torch', 'monai', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
