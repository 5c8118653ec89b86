"""All that one viewer needs to measure, put together."""

from __future__ import annotations

import weakref
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from superqt.utils import qthrottled

from napari_vasomim.attached import PerViewer
from napari_vasomim.measuring.drawing import Drawing
from napari_vasomim.measuring.measures import Measures
from napari_vasomim.measuring.tool import MeasureTool
from napari_vasomim.notify import report_errors
from napari_vasomim.session import Session

DRAW_MS = 40
"""Between two drawings while a marker is dragged."""


class MeasuringDesk(PerViewer):
    """The desk of whoever measures in a viewer; get it with `MeasuringDesk.of`.

    Attributes:
        measures: which there are.
        tool: makes and changes them with the mouse.
    """

    def __init__(self, viewer: ViewerModel):
        self._session = session = Session.of(viewer)
        self._drawings: weakref.WeakKeyDictionary[Image, Drawing] = weakref.WeakKeyDictionary()
        self.measures = Measures(session)
        self.tool = MeasureTool(session, self.measures, self._drawing)
        # While a marker is dragged it moves alone: lines take napari long, and follow when it is let go.
        self._draw_soon = qthrottled(report_errors(self.tool.draw_points), timeout=DRAW_MS)
        self.measures.changed.connect(report_errors(self._draw))
        self.measures.adjusted.connect(self._draw_soon)
        session.frame_changed.connect(report_errors(self._draw))
        viewer.layers.events.removed.connect(report_errors(self._removed))

    def _drawing(self, source: Image) -> Drawing:
        if source not in self._drawings:
            self._drawings[source] = Drawing(self._session.viewer, source)
        return self._drawings[source]

    def _draw(self, source: Any = None) -> None:
        """Draw the measures of an angiogram; of the shown one where none is given."""
        shown = self._session.angiogram
        source = shown if source is None else source
        if source is None or source not in self._session.viewer.layers:
            return
        current = self.measures.current if source is shown else None
        self._drawing(source).show(self.measures.of(source), current)
        if source is shown:
            self.tool.draw_points()

    def _removed(self, event: Any) -> None:
        """The drawing goes with its angiogram."""
        drawing = self._drawings.pop(event.value, None) if isinstance(event.value, Image) else None
        if drawing is not None:
            drawing.close()
