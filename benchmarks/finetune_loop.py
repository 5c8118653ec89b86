"""The loop as a person goes through it: keep labels, finetune from the Finetune panel, and see whether it paid.

The first frames of a labelled folder stand for what an annotator has accepted; the panel's quick preset trains on
them, as a click on Start does; other frames of the same folder are scored by the model before and by the model after.

    python benchmarks/finetune_loop.py --data FOLDER [--taught 10] [--scored 50] [--model NAME] [--preset quick]
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="labelled frames: an ARCADE split, or images/ + masks/"
    )
    parser.add_argument("--output", type=Path, required=True, help="new folder for label set, run and pictures")
    parser.add_argument("--taught", type=int, default=10)
    parser.add_argument("--scored", type=int, default=50)
    parser.add_argument("--model", default="vasomim-demo")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--epochs", type=int, help="instead of the preset's")
    options = parser.parse_args()
    os.environ["VASOMIM_MODELS"] = str(options.output / "models")
    os.environ["VASOMIM_JOURNAL"] = str(options.output / "journal")
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_vasomim.app import close_window
    from napari_vasomim.background import engine
    from napari_vasomim.widgets.finetune import FinetunePanel
    from napari_vasomim.widgets.workbench import Workbench
    from vasomim_core.evaluation.metrics import mean_overlap
    from vasomim_core.inference.requests import Segment
    from vasomim_core.labels.labelled import open_labels
    from vasomim_core.labels.labelset import LabelSet

    frames = open_labels(options.data)
    # Evenly over the folder, so that neighbours (often of one patient) do not stand for all.
    chosen = frames[:: max(1, len(frames) // (options.taught + options.scored))]
    taught, scored = chosen[: options.taught], chosen[options.taught : options.taught + options.scored]
    labels = LabelSet.create(options.output / "labels", "loop")
    for frame in taught:
        labels.add(frame.frame(), frame.mask(), annotator="the data set's own label")

    def score(model: str) -> tuple[float, float]:
        def found(frame: NDArray[np.uint8]) -> NDArray[np.bool_]:
            answer = engine.shared().call(Segment(frame, model)).result()
            return answer.probability >= answer.threshold

        return mean_overlap((found(frame.frame()), frame.mask()) for frame in scored)

    before = score(options.model)
    engine.shared().close()  # as in the window, where it rests while a run is followed
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1366, 768)
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right", name="Workbench")
    viewer.add_image(scored[0].frame(), name="angiogram")
    panel = bench.show_panel(FinetunePanel)
    panel.runs.folder = options.output / "runs"

    def wait(until, step: float = 0.05) -> None:
        while not until():
            QApplication.processEvents()
            time.sleep(step)

    bench.session.model = options.model
    panel.base.use(options.model)
    panel.preset.setCurrentIndex(panel.preset.findData(options.preset))
    bench.session.open_label_set(labels)
    wait(panel.start.isEnabled)
    if options.epochs:
        settings = panel.settings.value()
        training = replace(settings.training, epochs=options.epochs)
        panel.settings.set_value(replace(settings, training=training, validate_every=1))
        wait(panel.start.isEnabled)
    promise = panel.promise.text()
    began = time.perf_counter()
    panel.start.click()
    wait(lambda: not panel.view.job.status().alive, 0.2)
    minutes = (time.perf_counter() - began) / 60
    status = panel.view.job.status()
    panel.view.refresh()
    wait(lambda: panel.view.use.isEnabled())
    QApplication.processEvents()
    viewer.window._qt_window.grab().save(str(options.output / "window.png"))
    panel.view.use.click()
    after = score(str(status.model))
    close_window(viewer)
    print(
        f"{len(taught)} labelled frames, {options.preset} preset from {options.model}: {status.state}, {status.message}"
    )
    print(f"promised: {promise}  taken: {minutes:.1f} minutes on {os.cpu_count()} CPU cores")
    print(f"{len(scored)} other frames, DSC / clDice: before {before[0]:.1f} / {before[1]:.1f}, "
          f"after {after[0]:.1f} / {after[1]:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
