"""`vasomim app`: one command from nothing to a window with an angiogram in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from napari_vasomim import app
from napari_vasomim.canvas.layers import role
from napari_vasomim.widgets.workbench import Workbench
from vasomim_core.cli.common import Options
from vasomim_core.errors import ConfigError, InputError
from vasomim_core.files import write_png

from .conftest import ROOT
from .mouse import next_turn


@pytest.fixture
def shown(make_napari_viewer, monkeypatch):
    """`open_window` with a viewer that the fixture closes."""
    import napari

    monkeypatch.setattr(napari, "Viewer", lambda **_: make_napari_viewer())
    return app.open_window


def docks(viewer) -> list[str]:
    return list(viewer.window.dock_widgets)


def test_it_opens_the_workbench_with_a_sample(shown):
    viewer = shown()
    assert any("Workbench" in name for name in docks(viewer))
    assert [role(layer) for layer in viewer.layers] == ["truth", "angiogram"]


def test_napari_s_menu_shows_and_hides_that_workbench(shown, qtbot):
    from napari._app_model import get_app_model

    viewer = shown()
    viewer.show()
    bench = viewer.window._qt_window.findChild(Workbench)
    for _ in range(3):
        before = bench.isVisible()
        get_app_model().commands.execute_command("napari-vasomim.workbench")
        qtbot.waitUntil(lambda before=before: bench.isVisible() != before)
    assert [name for name in docks(viewer) if "Workbench" in name] == ["Workbench (VasoMIM)"]


def camera_of(viewer):
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def is_whole(viewer, layer):
    """Whether all of a layer's frame is on the canvas, and uses it."""
    canvas, camera = viewer.window._qt_viewer.canvas.native, camera_of(viewer)
    size = np.array([canvas.height(), canvas.width()]) / camera.zoom
    (top, left), (bottom, right) = layer.extent.world[:, -2:]
    low, high = np.array(camera.center)[-2:] - size / 2, np.array(camera.center)[-2:] + size / 2
    inside = (low <= (top, left)).all() and (high >= (bottom, right)).all()
    return inside and max((bottom - top, right - left) / size) > 0.9


def resized(viewer, qtbot, width, height):
    """Give the window another size, until the canvas has it and what follows is done."""
    canvas, window = viewer.window._qt_viewer.canvas.native, viewer.window._qt_window
    before = canvas.size()
    window.showNormal()
    window.resize(width, height)
    qtbot.waitUntil(lambda: canvas.size() != before)
    next_turn(qtbot)


@pytest.mark.parametrize("shape", [(512, 512), (300, 900), (1500, 700)])
def test_the_whole_frame_is_seen_also_when_the_window_grows(shown, qtbot, tmp_path, shape):
    write_png(tmp_path / "frame.png", np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8))
    viewer = shown([tmp_path / "frame.png"])
    screen = viewer.window._qt_window.screen().availableGeometry()
    assert viewer.window._qt_window.width() >= 0.95 * screen.width()
    [layer] = viewer.layers
    qtbot.waitUntil(lambda: is_whole(viewer, layer))
    for size in ((900, 600), (1300, 740)):
        resized(viewer, qtbot, *size)
        qtbot.waitUntil(lambda: is_whole(viewer, layer))


def test_a_view_that_a_person_has_chosen_stays(shown, qtbot, tmp_path, still):
    write_png(tmp_path / "frame.png", still)
    viewer = shown([tmp_path / "frame.png"])
    [layer] = viewer.layers
    qtbot.waitUntil(lambda: is_whole(viewer, layer))
    camera_of(viewer).zoom *= 3
    zoom = camera_of(viewer).zoom
    resized(viewer, qtbot, 900, 600)
    assert camera_of(viewer).zoom == zoom


TWO_WINDOWS = """
import sys, time
from pathlib import Path
from qtpy.QtWidgets import QApplication
from napari_vasomim.app import open_window
from napari_vasomim.widgets.correct import CorrectPanel
from napari_vasomim.widgets.workbench import Workbench
from tests.napari.mouse import Mouse

def wait(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()

file = Path(sys.argv[1])
first = open_window([file])
wait(0.5)
panel = first.window._qt_window.findChild(Workbench).show_panel(CorrectPanel)
panel.take("trace")
mouse = Mouse(first, panel.correction)
for k in range(5):
    mouse.click((60, 60 + 10 * k))
    mouse.click((120, 120))
    wait(0.1)
    second = open_window([file])
    wait(0.5)
    second.close()
    wait(0.3)
    mouse.click((80, 60 + 10 * k))
    wait(0.1)
print("both are well")
"""


def test_a_second_window_may_come_and_go(tmp_path, still):
    write_png(tmp_path / "frame.png", still)
    command = [sys.executable, "-c", TWO_WINDOWS, str(tmp_path / "frame.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.stdout.endswith("both are well\n"), done.stderr[-2000:]


def test_it_opens_the_files_that_are_named(shown, still, tmp_path):
    write_png(tmp_path / "frame.png", still)
    viewer = shown([tmp_path / "frame.png"])
    assert [layer.name for layer in viewer.layers] == ["frame"]


def test_a_missing_file_is_told_before_a_window_opens(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        app.App(files=(tmp_path / "nowhere.dcm",)).run()


def test_a_missing_binding_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "qtpy.QtWidgets", None)
    with pytest.raises(ConfigError, match=r'no Qt .* pip install "napari-vasomim\[pyqt5\]"'):
        app.App().run()


@pytest.mark.once
def test_on_a_server_without_napari_the_engine_works_and_the_window_says_what_is_missing(tmp_path):
    def vasomim(*arguments):
        command = [sys.executable, "-P", "-m", "vasomim_core", *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'tests' / 'windowless'}{os.pathsep}{ROOT}"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert "app" in vasomim("--help").stdout
    assert vasomim("sample", "--output", tmp_path / "s", "--count", 1, "--size", 64).returncode == 0
    refused = vasomim("app")
    assert refused.returncode == 1
    assert "napari is not installed" in refused.stderr
    assert 'pip install "napari-vasomim[pyqt5]"' in refused.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are named on Linux only")
class TestWithoutADisplay:
    @pytest.fixture(autouse=True)
    def _no_display(self, monkeypatch):
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
            monkeypatch.delenv(name, raising=False)

    def test_xvfb_is_named_where_it_is_missing(self, monkeypatch):
        monkeypatch.setattr(shutil, "which", lambda _: None)
        with pytest.raises(ConfigError, match="apt-get install xvfb"):
            app.App().run()

    @pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
    def test_a_screenshot_is_left(self, run_installed, tmp_path):
        done = run_installed("-m", "napari_vasomim", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "vasomim-app.png" in done.stdout
        assert "virtual" in done.stdout
        height, width, _ = cv2.imread(str(tmp_path / "vasomim-app.png")).shape
        assert (width, height) == (app.WIDTH, app.HEIGHT)


@pytest.mark.once  # of processes and files, not of Qt
def test_the_process_of_the_window_stays_free_of_torch(run_installed, tmp_path):
    code = (
        "import sys; from pathlib import Path; from napari_vasomim.app import App;"
        "App(screenshot=Path('window.png')).run(); print('torch' in sys.modules)"
    )
    done = run_installed("-c", code, cwd=tmp_path)
    assert done.stdout.split()[-1:] == ["False"], done.stderr
    assert (tmp_path / "window.png").is_file()


def test_it_is_a_command_like_the_others():
    assert issubclass(app.App, Options)
