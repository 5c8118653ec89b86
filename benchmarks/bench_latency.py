"""From the hand to the picture: sliders and the hover of a trace, until the canvas of the real window is drawn anew.

Synthetic angiograms in a window of 1366×768. Each time is that from the change of a value, or the move of the mouse, to
the end of the next drawing that shows it. Reference is napari itself, redrawing a labels layer of the same size in
which nothing has changed: what no plugin can be faster than.

    python benchmarks/bench_latency.py [--sizes 512x512 2000x1500] [--repeats 30]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LONGEST = 60.0  # seconds to wait for a drawing


class Window:
    """The workbench with an angiogram, and the moment at which its canvas was last drawn."""

    def __init__(self, width: int, height: int) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        from napari_vasomim.widgets.workbench import Workbench
        from vasomim_core.synthetic import synthesize

        whole = synthesize(3, side="left", size=max(width, height))
        top, left = (whole.frame.shape[0] - height) // 2, (whole.frame.shape[1] - width) // 2
        self.centreline = whole.centreline[top : top + height, left : left + width]
        self.viewer = napari.Viewer()
        self.viewer.window._qt_window.resize(1366, 768)
        self._application = QApplication.instance()
        self.bench = Workbench(self.viewer)
        self.viewer.window.add_dock_widget(self.bench, area="right")
        self.image = self.viewer.add_image(whole.frame[top : top + height, left : left + width])
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
        self.wait(LONGEST, lambda: self.changed > began and self.drawn > self.changed)
        layer.events.set_data.disconnect(self._changed)
        if not self.drawn > self.changed > began:
            what = "the layer did not change" if self.changed < began else "nothing was drawn"
            raise SystemExit(f"{what} within {LONGEST:g} s")
        return 1000 * (self.drawn - began)

    def move(self, pixel: tuple[int, int]) -> None:
        """Move the mouse to a pixel of the angiogram.

        The move is sent to the canvas itself: QTest would move the pointer of the display, which in Qt 5 tells nobody
        where it comes to lie, so that now and then a move never arrived.
        """
        from qtpy.QtCore import QPointF, Qt
        from qtpy.QtGui import QMouseEvent

        point, none = self._at(pixel), Qt.MouseButton.NoButton
        everywhere = QPointF(self.native.mapToGlobal(point))
        kind, keys = QMouseEvent.Type.MouseMove, Qt.KeyboardModifier.NoModifier
        self._application.sendEvent(self.native, QMouseEvent(kind, QPointF(point), everywhere, none, none, keys))

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


def spread(low: float, high: float, count: int) -> list[float]:
    """Values all over a range, each far from the one before, so that a slider's steps make no two of them equal."""
    return [low + (high - low) * (0.618 * k % 1) for k in range(1, count + 1)]


def measure(window: Window, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each way to change the picture."""
    from napari_vasomim.canvas import layers
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
        window.latency(lambda v=v: segment.threshold.setValue(v), shown) for v in spread(0.2, 0.8, repeats)
    ]
    vesselness = window.bench.show_panel(VesselnessPanel)
    window.wait(LONGEST, lambda: layers.find(window.viewer, "anatomy", image))
    window.wait(3)
    response = layers.find(window.viewer, "vesselness", image)
    anatomy = layers.find(window.viewer, "anatomy", image)
    times["vesselness: σ"] = [
        window.latency(lambda v=v: vesselness.sigmas.setValue((1.5, v)), response) for v in spread(4, 8, repeats)
    ]
    times["vesselness: percentile of the anatomy"] = [
        window.latency(lambda v=v: vesselness.percentile.setValue(v), anatomy) for v in spread(80, 95, repeats)
    ]
    correct = window.bench.show_panel(CorrectPanel)
    correct.begin.click()
    window.wait(1)
    correct.tools["trace"].click()
    window.wait(1)
    tools = editor_of(session, correct.correction).tools
    preview = layers.find(window.viewer, "preview", image)
    points = np.argwhere(window.centreline)
    start = min(points, key=lambda point: np.hypot(*(point - np.array(window.centreline.shape) / 2)))
    distance = np.abs(points - start).max(axis=1)
    near, far = points[(distance > 10) & (distance < 110)], points[distance > 140]
    choose = np.random.default_rng(0)
    near, far = (among[choose.permutation(len(among))] for among in (near, far))

    def first() -> None:
        window.move(tuple(start))
        window.click(tuple(start))
        window.move(tuple(far[-1]))

    times["trace: the first click and hover"] = [window.latency(first, preview)]
    for words, among in (("trace: hover", near), ("trace: hover, beyond its window", far)):
        times[words] = [window.latency(lambda e=e: window.move(tuple(e)), preview) for e in among[:repeats]]
    tools.take(None)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["512x512", "2000x1500"], help="WIDTHxHEIGHT in pixels")
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    if len(options.sizes) > 1:  # each in a window of its own
        for size in options.sizes:
            command = [sys.executable, __file__, "--sizes", size, "--repeats", str(options.repeats)]
            subprocess.run(command, check=True)
        return
    (size,) = options.sizes
    width, height = map(int, size.split("x"))
    with tempfile.TemporaryDirectory() as place:
        for variable in ("VASOMIM_MODELS", "VASOMIM_JOURNAL", "XDG_CONFIG_HOME"):
            os.environ[variable] = str(Path(place) / variable.lower())
        from napari_vasomim.app import close_window

        window = Window(width, height)
        times = measure(window, options.repeats)
        close_window(window.viewer)
    floor = np.median(times["napari redraws a labels layer"])
    words = f"hand to picture, {size}, ms"
    print(f"{words:<40}  median    90 %  longest   × napari's own")
    for words, values in times.items():
        middle = np.median(values)
        print(f"{words:<40} {middle:7.1f} {np.percentile(values, 90):7.1f} {max(values):8.1f} {middle / floor:10.1f}")


if __name__ == "__main__":
    main()
