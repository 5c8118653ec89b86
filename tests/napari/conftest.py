"""What the tests of the plugin share: a real viewer, small angiograms, and nothing of the person's own touched."""

from __future__ import annotations

import gc
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_vasomim.background.engine import COMMAND
from napari_vasomim.runs import jobs
from vasomim_core.config import FinetuneConfig, Training
from vasomim_core.synthetic import synthesize, synthesize_cine, write_samples

try:
    import qtpy.QtWidgets  # noqa: F401
except ImportError:  # the engine is tested without Qt, too
    collect_ignore_glob = ["test_*.py"]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", autouse=True)
def _settings(tmp_path_factory):
    """napari's settings in a temporary folder: those of the person who runs the tests are neither read nor written."""
    from napari import settings

    path = tmp_path_factory.mktemp("napari") / "settings.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_CONFIG", str(path))
        patch.setattr(settings, "_CFG_PATH", str(path))
        patch.setattr(settings, "_SETTINGS", None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _loaded(_settings):
    """What is loaded once stays: the garbage collections of viewers and tests need not look through it each time."""
    import napari.viewer  # noqa: F401

    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _window_as_new(_settings):
    """napari hands the size and the docks of a closed window on to the next one; not so from test to test."""
    from napari.settings import get_settings

    get_settings().application.reset()


@pytest.fixture(autouse=True)
def models_folder(tmp_path, monkeypatch) -> Path:
    """An empty folder for registered models; the packaged `vasomim-demo` is there besides."""
    folder = tmp_path / "models"
    monkeypatch.setenv("VASOMIM_MODELS", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _own(tmp_path, monkeypatch):
    """Choices, journals, measures and machines of this test alone."""
    from qtpy.QtCore import QSettings

    from napari_vasomim.correcting.editing import journal

    monkeypatch.setenv("VASOMIM_JOURNAL", str(tmp_path / "journal"))
    monkeypatch.setenv("VASOMIM_MEASURES", str(tmp_path / "measures"))
    monkeypatch.setenv("VASOMIM_MACHINES", str(tmp_path / "machines.yaml"))
    journal.cache_clear()
    QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(tmp_path / "choices"))


@cache
def _manifests():
    from npe2 import PluginManifest

    return PluginManifest.from_distribution("napari"), PluginManifest.from_file(ROOT / "napari.yaml")


@pytest.fixture(autouse=True)
def plugin(npe2pm):
    """napari with its built-in plugin and this one, from the tree's own manifest, and no other."""
    for manifest in _manifests():
        npe2pm.register(manifest)
    return npe2pm


@pytest.fixture(autouse=True)
def notifications():
    """What napari told the person in this test. An error that is left in this list fails the test.

    A test that expects one takes it out: `assert "does not exist" in notifications.pop().message`.
    """
    from napari.utils.notifications import NotificationSeverity, notification_manager

    told = []
    notification_manager.notification_ready.connect(told.append)
    yield told
    notification_manager.notification_ready.disconnect(told.append)
    errors = [note for note in told if note.severity == NotificationSeverity.ERROR]
    if errors:
        pytest.fail("napari showed an error:\n" + "\n".join(map(str, errors)))


@pytest.fixture
def viewer(make_napari_viewer):
    """A real viewer in a hidden window. `make_napari_viewer_proxy` gives what the Plugins menu hands to a panel."""
    return make_napari_viewer()


@pytest.fixture
def model(qapp):
    """A viewer without a window, for what concerns layers and panels alone; many times faster."""
    from napari.components import ViewerModel

    model = ViewerModel()
    yield model
    model.layers.clear()


@pytest.fixture
def beside(qtbot):
    """Opens a panel, a window of its own, of a viewer without one: `beside(model, Panel)`."""

    def opened(model, kind):
        panel = kind(model)
        qtbot.addWidget(panel)
        panel.show()
        return panel

    return opened


@cache
def _cine():
    return synthesize_cine(3, frames=8, frame_time_ms=250, side="left", size=256)


@cache
def _still():
    return synthesize(3, side="left", size=256)


@pytest.fixture
def cine() -> np.ndarray:
    """A filling left coronary tree, uint8 (8, 256, 256)."""
    return _cine().frames.copy()


@pytest.fixture
def cine_truth() -> np.ndarray:
    """The vessels of `cine`, bool (8, 256, 256)."""
    return _cine().masks.copy()


@pytest.fixture
def still() -> np.ndarray:
    """A filled left coronary tree, uint8 (256, 256)."""
    return _still().frame.copy()


@pytest.fixture
def still_truth() -> np.ndarray:
    """The vessels of `still`, bool (256, 256)."""
    return _still().mask.copy()


@pytest.fixture(scope="session")
def _samples(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, 6, size=64)
    return folder


@pytest.fixture
def endless(_samples, tmp_path, monkeypatch) -> FinetuneConfig:
    """A small run of more epochs than any test waits for, at the usual priority and on one thread."""
    monkeypatch.setattr(jobs, "LOWEST", 0)  # else a test waits for whatever the machine does besides
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    training = Training(epochs=5000, batch_size=4, device="cpu", precision="fp32", log_every=1)
    small = {"architecture": "unext", "frame_size": 64, "input_size": 64, "augment": False}
    return FinetuneConfig(_samples, tmp_path / "run", training=training, **small)


@pytest.fixture
def no_orphans():
    """Fails a test that leaves a process behind; the inference child, which all tests share, is none."""
    before = set(psutil.Process().children(recursive=True))
    yield
    left = [p for p in psutil.Process().children(recursive=True) if p not in before]
    left = [p for p in left if p.status() != psutil.STATUS_ZOMBIE and COMMAND[-1] not in p.cmdline()]
    for process in left:
        process.kill()
    assert not left
