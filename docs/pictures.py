"""Takes the pictures of the guide in the real window, on synthetic angiograms alone.

    QT_API=pyqt6 python docs/pictures.py            # all; names of panels after it choose some

The window works in a temporary folder: no model, label set or journal of the person who runs it is touched.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
SIZE = 1366, 768


class Window:
    """A napari window with the workbench and a synthetic left coronary tree in it."""

    def __init__(self) -> None:
        from qtpy.QtWidgets import QApplication

        from napari_vasomim.app import open_window

        self.viewer = open_window()
        self.viewer.window._qt_window.showNormal()
        self.viewer.window._qt_window.resize(*SIZE)
        self._application = QApplication.instance()
        self.wait(3)
        docks = self.viewer.window._qt_window.findChildren(_workbench())
        self.bench: Any = docks[0]
        self.bench.session.annotator = "reader 1"
        self.source = self.bench.session.need_angiogram()

    def wait(self, seconds: float, until: Callable[[], Any] = lambda: False) -> None:
        """Let the window live for some seconds, or until something has come true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            self._application.processEvents()
            time.sleep(0.01)

    def only(self, *roles: str) -> None:
        """Show the angiogram and the layers with these roles."""
        from napari_vasomim.canvas import layers

        for layer in self.viewer.layers:
            layer.visible = layer is self.source or layers.role(layer) in roles

    def save(self, name: str) -> None:
        """Write the window as it looks now."""
        self.wait(0.5)
        self.viewer.window._qt_window.grab().save(str(HERE / f"{name}.png"))


def _workbench() -> type:
    from napari_vasomim.widgets.workbench import Workbench

    return Workbench


def view(window: Window) -> None:
    from napari_vasomim._reader import angulation
    from napari_vasomim.canvas.facts import AngiogramFacts
    from napari_vasomim.canvas.layers import KEY
    from napari_vasomim.widgets.view import ViewPanel
    from vasomim_core.synthetic import synthesize_cine

    panel = window.bench.show_panel(ViewPanel)
    opened = []
    for seed, side in ((20, "left"), (21, "right"), (22, "left")):
        run = synthesize_cine(seed, frames=12, frame_time_ms=66.7, side=side, size=384)
        facts = AngiogramFacts(angles=run.angles, frame_time_ms=66.7, fullest_frame=8)
        name = " ".join(["XA", *angulation(run.angles)])
        opened.append(window.viewer.add_image(run.frames, name=name, metadata={KEY: facts}))
        window.viewer.dims.set_current_step(0, 8)
    window.wait(2)
    panel.presets["usual"].click()
    window.save("view")
    for layer in opened:
        window.viewer.layers.remove(layer)
    window.bench.session.angiogram = window.source


def segment(window: Window) -> None:
    from napari_vasomim.widgets.segment import SegmentPanel

    panel = window.bench.show_panel(SegmentPanel)
    panel.now.click()
    window.wait(60, lambda: window.bench.session.predictions.get(window.source))
    panel.outline.setChecked(False)
    window.save("segment")


def vesselness(window: Window) -> None:
    from napari_vasomim.widgets.vesselness import VesselnessPanel

    window.only("vesselness", "anatomy")
    window.bench.show_panel(VesselnessPanel)
    window.wait(3)
    window.save("vesselness")


def masking(window: Window) -> None:
    from napari_vasomim.canvas import layers
    from napari_vasomim.widgets.mask_preview import MaskPreviewPanel

    window.only("mask")
    window.bench.show_panel(MaskPreviewPanel)
    window.wait(15, lambda: layers.find(window.viewer, "masking ratio", window.source) is not None)
    window.save("masking")


def correct(window: Window) -> None:
    from napari_vasomim.canvas import layers
    from napari_vasomim.correcting.editing import editor_of
    from napari_vasomim.widgets.correct import CorrectPanel

    window.only("prediction")
    panel = window.bench.show_panel(CorrectPanel)
    panel.begin.click()
    window.wait(1)
    panel.tools["trace"].click()
    editor = editor_of(window.bench.session, panel.correction)
    truth = next(layer for layer in window.viewer.layers if layers.role(layer) == "truth")
    start, end = missing_branch(np.asarray(truth.data) > 0, editor.frame.mask)
    editor.tools.click(start)
    editor.tools.hover(end)
    window.save("correct")
    editor.tools.take(None)


def doubtful(window: Window) -> None:
    from napari_vasomim.napari_compat import camera
    from napari_vasomim.widgets.correct import CorrectPanel

    window.only("prediction")
    panel = window.bench.show_panel(CorrectPanel)
    panel.begin.click()
    window.wait(1)
    panel.next_doubtful.click()
    window.wait(30, lambda: panel.doubtful.shown is not None)
    camera(window.viewer).zoom *= 2
    window.save("doubtful")
    window.viewer.reset_view()


def keys(window: Window) -> None:
    from napari_vasomim.widgets.key_list import KeyLists

    lists = KeyLists.of(window.viewer)
    lists.toggle()
    window.save("keys")
    lists.toggle()


def missing_branch(truth: np.ndarray, found: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where the largest branch that was not found leaves what was found, and a point of it 110 px away."""
    from scipy.ndimage import binary_dilation, distance_transform_edt, label
    from skimage.morphology import skeletonize

    near = binary_dilation(found, iterations=6)
    pieces, _ = label(truth & ~near, np.ones((3, 3)))
    piece = skeletonize(truth) & (pieces == np.bincount(pieces[pieces > 0]).argmax())
    points = np.argwhere(piece)
    start = points[distance_transform_edt(~found)[piece].argmin()]
    end = points[np.abs(np.hypot(*(points - start).T) - 110).argmin()]
    return tuple(start), tuple(end)


def follow_run(window: Window) -> None:
    from napari_vasomim.canvas import frames
    from napari_vasomim.correcting import undo
    from napari_vasomim.correcting.editing import editor_of
    from napari_vasomim.widgets.correct import CorrectPanel
    from vasomim_core.synthetic import synthesize_cine

    drawn = synthesize_cine((2026, 3), frames=16, frame_time_ms=150, size=384, side="left", injection_ms=1500)
    run = window.viewer.add_image(drawn.frames, name="run")
    session = window.bench.session
    panel = window.bench.show_panel(CorrectPanel)
    panel.run.choose.click()
    window.wait(60, lambda: "moves by" in panel.run.why.text())
    chosen = session.index
    undo.apply_values(panel.desk.need_correction(), chosen, drawn.masks[chosen].astype(np.uint8))
    panel.run.start.click()
    window.wait(300, lambda: not panel.run.following.busy)
    window.viewer.layers.selection.active = panel.correction
    frames.show_frame(window.viewer, run, chosen + 1)
    window.save("follow")
    editor_of(session, panel.correction).discard()
    window.viewer.layers.remove(panel.correction)
    window.viewer.layers.remove(run)
    session.angiogram = window.source


def labels(window: Window) -> None:
    from napari_vasomim.widgets.label_set import LabelSetPanel
    from vasomim_core.labels.labelset import LabelSet
    from vasomim_core.synthetic import synthesize

    folder = Path(tempfile.mkdtemp(prefix="coronaries-"))
    kept = LabelSet.create(folder, "coronaries")
    for seed in range(20, 32):
        made = synthesize(seed, size=256)
        kept.add(made.frame, made.mask, annotator="reader 1", group=f"group {seed % 5}")
    window.bench.session.open_label_set(kept)
    panel = window.bench.show_panel(LabelSetPanel)
    window.wait(2)
    panel.accept()
    window.wait(2)
    window.only("correction")
    window.save("labels")


def measure(window: Window) -> None:
    from napari_vasomim.napari_compat import camera
    from napari_vasomim.widgets.measure import MeasurePanel

    window.only()
    panel = window.bench.show_panel(MeasurePanel)
    panel.start.click()
    for place in MEASURED:
        panel.tool.click(place)
    window.wait(30, lambda: panel.measures.current)
    looking = camera(window.viewer)
    looking.center, looking.zoom = tuple(np.mean(MEASURED, axis=0)), 2.2
    window.save("measure")
    window.viewer.reset_view()
    panel.start.click()


def finetune(window: Window) -> None:
    from napari_vasomim.runs import jobs
    from napari_vasomim.widgets.finetune import FinetunePanel

    jobs.LOWEST = 0  # nobody else works here
    panel = window.bench.show_panel(FinetunePanel)
    window.wait(30, panel.start.isEnabled)
    panel.start.click()
    window.wait(240, lambda: panel.view.job.status().progress > 0.6)
    window.save("finetune")
    panel.view.job.cancel()


def elsewhere(window: Window) -> None:
    """A run over SSH, to a server of its own on this computer; left out where none is installed."""
    sys.path.insert(0, str(HERE.parent))
    from napari_vasomim.runs import jobs
    from napari_vasomim.widgets.finetune import FinetunePanel
    from napari_vasomim.widgets.send import SendDialog
    from tests.core.remote.server import SSHD, Server
    from vasomim_core.remote.machines import Machine, save_machine
    from vasomim_core.synthetic import write_samples

    if SSHD is None:
        print("elsewhere.png is left as it is: no OpenSSH server is installed")
        return
    jobs.LOWEST = 0
    place = Path(tempfile.mkdtemp(prefix="elsewhere-"))
    server = Server(place)
    server.start()
    setup = f"export PYTHONPATH={shlex.quote(str(HERE.parent))} OMP_NUM_THREADS=1"
    folder = str(place / "vasomim")
    save_machine("department", Machine("far", folder, sys.executable, setup, ssh_config=server.config()))
    write_samples(place / "coronaries", 12, size=128)
    panel = window.bench.show_panel(FinetunePanel)
    window.bench.session.machines_changed.emit()
    panel.where.choice.setCurrentIndex(panel.where.choice.findData("department"))
    panel.where.choice.activated.emit(panel.where.choice.currentIndex())
    panel.use_data(place / "coronaries")
    window.wait(60, lambda: panel.start.isEnabled() and panel.where.found)
    panel.base.use("")
    for key, value in {"frame_size": 128, "input_size": 128, "training.epochs": 80, "validate_every": 4}.items():
        panel.settings.editor(key).set(value)

    def send(dialog: SendDialog) -> bool:
        window.wait(60, dialog.send.isEnabled)
        return dialog.send.isEnabled()

    SendDialog.ask = send
    panel.start.click()
    window.wait(400, lambda: panel.view.job.status().progress > 0.4)
    window.save("elsewhere")
    panel.view.job.cancel()
    server.close()
    shutil.rmtree(place)


MEASURED = (250, 126), (430, 232)
"""Two ends of a piece of vessel, (row, column)."""

PICTURES = {
    "view": view,
    "segment": segment,
    "vesselness": vesselness,
    "masking": masking,
    "doubtful": doubtful,
    "correct": correct,
    "follow": follow_run,
    "keys": keys,
    "labels": labels,
    "measure": measure,
    "finetune": finetune,
    "elsewhere": elsewhere,
}


def main() -> None:
    chosen = sys.argv[1:] or list(PICTURES)
    from napari_vasomim.app import close_window

    with tempfile.TemporaryDirectory() as place:
        for variable in (
            "VASOMIM_MODELS",
            "VASOMIM_JOURNAL",
            "VASOMIM_MEASURES",
            "VASOMIM_MACHINES",
            "XDG_CONFIG_HOME",
        ):
            os.environ[variable] = str(Path(place) / variable.lower())
        window = Window()
        for name in chosen:
            PICTURES[name](window)
        close_window(window.viewer)


if __name__ == "__main__":
    main()
