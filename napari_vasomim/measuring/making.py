"""From clicks to measures, computed in threads; what comes of it counts while the angiogram is as it was clicked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QObject

from napari_vasomim.background.threads import run_in_background
from napari_vasomim.measuring.entry import Entry
from napari_vasomim.measuring.frame import ClickedFrame
from napari_vasomim.measuring.measures import Measures
from napari_vasomim.notify import report_error
from napari_vasomim.session import Session
from vasomim_core.correction.points import Point
from vasomim_core.errors import VasoMIMError
from vasomim_core.measures.kept import KeptMeasure
from vasomim_core.measures.measuring import Measure
from vasomim_core.measures.reference import Reference
from vasomim_core.measures.scale import Scale, beside_the_file, scale_from_catheter
from vasomim_core.measures.segment import Segment


class Making:
    """What is being computed of one viewer's clicks.

    Args:
        session: of the viewer.
        measures: that are made and changed.
        say: gets what is under way, or why it failed; None = it has come to its end.

    Attributes:
        busy: how many are being computed.
    """

    def __init__(self, session: Session, measures: Measures, say: Callable[[str | None], object]):
        self._session, self._measures, self._say = session, measures, say
        self._owner = QObject()
        self._frame: ClickedFrame | None = None
        self.busy = 0

    def frame(self, layer: Image, index: int) -> ClickedFrame:
        """A frame, read once however often it is clicked."""
        known = self._frame
        same = known is not None and known.layer is layer and known.index == index
        if known is None or not same or not known.is_still(self._session.viewer):
            known = self._frame = ClickedFrame(layer, index)
        return known

    def new(self, clicked: ClickedFrame, clicks: Sequence[Point], reference: Reference) -> None:
        """A measure along clicks."""
        layer = clicked.layer

        def made(found: tuple[Segment, str]) -> None:
            segment, model = found
            measure = Measure.of(segment, reference, self._measures.scale(layer), self._measures.new_name(layer))
            kept = KeptMeasure.of(measure, clicked.index, clicked.grey_sha256, model)
            self._measures.put(layer, Entry(clicked.index, clicked.frame_sha256, clicked.grey_sha256, kept, measure))

        self._work(clicked, lambda: clicked.segment(clicks, self._prediction(layer)), made)

    def again(self, layer: Image, entry: Entry, clicks: Sequence[Point]) -> None:
        """A measure along other clicks; name, reference and the shares at which the markers stand stay."""
        clicked = self.frame(layer, entry.index)

        def made(found: tuple[Segment, str]) -> None:
            segment, model = found
            now = self._measures.get(layer, entry.id)
            if now is None or now.measure is None:
                return  # it was deleted meanwhile
            before, measure = now.measure, Measure.of(segment, now.measure.reference, now.measure.scale, now.name)
            first, last = (px * measure.length_px / before.length_px for px in before.markers)
            with suppress(VasoMIMError):  # too near to each other in a shorter segment: they stand as in a new one
                measure = measure.with_(markers=(first, min(last, measure.length_px)))
            self._measures.put(layer, now.measured(measure, model))

        self._work(clicked, lambda: clicked.segment(clicks, self._prediction(layer)), made)

    def scale(
        self, clicked: ClickedFrame, clicks: Sequence[Point], french: float, then: Callable[[Scale], object]
    ) -> None:
        """The scale of an angiogram, by a catheter of a size in French along clicks."""
        layer = clicked.layer
        of_file = self._measures.scale_of_file(layer)

        def trace() -> Scale:
            return beside_the_file(scale_from_catheter(clicked.read()[1], clicks, french), of_file)

        def made(scale: Scale) -> None:
            self._measures.set_scale(layer, scale)
            then(scale)

        self._work(clicked, trace, made)

    def _work(self, clicked: ClickedFrame, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        def done(found: Any) -> None:
            self.busy -= 1
            self._say(None)
            if clicked.is_still(self._session.viewer):
                then(found)
            elif clicked.layer in self._session.viewer.layers:
                self._say("The angiogram has changed meanwhile: measure again.")

        def failed(error: Exception) -> None:
            self.busy -= 1
            report_error(error)
            self._say(str(error) if isinstance(error, VasoMIMError) else "")

        self.busy += 1
        self._say("Measuring…")
        run_in_background(self._owner, work, done, failed)

    def _prediction(self, layer: Image) -> Any:
        return self._session.predictions.get(layer)
