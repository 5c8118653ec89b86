"""Does the window stay alive while a finetuning child runs on the same cores?

A 10 ms timer runs for a minute in the real window while a cine plays at 10 frames a second, a brush paints, and the
Finetune panel follows a live run. Printed are the silences of the event loop: of napari by itself, with cine and brush
but without this plugin, which no plugin can better; of the window without a run; and with it.

    python benchmarks/bench_window.py [--seconds 60]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

FRAMES = 40
SIDE = 512


def silences(qt, viewer, layer, seconds: float) -> np.ndarray:
    """Times in ms between the ticks of a 10 ms timer, while a cine plays and a brush paints."""
    from qtpy.QtCore import QTimer

    ticks: list[float] = []
    beat, play, brush = QTimer(), QTimer(), QTimer()
    beat.setInterval(10)
    beat.timeout.connect(lambda: ticks.append(time.perf_counter()))
    play.setInterval(100)
    play.timeout.connect(lambda: viewer.dims.set_current_step(0, (viewer.dims.current_step[0] + 1) % FRAMES))
    stroke = iter(range(10**9))

    def paint() -> None:
        step = next(stroke)
        at = [viewer.dims.current_step[0], 40 + (7 * step) % (SIDE - 80), 40 + (13 * step) % (SIDE - 80)]
        layer.paint(at, 1)

    brush.setInterval(50)
    brush.timeout.connect(paint)
    for timer in (beat, play, brush):
        timer.start()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        qt.processEvents(qt_flags(), 50)
        time.sleep(0.001)
    for timer in (beat, play, brush):
        timer.stop()
    return 1000 * np.diff(ticks)


def qt_flags():
    from qtpy.QtCore import QEventLoop

    return QEventLoop.ProcessEventsFlag.AllEvents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as place:
        os.environ["VASOMIM_JOURNAL"] = str(Path(place) / "journal")
        os.environ["VASOMIM_MODELS"] = str(Path(place) / "models")
        import napari
        from qtpy.QtWidgets import QApplication

        from napari_vasomim.app import close_window, load
        from napari_vasomim.correcting.corrections import ensure_correction
        from napari_vasomim.runs import jobs
        from napari_vasomim.widgets.finetune import FinetunePanel
        from napari_vasomim.widgets.workbench import Workbench
        from vasomim_core.config import FinetuneConfig
        from vasomim_core.synthetic import synthesize_cine, write_samples

        labels = Path(place) / "labels"
        write_samples(labels, 12)
        frames = np.asarray(synthesize_cine(3, frames=8, size=SIDE).frames)[np.arange(FRAMES) % 8]
        bare = napari.Viewer()
        bare.window._qt_window.resize(1366, 768)
        qt = QApplication.instance()
        bare.add_image(frames)
        mask = bare.add_labels(np.zeros(frames.shape, np.uint8))
        silences(qt, bare, mask, min(3, seconds))  # the first strokes and frames set everything up
        itself = silences(qt, bare, mask, seconds)
        close_window(bare)
        load()
        viewer = napari.Viewer()
        viewer.window._qt_window.resize(1366, 768)
        bench = Workbench(viewer)
        viewer.window.add_dock_widget(bench, area="right")
        cine = viewer.add_image(frames)
        layer = ensure_correction(viewer, cine)
        viewer.layers.selection.active = layer
        panel = bench.show_panel(FinetunePanel)
        silences(qt, viewer, layer, min(5, seconds))
        alone = silences(qt, viewer, layer, seconds)
        config = FinetuneConfig(labels=labels, run=Path(place) / "run", architecture="unext")
        job = jobs.start(replace(config, training=replace(config.training, epochs=5000)))
        panel.view.show_run(job)
        while job.status().state != "running":
            qt.processEvents()
            time.sleep(0.05)
        busy = silences(qt, viewer, layer, seconds)
        state = job.status()
        job.cancel()
        close_window(viewer)
    print(f"{seconds:g} s each; the run was {state.state}, epoch {state.epoch}, while it was measured")
    print("event loop silent for (ms)        median     99 %   99.9 %   longest   over 100")
    for words, gaps in (("napari by itself", itself), ("the window", alone), ("with a finetuning run", busy)):
        shares = (f"{np.percentile(gaps, q):8.1f}" for q in (50, 99, 99.9))
        print(f"{words:<32}", *shares, f"{gaps.max():9.1f} {(gaps > 100).sum():10d}")


if __name__ == "__main__":
    main()
