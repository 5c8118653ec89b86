"""A window in which one measures: runs of a drawn vessel of known width, the panel, and a mouse."""

from __future__ import annotations

import numpy as np

from napari_vasomim.canvas import layers
from napari_vasomim.canvas.facts import AngiogramFacts
from napari_vasomim.measuring.drawing import LINES, POINTS
from napari_vasomim.widgets.measure import MeasurePanel
from napari_vasomim.widgets.workbench import Workbench
from tests.core.measures.drawn import at, narrowed, tube

from .mouse import Mouse, settle

START, END = at(25), at(155)


def run(stenosis=50.0, count=4, width=11.0, seed=0):
    """Frames uint8 (count, 100, 180) of one vessel from left to right."""
    return np.stack([tube(narrowed(width, stenosis), seed=seed + k) for k in range(count)])


def opened(viewer, frames, name="run", **facts):
    return viewer.add_image(frames, name=name, metadata={layers.KEY: AngiogramFacts(**facts)})


class Desk:
    """A shown window with a run, at its third frame, and the panel Measure in the workbench."""

    def __init__(self, viewer, qtbot, frames=None, **facts):
        self.viewer, self.qtbot = viewer, qtbot
        viewer.window._qt_window.resize(1000, 560)  # small, for what is seen has to be drawn
        self.bench = Workbench(viewer)
        viewer.window.add_dock_widget(self.bench, area="right")
        self.run = opened(viewer, run() if frames is None else frames, **facts)
        self.panel = self.bench.show_panel(MeasurePanel)
        self.measures, self.tool, self.session = self.panel.measures, self.panel.tool, self.panel.session
        qtbot.waitUntil(self.panel.isVisible)
        viewer.reset_view()
        if self.run.ndim == 3:
            viewer.dims.set_current_step(0, 2)
        settle()
        self.mouse = Mouse(viewer, self.run)

    @property
    def lines(self):
        return layers.find(self.viewer, LINES, self.run)

    @property
    def points(self):
        return layers.find(self.viewer, POINTS, self.run)

    @property
    def current(self):
        return self.measures.current

    def pixel(self, point):
        """A place of the shown frame, for the mouse."""
        return (self.session.index, *point) if self.run.ndim == 3 else point

    def click(self, *points, **how):
        for point in points:
            self.mouse.click(self.pixel(point), **how)

    def wait(self):
        """Until nothing is computed, and all is written."""
        self.qtbot.waitUntil(lambda: not self.tool.busy and self.measures.keeping.idle, timeout=20_000)
        settle()

    def measure(self, *points):
        """Two clicks with the mouse."""
        if self.tool.purpose is None:
            self.panel.start.click()
        self.click(*(points or (START, END)))
        self.wait()
        return self.current


class Bench:
    """The panel beside a viewer without a window, in which one measures without a mouse: many times faster."""

    def __init__(self, viewer, qtbot, frames=None, index=2, **facts):
        self.viewer, self.qtbot = viewer, qtbot
        self.run = opened(viewer, run() if frames is None else frames, **facts)
        if self.run.ndim == 3:
            viewer.dims.set_current_step(0, index)
        self.panel = MeasurePanel(viewer)
        qtbot.addWidget(self.panel)
        self.panel.show()
        self.measures, self.tool, self.session = self.panel.measures, self.panel.tool, self.panel.session

    @property
    def current(self):
        return self.measures.current

    def click(self, *points):
        for point in points:
            self.tool.click(point)

    def wait(self):
        """Until nothing is computed, and all is written."""
        self.qtbot.waitUntil(lambda: not self.tool.busy and self.measures.keeping.idle, timeout=20_000)

    def measure(self, *points):
        if self.tool.purpose is None:
            self.tool.take("measure")
        self.click(*(points or (START, END)))
        self.wait()
        return self.current
