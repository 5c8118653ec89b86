"""`vasomim app`: one command from nothing to a window with an angiogram in it."""

from __future__ import annotations

import shutil
import sys

import cv2
import pytest

from napari_vasomim import app
from napari_vasomim.layers import role
from vasomim_core.cli.common import Options
from vasomim_core.errors import ConfigError, InputError
from vasomim_core.files import write_png


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


def test_it_opens_the_files_that_are_named(shown, still, tmp_path):
    write_png(tmp_path / "frame.png", still)
    viewer = shown([tmp_path / "frame.png"])
    assert [layer.name for layer in viewer.layers] == ["frame"]


def test_a_missing_file_is_told_before_a_window_opens(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        app.App(files=(tmp_path / "nowhere.dcm",)).run()


def test_a_missing_binding_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "qtpy.QtWidgets", None)
    with pytest.raises(ConfigError, match=r'pip install "napari-vasomim\[pyqt5\]"'):
        app.App().run()


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
