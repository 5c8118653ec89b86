"""From the hand to the picture: sliders and the hover of a trace, until the canvas of the real window is drawn anew.

A 512² synthetic angiogram in a window of 1366×768. Each time is that from the change of a value, or the move of the
mouse, to the end of the next drawing that shows it. Reference is napari itself, redrawing a labels layer of the same
size in which nothing has changed: what no plugin can be faster than.

    python benchmarks/bench_latency.py [--repeats 30]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 512


class Window:
    """The workbench with an angiogram, and the moment at which its canvas was last drawn."""

    def __init__(self) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        from napari_vasomim.widgets.workbench import Workbench
        from vasomim_core.data.synthetic import synthesize

        self.angiogram = synthesize(3, side="left", size=SIDE)
        self.viewer = napari.Viewer()
        self.viewer.window._qt_window.resize(1366, 768)
        self._application = QApplication.instance()
        self.bench = Workbench(self.viewer)
        self.viewer.window.add_dock_widget(self.bench, area="right")
        self.image = self.viewer.add_image(self.angiogram.frame)
        canvas = self.viewer.window._qt_viewer.canvas
        self.native, self.drawn, self.changed = canvas.native, 0.0, 0.0
        canvas._scene_canvas.events.draw.connect(self._drawn, position="last")
        self.wait(2)

    def _drawn(self, *_: Any) -> None:
        self.drawn = time.perf_counter()

    def _changed(self, *_: Any) -> None:
        self.changed = time.perf_counter()

    def wait(self, seconds: float, until: Callable[[], Any] = lambda: False) -> None:
        """Let the window live for some seconds, or until something has come true."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and not until():
            self._application.processEvents()
            time.sleep(0.0005)

    def latency(self, act: Callable[[], Any], layer: Any) -> float:
        """Milliseconds from an act to the end of the drawing that follows the next change of a layer."""
        self.wait(0.3)
        layer.events.set_data.connect(self._changed)
        began = time.perf_counter()
        act()
        self.wait(5, lambda: self.changed > began and self.drawn > self.changed)
        layer.events.set_data.disconnect(self._changed)
        assert self.drawn > self.changed > began, "nothing was drawn"
        return 1000 * (self.drawn - began)

    def move(self, pixel: tuple[int, int]) -> None:
        """Move the mouse to a pixel of the angiogram."""
        from qtpy.QtTest import QTest

        QTest.mouseMove(self.native, self._at(pixel))

    def click(self, pixel: tuple[int, int]) -> None:
        """Press and release the left button at a pixel of the angiogram."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.mouseClick(self.native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, self._at(pixel))

    def _at(self, pixel: tuple[int, int]) -> Any:
        from qtpy.QtCore import QPoint

        camera = self.viewer.scene.camera if hasattr(self.viewer, "scene") else self.viewer.camera
        world = np.asarray(self.image.data_to_world(pixel))[-2:]
        middle = self.native.height() / 2, self.native.width() / 2
        row, column = (world - np.asarray(camera.center)[-2:]) * camera.zoom + middle
        return QPoint(round(column), round(row))


def measure(window: Window, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each way to change the picture."""
    from napari_vasomim import layers
    from napari_vasomim.correcting.editing import editor_of
    from napari_vasomim.widgets.correct import CorrectPanel
    from napari_vasomim.widgets.segment import SegmentPanel
    from napari_vasomim.widgets.vesselness import VesselnessPanel

    times: dict[str, list[float]] = {}
    session, image = window.bench.session, window.image
    segment = window.bench.show_panel(SegmentPanel)
    segment.now.click()
    window.wait(120, lambda: session.predictions.get(image))
    window.wait(1)
    shown = layers.find(window.viewer, "prediction", image)
    times["napari redraws a labels layer"] = [window.latency(shown.refresh, shown) for _ in range(repeats)]
    times["threshold slider"] = [
        window.latency(lambda v=v: segment.threshold.setValue(v), shown) for v in np.linspace(0.2, 0.8, repeats)
    ]
    vesselness = window.bench.show_panel(VesselnessPanel)
    window.wait(3)
    response = layers.find(window.viewer, "vesselness", image)
    anatomy = layers.find(window.viewer, "anatomy", image)
    times["vesselness: σ"] = [
        window.latency(lambda v=v: vesselness.sigmas.setValue((1.5, v)), response) for v in np.linspace(4, 8, repeats)
    ]
    times["vesselness: percentile of the anatomy"] = [
        window.latency(lambda v=v: vesselness.percentile.setValue(v), anatomy) for v in np.linspace(80, 95, repeats)
    ]
    correct = window.bench.show_panel(CorrectPanel)
    correct.begin.click()
    window.wait(1)
    correct.tools["trace"].click()
    window.wait(1)
    preview = editor_of(session, correct.correction).tools._preview
    points = np.argwhere(window.angiogram.centreline)
    start = min(points, key=lambda point: np.hypot(*(point - SIDE / 2)))
    distance = np.abs(points - start).max(axis=1)
    near, far = points[(distance > 10) & (distance < 110)], points[distance > 140]
    window.move(tuple(start))
    window.click(tuple(start))
    choose = np.random.default_rng(0)
    for words, among in (("trace: hover", near), ("trace: hover, beyond its window", far)):
        ends = among[choose.permutation(len(among))[:repeats]]
        times[words] = [window.latency(lambda e=e: window.move(tuple(e)), preview) for e in ends]
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    repeats = parser.parse_args().repeats
    from napari_vasomim.app import close_window

    with tempfile.TemporaryDirectory() as place:
        for variable in ("VASOMIM_MODELS", "VASOMIM_JOURNAL", "XDG_CONFIG_HOME"):
            os.environ[variable] = str(Path(place) / variable.lower())
        window = Window()
        times = measure(window, repeats)
        close_window(window.viewer)
    floor = np.median(times["napari redraws a labels layer"])
    print(f"hand to picture, {SIDE}², ms             median    90 %  longest   × napari's own")
    for words, values in times.items():
        middle = np.median(values)
        print(f"{words:<40} {middle:6.1f} {np.percentile(values, 90):7.1f} {max(values):8.1f} {middle / floor:10.1f}")


if __name__ == "__main__":
    main()
