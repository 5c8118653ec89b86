"""`vasomim app`: napari with the workbench docked and an angiogram in it."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from vasomim_core.cli.common import Options
from vasomim_core.errors import ConfigError
from vasomim_core.files import write_png
from vasomim_core.reading import find_angiograms

if TYPE_CHECKING:
    import napari

PLUGIN = "napari-vasomim"
SCREENSHOT = Path("vasomim-app.png")
WIDTH, HEIGHT = 1366, 768
# A search for the fullest frame and the first drawing of the panels end within this.
SETTLE_MS = 2500


@dataclass(frozen=True, kw_only=True)
class App(Options):
    """Open napari with the workbench and an angiogram in it.

    Attributes:
        files: angiograms or folders to open; none = a sample.
        screenshot: save a picture of the window as this PNG file and close it again.
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(name="file")] = ()
    screenshot: Path | None = None

    def run(self) -> dict[str, Any]:
        """Show the window until it is closed; without a display, leave a screenshot of it."""
        for file in self.files:
            find_angiograms(file)
        need_qt()
        if not has_display():
            picture = self.screenshot or SCREENSHOT
            photograph_on_virtual_display([*map(str, self.files), "--screenshot", str(picture)])
            return {"screenshot": str(picture), "virtual": True}
        viewer = open_window(self.files)
        if self.screenshot is not None:
            take_screenshot(viewer, self.screenshot)
            close_window(viewer)
            return {"screenshot": str(self.screenshot), "virtual": False}
        import napari

        napari.run()
        return {"screenshot": None, "virtual": False}

    def summary(self, result: dict[str, Any]) -> str:
        """One line."""
        if result["virtual"]:
            return f"no display is here, so the window was opened on a virtual one; see it in {result['screenshot']}"
        return f"see the window in {result['screenshot']}" if result["screenshot"] else "the window was closed"


def open_window(files: Sequence[Path] = ()) -> napari.Viewer:
    """A napari window with the workbench docked and the files, or a sample, in it.

    Args:
        files: angiograms or folders.
    """
    import napari

    load()
    from napari_vasomim.widgets.workbench import Workbench

    viewer = napari.Viewer(title="VasoMIM", show=False)
    # Under the name that napari's menu looks for, so that the entry there shows and hides this one.
    viewer.window.add_dock_widget(Workbench(viewer), name="Workbench (VasoMIM)", area="right")
    use_the_screen(viewer)
    for file in files:
        viewer.open(file, plugin=PLUGIN)
    if not files:
        viewer.open_sample(PLUGIN, "left")
    return viewer


def use_the_screen(viewer: napari.Viewer) -> None:
    """Show the window as large as the screen allows, and the whole frame in it for as long as nobody zooms."""
    from napari_vasomim.napari_compat import main_window
    from napari_vasomim.whole_frame import WholeFrame

    window = main_window(viewer)
    screen = window.screen() or window.windowHandle().screen()
    window.setGeometry(screen.availableGeometry())  # where there is no window manager, maximising does nothing
    window.showMaximized()
    WholeFrame(viewer)


def close_window(viewer: napari.Viewer) -> None:
    """Close a window where no event loop will run any more, and have Qt take it apart now.

    Left to the end of the process, PyQt5 deletes it while it goes through its list of all objects, and stumbles over
    those that went with the window: one such end of five was a crash.
    """
    from qtpy.QtCore import QCoreApplication, QEvent

    viewer.close()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()


def load() -> None:
    """Load napari and the panels, and leave them out of searches for garbage: each would hold the window for 100 ms.

    Only what is loaded, before a window is made: windows must stay findable when they are closed.
    """
    import napari_vasomim.widgets.workbench  # noqa: F401

    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # the end of the process takes things apart in its usual order


def take_screenshot(viewer: napari.Viewer, path: Path) -> None:
    """Save a picture of the whole window, once it has settled, as PNG."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(SETTLE_MS, loop.quit)
    loop.exec_()
    write_png(path, viewer.screenshot(canvas_only=False, flash=False)[..., :3])


def need_qt() -> None:
    """Make sure that windows can be made.

    Raises:
        ConfigError: napari or a Qt binding is not installed, or a library of the system is missing.
    """
    if find_spec("napari") is None:
        raise ConfigError(f'napari is not installed, which shows the window; run pip install "{PLUGIN}[pyqt5]"')
    try:
        import qtpy.QtWidgets  # noqa: F401
    except ImportError as error:
        if ".so" in str(error):
            raise ConfigError(
                f"Qt cannot start ({error}); install the package with that library, "
                "on Debian: sudo apt-get install libgl1 libegl1"
            ) from error
        raise ConfigError(f'no Qt binding is installed; run pip install "{PLUGIN}[pyqt5]"') from error


def has_display() -> bool:
    """Whether a window can be shown; Windows and macOS always can."""
    named = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in named)


def photograph_on_virtual_display(arguments: list[str]) -> None:
    """Run `vasomim app` with these arguments in a child process on a virtual display.

    A child, because a display must outlive the Qt that draws on it: Qt ends its process when the display goes.

    Raises:
        ConfigError: Xvfb is not installed or does not start, or the child failed.
    """
    with virtual_display() as name:
        command = [sys.executable, "-P", "-m", "napari_vasomim", *arguments]
        child = subprocess.run(command, env=os.environ | {"DISPLAY": name}, capture_output=True, text=True)
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines() or [f"exit code {child.returncode}"]
        raise ConfigError(f"the window could not be opened on a virtual display: {lines[-1]}")


@contextmanager
def virtual_display() -> Iterator[str]:
    """Xvfb for the block; yields the name of the display. It listens on no network.

    Raises:
        ConfigError: Xvfb is not installed or does not start.
    """
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        raise ConfigError(
            "no display is here; run it on a desktop, or install Xvfb to get a screenshot "
            "(on Debian: sudo apt-get install xvfb)"
        )
    reading, writing = os.pipe()
    screen = ["-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp"]
    command = [xvfb, "-displayfd", str(writing), *screen]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as pipe:
                number = pipe.readline().strip()  # written once it accepts clients
            if not number:
                raise ConfigError(f"{xvfb} could not start a virtual display; run it by hand to see why")
            yield f":{number}"
        finally:
            server.terminate()
