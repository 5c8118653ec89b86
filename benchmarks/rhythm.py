"""What a frame costs a person beside the correction itself: clicks, keys and waits, panel by panel and with the keys.

    python benchmarks/rhythm.py [--frames 6]

Works in the real window, on a folder of synthetic stills, from the prediction. Both arms correct each frame in the same
way, by a trace of two clicks and a pause that stands for the rest of it, and accept it:

- panel by panel: Segment, This frame, wait for the model, Correct, Start from prediction, `T`, correct, `A`;
- with the keys: the next frame comes with its draft and the tool in hand: correct, `A`.

The first frame, on which the person segments and takes up the tool, is not counted. Frames per hour take a correction
of 8.6 s (the simulated annotator of annotation_cost.py, from the prediction), 1.1 s a click, 0.2 s a key, and the waits
for the model that were measured. What both arms have, saving the label and opening the next file, is left out.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORRECTION, CLICK, KEY = 8.6, 1.1, 0.2  # s
LONGEST = 300.0  # s


@dataclass
class Hand:
    """A person at the window: what was done, and waited for."""

    window: Any
    clicks: int = 0
    keys: int = 0
    waits: int = 0
    waited: float = 0.0

    def click(self, widget: Any) -> None:
        """Press a button, once it can be pressed."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        live(LONGEST, widget.isEnabled)
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton)
        self.clicks += 1

    def key(self, letter: str) -> None:
        """Press a key wherever the focus is."""
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        QTest.keyClicks(QApplication.focusWidget() or self.window, letter)
        self.keys += 1

    def until(self, there: Callable[[], Any]) -> None:
        """Wait for the model."""
        if not there():
            begun = time.perf_counter()
            live(LONGEST, there)
            self.waits += 1
            self.waited += time.perf_counter() - begun

    def forget(self) -> None:
        """Count anew."""
        self.clicks = self.keys = self.waits = 0
        self.waited = 0.0


def live(seconds: float, until: Callable[[], Any] = lambda: False) -> None:
    """Let the window live for some seconds, or until something has come true."""
    from qtpy.QtWidgets import QApplication

    end = time.perf_counter() + seconds
    while not until():
        if time.perf_counter() > end:
            if seconds == LONGEST:
                raise RuntimeError("the window did not go on")
            return
        QApplication.processEvents()
        time.sleep(0.002)


class Bench:
    """The window with the workbench, a label set and a folder that is worked through."""

    def __init__(self, place: Path, frames: int, size: int, model: str, pause: float):
        import napari

        from napari_vasomim.correcting.desk import CorrectingDesk
        from napari_vasomim.labelling.desk import LabellingDesk
        from napari_vasomim.rhythm.drafts import Drafts
        from napari_vasomim.widgets.workbench import Workbench
        from vasomim_core.files import write_png
        from vasomim_core.labels.labelset import LabelSet
        from vasomim_core.synthetic import synthesize

        for number in range(frames + 1):
            write_png(place / "stills" / f"{number:02}.png", synthesize([30, number], size=size).frame)
        self.viewer = napari.Viewer()
        self.window = self.viewer.window._qt_window
        self.window.resize(1366, 768)
        self.bench = Workbench(self.viewer)
        self.viewer.window.add_dock_widget(self.bench, area="right")
        self.window.activateWindow()
        live(LONGEST, self.window.isActiveWindow)
        self.hand, self.pause, self.frames = Hand(self.window), pause, frames
        session = self.bench.session
        session.model, session.annotator = model, "annotator"
        session.open_label_set(LabelSet.create(place / "labels", "labels"))
        self.walk, self.correcting = LabellingDesk.of(self.viewer).navigator, CorrectingDesk.of(self.viewer)
        self.drafts, self.shown = Drafts.of(self.viewer), LabellingDesk.of(self.viewer).shown
        self.folder = place / "stills"

    def tab(self, kind: type) -> Any:
        """Click on the button of a panel."""
        from napari_vasomim.widgets.workbench import PANELS

        self.hand.click(self.bench._buttons.button(PANELS.index(kind)))
        return self.bench.panel(kind)

    def arrive(self, number: int) -> None:
        """The frame is seen; both arms save the label before and open the file."""
        live(LONGEST, lambda: self.walk.place == (number, 0) and self.shown.is_current())

    def prepare(self) -> None:
        """Segment, start from the prediction, take up the tool: panel by panel."""
        from napari_vasomim.widgets.correct import CorrectPanel
        from napari_vasomim.widgets.segment import SegmentPanel

        session = self.bench.session
        self.hand.click(self.tab(SegmentPanel).now)
        self.hand.until(lambda: session.predictions.get(session.angiogram) is not None)
        self.hand.click(self.tab(CorrectPanel).begin)
        self.hand.key("t")

    def correct(self) -> None:
        """A trace of two clicks, which both arms have, and is not counted; then the rest of the correction."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        native = self.viewer.window._qt_viewer.canvas.native
        middle = native.rect().center()
        for away in (QPoint(-30, -20), QPoint(30, 20)):
            QTest.mouseClick(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, middle + away, 5)
        live(self.pause)

    def run(self, keys: bool) -> Hand:
        """Label all frames."""
        self.drafts.on = keys
        self.walk.work_through(self.folder)
        self.arrive(0)
        for number in range(self.frames + 1):
            if number == 0 or not keys:
                self.prepare()
            else:
                self.hand.until(lambda: self.bench.session.predictions.get(self.bench.session.angiogram) is not None)
                live(LONGEST, lambda: self.correcting.editor is not None and self.correcting.editor.draft == 0)
                assert self.correcting.editor.tools.tool == "trace"
            self.correct()
            self.hand.key("a")
            if number == 0:
                self.hand.forget()
            if number < self.frames:
                self.arrive(number + 1)
        live(LONGEST, lambda: self.walk.done)
        return self.hand


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=6, help="that are counted")
    parser.add_argument("--size", type=int, default=512, help="px of a side of a frame")
    parser.add_argument("--model", default="vasomim-base")
    parser.add_argument("--pause", type=float, default=CORRECTION, help="seconds that a correction takes")
    given = parser.parse_args()
    print("| per frame | clicks | keys | waits | seconds waited | frames an hour |")
    print("|---|---|---|---|---|---|")
    for words, keys in (("panel by panel", False), ("with the keys", True)):
        with tempfile.TemporaryDirectory() as place:
            for variable in ("VASOMIM_MODELS", "VASOMIM_JOURNAL", "VASOMIM_MEASURES", "XDG_CONFIG_HOME"):
                os.environ[variable] = str(Path(place) / variable.lower())
            from napari_vasomim.app import close_window
            from napari_vasomim.background import engine

            bench = Bench(Path(place), given.frames, given.size, given.model, given.pause)
            hand = bench.run(keys)
            close_window(bench.viewer)
            engine.shared().close()
        n = given.frames
        seconds = CORRECTION + (CLICK * hand.clicks + KEY * hand.keys + hand.waited) / n
        counts = f"{hand.clicks / n:.1f} | {hand.keys / n:.1f} | {hand.waits / n:.1f} | {hand.waited / n:.2f}"
        print(f"| {words} | {counts} | {3600 / seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
